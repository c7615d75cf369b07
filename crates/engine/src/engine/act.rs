//! From a workload that is due to a command, and from its outcome to what is next.

use super::*;

impl Engine {
    pub(super) fn objects_changed(&mut self, users: &[WorkloadId], now: Now) {
        if !self.acts() {
            return; // everything is considered when that changes
        }
        for &id in users {
            let own = self.index.workload(id).and_then(|known| known.workload.settle);
            if let Some(running) = self.slots.get_mut(id).and_then(|slot| slot.running.as_mut()) {
                running.objects = true;
            } else {
                self.agenda.settle(id, own.unwrap_or(self.settings.settle), now.mono);
            }
        }
    }

    /// A pod that was mounted with the newest versions and one that was given them later are told apart: also where the
    /// content is the same, that is news.
    pub(super) fn classes_changed(&mut self, classes: &[ConfigKey], sight: Sight, now: Now) {
        for key in classes {
            let mut users = match self.classes.object(key) {
                Some(object) => {
                    let told = |object: &ConfigObject| (object.created, object.written, object.rewritten);
                    let before = self.index.object(key).as_ref().map(told);
                    let after = told(&object);
                    let users = self.index.apply_object(key, object, sight);
                    if before == Some(after) {
                        users
                    } else {
                        self.index.users(key)
                    }
                }
                None => self.index.delete_object(key),
            };
            users.dedup();
            self.objects_changed(&users, now);
        }
    }

    /// The workload's pods are to be looked at.
    pub(super) fn look(&self, known: &Indexed) -> Action {
        Action::LookAtPods {
            selector: known.workload.selector.clone(),
            born: self
                .classes
                .born_with(&known.key.namespace, &known.workload.uses)
                .into(),
        }
    }

    pub(super) fn agenda_changed(&mut self, id: WorkloadId, now: Now) {
        match self.slots.get_mut(id).and_then(|slot| slot.running.as_mut()) {
            Some(running) => running.workload = true,
            None => self.agenda.changed(id, now.mono),
        }
    }

    pub(super) fn consider_all(&mut self, now: Now) {
        let ids: Vec<WorkloadId> = self.index.places().map(|(id, ..)| id).collect();
        ids.into_iter().for_each(|id| self.agenda_changed(id, now));
    }

    pub(super) fn move_in(&mut self, id: WorkloadId) {
        self.move_out(id); // another workload under the same name may have had this place
    }

    pub(super) fn move_out(&mut self, id: WorkloadId) {
        self.agenda.remove(id);
        self.held.retain(|&held| held != id);
        let tenant = self.slots.tenant(id);
        let Some(run) = self.slots.vacate(id).and_then(|slot| slot.running) else {
            return;
        };
        self.rolling = self
            .rolling
            .saturating_sub(usize::from(matches!(run.action, Action::Roll(..))));
        let touches = matches!(run.action, Action::Touch { .. });
        self.depart(Job { id, tenant, touches }, run);
    }

    /// Plans one workload that is due.
    pub(super) fn consider(&mut self, id: WorkloadId, now: Now) -> Option<Command> {
        let known = self.index.workload(id)?;
        if !self.scope.includes(&known.key.namespace) {
            return None;
        }
        if let Some(end) = self.pause_to_end(id, now) {
            return self.start(id, Action::EndPause(end), Vec::new());
        }
        let known = self.index.workload(id)?;
        let pods = self.slots.get_mut(id).and_then(|slot| slot.pods.take());
        let plan = self.decide(id, &known, pods);
        self.tell_plan(id, &plan);
        self.forgive_meddling(id, now);
        let acts = !matches!(plan.verdict, Verdict::Nothing | Verdict::Blocked);
        if acts && self.is_meddled_with(id, now) {
            self.wake_to_end_pause(id, now);
            return None;
        }
        match self.choose(id, &plan, pods, now) {
            Some(action) => self.start(id, action, plan.findings),
            None => {
                self.wake_to_end_pause(id, now);
                self.slots.tidy(id);
                None
            }
        }
    }

    fn decide(&self, id: WorkloadId, known: &Indexed, pods: Option<Pods>) -> Plan {
        let view = View {
            workload: &known.workload,
            sighting: known.sighting,
            objects: &self.index.within(&known.key.namespace),
            context: self.settings.context,
            pods,
        };
        let decided = plan(&view);
        match pods {
            Some(pods) if self.was_brought_up_to(id, &decided.applied) => plan(&View {
                pods: Some(Pods {
                    brought_up: true,
                    ..pods
                }),
                ..view
            }),
            _ => decided,
        }
    }

    /// Turns a verdict into an action, or into a reason to wait.
    fn choose(&mut self, id: WorkloadId, plan: &Plan, pods: Option<Pods>, now: Now) -> Option<Action> {
        let known = self.index.workload(id)?;
        let touch_state = self.slots.get(id).map_or(TouchState::Idle, |slot| slot.touch);
        match plan.verdict {
            Verdict::Blocked => None,
            Verdict::Nothing => match (touch_state, plan.files) {
                // The content went back while pods were being touched: they may hold what is now old.
                (TouchState::Begun(begun), Some(files)) if begun != files => Some(touch(&known, files)),
                (TouchState::Begun(begun), Some(_)) => Some(touch(&known, begun)),
                _ => None,
            },
            Verdict::Record => Some(Action::Record(self.record(&known, plan, now, None))),
            Verdict::Touch(files) if touch_state == TouchState::Done(files) => {
                Some(Action::Record(self.record(&known, plan, now, None)))
            }
            Verdict::Touch(files) => Some(touch(&known, files)),
            Verdict::LookAtPods if known.workload.selector.is_empty() => {
                // The next run of a CronJob is fresh: in doubt none is made ahead of its time.
                let spawns = known.workload.replace == Replace::Spawn;
                let pods = Pods::of(known.workload.created.filter(|_| !spawns));
                self.slots.of(id).pods = Some(pods);
                self.agenda.changed(id, now.mono);
                None
            }
            Verdict::LookAtPods => Some(self.look(&known)),
            Verdict::Roll(config) if known.workload.replace == Replace::Evict => {
                self.choose_evict(id, plan, config, pods, now)
            }
            Verdict::Roll(config) => self.choose_roll(id, plan, config, now),
        }
    }

    fn choose_roll(&mut self, id: WorkloadId, plan: &Plan, config: Digest, now: Now) -> Option<Action> {
        let known = self.index.workload(id)?;
        let workload = &known.workload;
        let rolls = self.rolls_of(id, workload);
        // A paused workload replaces no pods: this roll is one with those before it and those to come.
        if workload.pause.as_ref().is_some_and(|pause| pause.is_ours()) {
            return Some(self.roll(&known, plan, config, now, (rolls, rolls)));
        }
        self.may_replace(id, rolls, now)?;
        let after = flap::after_roll(rolls, now.wall);
        Some(self.roll(&known, plan, config, now, (rolls, after)))
    }

    /// `rolls` are those before it, and with it.
    fn roll(&self, known: &Indexed, plan: &Plan, config: Digest, now: Now, rolls: (Rolls, Rolls)) -> Action {
        let workload = &known.workload;
        let (before, after) = rolls;
        let mut record = self.record(known, plan, now, Some(after));
        let marks = self.marks_of_roll(known, plan);
        if let (Some(marking), Some(marks), Replace::Template | Replace::Recreate) =
            (&marks, &workload.marks, workload.replace)
        {
            record.template = Some(marks.template_after(marking));
        }
        let pauses = workload.pause.as_ref().is_some_and(|pause| pause.begins());
        Action::Roll(Box::new(Roll {
            record,
            config: template_digest(config, before),
            replace: workload.replace,
            marks,
            pause: (pauses && workload.replace == Replace::Template).then_some(Begin {
                at: now.wall,
                seen: workload.revision,
            }),
        }))
    }

    /// The marks of a roll: of the objects that it is for, and of others where a mark says something else of them.
    fn marks_of_roll(&self, known: &Indexed, plan: &Plan) -> Option<Marking> {
        let workload = &known.workload;
        let marks = workload.marks.as_ref()?;
        if self.settings.dry_run || !matches!(workload.replace, Replace::Template | Replace::Recreate | Replace::Spawn)
        {
            return None;
        }
        let objects = self.index.within(&known.key.namespace);
        let (mut changed, mut current) = (Vec::new(), Vec::new());
        for finding in &plan.findings {
            let object = objects.get(&finding.object).map(|tracked| tracked.object);
            if object.as_ref().is_some_and(|object| object.sha1.is_none()) {
                continue; // nothing that Reloader hashes
            }
            let now = Changed {
                object: &finding.object,
                hash: object.as_ref().and_then(|object| object.sha1),
                written: object.and_then(|object| object.written),
            };
            match finding.news {
                News::Roll(_) => changed.push(now),
                News::Current | News::Adopted | News::Covered | News::Touch(_) => current.push(now),
                _ => {}
            }
        }
        let otherwise = workload.record.as_ref().map(|record| record.at).or(workload.created);
        let namespace = known.key.namespace.as_str();
        Some(marks.marking(namespace, &changed, &current, otherwise.unwrap_or(UnixSeconds(0))))
    }

    /// `None` if the workload's pods may not be replaced now; it is then considered again when they may.
    pub(super) fn may_replace(&mut self, id: WorkloadId, rolls: Rolls, now: Now) -> Option<()> {
        if let Some(next) = flap::next_roll(rolls, now.wall) {
            self.agenda.at(id, now.until(next), Why::Flapping);
            self.tell_flapping(id, rolls, next);
            return None;
        }
        self.may_roll(id, now).then_some(())
    }

    pub(super) fn record(&self, known: &Indexed, plan: &Plan, now: Now, rolls: Option<Rolls>) -> Box<Record> {
        let old = known
            .workload
            .record
            .as_ref()
            .map_or_else(Rolls::default, |record| record.rolls);
        Box::new(Record {
            uid: known.workload.uid.clone(),
            at: now.wall,
            template: Some(known.workload.template),
            rolls: rolls.unwrap_or(old),
            evicting: None,
            applied: plan.applied.clone(),
        })
    }

    fn start(&mut self, id: WorkloadId, action: Action, findings: Vec<Finding>) -> Option<Command> {
        let known = self.index.workload(id)?;
        let (key, uid) = (known.key, known.workload.uid);
        let cause = cause(&action, &findings);
        let tenant = self.slots.tenant(id);
        let slot = self.slots.of(id);
        if let Action::Touch { files, .. } = action {
            slot.touch = TouchState::Begun(files);
        }
        let touches = matches!(action, Action::Touch { .. });
        let job = Job { id, tenant, touches };
        slot.running = Some(Box::new(Running {
            action: action.clone(),
            findings: findings.into(),
            subject: Subject::Workload(key.clone(), uid.clone()),
            objects: false,
            workload: false,
        }));
        self.running += 1;
        self.touching += usize::from(touches);
        self.rolling += usize::from(matches!(action, Action::Roll(..)));
        Some(Command {
            job,
            key,
            uid,
            action,
            cause,
            since: None,
        })
    }

    pub(super) fn settle_outcome(&mut self, id: WorkloadId, run: Running, outcome: Outcome, now: Now) {
        let outcome = believed(&run.action, outcome);
        if !matches!(outcome, Outcome::Failed { .. }) {
            self.slots.of(id).failures = 0;
        }
        match outcome {
            Outcome::Written(answer) => {
                self.tell_written(id, &run);
                self.written(id, run, answer, now);
            }
            Outcome::Recorded { record, revision } => {
                self.tell_written(id, &run);
                self.recorded(id, &run, record, revision, now);
            }
            Outcome::Pods(pods) => {
                self.slots.of(id).pods = Some(pods);
                self.agenda.changed(id, now.mono);
            }
            Outcome::Touched { touched, again } => self.touched(id, &run, touched, again, now),
            Outcome::Eviction(eviction) => self.looked_to_evict(id, &run, eviction, now),
            Outcome::Waits { after } => self.agenda.at(id, now.mono.after(after), Why::BackOff),
            Outcome::Gone => {}
            Outcome::Failed { after, denied, message } => self.failed(id, &run, after, denied, &message, now),
            Outcome::Abandoned => self.agenda.changed(id, now.mono),
        }
    }

    fn tell_written(&mut self, id: WorkloadId, run: &Running) {
        self.slots.of(id).touch = TouchState::Idle;
        match &run.action {
            Action::Roll(roll) => self.tell_rolled(id, roll.replace, &run.findings),
            Action::Record(_) => self.tell_evicted(id),
            _ => {}
        }
        self.slots.of(id).evict = None;
    }

    fn written(&mut self, id: WorkloadId, run: Running, answer: Option<Box<Workload>>, now: Now) {
        let Some(Indexed { key, mut workload, .. }) = self.index.workload(id) else {
            return;
        };
        match (answer, run.action) {
            (Some(answer), _) => workload = *answer,
            // The answer could not be read, or nothing was really written: take the record as it would be.
            (None, Action::Record(record)) => workload.record = Some(record),
            (None, Action::Roll(roll)) => workload.record = Some(roll.record),
            (None, Action::EndPause(_)) => workload.pause = None,
            (None, Action::Touch { .. } | Action::Evict { .. } | Action::LookAtPods { .. }) => {}
        }
        self.index.apply_answer(key, workload);
        self.agenda.changed(id, now.mono);
    }

    /// The rest of the workload comes by its watch, at the same revision; if that was quicker, nothing is left to take in.
    fn recorded(&mut self, id: WorkloadId, run: &Running, record: Option<Box<Record>>, revision: Revision, now: Now) {
        let Some(Indexed { key, mut workload, .. }) = self.index.workload(id) else {
            return;
        };
        if workload.revision < Some(revision) {
            workload.record = record;
            workload.revision = Some(revision);
            if matches!(&run.action, Action::Roll(roll) if roll.replace == Replace::Template) {
                // Its own controller cannot have been quicker than this answer.
                workload.rollout = Rollout::InProgress;
            }
            self.index.apply_answer(key, workload);
        }
        self.agenda.changed(id, now.mono);
    }

    fn touched(&mut self, id: WorkloadId, run: &Running, touched: usize, again: Option<UnixSeconds>, now: Now) {
        let Action::Touch { files, .. } = run.action else {
            return;
        };
        if touched > 0 {
            self.tell_touched(id, &run.findings, files, touched);
        }
        match again {
            Some(at) => {
                self.agenda.at(id, now.until(at), Why::TouchAgain);
                self.wake_to_end_pause(id, now);
            }
            None => {
                self.slots.of(id).touch = TouchState::Done(files);
                self.agenda.changed(id, now.mono);
            }
        }
    }

    fn failed(
        &mut self,
        id: WorkloadId,
        run: &Running,
        after: Option<Duration>,
        denied: bool,
        message: &str,
        now: Now,
    ) {
        if matches!(run.action, Action::Evict { .. }) {
            self.forgive(id);
        }
        let slot = self.slots.of(id);
        slot.failures = slot.failures.saturating_add(1);
        let failures = slot.failures;
        let pause = back_off(id, failures).max(after.unwrap_or_default());
        self.agenda.at(id, now.mono.after(pause), Why::BackOff);
        self.wake_to_end_pause(id, now);
        if failures == if denied { 1 } else { WORTH_TELLING } {
            self.tell_failed(id, &run.action, message);
        }
    }
}

/// What goes into the template. Content that goes back must not bring an earlier template back: pods made from that one
/// may have started on the content in between, and their owner would keep them. The roll before tells them apart; a
/// repeated try of the same roll, by whomever, is the same template still.
fn template_digest(config: Digest, before: Rolls) -> Digest {
    match before.last {
        None => config,
        Some(last) => {
            let (config, after) = (config.to_string(), format!("{last} {}", before.streak));
            Digest::of("afresh/roll/1", &[config.as_bytes(), after.as_bytes()])
        }
    }
}

/// A write whose answer lacks the record was undone on its way, by an admission webhook say. Without a pause it would
/// be sent again at once, for ever.
fn believed(action: &Action, outcome: Outcome) -> Outcome {
    let (kept, answer) = match &outcome {
        Outcome::Written(Some(answer)) => (answer.record.as_deref(), Some(answer)),
        Outcome::Recorded { record, .. } => (record.as_deref(), None),
        _ => return outcome,
    };
    if matches!(action, Action::EndPause(_)) && answer.is_some_and(|answer| pause::is_over_due(answer)) {
        return Outcome::Failed {
            after: None,
            denied: true,
            message: "the API server took it, but its answer is paused still: something undoes it".into(),
        };
    }
    let Some(wrote) = action.record() else { return outcome };
    if kept.is_some_and(|record| record.applied.contains(&wrote.applied) && record.evicting == wrote.evicting) {
        return outcome;
    }
    Outcome::Failed {
        after: None,
        denied: true,
        message: "the API server took it, but its answer lacks the record: something takes afresh.dev/applied out"
            .into(),
    }
}

fn touch(known: &Indexed, files: Digest) -> Action {
    Action::Touch {
        selector: known.workload.selector.clone(),
        files,
    }
}

/// Grows with every failure, a little apart for every workload so that they do not come back together.
fn back_off(id: WorkloadId, failures: u32) -> Duration {
    let doubled = FIRST_BACK_OFF
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(LONGEST_BACK_OFF);
    let spread = (id.index() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    doubled + doubled.mul_f64(spread as f64 / 1024.0)
}

fn cause(action: &Action, findings: &[Finding]) -> String {
    match action {
        Action::Roll(..) => causes(findings, |news| match news {
            News::Roll(delta) => Some(*delta),
            _ => None,
        }),
        Action::Touch { .. } => causes(findings, touch_delta),
        Action::Evict { .. } => "pods that are older than the change go one by one".to_owned(),
        Action::Record(_) => "nothing has to be done but to write it down".to_owned(),
        Action::EndPause(End { resume: true, .. }) => "its pause is over".to_owned(),
        Action::EndPause(End { resume: false, .. }) => "somebody else has resumed it".to_owned(),
        Action::LookAtPods { .. } => "only the age of its pods tells whether they are current".to_owned(),
    }
}

pub(super) const fn touch_delta(news: &News) -> Option<Delta> {
    match news {
        News::Touch(delta) => Some(*delta),
        _ => None,
    }
}
