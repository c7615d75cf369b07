//! Writing an atomic volume in the kubelet's order and layout.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::key::{self, KeyError, visible_name};
use crate::{DATA_DIR, File, Files, NEW_DATA_DIR};

/// How often a fresh directory name is tried before giving up; each has 64 random bits.
const NAME_ATTEMPTS: usize = 16;

/// What [`AtomicWriter::write`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The volume was swapped to a new directory.
    Changed,
    /// The volume already held these paths with these bytes; no swap happened.
    Unchanged,
}

/// Why a volume could not be written. Unless it is `Finish`, readers still see the old content, whole.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A path cannot be a file of a volume; nothing was touched.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Something that is not of this volume has the name of a key, so that the key could not be shown; nothing was
    /// touched.
    #[error("{path} is in the way: it is not a symlink into {DATA_DIR}")]
    InTheWay {
        /// What has the name.
        path: PathBuf,
    },
    /// What is there could not be looked at.
    #[error("cannot read the volume at {path}: {source}")]
    Inspect {
        /// What was being read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The new directory and its files could not be made.
    #[error("cannot write {path}: {source}")]
    Stage {
        /// What was being written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// `..data` could not be pointed at the new directory.
    #[error("cannot swap {path}: {source}")]
    Swap {
        /// The symlink being made or renamed.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The swap happened, but a visible symlink could not be made or removed, or the old directory not removed.
    #[error("the new content is in place, but {path} could not be brought up to it: {source}")]
    Finish {
        /// What was being made or removed.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes volumes as the kubelet does (`pkg/volume/util/atomic_writer.go`, in its order since k8s #121472).
#[derive(Debug)]
pub struct AtomicWriter;

impl AtomicWriter {
    /// Makes the volume at `dir`, an existing directory, hold exactly `files`, all at one moment.
    ///
    /// Order: validate, compare, new directory `..YYYY_MM_DD_HH_MM_SS.<random>` (UTC), files and modes, symlink
    /// `..data_tmp`, rename to `..data`, missing visible symlinks, stale ones, old directories. Only bytes are
    /// compared: a change of modes alone is not applied, as in the kubelet. A missing visible symlink is made
    /// again even when nothing changed. What a crashed write left behind is taken away. One writer per volume: two
    /// at once may remove each other's new directory. Owners and groups (`fsGroup`) are left as the process makes them.
    ///
    /// # Errors
    /// See [`WriteError`]; each names the path.
    pub fn write(dir: &Path, files: &Files) -> Result<Written, WriteError> {
        let payload = key::clean_all(files)?;
        let current = current_target(dir)?;
        let names: BTreeSet<&str> = payload.keys().map(|key| visible_name(key)).collect();
        let missing = missing_links(dir, &names)?;
        let changed = !current
            .as_ref()
            .is_some_and(|target| holds(&dir.join(target), &payload));
        if changed {
            let fresh = stage(dir, &payload)?;
            if let Err(error) = swap(dir, &fresh) {
                // The error is what matters; a directory left behind is swept by the next write.
                let _ = fs::remove_dir_all(dir.join(&fresh));
                return Err(error);
            }
        }
        show(dir, &missing)?;
        hide_others(dir, &names)?;
        if changed {
            sweep(dir)?;
        }
        Ok(if changed { Written::Changed } else { Written::Unchanged })
    }
}

/// What `..data` points to, if it is there.
fn current_target(dir: &Path) -> Result<Option<PathBuf>, WriteError> {
    let path = dir.join(DATA_DIR);
    match fs::read_link(&path) {
        Ok(target) => Ok(Some(target)),
        Err(source) if source.kind() == io::ErrorKind::NotFound && dir.is_dir() => Ok(None),
        Err(source) => Err(WriteError::Inspect { path, source }),
    }
}

/// Whether `data` holds exactly these paths and bytes. What cannot be read counts as different: it is written anew.
fn holds(data: &Path, payload: &BTreeMap<String, &File>) -> bool {
    let mut found = 0;
    let mut pending = vec![(data.to_owned(), String::new())];
    while let Some((directory, prefix)) = pending.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            return false;
        };
        for entry in entries {
            let Ok(entry) = entry else { return false };
            let Ok(name) = entry.file_name().into_string() else {
                return false;
            };
            let key = format!("{prefix}{name}");
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push((entry.path(), format!("{key}/")));
            } else if payload
                .get(&key)
                .is_some_and(|file| same_bytes(&entry.path(), &file.bytes))
            {
                found += 1;
            } else {
                return false;
            }
        }
    }
    found == payload.len()
}

/// Whether the regular file at `path` holds exactly `bytes`; its size is looked at first.
fn same_bytes(path: &Path, bytes: &[u8]) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == bytes.len() as u64)
        && fs::read(path).is_ok_and(|old| old == bytes)
}

/// Makes the new directory with all files and returns its name; takes it away again if that fails.
fn stage(dir: &Path, payload: &BTreeMap<String, &File>) -> Result<String, WriteError> {
    let fresh = fresh_directory(dir)?;
    let data = dir.join(&fresh);
    let filled = fs::set_permissions(&data, fs::Permissions::from_mode(0o755))
        .map_err(|source| WriteError::Stage {
            path: data.clone(),
            source,
        })
        .and_then(|()| {
            payload
                .iter()
                .try_for_each(|(key, file)| write_file(&data.join(key), file))
        });
    match filled {
        Ok(()) => Ok(fresh),
        Err(error) => {
            let _ = fs::remove_dir_all(&data);
            Err(error)
        }
    }
}

fn fresh_directory(dir: &Path) -> Result<String, WriteError> {
    let stamp = timestamp(SystemTime::now());
    let mut last = (dir.to_owned(), io::ErrorKind::AlreadyExists.into());
    for _ in 0..NAME_ATTEMPTS {
        let name = format!("..{stamp}.{}", random());
        let path = dir.join(&name);
        match fs::create_dir(&path) {
            Ok(()) => return Ok(name),
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => last = (path, source),
            Err(source) => return Err(WriteError::Stage { path, source }),
        }
    }
    let (path, source) = last;
    Err(WriteError::Stage { path, source })
}

/// Sixty-four bits from the standard library's per-process random keys: unique is enough, they guard nothing.
fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

fn write_file(path: &Path, file: &File) -> Result<(), WriteError> {
    let write = || -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut out = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        out.write_all(&file.bytes)?;
        // Not by open(2): the umask must not take bits away.
        out.set_permissions(fs::Permissions::from_mode(file.mode & 0o777))
    };
    write().map_err(|source| WriteError::Stage {
        path: path.to_owned(),
        source,
    })
}

/// Points `..data` at `fresh`. The rename is the moment of the update.
fn swap(dir: &Path, fresh: &str) -> Result<(), WriteError> {
    let temporary = dir.join(NEW_DATA_DIR);
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| WriteError::Swap { path, source }
    };
    match symlink(fresh, &temporary) {
        // A crash between symlink and rename left it; the kubelet would fail here from then on.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(&temporary).map_err(fail(&temporary))?;
            symlink(fresh, &temporary).map_err(fail(&temporary))?;
        }
        made => made.map_err(fail(&temporary))?,
    }
    let data = dir.join(DATA_DIR);
    fs::rename(&temporary, &data).map_err(|source| {
        let _ = fs::remove_file(&temporary);
        WriteError::Swap { path: data, source }
    })
}

/// The names without their symlink `name -> ..data/name`.
fn missing_links<'a>(dir: &Path, names: &BTreeSet<&'a str>) -> Result<Vec<&'a str>, WriteError> {
    let mut missing = Vec::new();
    for name in names {
        let path = dir.join(name);
        match fs::read_link(&path) {
            Ok(target) if target == Path::new(DATA_DIR).join(name) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(*name),
            _ => return Err(WriteError::InTheWay { path }),
        }
    }
    Ok(missing)
}

fn show(dir: &Path, missing: &[&str]) -> Result<(), WriteError> {
    for name in missing {
        let path = dir.join(name);
        symlink(Path::new(DATA_DIR).join(name), &path).map_err(|source| WriteError::Finish { path, source })?;
    }
    Ok(())
}

/// Removes the symlinks into `..data` of names no longer held. Found by looking, not by comparing with the old
/// directory, so that those a crash left are found as well.
fn hide_others(dir: &Path, names: &BTreeSet<&str>) -> Result<(), WriteError> {
    for name in entries(dir)? {
        let path = dir.join(&name);
        let held = name.to_str().is_some_and(|name| names.contains(name));
        let ours = || fs::read_link(&path).is_ok_and(|to| to == Path::new(DATA_DIR).join(&name));
        if !held && ours() {
            fs::remove_file(&path).map_err(|source| WriteError::Finish {
                path: path.clone(),
                source,
            })?;
        }
    }
    Ok(())
}

/// Removes every timestamp directory but the current one: the one just replaced and what crashes left.
fn sweep(dir: &Path) -> Result<(), WriteError> {
    let current = current_target(dir)?;
    for name in entries(dir)? {
        let path = dir.join(&name);
        let is_current = current.as_deref() == Some(Path::new(&name));
        if is_timestamp(name.as_bytes()) && !is_current && fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir()) {
            fs::remove_dir_all(&path).map_err(|source| WriteError::Finish {
                path: path.clone(),
                source,
            })?;
        }
    }
    Ok(())
}

fn entries(dir: &Path) -> Result<Vec<OsString>, WriteError> {
    let names = fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
    names.map_err(|source| WriteError::Finish {
        path: dir.to_owned(),
        source,
    })
}

/// Whether a name has the form `..YYYY_MM_DD_HH_MM_SS.<random>`.
fn is_timestamp(name: &[u8]) -> bool {
    const FORM: &[u8] = b"..dddd_dd_dd_dd_dd_dd.";
    name.len() > FORM.len()
        && FORM.iter().zip(name).all(|(form, byte)| {
            if *form == b'd' {
                byte.is_ascii_digit()
            } else {
                form == byte
            }
        })
        && name[FORM.len()..].iter().all(u8::is_ascii_digit)
}

/// `YYYY_MM_DD_HH_MM_SS` in UTC (Go's layout `2006_01_02_15_04_05`); a clock before 1970 reads as 1970.
fn timestamp(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}_{month:02}_{:02}_{hour:02}_{minute:02}_{second:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn directories_are_stamped_as_the_kubelet_stamps_them() {
        for (seconds, stamp) in [
            (0, "1970_01_01_00_00_00"),
            (951_782_399, "2000_02_28_23_59_59"),
            (951_782_400, "2000_02_29_00_00_00"),
            (1_735_689_599, "2024_12_31_23_59_59"),
            (1_795_255_872, "2026_11_21_10_11_12"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), stamp);
        }
    }

    #[test]
    fn only_timestamp_directories_are_swept() {
        assert!(is_timestamp(b"..2026_11_21_10_11_12.1234567890"));
        for name in [
            "..data",
            "..data_tmp",
            "..2026_11_21_10_11_12.",
            "..2026_11_21_10_11_12.x",
            "2026_11_21",
            "..",
        ] {
            assert!(!is_timestamp(name.as_bytes()), "{name}");
        }
    }
}
