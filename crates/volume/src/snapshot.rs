//! Reading all files of a volume as they were at one moment.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use afresh_model::content::{Content, Entry};
use afresh_model::digest::{Digest, DigestKey, EntryHasher, Fingerprint, KeyHash};
use afresh_model::selection::Selection;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::plan::Scope;
use crate::stale::stale_sub_path;
use crate::walk::{self, Budget, Failure};
use crate::{DATA_DIR, File, Files};

/// Bounds on one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together. A `ConfigMap` or Secret has at most 1 MiB; the default, 16 MiB, leaves room for a
    /// projected volume of several and for plain directories.
    pub max_bytes: u64,
    /// Directory entries, files and directories together; 65,536 by default.
    pub max_entries: usize,
    /// How often reading starts over when the content moves meanwhile; 100 by default, together below half a second.
    pub attempts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 16 << 20,
            max_entries: 1 << 16,
            attempts: 100,
        }
    }
}

/// Why no snapshot could be read. Every variant names the path.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not there, or its `..data` points to nothing.
    #[error("{path} does not exist")]
    Missing {
        /// What is missing.
        path: PathBuf,
    },
    /// It could not be opened: permissions, a loop of symlinks, too many open files.
    #[error("cannot open {path}: {source}")]
    Open {
        /// What was being opened.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was opened but could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// What was being read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a device, a FIFO or a socket.
    #[error("{path} is neither a file nor a directory")]
    NotAFile {
        /// What it is not.
        path: PathBuf,
    },
    /// A name that no key of a `ConfigMap` or Secret can have.
    #[error("the name of {path:?} is not UTF-8")]
    NotUtf8 {
        /// The path as it is.
        path: PathBuf,
    },
    /// With this file the content exceeds [`Limits::max_bytes`].
    #[error("{path} makes the content larger than the limit of {limit} bytes")]
    TooLarge {
        /// The file that was one too much.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// There are more entries than [`Limits::max_entries`].
    #[error("{path} holds more than {limit} files and directories")]
    TooMany {
        /// The directory that was to be read.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// Directories nest deeper than 16 levels, as they do where a symlink points to a directory above it.
    #[error("{path} is nested too deeply; does a symlink point to a directory above it?")]
    TooDeep {
        /// Where reading stopped.
        path: PathBuf,
    },
    /// A `subPath` mount of a directory that the kubelet has replaced: its content is out of reach until the container
    /// starts again.
    #[error("{path} is a subPath mount gone stale: its content was replaced and can only be seen by a new container")]
    Stale {
        /// The mount.
        path: PathBuf,
    },
    /// It was changed during each attempt.
    #[error("{path} kept changing: read {attempts} times, no two halves alike")]
    Unsettled {
        /// What kept changing.
        path: PathBuf,
        /// How often it was tried.
        attempts: u32,
    },
}

/// Which content this is. Two readings of one path with equal revisions have equal content.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Revision {
    /// What `..data` pointed to: a name that the kubelet uses once.
    Target(OsString),
    /// The digest of names and bytes, where there is no `..data`: a plain directory, or one file.
    Content(Digest),
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(target) => target.display().fmt(f),
            Self::Content(digest) => digest.fmt(f),
        }
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// All files under one path as they were at one moment.
///
/// Of an atomic volume never torn: every file is from the one directory that `..data` pointed to while all were read.
/// A plain directory has no such moment; each of its files is whole, unless its writer was between two writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    files: Files,
    revision: Revision,
}

impl Snapshot {
    /// Reads `path` within the default [`Limits`]: a mounted volume, a plain directory with those below it, or one
    /// file (then its name is the only key).
    ///
    /// In plain directories names that begin with `..` and symlinks to nothing are passed over; a directory below
    /// that is a volume itself is read as one.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        Self::read_with(path, &Limits::default())
    }

    /// As [`Snapshot::read`], within other limits.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read_with(path: &Path, limits: &Limits) -> Result<Self, ReadError> {
        Self::read_scoped(path, limits, &mut Scope::default())
    }

    /// As [`Snapshot::read_with`], telling also where a plain directory's content lies, whether it could be read or not.
    pub(crate) fn read_scoped(path: &Path, limits: &Limits, scope: &mut Scope) -> Result<Self, ReadError> {
        let mut last = ReadError::Unsettled {
            path: path.to_owned(),
            attempts: limits.attempts,
        };
        for attempt in 0..limits.attempts {
            match read_once(path, limits, scope) {
                Ok(snapshot) => return Ok(snapshot),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(error)) => last = error,
            }
            pause(attempt);
        }
        Err(last)
    }

    /// The files by name.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The files by name, without a copy.
    #[must_use]
    pub fn into_files(self) -> Files {
        self.files
    }

    /// The bytes of one file.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(|file| file.bytes.as_slice())
    }

    /// Which content this is.
    #[must_use]
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// The digests of all keys as the controller keeps them: of a `ConfigMap` without, of a Secret with the
    /// installation's key. Files do not tell `data` from `binaryData`; every entry counts as `data`.
    #[must_use]
    pub fn content(&self, secret: Option<&DigestKey>) -> Content {
        content(&self.files, secret)
    }

    /// The fingerprint of all keys. It equals the controller's for the same object if every key is mounted under its
    /// own name.
    #[must_use]
    pub fn fingerprint(&self, secret: Option<&DigestKey>) -> Fingerprint {
        self.content(secret)
            .fingerprint(&Selection::all(), secret.map(DigestKey::id))
    }
}

fn content(files: &Files, secret: Option<&DigestKey>) -> Content {
    let entry = |(name, file): (&String, &File)| {
        let mut hasher = EntryHasher::new(name);
        hasher.update(&file.bytes);
        let raw = hasher.finish();
        let digest = secret.map_or_else(|| raw.plain(), |key| key.seal(&raw));
        Entry {
            key: KeyHash::of(name),
            digest,
            binary: false,
        }
    };
    Content::new(files.iter().map(entry).collect())
}

/// Lets the writer finish: its steps take microseconds, unless the disk is slow.
fn pause(attempt: u32) {
    if attempt < 16 {
        std::thread::yield_now();
    } else {
        std::thread::sleep(Duration::from_millis(u64::from(attempt / 16)));
    }
}

fn read_once(path: &Path, limits: &Limits, scope: &mut Scope) -> Result<Snapshot, Failure> {
    let open_failed = |source: Errno| ReadError::Open {
        path: path.to_owned(),
        source: source.into(),
    };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Ok(opened) => opened,
        Err(Errno::NOENT | Errno::NOTDIR) => return Err(missing(path)),
        Err(source) => return Err(open_failed(source).into()),
    };
    let stat = rustix::fs::fstat(&opened).map_err(open_failed)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        if stat.st_nlink == 0 && stale_sub_path(path).unwrap_or(false) {
            return Err(ReadError::Stale { path: path.to_owned() }.into());
        }
        let tree = walk::tree(&opened, path, limits, scope)?;
        let revision = match tree.target {
            Some(target) => Revision::Target(target.into_os_string()),
            None => plain_revision(&tree.files),
        };
        return Ok(Snapshot {
            files: tree.files,
            revision,
        });
    }
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Err(ReadError::NotUtf8 { path: path.to_owned() }.into());
    };
    let file = walk::content(opened, &stat, path, limits, &mut Budget::new(limits))?;
    let files = Files::from([(name.to_owned(), file)]);
    let revision = plain_revision(&files);
    Ok(Snapshot { files, revision })
}

fn plain_revision(files: &Files) -> Revision {
    Revision::Content(content(files, None).fingerprint(&Selection::all(), None).digest)
}

/// A key of a volume is missing for a moment while the volume is swapped, so look twice through one `..data`.
fn missing(path: &Path) -> Failure {
    let error = ReadError::Missing { path: path.to_owned() };
    let volume = path
        .ancestors()
        .skip(1)
        .map(|above| above.join(DATA_DIR))
        .find(|data| data.is_symlink());
    let Some(data) = volume else {
        return Failure::Final(error);
    };
    let before = std::fs::read_link(&data).ok();
    let still_missing = !path.exists();
    if still_missing && std::fs::read_link(&data).ok() == before {
        Failure::Final(error)
    } else {
        Failure::Again(error)
    }
}
