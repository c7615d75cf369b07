//! One watched path: its state, and the places that must be watched to know it.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::plan::{self, Concern, Depth, Place, Scope};
use crate::state::probe;
use crate::sys::Inotify;
use crate::{Change, Limits, State};

/// How often the places to watch are settled anew while they move.
const ROUNDS: usize = 16;

#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) path: Arc<Path>,
    pub(crate) state: State,
    /// Whether it must be looked at.
    pub(crate) due: Concern,
    /// Why events alone cannot be relied on for this path.
    pub(crate) unwatched: Option<String>,
    scope: Scope,
    watches: Vec<(i32, Place)>,
}

impl Target {
    pub(crate) fn new(path: Arc<Path>) -> Self {
        let (scope, watches) = (Scope::default(), Vec::new());
        Self {
            path,
            state: State::Absent,
            due: Concern::Now,
            unwatched: None,
            scope,
            watches,
        }
    }

    /// Needs no look any more.
    pub(crate) fn rest(&mut self) {
        self.due = Concern::None;
    }

    pub(crate) fn has(&self, watch: i32) -> bool {
        self.watches.iter().any(|(own, _)| *own == watch)
    }

    /// Takes in what an event at a watch means for this path.
    pub(crate) fn notice(&mut self, watch: i32, name: Option<&OsStr>, is_new_file: bool) {
        let places = self.watches.iter().filter(|(own, _)| *own == watch);
        let concern = places.map(|(_, place)| place.concern(name, is_new_file)).max();
        self.due = self.due.max(concern.unwrap_or(Concern::None));
    }

    /// Brings the state up to now and says what is different; watches no longer needed are added to `dropped`.
    ///
    /// First watched, then looked at: what changes after the look makes an event. If the places to watch are others
    /// by then, something moved in between, and it begins anew.
    pub(crate) fn look(&mut self, source: Option<&Inotify>, limits: &Limits, dropped: &mut Vec<i32>) -> Option<Change> {
        let old = self.state.clone();
        for _ in 0..ROUNDS {
            let places = plan::places(&self.path, &self.scope);
            let is_armed = source.is_none_or(|source| self.arm(source, &places, dropped));
            let (state, scope) = probe(&self.path, limits);
            self.scope = scope;
            self.state = state;
            if source.is_none() || (is_armed && plan::places(&self.path, &self.scope) == places) {
                self.rest();
                break;
            }
        }
        let change = old.change_to(&self.state);
        // Of a `subPath` mount of a directory the kernel tells that its files go, not that the directory does.
        if change.is_some() && !self.scope.directories.is_empty() {
            self.due = self.due.max(Concern::Soon);
        }
        change
    }

    /// Watches `places` in the stead of those before; false if one of them was gone already.
    fn arm(&mut self, source: &Inotify, places: &[Place], dropped: &mut Vec<i32>) -> bool {
        let mut is_armed = true;
        let mut watches = Vec::with_capacity(places.len());
        self.unwatched = None;
        for place in places {
            match source.add(&place.path, place.depth) {
                Ok(watch) => watches.push((watch, place.clone())),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    is_armed = false;
                }
                // A directory above that may be passed but not listed only tells of the path's own name.
                Err(error) if error.kind() == ErrorKind::PermissionDenied && place.depth == Depth::Names => {}
                Err(error) => {
                    self.unwatched = Some(format!("cannot watch {}: {error}", place.path.display()));
                }
            }
        }
        let before = std::mem::replace(&mut self.watches, watches);
        dropped.extend(
            before
                .into_iter()
                .map(|(watch, _)| watch)
                .filter(|watch| !self.has(*watch)),
        );
        is_armed
    }
}
