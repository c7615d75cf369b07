//! How a watch is going, for metrics, `/state` and readiness.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::WatchFailure;

/// A shared view of one watch; cheap to clone.
#[derive(Debug, Clone)]
pub struct WatchStatus(Arc<Mutex<State>>);

/// What a watch is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WatchPhase {
    /// No request has been answered yet, or the last one failed.
    Waiting,
    /// Objects are being listed.
    Listing,
    /// Changes are being received.
    Watching,
    /// Listed, and to be listed again: watching is forbidden.
    Polling,
    /// The server does not serve the kind.
    Absent,
}

/// A watch at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchSnapshot {
    /// What it is doing.
    pub phase: WatchPhase,
    /// For how long.
    pub in_phase: Duration,
    /// A complete list has been received, now or earlier: what is known is whole, though it may be old.
    pub synced: bool,
    /// How many objects there are, by list and events.
    pub objects: u64,
    /// Where the watch is.
    pub resource_version: String,
    /// Lists begun.
    pub lists: u64,
    /// Watches opened again after one ended.
    pub restarts: u64,
    /// Changes received.
    pub changes: u64,
    /// Objects that could not be decoded.
    pub undecodable: u64,
    /// Failures ever.
    pub failures: u64,
    /// Failures since the watch last worked.
    pub streak: u32,
    /// The last failure, in words.
    pub last_failure: Option<Box<str>>,
    /// How long ago the last line, bookmarks included, or page arrived.
    pub heard: Option<Duration>,
}

#[derive(Debug)]
struct State {
    snapshot: WatchSnapshot,
    phase_since: Instant,
    heard: Option<Instant>,
    listed: u64,
}

impl Default for WatchStatus {
    fn default() -> Self {
        Self::new()
    }
}

impl WatchStatus {
    /// The status of a watch that has not begun.
    #[must_use]
    pub fn new() -> Self {
        let snapshot = WatchSnapshot {
            phase: WatchPhase::Waiting,
            in_phase: Duration::ZERO,
            synced: false,
            objects: 0,
            resource_version: String::new(),
            lists: 0,
            restarts: 0,
            changes: 0,
            undecodable: 0,
            failures: 0,
            streak: 0,
            last_failure: None,
            heard: None,
        };
        Self(Arc::new(Mutex::new(State {
            snapshot,
            phase_since: Instant::now(),
            heard: None,
            listed: 0,
        })))
    }

    /// How the watch is going now.
    #[must_use]
    pub fn snapshot(&self) -> WatchSnapshot {
        let state = self.lock();
        WatchSnapshot {
            in_phase: state.phase_since.elapsed(),
            heard: state.heard.map(|at| at.elapsed()),
            ..state.snapshot.clone()
        }
    }

    /// Whether a complete list has ever been received.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.lock().snapshot.synced
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is plain numbers: whole even if a thread died while it held the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begun(&self) {
        let mut state = self.lock();
        state.enter(WatchPhase::Listing);
        state.snapshot.lists += 1;
        state.listed = 0;
    }

    pub(super) fn listed(&self) {
        self.lock().listed += 1;
    }

    pub(super) fn synced(&self) {
        let mut state = self.lock();
        state.snapshot.objects = state.listed;
        state.snapshot.synced = true;
    }

    pub(super) fn watching(&self) {
        let mut state = self.lock();
        state.enter(WatchPhase::Watching);
    }

    pub(super) fn polling(&self) {
        self.lock().enter(WatchPhase::Polling);
    }

    /// There are no objects, which is as good as a list.
    pub(super) fn absent(&self) {
        let mut state = self.lock();
        state.enter(WatchPhase::Absent);
        state.heard = Some(Instant::now());
        state.snapshot.objects = 0;
        state.snapshot.synced = true;
        state.snapshot.streak = 0;
    }

    pub(super) fn restarted(&self) {
        self.lock().snapshot.restarts += 1;
    }

    pub(super) fn heard(&self, resource_version: &str) {
        let mut state = self.lock();
        state.heard = Some(Instant::now());
        state.snapshot.streak = 0;
        if !resource_version.is_empty() {
            state.snapshot.resource_version.clear();
            state.snapshot.resource_version.push_str(resource_version);
        }
    }

    pub(super) fn changed(&self, objects: i8) {
        let mut state = self.lock();
        state.snapshot.changes += 1;
        state.snapshot.objects = state.snapshot.objects.saturating_add_signed(objects.into());
    }

    pub(super) fn undecodable(&self) {
        self.lock().snapshot.undecodable += 1;
    }

    pub(super) fn failed(&self, failure: &WatchFailure) {
        let mut state = self.lock();
        state.enter(WatchPhase::Waiting);
        state.snapshot.failures += 1;
        state.snapshot.streak = failure.streak;
        state.snapshot.last_failure = Some(failure.message.clone());
    }
}

impl State {
    fn enter(&mut self, phase: WatchPhase) {
        if self.snapshot.phase != phase {
            self.snapshot.phase = phase;
            self.phase_since = Instant::now();
        }
    }
}
