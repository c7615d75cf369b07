//! The agent's own atomic directory, which holds nothing but accepted content.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use afresh_model::digest::Digest;
use afresh_volume::{AtomicWriter, DATA_DIR, Files, Snapshot, WriteError, Written};

use crate::content::Sums;
use crate::size::Size;

/// Beside the content: on which content the actions were done last. No key can have the name, since it begins with two
/// dots, and programs that list the directory skip it as they skip `..data`.
const ACTED: &str = "..afresh_acted";
const ACTED_NEW: &str = "..afresh_acted_new";

/// Why the directory could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// It is not there and could not be made.
    #[error("cannot make {path}: {source}; mount a writable emptyDir there")]
    Make {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It could not be written.
    #[error("{0}; --output needs a directory of its own that this user may write, such as an emptyDir")]
    Write(#[from] WriteError),
    /// The record of what was done could not be written.
    #[error("cannot write {path}: {source}")]
    Record {
        /// The record.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The directory of `--output`.
#[derive(Debug, Clone)]
pub(crate) struct Output(pub(crate) PathBuf);

impl Output {
    /// What it holds; `None` if nothing whole was written yet, or it cannot be read.
    pub(crate) fn holds(&self) -> Option<Digest> {
        fs::symlink_metadata(self.0.join(DATA_DIR)).ok()?;
        let snapshot = Snapshot::read_with(&self.0, &Size::ANY.limits()).ok()?;
        Some(Sums::of(snapshot.files()).digest())
    }

    /// On which content the actions were done last, as far as it is written.
    pub(crate) fn acted(&self) -> Option<Digest> {
        let text = fs::read_to_string(self.0.join(ACTED)).ok()?;
        text.trim().parse().ok()
    }

    /// Makes it hold these files, at one moment.
    pub(crate) fn write(&self, files: &Files) -> Result<Written, OutputError> {
        fs::create_dir_all(&self.0).map_err(|source| OutputError::Make {
            path: self.0.clone(),
            source,
        })?;
        Ok(AtomicWriter::write(&self.0, files)?)
    }

    /// Writes down on which content the actions were done.
    pub(crate) fn record(&self, digest: Digest) -> Result<(), OutputError> {
        let (new, path) = (self.0.join(ACTED_NEW), self.0.join(ACTED));
        let written = fs::write(&new, format!("{digest}\n")).and_then(|()| fs::rename(&new, &path));
        written.map_err(|source| OutputError::Record { path, source })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}
