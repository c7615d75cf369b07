//! The kubelet's atomic volume as a small library: write one, read one consistent snapshot, watch for the swap.
//!
//! A mounted `ConfigMap` or Secret is a directory whose files are symlinks through `..data` into a directory that never
//! changes; an update makes a new such directory and renames `..data` over to it. Everything here follows from that:
//!
//! ```text
//! config/app.yaml -> ..data/app.yaml
//! config/..data   -> ..2026_11_21_10_11_12.1234567890
//! config/..2026_11_21_10_11_12.1234567890/app.yaml
//! ```
//!
//! ```
//! use afresh_volume::{AtomicWriter, Change, File, Files, Snapshot, WatchOptions, Watcher};
//!
//! # let volume = tempfile::tempdir()?;
//! # let path = volume.path();
//! AtomicWriter::write(path, &Files::from([("app.yaml".to_owned(), File::new("a: 1"))]))?;
//!
//! // First the watcher, then the snapshot: so that nothing falls between them.
//! let mut watcher = Watcher::new([path], WatchOptions::default());
//! assert_eq!(Snapshot::read(path)?.get("app.yaml"), Some(&b"a: 1"[..]));
//!
//! AtomicWriter::write(path, &Files::from([("app.yaml".to_owned(), File::new("a: 2"))]))?;
//!
//! let event = watcher.wait(None)?.ok_or("woken")?;
//! let snapshot = Snapshot::read(path)?;
//! assert_eq!(event.change, Change::Changed(snapshot.revision().clone()));
//! assert_eq!(snapshot.get("app.yaml"), Some(&b"a: 2"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Unix only. On Linux changes are noticed by inotify, elsewhere by polling.

#[cfg(feature = "tokio")]
mod async_watch;
mod file;
mod key;
mod plan;
mod snapshot;
mod stale;
mod state;
#[cfg_attr(target_os = "linux", path = "inotify.rs")]
#[cfg_attr(not(target_os = "linux"), path = "no_inotify.rs")]
mod sys;
mod target;
mod wake;
mod walk;
mod watch;
mod write;

#[cfg(feature = "tokio")]
pub use async_watch::AsyncWatcher;
pub use file::{File, Files};
pub use key::KeyError;
pub use snapshot::{Limits, ReadError, Revision, Snapshot};
pub use stale::stale_sub_path;
pub use state::{Change, Event, State};
pub use wake::Waker;
pub use watch::{DEFAULT_POLL, Method, WatchError, WatchOptions, Watcher};
pub use write::{AtomicWriter, WriteError, Written};

/// The name of the symlink whose renaming is the one atomic moment of an update (`atomic_writer.go`, `dataDirName`).
pub const DATA_DIR: &str = "..data";
/// The name under which the new [`DATA_DIR`] is made before it is renamed into place (`newDataDirName`).
pub(crate) const NEW_DATA_DIR: &str = "..data_tmp";
