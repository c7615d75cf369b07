//! Which directories and files must be watched so that no change of a path goes unseen, and which events concern it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::DATA_DIR;

/// Linux follows as many symlinks on the way to one file (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

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

/// What an event means for a path; the later, the more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Concern {
    /// Nothing.
    None,
    /// A look is due, but another event is likely to come first, and better.
    Soon,
    /// A look is due.
    Now,
}

impl Place {
    /// What an event at this place, to its entry `name` or to itself, means for the path.
    pub(crate) fn concern(&self, name: Option<&OsStr>, is_new_file: bool) -> Concern {
        let Some(name) = name else { return Concern::Now };
        let is_covered = match &self.interest {
            Interest::Everything => true,
            Interest::Names(names) => names.iter().any(|wanted| wanted == name),
        };
        if !is_covered {
            Concern::None
        } else if is_new_file && self.depth == Depth::Content && is_being_written(&self.path.join(name)) {
            Concern::Soon
        } else {
            Concern::Now
        }
    }
}

/// A file just made by open(2) is empty as yet, and its closing will be told as well. Only likely: a hard link whose
/// first name is gone looks the same and has no such second event.
fn is_being_written(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.nlink() == 1)
}

/// Where a plain directory's content was found, relative to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// The directories that can change.
    pub(crate) directories: Vec<PathBuf>,
    /// The symlinks in them, which lead elsewhere.
    pub(crate) links: Vec<PathBuf>,
}

/// The places to watch for `path` as it is now.
///
/// - A volume: the directory, for `..data` alone; nothing else in it matters.
/// - A plain directory: everything in it and in the directories below it, and what symlinks in it lead to.
/// - One file: the file itself (a `subPath` mount changes nowhere else) and its name in its directory, where editors
///   rename a new file over it.
/// - Nothing there yet: the last directory on the way that exists, for the next element.
///
/// And on the way to each every symlink, which may come to point elsewhere (a key of a volume leads through `..data`),
/// and the last name, so that a replacement is seen even while somebody holds the old directory open.
pub(crate) fn places(path: &Path, scope: &Scope) -> Vec<Place> {
    let mut places = way_to(path);
    if !fs::metadata(path).is_ok_and(|meta| meta.is_dir()) {
        return places;
    }
    if path.join(DATA_DIR).is_symlink() {
        places.push(place(path, Depth::Content, Interest::Names(vec![DATA_DIR.into()])));
        return places;
    }
    places.push(place(path, Depth::Content, Interest::Everything));
    let below = scope.directories.iter().filter(|below| *below != Path::new("."));
    places.extend(below.map(|below| place(&path.join(below), Depth::Content, Interest::Everything)));
    places.extend(scope.links.iter().flat_map(|link| way_to(&path.join(link))));
    places
}

fn place(path: &Path, depth: Depth, interest: Interest) -> Place {
    Place {
        path: path.to_owned(),
        depth,
        interest,
    }
}

/// The places where a change makes `path` lead to another file or directory, and the file itself if it is one.
///
/// Not every directory on the way: one further up that is renamed is left to the slow poll, because such directories
/// (`/tmp`, a home) are busy with other things, and each of those would wake us.
fn way_to(path: &Path) -> Vec<Place> {
    let mut places = Vec::new();
    let mut at = PathBuf::from(if path.is_absolute() { "/" } else { "." });
    let mut ahead: Vec<Component<'_>> = path.components().collect();
    ahead.reverse();
    let mut ahead: Vec<PathBuf> = ahead.into_iter().map(|part| part.as_os_str().into()).collect();
    let mut links = 0;
    while let Some(part) = ahead.pop() {
        let Some(name) = part.file_name() else {
            // `/` begins anew, `..` goes up from where the symlinks led, `.` stays.
            at.push(part);
            continue;
        };
        let next = at.join(name);
        let named = |depth| place(&at, depth, Interest::Names(vec![name.to_owned()]));
        match (fs::symlink_metadata(&next), fs::read_link(&next)) {
            (_, Ok(_)) if links == MAX_LINKS => break,
            (_, Ok(target)) => {
                links += 1;
                places.push(named(Depth::Content));
                ahead.extend(target.components().rev().map(|part| part.as_os_str().into()));
                continue;
            }
            (Ok(meta), _) if meta.is_dir() => {
                if ahead.is_empty() {
                    places.push(named(Depth::Names));
                }
            }
            (Ok(_), _) => {
                places.push(named(Depth::Content));
                if ahead.is_empty() {
                    places.push(place(path, Depth::Content, Interest::Everything));
                }
                break;
            }
            (Err(_), _) => {
                places.push(named(Depth::Content));
                break;
            }
        }
        at = next;
    }
    places
}
