//! One attempt at reading a directory tree through one opened directory.

use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::plan::Scope;
use crate::{DATA_DIR, File, Files, Limits, ReadError};

/// How deep directories may nest: a symlink to a parent directory would nest for ever.
const MAX_DEPTH: usize = 16;

/// Why an attempt gave nothing.
pub(crate) enum Failure {
    /// Something moved meanwhile. The error is for when it keeps moving.
    Again(ReadError),
    /// Trying again would not help.
    Final(ReadError),
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::Final(error)
    }
}

/// What was found under one opened directory.
pub(crate) struct Tree {
    pub(crate) files: Files,
    /// The target of the root's `..data`; `None` if the root is a plain directory.
    pub(crate) target: Option<PathBuf>,
}

/// A directory still to be read. Behind a `..data`, where it is opened and what its keys start with differ.
struct Visit {
    at: PathBuf,
    keys: String,
    depth: usize,
    /// It is behind a `..data`, so that nothing in it ever changes.
    frozen: bool,
}

struct Walk<'a> {
    root: &'a OwnedFd,
    path: &'a Path,
    limits: &'a Limits,
    budget: Budget,
    pending: Vec<Visit>,
    files: Files,
    /// Every directory where a `..data` is or could appear, with what it was: if one differs at the end, the set may
    /// be torn.
    data_links: Vec<(PathBuf, Option<CString>)>,
    /// Symlinks met where they can change.
    links: Vec<PathBuf>,
}

/// What may still be read.
pub(crate) struct Budget {
    bytes: u64,
    entries: usize,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            bytes: limits.max_bytes,
            entries: limits.max_entries,
        }
    }
}

/// Reads everything under `root`, which was opened from `path`. `scope` becomes where it lies, read or not, except what
/// is behind a `..data`: there nothing changes.
pub(crate) fn tree(root: &OwnedFd, path: &Path, limits: &Limits, scope: &mut Scope) -> Result<Tree, Failure> {
    let mut walk = Walk {
        root,
        path,
        limits,
        budget: Budget::new(limits),
        pending: vec![Visit {
            at: ".".into(),
            keys: String::new(),
            depth: 0,
            frozen: false,
        }],
        files: Files::new(),
        data_links: Vec::new(),
        links: Vec::new(),
    };
    let result = walk.run();
    scope.directories = walk.data_links.iter().map(|(at, _)| at.clone()).collect();
    scope.links = std::mem::take(&mut walk.links);
    // A swap explains any failure, and tears any success: the kubelet removes the old files one by one.
    if walk.has_moved() {
        return Err(Failure::Again(ReadError::Unsettled {
            path: path.to_owned(),
            attempts: limits.attempts,
        }));
    }
    result?;
    let target = walk
        .data_links
        .first()
        .and_then(|(_, link)| link.as_deref())
        .map(|link| as_path(link).to_owned());
    Ok(Tree {
        files: walk.files,
        target,
    })
}

impl Walk<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        while let Some(visit) = self.pending.pop() {
            self.enter(visit)?;
        }
        Ok(())
    }

    /// Reads a directory, or the one its `..data` points to in its stead.
    fn enter(&mut self, mut visit: Visit) -> Result<(), Failure> {
        if !visit.frozen {
            let link =
                data_link(self.root, &visit.at).map_err(|source| self.failed(&visit.at.join(DATA_DIR), source))?;
            self.data_links.push((visit.at.clone(), link.clone()));
            if let Some(target) = link {
                visit.at.push(as_path(&target));
                visit.frozen = true;
            }
        }
        if visit.depth > MAX_DEPTH {
            return Err(ReadError::TooDeep {
                path: self.shown(&visit.at),
            }
            .into());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(self.root, &visit.at, flags, Mode::empty());
        let directory = opened.map_err(|source| self.failed(&visit.at, source))?;
        let entries = Dir::read_from(&directory).map_err(|source| self.failed(&visit.at, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| self.failed(&visit.at, source))?;
            let name = entry.file_name().to_bytes();
            // In a directory that can change, `..` begins what a volume keeps for itself.
            if name == b"." || name == b".." || (!visit.frozen && name.starts_with(b"..")) {
                continue;
            }
            self.take(&visit, &directory, entry.file_name(), entry.file_type())?;
        }
        Ok(())
    }

    fn take(&mut self, visit: &Visit, directory: &OwnedFd, name: &CStr, kind: FileType) -> Result<(), Failure> {
        let at = visit.at.join(OsStr::from_bytes(name.to_bytes()));
        let Ok(text) = name.to_str() else {
            return Err(ReadError::NotUtf8 { path: self.shown(&at) }.into());
        };
        let Some(entries) = self.budget.entries.checked_sub(1) else {
            return Err(ReadError::TooMany {
                path: self.path.to_owned(),
                limit: self.limits.max_entries,
            }
            .into());
        };
        self.budget.entries = entries;
        if kind == FileType::Symlink && !visit.frozen {
            self.links.push(at.clone());
        }
        let file = match open(directory, name) {
            Ok(file) => file,
            // A symlink to nothing is no file. Editors leave such links as locks.
            Err(Errno::NOENT) if kind == FileType::Symlink => return Ok(()),
            Err(source) => return Err(self.failed(&at, source)),
        };
        let key = format!("{}{text}", visit.keys);
        let stat = rustix::fs::fstat(&file).map_err(|source| self.failed(&at, source))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            self.pending.push(Visit {
                at,
                keys: key + "/",
                depth: visit.depth + 1,
                frozen: visit.frozen,
            });
            return Ok(());
        }
        let file = content(file, &stat, &self.shown(&at), self.limits, &mut self.budget)?;
        self.files.insert(key, file);
        Ok(())
    }

    fn has_moved(&self) -> bool {
        let removed = rustix::fs::fstat(self.root).is_ok_and(|stat| stat.st_nlink == 0);
        removed
            || self
                .data_links
                .iter()
                .any(|(at, link)| data_link(self.root, at).is_ok_and(|now| now != *link))
    }

    /// The path as a person would write it.
    fn shown(&self, at: &Path) -> PathBuf {
        self.path.join(at.strip_prefix(".").unwrap_or(at))
    }

    fn failed(&self, at: &Path, source: Errno) -> Failure {
        let path = self.shown(at);
        match source {
            // Listed or linked a moment ago. Even if it was not a swap, another look will tell.
            Errno::NOENT => Failure::Again(ReadError::Missing { path }),
            source => ReadError::Open {
                path,
                source: source.into(),
            }
            .into(),
        }
    }
}

/// Opens for reading without ever waiting: a FIFO or a terminal among the files must not stop us.
pub(crate) fn open<P: rustix::path::Arg>(directory: &OwnedFd, name: P) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

/// What the `..data` in the directory `at` points to; `None` if there is none, or it is no symlink.
fn data_link(root: &OwnedFd, at: &Path) -> Result<Option<CString>, Errno> {
    match rustix::fs::readlinkat(root, at.join(DATA_DIR), Vec::new()) {
        Ok(target) => Ok(Some(target)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::INVAL) => Ok(None),
        Err(error) => Err(error),
    }
}

fn as_path(text: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(text.to_bytes()))
}

/// The content of one opened regular file, unless somebody writes it meanwhile.
pub(crate) fn content(
    file: OwnedFd,
    before: &Stat,
    path: &Path,
    limits: &Limits,
    budget: &mut Budget,
) -> Result<File, Failure> {
    let shown = || path.to_owned();
    if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
        return Err(ReadError::NotAFile { path: shown() }.into());
    }
    let too_large = || ReadError::TooLarge {
        path: shown(),
        limit: limits.max_bytes,
    };
    let size = u64::try_from(before.st_size).unwrap_or(0);
    if size > budget.bytes {
        return Err(too_large().into());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    let mut file = fs::File::from(file);
    let read = (&mut file).take(budget.bytes.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|source| ReadError::Read { path: shown(), source })?;
    let left = budget.bytes.checked_sub(bytes.len() as u64).ok_or_else(too_large)?;
    let after = rustix::fs::fstat(&file).map_err(|e| ReadError::Read {
        path: shown(),
        source: io::Error::from(e),
    })?;
    if written_between(before, &after) {
        return Err(Failure::Again(ReadError::Unsettled {
            path: shown(),
            attempts: limits.attempts,
        }));
    }
    budget.bytes = left;
    // `st_mode` is narrower than 32 bits on some systems.
    #[allow(clippy::useless_conversion)]
    let mode = u32::from(before.st_mode) & 0o777;
    Ok(File { bytes, mode })
}

fn written_between(before: &Stat, after: &Stat) -> bool {
    (before.st_size, before.st_mtime, before.st_mtime_nsec) != (after.st_size, after.st_mtime, after.st_mtime_nsec)
}
