//! `max_rolling`: who may roll now, and who waits for its turn.
//!
//! Who is mid-rollout is read from the workloads themselves (their status and the time of their last roll), so that a
//! new leader counts the same.

use afresh_model::packed::Head;

use super::*;

impl Engine {
    /// Whether the workload may roll now. If not it waits for its turn.
    pub(super) fn may_roll(&mut self, id: WorkloadId, now: Now) -> bool {
        if self.settings.max_rolling == 0 || self.is_rolling(id, now.wall) || self.free(now) > 0 {
            return true;
        }
        if !self.held.contains(&id) {
            self.held.push_back(id);
        }
        self.turn = Some(now.mono.after(TURN));
        false
    }

    /// Lets as many workloads have their turn as there is room for.
    pub(super) fn take_turns(&mut self, now: Now) {
        if self.held.is_empty() {
            self.turn = None;
            return;
        }
        for _ in 0..self.free(now).min(self.held.len()) {
            if let Some(id) = self.held.pop_front() {
                self.agenda.at(id, now.mono, Why::Changed);
            }
        }
        self.turn = (!self.held.is_empty()).then(|| now.mono.after(TURN));
    }

    /// How many workloads we rolled are still replacing pods.
    #[must_use]
    pub fn rolling(&self, wall: UnixSeconds) -> usize {
        let begun = self
            .index
            .places()
            .filter(|&(id, ..)| self.is_rolling(id, wall))
            .count();
        begun + self.rolling + self.owners_short(wall)
    }

    fn free(&self, now: Now) -> usize {
        self.settings.max_rolling.saturating_sub(self.rolling(now.wall))
    }

    fn is_rolling(&self, id: WorkloadId, wall: UnixSeconds) -> bool {
        let replaces = |head: Head| head.rollout == Rollout::InProgress || head.evicting;
        if !self.index.head(id).is_some_and(replaces) {
            return false; // most are at rest, and not unpacked for this
        }
        let record = self.index.workload(id).and_then(|known| known.workload.record);
        let last = record.and_then(|record| record.rolls.last);
        // Near to now by any clock: a time that is far ahead was not written by one of us.
        last.is_some_and(|last| wall.0.abs_diff(last.0) < self.settings.rollout_timeout.as_secs())
    }

    pub(super) fn keep_pretended_record(&self, key: &WorkloadKey, workload: &mut Workload) {
        let known = self.index.id(key).and_then(|id| self.index.workload(id));
        if let Some(known) = known.filter(|known| known.workload.uid == workload.uid) {
            workload.record = known.workload.record.or(workload.record.take());
        }
    }
}
