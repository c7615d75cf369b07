//! What is known of workloads beside the index: of most of them nothing, because they are at rest.

use std::collections::BTreeMap;

use afresh_model::digest::Digest;
use afresh_model::policy::Problem;

use super::Running;
use super::evicting::Progress;
use super::meddling::Meddling;
use crate::evidence::Pods;
use crate::index::WorkloadId;

/// What is known of a workload that is not at rest, or of which something was told.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) running: Option<Box<Running>>,
    pub(super) failures: u32,
    pub(super) pods: Option<Pods>,
    pub(super) touch: TouchState,
    pub(super) evict: Option<Box<Progress>>,
    pub(super) meddling: Option<Box<Meddling>>,
    pub(super) told: Told,
}

/// How far the files of a workload's pods are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum TouchState {
    /// Nothing was touched since the last record.
    #[default]
    Idle,
    /// Pods were touched for files of this digest, and will be again.
    Begun(Digest),
    /// All of them can be taken as fresh.
    Done(Digest),
}

/// What was told already, so that it is told once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) problems: Box<[Problem]>,
    pub(super) missing: bool,
    pub(super) unreachable: bool,
    pub(super) touched: Option<Digest>,
    pub(super) flapping: bool,
}

impl Slot {
    fn is_at_rest(&self) -> bool {
        let Self {
            running,
            failures,
            pods,
            touch,
            evict,
            meddling,
            told,
        } = self;
        running.is_none()
            && *failures == 0
            && pods.is_none()
            && *touch == TouchState::Idle
            && evict.is_none()
            && meddling.is_none()
            && *told == Told::default()
    }
}

/// The slots of all places. One that is not there is one of a workload at rest.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// How many workloads have had each place so far.
    tenants: Vec<u32>,
    known: BTreeMap<WorkloadId, Slot>,
}

impl Slots {
    /// Which of those that had the place one after the other has it now.
    pub(super) fn tenant(&self, id: WorkloadId) -> u32 {
        self.tenants.get(id.index()).copied().unwrap_or(0)
    }

    /// The next one has the place, and nothing is known of it.
    pub(super) fn vacate(&mut self, id: WorkloadId) -> Option<Slot> {
        if self.tenants.len() <= id.index() {
            self.tenants.resize(id.index() + 1, 0);
        }
        if let Some(tenant) = self.tenants.get_mut(id.index()) {
            *tenant = tenant.wrapping_add(1);
        }
        self.known.remove(&id)
    }

    pub(super) fn get(&self, id: WorkloadId) -> Option<&Slot> {
        self.known.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: WorkloadId) -> Option<&mut Slot> {
        self.known.get_mut(&id)
    }

    /// The slot to write to.
    pub(super) fn of(&mut self, id: WorkloadId) -> &mut Slot {
        self.known.entry(id).or_default()
    }

    /// What says nothing is not kept.
    pub(super) fn tidy(&mut self, id: WorkloadId) {
        if self.known.get(&id).is_some_and(Slot::is_at_rest) {
            self.known.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_workload_at_rest_nothing_is_kept() {
        let mut slots = Slots::default();
        let id = WorkloadId::new(3);
        slots.of(id).failures = 1;
        slots.tidy(id);
        assert_eq!(slots.get(id).map(|slot| slot.failures), Some(1));
        slots.of(id).failures = 0;
        slots.tidy(id);
        assert!(slots.known.is_empty());
    }

    #[test]
    fn who_comes_next_is_somebody_else_of_whom_nothing_is_known() {
        let mut slots = Slots::default();
        let id = WorkloadId::new(3);
        let before = slots.tenant(id);
        slots.of(id).told.flapping = true;
        assert!(slots.vacate(id).is_some_and(|slot| slot.told.flapping));
        assert!(slots.get(id).is_none());
        assert_ne!(slots.tenant(id), before);
    }
}
