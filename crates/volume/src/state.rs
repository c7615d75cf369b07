//! What a watched path is, and which differences are worth telling.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use crate::plan::Scope;
use crate::stale::stale_sub_path;
use crate::{DATA_DIR, Limits, ReadError, Revision, Snapshot};

/// How often a `..data` that moves while it is looked at is looked at again.
const LOOKS: u32 = 64;

/// What a watched path is at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It can be read; this is which content it has.
    Present(Revision),
    /// It does not exist, or its `..data` points to nothing.
    Absent,
    /// A `subPath` mount that shows old content until the container starts again; see [`stale_sub_path`].
    Stale,
    /// It is there but cannot be read.
    Unreadable {
        /// The error's words, with the path.
        reason: String,
    },
}

/// A difference in the [`State`] of a watched path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It has other content than before.
    Changed(Revision),
    /// It does not exist any more.
    Gone,
    /// It can be read (again): it was absent, unreadable or stale.
    Back(Revision),
    /// It became a stale `subPath` mount.
    Stale,
    /// It is there but cannot be read (any more), or for another reason than before.
    Unreadable {
        /// The error's words, with the path.
        reason: String,
    },
}

/// A [`Change`] of one of the watched paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The path as it was given to the watcher.
    pub path: Arc<Path>,
    /// What is different.
    pub change: Change,
}

impl State {
    /// What to tell when this state is followed by `next`; `None` if they are the same.
    pub(crate) fn change_to(&self, next: &Self) -> Option<Change> {
        if self == next {
            return None;
        }
        Some(match (self, next) {
            (Self::Present(_), Self::Present(revision)) => Change::Changed(revision.clone()),
            (_, Self::Present(revision)) => Change::Back(revision.clone()),
            (_, Self::Absent) => Change::Gone,
            (_, Self::Stale) => Change::Stale,
            (_, Self::Unreadable { reason }) => Change::Unreadable { reason: reason.clone() },
        })
    }
}

/// What `path` is now, and where a plain directory's content lies.
///
/// Of a volume only the symlink is read, never the content.
pub(crate) fn probe(path: &Path, limits: &Limits) -> (State, Scope) {
    for _ in 0..LOOKS {
        match fs::read_link(path.join(DATA_DIR)) {
            Ok(target) => match fs::metadata(path.join(&target)) {
                Ok(_) => {
                    return (
                        State::Present(Revision::Target(target.into_os_string())),
                        Scope::default(),
                    );
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    if fs::read_link(path.join(DATA_DIR)).is_ok_and(|again| again == target) {
                        return (State::Absent, Scope::default());
                    }
                }
                Err(error) => return (unreadable(&path.join(target), &error), Scope::default()),
            },
            Err(_) => return probe_plain(path, limits),
        }
    }
    (
        State::Unreadable {
            reason: ReadError::Unsettled {
                path: path.to_owned(),
                attempts: LOOKS,
            }
            .to_string(),
        },
        Scope::default(),
    )
}

fn probe_plain(path: &Path, limits: &Limits) -> (State, Scope) {
    if stale_sub_path(path).unwrap_or(false) {
        return (State::Stale, Scope::default());
    }
    let mut scope = Scope::default();
    let state = match Snapshot::read_scoped(path, limits, &mut scope) {
        Ok(snapshot) => State::Present(snapshot.revision().clone()),
        Err(ReadError::Missing { .. }) => State::Absent,
        Err(ReadError::Stale { .. }) => State::Stale,
        Err(error) => State::Unreadable {
            reason: error.to_string(),
        },
    };
    (state, scope)
}

fn unreadable(path: &Path, error: &io::Error) -> State {
    State::Unreadable {
        reason: format!("cannot open {}: {error}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(target: &str) -> State {
        State::Present(Revision::Target(target.into()))
    }

    #[test]
    fn only_differences_are_told() {
        let unreadable = |reason: &str| State::Unreadable {
            reason: reason.to_owned(),
        };
        let states = [
            present("1"),
            present("2"),
            State::Absent,
            State::Stale,
            unreadable("a"),
            unreadable("b"),
        ];
        for old in &states {
            for new in &states {
                let change = old.change_to(new);
                assert_eq!(change.is_none(), old == new, "{old:?} -> {new:?}");
                let is_back = matches!(new, State::Present(_)) && !matches!(old, State::Present(_));
                assert_eq!(matches!(change, Some(Change::Back(_))), is_back, "{old:?} -> {new:?}");
            }
        }
        assert_eq!(
            present("1").change_to(&present("2")),
            Some(Change::Changed(Revision::Target("2".into())))
        );
        assert_eq!(State::Stale.change_to(&State::Absent), Some(Change::Gone));
    }
}
