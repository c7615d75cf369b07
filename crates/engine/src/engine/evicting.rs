//! `afresh.dev/reload: evict`: pods are replaced one by one through the Eviction API.
//!
//! That it is under way stands in the workload's record before the first pod goes ([`Evicting`]), with the time at or
//! before which pods are old; what is left to do the pods themselves tell by their age. So a crash or a new leader
//! changes nothing. A Pod that some other controller owns has no such place: it is evicted itself, when its siblings are
//! ready, and what is remembered of them is lost with the program: then its PodDisruptionBudget still holds.

use super::*;

/// Between an eviction and the next look at the pods.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// The longest pause between two looks, where pods have to become ready first or a budget refuses.
const LONGEST_LOOK: Duration = Duration::from_secs(30);
/// The refusal that is told. A first one is often none: who counts for a budget has not yet seen what has just become ready.
const WORTH_TELLING: u32 = 2;

/// How far the eviction of a workload's pods is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// No old pod is left; the digest of what the new ones start on.
    done: Option<Digest>,
    /// Looks in a row that could not evict.
    idle: u32,
    /// Refusals since the last eviction.
    refusals: u32,
    /// It is a Pod by itself, and was evicted.
    leaving: bool,
}

impl Progress {
    pub(super) const fn is_done(&self) -> bool {
        self.done.is_some()
    }
}

/// Pods of one unknown controller, whose turns follow each other.
#[derive(Debug)]
pub(super) struct Siblings {
    config: Digest,
    rolls: Rolls,
    /// How many there were before the last eviction.
    least: Seen,
    /// They are waited for no longer than this.
    until: UnixSeconds,
}

/// Pods that are not going away.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    staying: usize,
    ready: usize,
}

impl Seen {
    const fn is_short_of(self, least: Self) -> bool {
        self.staying < least.staying || self.ready < least.ready
    }
}

impl Engine {
    pub(super) fn choose_evict(
        &mut self,
        id: WorkloadId,
        plan: &Plan,
        config: Digest,
        pods: Option<Pods>,
        now: Now,
    ) -> Option<Action> {
        let known = self.index.workload(id)?;
        if known.workload.selector.is_empty() {
            return self.choose_evict_itself(id, config, now);
        }
        let record = known.workload.record.as_ref();
        let under_way = record.and_then(|record| record.evicting.as_deref());
        if let Some(evicting) = under_way.filter(|evicting| evicting.config == config) {
            let progress = self.slots.get(id).and_then(|slot| slot.evict.as_ref());
            return Some(if progress.is_some_and(|progress| progress.done == Some(config)) {
                Action::Record(self.record(&known, plan, now, None))
            } else {
                Action::Evict {
                    selector: known.workload.selector.clone(),
                    since: evicting.since,
                    config,
                }
            });
        }
        let rolls = self.rolls_of(id, &known.workload);
        self.may_replace(id, rolls, now)?;
        let Some(pods) = pods else {
            return Some(self.look(&known));
        };
        Some(self.begin_evicting(&known, plan, config, pods, rolls, now))
    }

    /// Writes down that it begins, and which pods are old; or that it is up to date, if none is.
    fn begin_evicting(
        &self,
        known: &Indexed,
        plan: &Plan,
        config: Digest,
        pods: Pods,
        rolls: Rolls,
        now: Now,
    ) -> Action {
        let done = self.record(known, plan, now, None);
        let since = plan.changed.or(pods.newest).min(pods.newest);
        let Some(since) = since.filter(|&since| pods.oldest.is_some_and(|oldest| oldest <= since)) else {
            return Action::Record(done);
        };
        let record = known.workload.record.as_ref();
        Action::Roll(Box::new(Roll {
            record: Box::new(Record {
                evicting: Some(Box::new(Evicting { config, since })),
                rolls: flap::after_roll(rolls, now.wall),
                applied: record.map(|record| record.applied.clone()).unwrap_or_default(),
                ..*done
            }),
            config,
            replace: Replace::Evict,
            marks: None,
            pause: None,
        }))
    }

    fn choose_evict_itself(&mut self, id: WorkloadId, config: Digest, now: Now) -> Option<Action> {
        let pretended = self.slots.get(id).and_then(|slot| slot.evict.as_ref());
        if pretended.is_some_and(|progress| progress.done == Some(config)) {
            return None;
        }
        let known = self.index.workload(id)?;
        let owner = known.workload.owner?;
        let serves = known.workload.rollout == Rollout::Complete;
        let seen = self.siblings(&owner);
        let before = self.owners.get(&owner).filter(|before| before.until > now.wall);
        let under_way = before.filter(|before| before.config == config);
        let short = before.is_some_and(|before| seen.is_short_of(before.least));
        if short || serves && seen.ready < seen.staying {
            self.agenda.at(id, now.mono.after(LOOK_AGAIN), Why::Evicting);
            return None;
        }
        let rolls = match under_way {
            Some(before) => before.rolls,
            None => {
                let rolls = before.map_or_else(Rolls::default, |before| before.rolls);
                self.may_replace(id, rolls, now)?;
                flap::after_roll(rolls, now.wall)
            }
        };
        let until = UnixSeconds(
            now.wall
                .0
                .saturating_add_unsigned(self.settings.rollout_timeout.as_secs()),
        );
        let next = Siblings {
            config,
            rolls,
            least: seen,
            until,
        };
        self.owners.retain(|_, siblings| siblings.until > now.wall);
        self.owners.insert(owner, next);
        Some(Action::Evict {
            selector: Box::default(),
            since: now.wall,
            config,
        })
    }

    fn siblings(&self, owner: &str) -> Seen {
        let of_owner = |known: &Indexed| known.workload.owner.as_deref() == Some(owner);
        let own = self
            .index
            .workloads_of(WorkloadKind::Pod)
            .filter(|(_, known)| of_owner(known));
        let staying = own.filter(|&(id, _)| !self.is_leaving(id));
        staying.fold(Seen::default(), |seen, (_, known)| Seen {
            staying: seen.staying + 1,
            ready: seen.ready + usize::from(known.workload.rollout == Rollout::Complete),
        })
    }

    fn is_leaving(&self, id: WorkloadId) -> bool {
        self.slots.get(id).is_some_and(|slot| {
            let asked = slot
                .running
                .as_ref()
                .is_some_and(|run| matches!(run.action, Action::Evict { .. }));
            asked || slot.evict.as_ref().is_some_and(|progress| progress.leaving)
        })
    }

    /// How many unknown controllers have not yet replaced a Pod of theirs that we evicted.
    pub(super) fn owners_short(&self, wall: UnixSeconds) -> usize {
        let waited_for = self.owners.iter().filter(|(_, before)| before.until > wall);
        waited_for
            .filter(|(owner, before)| self.siblings(owner).is_short_of(before.least))
            .count()
    }

    pub(super) fn looked_to_evict(&mut self, id: WorkloadId, run: &Running, eviction: Eviction, now: Now) {
        let Action::Evict { selector, config, .. } = &run.action else {
            return;
        };
        let slot = self.slots.of(id);
        let progress = slot.evict.get_or_insert_default();
        let idle = match eviction {
            Eviction::Done => {
                progress.done = Some(*config);
                return self.agenda.changed(id, now.mono);
            }
            Eviction::Evicted(_) => {
                **progress = Progress {
                    leaving: selector.is_empty(),
                    ..Progress::default()
                };
                Duration::ZERO
            }
            Eviction::Waits => Duration::ZERO,
            Eviction::Refused { after, .. } => after,
        };
        let pause = LOOK_AGAIN
            .saturating_mul(1 << progress.idle.min(8))
            .min(LONGEST_LOOK)
            .max(idle);
        if !matches!(eviction, Eviction::Evicted(_)) {
            progress.idle += 1;
        }
        self.agenda.at(id, now.mono.after(pause), Why::Evicting);
        if let Eviction::Refused { pod, message, .. } = eviction {
            progress.refusals = progress.refusals.saturating_add(1);
            let is_news = progress.refusals == WORTH_TELLING;
            if selector.is_empty() {
                self.forgive(id);
            }
            if is_news {
                self.tell_refused(id, &pod, &message);
            }
        }
    }

    /// A Pod stays after all: its siblings have their turn.
    pub(super) fn forgive(&mut self, id: WorkloadId) {
        let owner = self.index.workload(id).and_then(|known| known.workload.owner);
        if let Some(before) = owner.and_then(|owner| self.owners.get_mut(&owner)) {
            before.least = Seen::default();
        }
    }
}
