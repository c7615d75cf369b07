//! New content where only a check sees it.

use std::io;
use std::path::{Path, PathBuf};

use afresh_volume::{AtomicWriter, Files, WriteError};

/// How the directories are called, so that one left by a killed agent is recognised.
const PREFIX: &str = "afresh-staged-";

/// Why content could not be staged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    /// There is no place for it.
    #[error(
        "cannot make a directory under {parent} for the check to look at: {source}; mount an emptyDir there, or name \
         another place by --staging"
    )]
    Place {
        /// Where it was to be.
        parent: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It could not be written.
    #[error("cannot stage: {0}")]
    Write(#[from] WriteError),
}

/// A directory of new content that nobody but this user may enter; removed when dropped.
#[derive(Debug)]
pub(crate) struct Staged(tempfile::TempDir);

impl Staged {
    /// Writes the files as a volume into a fresh directory under `parent`.
    ///
    /// # Errors
    /// See [`StageError`].
    pub(crate) fn write(parent: &Path, files: &Files) -> Result<Self, StageError> {
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(parent)
            .map_err(|source| StageError::Place {
                parent: parent.to_owned(),
                source,
            })?;
        AtomicWriter::write(directory.path(), files)?;
        Ok(Self(directory))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}
