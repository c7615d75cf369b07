//! New content where only a check sees it.

use std::fs::{self, File};
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
pub(crate) struct Staged {
    directory: tempfile::TempDir,
    /// Locked as long as somebody is there to remove it.
    _lock: Option<File>,
}

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
        // Where nothing can be locked nothing is cleared either.
        let lock = File::open(directory.path()).ok().filter(|lock| lock.try_lock().is_ok());
        AtomicWriter::write(directory.path(), files)?;
        Ok(Self { directory, _lock: lock })
    }

    /// Removes what agents of this user left under `parent` when they were killed: it may be a Secret's content, and
    /// an `emptyDir` outlives containers. What an agent that runs is looking at stays.
    pub(crate) fn clear(parent: &Path) {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
                && entry.file_type().is_ok_and(|kind| kind.is_dir());
            if !is_ours {
                continue;
            }
            // Other users' directories cannot be opened.
            let Ok(lock) = File::open(entry.path()) else { continue };
            if lock.try_lock().is_ok() {
                let removed = fs::remove_dir_all(entry.path());
                tracing::info!(path = %entry.path().display(), is_removed = removed.is_ok(), "left by an agent that was killed");
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}
