//! One queue, keyed by workload: a key is in it once, with the time when it is due and why it waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::index::WorkloadId;
use crate::time::Millis;

/// A burst of changes is one action, but no longer delayed than this many quiet times after its first change.
const LONGEST_SETTLE: u32 = 10;

/// Why a workload waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Something about it changed.
    Changed,
    /// A burst of changes may not be over.
    Settle,
    /// The last attempt failed.
    BackOff,
    /// It was rolled too often.
    Flapping,
    /// Its pods are to be touched again.
    TouchAgain,
    /// Its pods are being evicted, and are to be looked at again.
    Evicting,
    /// It is paused, and to be resumed.
    Paused,
}

/// What a workload waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Waits {
    /// An action is under way.
    Running,
    /// Its turn under `--max-rolling`.
    Turn,
    /// A time, for this reason.
    #[serde(untagged)]
    Until(Why),
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    due: Millis,
    why: Why,
    /// The first change of the burst.
    first: Millis,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Agenda {
    waits: BTreeMap<WorkloadId, Wait>,
    due: BTreeSet<(Millis, WorkloadId)>,
}

impl Agenda {
    /// An object of the workload changed: it is due when `quiet` has passed without another change.
    pub fn settle(&mut self, id: WorkloadId, quiet: Duration, now: Millis) {
        let before = self.waits.get(&id).copied();
        if before.is_some_and(|wait| wait.why == Why::BackOff) {
            return; // it acts on the newest content when it is tried again
        }
        let first = before
            .filter(|wait| wait.why == Why::Settle)
            .map_or(now, |wait| wait.first);
        let due = now.after(quiet).min(first.after(quiet * LONGEST_SETTLE));
        self.put(
            id,
            Wait {
                due,
                why: Why::Settle,
                first,
            },
        );
    }

    /// The workload itself changed: it is due now, unless a burst is just settling.
    pub fn changed(&mut self, id: WorkloadId, now: Millis) {
        if !self.waits.get(&id).is_some_and(|wait| wait.why == Why::Settle) {
            self.put(
                id,
                Wait {
                    due: now,
                    why: Why::Changed,
                    first: now,
                },
            );
        }
    }

    /// The workload is due then, whatever was said before.
    pub fn at(&mut self, id: WorkloadId, due: Millis, why: Why) {
        self.put(id, Wait { due, why, first: due });
    }

    /// Takes out the next workload that is due, with the time of the first change that made it so.
    pub fn pop(&mut self, now: Millis) -> Option<(WorkloadId, Option<Millis>)> {
        let &(due, id) = self.due.first()?;
        if due > now {
            return None;
        }
        let first = self
            .waits
            .get(&id)
            .filter(|wait| wait.why == Why::Settle)
            .map(|wait| wait.first);
        self.remove(id);
        Some((id, first))
    }

    /// When the next workload is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Millis> {
        self.due.first().map(|&(due, _)| due)
    }

    /// Forgets the workload.
    pub fn remove(&mut self, id: WorkloadId) {
        if let Some(wait) = self.waits.remove(&id) {
            self.due.remove(&(wait.due, id));
        }
    }

    /// Why the workload waits, and until when.
    #[must_use]
    pub fn wait(&self, id: WorkloadId) -> Option<(Why, Millis)> {
        self.waits.get(&id).map(|wait| (wait.why, wait.due))
    }

    /// How many workloads wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waits.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }

    fn put(&mut self, id: WorkloadId, wait: Wait) {
        self.remove(id);
        self.waits.insert(id, wait);
        self.due.insert((wait.due, id));
    }
}
