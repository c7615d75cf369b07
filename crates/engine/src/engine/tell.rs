//! What people are told, once each time it becomes true.

use super::*;
use crate::engine::act::touch_delta;

impl Engine {
    pub(super) fn tell_object(&mut self, key: &ConfigKey, problem: Option<Problem>) {
        let known = self.object_problems.get(key);
        match problem {
            Some(problem) if known != Some(&problem) && self.scope.includes(&key.namespace) => {
                let note = problem.to_string();
                self.notices.push(Notice {
                    subject: Subject::Object(key.clone()),
                    reason: Reason::InvalidAnnotation,
                    objects: Box::default(),
                    note,
                });
                self.object_problems.insert(key.clone(), problem);
            }
            Some(_) => {}
            None => {
                self.object_problems.remove(key);
            }
        }
    }

    pub(super) fn tell_left_alone(&mut self, key: &WorkloadKey, uid: &str, problems: Vec<Problem>, told: &[Problem]) {
        if problems.is_empty() || !self.scope.includes(&key.namespace) {
            return;
        }
        for problem in problems.iter().filter(|problem| !told.contains(problem)) {
            self.notices.push(Notice {
                subject: Subject::Workload(key.clone(), uid.into()),
                reason: Reason::InvalidAnnotation,
                objects: Box::default(),
                note: problem.to_string(),
            });
        }
        self.left_alone.insert(key.clone(), problems.into());
    }

    pub(super) fn tell_problems(&mut self, id: WorkloadId, problems: Vec<Problem>) {
        if problems.is_empty() && self.slots.get(id).is_none() {
            return;
        }
        let told = &mut self.slots.of(id).told;
        let old = std::mem::replace(&mut told.problems, problems.into());
        let new = told.problems.iter().filter(|problem| !old.contains(problem));
        let new: Vec<String> = new.map(ToString::to_string).collect();
        let known = self.index.workload(id);
        if known.is_none_or(|known| !self.scope.includes(&known.key.namespace)) {
            return;
        }
        for note in new {
            self.tell(id, Reason::InvalidAnnotation, note);
        }
    }

    /// Tells of what the plan found that no action will tell of.
    pub(super) fn tell_plan(&mut self, id: WorkloadId, plan: &Plan) {
        let Some(known) = self.index.workload(id) else { return };
        let had = |finding: &Finding| {
            known
                .workload
                .record
                .as_ref()
                .is_some_and(|record| !record.applied.of(&finding.object).is_empty())
        };
        // An object that was never there is a rollout's own business; one that is gone is news.
        let lacking = plan
            .findings
            .iter()
            .filter(|finding| matches!(finding.news, News::Lacking(_)) && had(finding));
        let lacking: Vec<String> = lacking.map(|finding| finding.object.to_string()).collect();
        let unreachable = causes(&plan.findings, |news| match news {
            News::Unreachable(delta) => Some(*delta),
            _ => None,
        });
        let told = &mut self.slots.of(id).told;
        let missing = !std::mem::replace(&mut told.missing, !lacking.is_empty()) && !lacking.is_empty();
        let stuck = !std::mem::replace(&mut told.unreachable, !unreachable.is_empty()) && !unreachable.is_empty();
        if missing {
            let note = format!(
                "{} is gone, or lacks a key that the pods need: nothing is done until it is back",
                lacking.join(", ")
            );
            self.tell(id, Reason::Missing, note);
        }
        if stuck {
            let note = format!("{unreachable}: only new pods would see this, and afresh.dev/reload says touch");
            self.tell(id, Reason::Unreachable, note);
        }
    }

    pub(super) fn tell_rolled(&mut self, id: WorkloadId, replace: Replace, findings: &[Finding]) {
        if let Some(slot) = self.slots.get_mut(id) {
            slot.told.flapping = false;
        }
        let (reason, objects, note) = rolled(replace, findings);
        self.tell_of(id, reason, objects, note);
    }

    /// Once per content: the touches that follow are only to be sure.
    pub(super) fn tell_touched(&mut self, id: WorkloadId, findings: &[Finding], files: Digest, touched: usize) {
        if self.slots.of(id).told.touched.replace(files) == Some(files) {
            return;
        }
        let changed = causes(findings, touch_delta);
        if changed.is_empty() {
            return; // files put back to what they were
        }
        self.tell(id, Reason::Touched, format!("touched {touched} pods for {changed}"));
    }

    pub(super) fn tell_flapping(&mut self, id: WorkloadId, rolls: Rolls, next: UnixSeconds) {
        if !std::mem::replace(&mut self.slots.of(id).told.flapping, true) {
            let note = format!(
                "its configuration keeps changing: rolled {} times in quick succession, the next roll waits until {next}",
                rolls.streak
            );
            self.tell(id, Reason::Flapping, note);
        }
    }

    pub(super) fn tell_meddling(&mut self, id: WorkloadId, times: u32) {
        let note = format!(
            "something else has replaced or removed its annotation afresh.dev/applied {times} times in quick succession, so \
             it is looked at again only at growing intervals; leave the annotation alone in operators and in Git, and let \
             only one Afresh keep it current"
        );
        self.tell(id, Reason::Flapping, note);
    }

    /// That its pods go, was told; now that they are gone.
    pub(super) fn tell_evicted(&mut self, id: WorkloadId) {
        let slot = self.slots.get(id);
        if slot
            .and_then(|slot| slot.evict.as_ref())
            .is_some_and(|progress| progress.is_done())
        {
            let note = "every pod is newer than the change: the last old one has been replaced";
            self.tell(id, Reason::Evicted, note.to_owned());
        }
    }

    pub(super) fn tell_refused(&mut self, id: WorkloadId, pod: &Name, message: &str) {
        let note = format!("Pod {pod} may not be evicted now: {message}; it is tried again until it may");
        self.tell(id, Reason::EvictionRefused, note);
    }

    pub(super) fn tell_failed(&mut self, id: WorkloadId, action: &Action, message: &str) {
        self.tell(
            id,
            Reason::Failed,
            format!("could not {}: {message}; it is tried again", action.word()),
        );
    }

    fn tell(&mut self, id: WorkloadId, reason: Reason, note: String) {
        self.tell_of(id, reason, Box::default(), note);
    }

    fn tell_of(&mut self, id: WorkloadId, reason: Reason, objects: Box<[ConfigRef]>, note: String) {
        let Some(known) = self.index.workload(id) else { return };
        let subject = Subject::Workload(known.key, known.workload.uid);
        self.notices.push(Notice {
            subject,
            reason,
            objects,
            note,
        });
    }
}

/// What is told of pods that are being replaced.
pub(super) fn rolled(replace: Replace, findings: &[Finding]) -> (Reason, Box<[ConfigRef]>, String) {
    let changed = causes(findings, |news| match news {
        News::Roll(delta) => Some(*delta),
        _ => None,
    });
    let rolled = findings.iter().filter(|finding| matches!(finding.news, News::Roll(_)));
    let objects = rolled.map(|finding| finding.object.clone()).collect();
    let (reason, note) = match replace {
        Replace::Evict if changed.is_empty() => (
            Reason::Evicting,
            "evicting its pods one by one: content went back".into(),
        ),
        Replace::Evict => (Reason::Evicting, format!("evicting its pods one by one for {changed}")),
        _ => (Reason::Rolled, format!("rolled for {changed}")),
    };
    (reason, objects, note)
}
