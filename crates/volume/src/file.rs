//! What a volume holds.

use std::collections::BTreeMap;

/// The files of a volume by their path relative to it (`app.yaml`, or `sub/app.yaml` for a projected path).
pub type Files = BTreeMap<String, File>;

/// One file: its bytes, untouched, and its permission bits.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// The content. Not necessarily text.
    pub bytes: Vec<u8>,
    /// Permission bits, `0o000` to `0o777`; higher bits are not kept.
    pub mode: u32,
}

impl File {
    /// The kubelet's default mode for a key (`defaultMode` of a `ConfigMap` volume source).
    pub const DEFAULT_MODE: u32 = 0o644;

    /// A file with the kubelet's default mode.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            mode: Self::DEFAULT_MODE,
        }
    }
}

/// Shows sizes, never content: the content may be a Secret's.
impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "File {{ {} bytes, mode {:03o} }}", self.bytes.len(), self.mode)
    }
}
