//! All watched paths as one content.

use std::path::PathBuf;

use afresh_model::digest::Digest;
use afresh_volume::{Files, ReadError, Snapshot};

/// Which content it is. Equal for equal names and bytes, whatever the kubelet calls its directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content(Digest);

/// Why there is no content.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// A path cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Reads all paths, each as it is at one moment. Where two have a file of one name, the later wins.
pub(super) fn read(paths: &[PathBuf]) -> Result<(Content, Files), ContentError> {
    let mut files = Files::new();
    for path in paths {
        files.extend(Snapshot::read(path)?.into_files());
    }
    Ok((Content(afresh_volume::digest(&files)), files))
}
