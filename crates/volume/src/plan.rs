//! Which directories and files must be watched so that no change of a path goes unseen, and which events concern it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::DATA_DIR;

/// One place to be watched for the sake of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) depth: Depth,
    pub(crate) interest: Interest,
}

/// Which events the kernel is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Names that come and go.
    Names,
    /// Names, content and attributes.
    Content,
}

/// What the kernel tells.
pub(crate) enum Notice<'a> {
    /// Notices were lost: anything may have changed.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    Overflow,
    /// Something happened at the watch, to the entry `name`, or to the watched thing itself.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    At {
        watch: i32,
        name: Option<&'a OsStr>,
        is_new_file: bool,
    },
}

/// Which of a place's events concern the path. Events of the place itself always do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Interest {
    Everything,
    Names(Vec<OsString>),
}

impl Place {
    /// Whether an event at this place, to its entry `name` or to itself, can mean that the path changed.
    pub(crate) fn is_concerned(&self, name: Option<&OsStr>, is_new_file: bool) -> bool {
        let Some(name) = name else { return true };
        let is_covered = match &self.interest {
            Interest::Everything => true,
            Interest::Names(names) => names.iter().any(|wanted| wanted == name),
        };
        is_covered && !(is_new_file && self.depth == Depth::Content && is_being_written(&self.path.join(name)))
    }
}

/// A file just made by open(2) is empty as yet, and its closing will be told as well. A symlink or a hard link has no
/// such second event.
fn is_being_written(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.nlink() == 1)
}

/// The places to watch for `path` as it is now. `directories` are those a plain directory's content was found in.
///
/// - A volume: the directory, for `..data` alone; nothing else in it matters.
/// - A plain directory: everything in it and in the directories below it.
/// - One file: the file itself (a `subPath` mount or a symlink's target changes nowhere else) and its name in its
///   directory, where editors rename a new file over it.
/// - Nothing there yet: the nearest directory above that exists, for the next element of the path.
///
/// Each also for its name in the directory above, so that it is seen to be replaced even while somebody holds it open,
/// and for the `..data` of any volume the path leads through.
pub(crate) fn places(path: &Path, directories: &[PathBuf]) -> Vec<Place> {
    let mut places = Vec::new();
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => {
            if path.join(DATA_DIR).is_symlink() {
                places.push(place(path, Depth::Content, names(&[DATA_DIR.as_ref()])));
            } else {
                places.push(place(path, Depth::Content, Interest::Everything));
                let below = directories.iter().filter(|below| *below != Path::new("."));
                places.extend(below.map(|below| place(&path.join(below), Depth::Content, Interest::Everything)));
            }
            places.extend(name_above(path, Depth::Names));
        }
        Ok(_) => {
            places.push(place(path, Depth::Content, Interest::Everything));
            places.extend(name_above(path, Depth::Content));
        }
        Err(_) => {
            // A symlink to nothing: its own name may come to point elsewhere. Otherwise the nearest directory there is.
            let nearest = path.ancestors().find(|at| above(at).is_dir()).unwrap_or(path);
            places.extend(name_above(nearest, Depth::Content));
        }
    }
    let volumes = path.ancestors().skip(1).filter(|at| at.join(DATA_DIR).is_symlink());
    places.extend(volumes.map(|at| place(at, Depth::Names, names(&[DATA_DIR.as_ref()]))));
    places
}

fn place(path: &Path, depth: Depth, interest: Interest) -> Place {
    Place {
        path: path.to_owned(),
        depth,
        interest,
    }
}

fn names(names: &[&OsStr]) -> Interest {
    Interest::Names(names.iter().map(|name| (*name).to_owned()).collect())
}

/// The last element of `path` in the directory above. Without one (`/`, `..`) there is nothing to be renamed.
fn name_above(path: &Path, depth: Depth) -> Option<Place> {
    let name = path.file_name()?;
    Some(place(above(path), depth, names(&[name])))
}

fn above(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}
