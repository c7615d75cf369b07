//! Somebody else writes `afresh.dev/applied`, or takes it out: an operator that puts its own annotations back, a copy kept
//! in Git, a second Afresh with a digest key of its own.
//!
//! Once is nothing: what is lost is found again. Again and again it would be a loop as fast as the API server answers, and
//! the flap breaker, whose count is in the record, would know nothing of it. So the count is kept here too, for as long as
//! it goes on.

use super::*;

/// How often that has happened in close succession.
#[derive(Debug)]
pub(super) struct Meddling {
    times: u32,
    last: Millis,
    /// The record that was lost last.
    lost: Box<Record>,
    /// The latest rolls that a lost record told of.
    rolls: Rolls,
    told: bool,
}

impl Engine {
    /// The record of a workload has been replaced, or taken out.
    pub(super) fn record_replaced(&mut self, id: WorkloadId, lost: Box<Record>, now: Now) {
        if !self.acts() || self.is_own_record(id) {
            return; // of a standby it is the leader's
        }
        let rolls = latest(self.rolls_known(id), lost.rolls);
        let slot = self.slots.of(id);
        let known = slot.meddling.take();
        let known = known.filter(|known| now.mono.since(known.last) < flap::quiet_after(known.times));
        slot.meddling = Some(Box::new(Meddling {
            times: known.as_ref().map_or(1, |known| known.times.saturating_add(1)),
            last: now.mono,
            lost,
            rolls,
            told: known.is_some_and(|known| known.told),
        }));
    }

    /// What is being written just now has come by the watch before its answer.
    fn is_own_record(&self, id: WorkloadId) -> bool {
        let running = self.slots.get(id).and_then(|slot| slot.running.as_ref());
        let writes = running.and_then(|running| running.action.record());
        let known = self.index.workload(id).and_then(|known| known.workload.record);
        writes.is_some() && writes == known.as_deref()
    }

    /// The latest rolls of a workload, also where its record has been lost since.
    pub(super) fn rolls_of(&self, id: WorkloadId, workload: &Workload) -> Rolls {
        let recorded = workload.record.as_ref().map(|record| record.rolls);
        latest(self.rolls_known(id), recorded.unwrap_or_default())
    }

    fn rolls_known(&self, id: WorkloadId) -> Rolls {
        let meddling = self.slots.get(id).and_then(|slot| slot.meddling.as_ref());
        meddling.map_or_else(Rolls::default, |meddling| meddling.rolls)
    }

    /// Whether a record that was lost said that the workload was brought up to just this.
    pub(super) fn was_brought_up_to(&self, id: WorkloadId, applied: &afresh_model::record::Applied) -> bool {
        let meddling = self.slots.get(id).and_then(|slot| slot.meddling.as_ref());
        meddling.is_some_and(|meddling| meddling.lost.evicting.is_none() && meddling.lost.applied.contains(applied))
    }

    /// Whether the workload is left alone for now, because whatever is written on it does not stay.
    pub(super) fn is_meddled_with(&mut self, id: WorkloadId, now: Now) -> bool {
        let Some(meddling) = self.slots.get_mut(id).and_then(|slot| slot.meddling.as_mut()) else {
            return false;
        };
        let due = meddling.last.after(flap::pause(meddling.times));
        if due <= now.mono {
            return false;
        }
        let (times, told) = (meddling.times, std::mem::replace(&mut meddling.told, true));
        self.agenda.at(id, due, Why::Flapping);
        if !told {
            self.tell_meddling(id, times);
        }
        true
    }

    /// Forgets what is over.
    pub(super) fn forgive_meddling(&mut self, id: WorkloadId, now: Now) {
        if let Some(slot) = self.slots.get_mut(id) {
            let over = |known: &Meddling| now.mono.since(known.last) >= flap::quiet_after(known.times);
            slot.meddling = slot.meddling.take().filter(|known| !over(known));
        }
    }
}

fn latest(one: Rolls, other: Rolls) -> Rolls {
    if one.last > other.last { one } else { other }
}
