//! The engine: index, agenda and plan put together, with one action per workload at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use afresh_model::digest::Digest;
use afresh_model::name::{ConfigKey, ConfigRef, Name, WorkloadKey, WorkloadKind};
use afresh_model::object::ConfigObject;
use afresh_model::policy::Problem;
use afresh_model::record::{Evicting, Record, Rolls};
use afresh_model::reloader::marking::Marking;
use afresh_model::reloader::marks::Changed;
use afresh_model::time::{Revision, UnixSeconds};
use afresh_model::workload::{Replace, Rollout, Workload};

use crate::agenda::{Agenda, Waits, Why};
use crate::classes::{Classes, Manner, Mount, MountKey};
use crate::evidence::Pods;
use crate::flap;
use crate::index::{Applied, Index, Indexed, Source, SourceKind, WorkloadId};
use crate::notice::{Notice, Reason, Subject, causes};
use crate::plan::{Delta, Finding, News, Objects, Plan, Verdict, View, plan};
use crate::sight::Sight;
use crate::time::{Millis, Now};

/// How often workloads that wait for their turn are looked at, beside when a rollout ends.
const TURN: Duration = Duration::from_secs(5);
/// The first pause after a failure, doubled with every further one.
const FIRST_BACK_OFF: Duration = Duration::from_millis(500);
/// The longest pause after a failure. There is no last attempt.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);
/// A failure that may pass by itself is told only when it has happened so often.
const WORTH_TELLING: u32 = 3;
/// So much of what a standby finds is kept until it leads.
const MOST_KEPT_NOTICES: usize = 256;

#[derive(Debug)]
struct Running {
    action: Action,
    findings: Box<[Finding]>,
    subject: Subject,
    /// An object it uses changed meanwhile.
    objects: bool,
    /// The workload itself changed meanwhile.
    workload: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    index: Index,
    classes: Classes,
    agenda: Agenda,
    slots: Slots,
    running: usize,
    /// Those of them that touch pods: they wait for a rate, and must not make others wait with them.
    touching: usize,
    rolling: usize,
    /// Wait for their turn under `max_rolling`, first come first served.
    held: VecDeque<WorkloadId>,
    turn: Option<Millis>,
    /// By the UID of a controller that is not known: its Pods that are evicted one by one.
    owners: BTreeMap<Box<str>, Siblings>,
    departed: Vec<Departed>,
    unsynced: BTreeSet<Source>,
    /// Those of them that nobody waits for.
    without: BTreeSet<Source>,
    leading: bool,
    scope: Scope,
    object_problems: BTreeMap<ConfigKey, Problem>,
    /// What was told of workloads that are left alone because nobody can tell what they ask for.
    left_alone: BTreeMap<WorkloadKey, Box<[Problem]>>,
    notices: Vec<Notice>,
}

impl Engine {
    /// An engine that waits for the first list of each of these watches before it acts.
    #[must_use]
    pub fn new(settings: Settings, sources: impl IntoIterator<Item = Source>) -> Self {
        Self {
            settings,
            index: Index::default(),
            classes: Classes::default(),
            agenda: Agenda::default(),
            slots: Slots::default(),
            running: 0,
            touching: 0,
            rolling: 0,
            held: VecDeque::new(),
            turn: None,
            owners: BTreeMap::new(),
            departed: Vec::new(),
            unsynced: sources.into_iter().collect(),
            without: BTreeSet::new(),
            leading: false,
            scope: Scope::default(),
            object_problems: BTreeMap::new(),
            left_alone: BTreeMap::new(),
            notices: Vec::new(),
        }
    }

    /// What is known, for diagnostics.
    #[must_use]
    pub const fn index(&self) -> &Index {
        &self.index
    }

    /// Whether every watch has listed once.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.unsynced.is_empty()
    }

    /// Takes in a config object.
    pub fn apply_object(
        &mut self,
        key: &ConfigKey,
        object: ConfigObject,
        problem: Option<Problem>,
        sight: Sight,
        now: Now,
    ) {
        self.tell_object(key, problem);
        let users = self.index.apply_object(key, object, sight);
        self.objects_changed(&users, now);
    }

    /// Takes out a config object.
    pub fn delete_object(&mut self, key: &ConfigKey, now: Now) {
        self.object_problems.remove(key);
        let users = self.index.delete_object(key);
        self.objects_changed(&users, now);
    }

    /// Takes in what a SecretProviderClass itself says, and what is wrong with its annotations.
    pub fn apply_class(&mut self, key: &ConfigKey, manner: Manner, problem: Option<Problem>, sight: Sight, now: Now) {
        self.tell_object(key, problem);
        let news = self.classes.apply_class(key, manner);
        self.classes_changed(&news, sight, now);
    }

    /// Takes out a SecretProviderClass.
    pub fn delete_class(&mut self, key: &ConfigKey, now: Now) {
        self.object_problems.remove(key);
        let news = self.classes.delete_class(key);
        self.classes_changed(&news, Sight::Live, now);
    }

    /// Takes in what a pod's volume of a SecretProviderClass holds.
    pub fn apply_mount(&mut self, key: MountKey, mount: Mount, sight: Sight, now: Now) {
        let news = self.classes.apply(key, mount);
        self.classes_changed(&news, sight, now);
    }

    /// Takes out a pod's volume of a SecretProviderClass.
    pub fn delete_mount(&mut self, key: &MountKey, now: Now) {
        let news = self.classes.delete(key);
        self.classes_changed(&news, Sight::Live, now);
    }

    /// Takes in a workload that is to be kept current, with what is wrong with its annotations.
    pub fn apply_workload(
        &mut self,
        key: WorkloadKey,
        mut workload: Workload,
        problems: Vec<Problem>,
        sight: Sight,
        now: Now,
    ) {
        self.left_alone.remove(&key);
        if self.settings.dry_run {
            self.keep_pretended_record(&key, &mut workload);
        }
        match self.index.apply_workload(key, workload, sight) {
            Applied::New(id) => {
                self.move_in(id);
                self.tell_problems(id, problems);
                self.agenda.changed(id, now.mono);
            }
            Applied::Changed(id, replaced) => {
                self.tell_problems(id, problems);
                if let Some(record) = replaced {
                    self.record_replaced(id, record, now);
                }
                self.agenda_changed(id, now);
                self.take_turns(now);
            }
            Applied::Same(id) => self.tell_problems(id, problems),
            Applied::Outdated => {}
        }
    }

    /// Takes out a workload that is not to be kept current; what is wrong with its annotations may be why.
    pub fn leave_alone(&mut self, key: &WorkloadKey, uid: &str, problems: Vec<Problem>, now: Now) {
        let told = self.left_alone.remove(key).unwrap_or_default();
        self.delete_workload(key, now);
        self.tell_left_alone(key, uid, problems, &told);
    }

    /// Takes out a workload that is gone.
    pub fn delete_workload(&mut self, key: &WorkloadKey, now: Now) {
        self.left_alone.remove(key);
        if let Some(id) = self.index.delete_workload(key) {
            self.move_out(id);
            self.take_turns(now);
        }
    }

    /// A watch begins to list anew.
    pub fn begin_list(&mut self, source: &Source) {
        self.without.remove(source);
        let namespace = source.namespace.as_ref();
        match source.kind {
            SourceKind::Classes => self.classes.begin_classes(namespace),
            SourceKind::Mounts => self.classes.begin_mounts(namespace),
            _ => self.index.begin_list(source),
        }
    }

    /// A listed thing cannot be read: what is known of it stands.
    pub fn keep(&mut self, kind: SourceKind, namespace: &Name, name: &Name) {
        self.index.keep(kind, namespace, name);
    }

    /// A watch has listed everything.
    pub fn end_list(&mut self, source: &Source, now: Now) {
        let namespace = source.namespace.as_ref();
        match source.kind {
            SourceKind::Classes => {
                let news = self.classes.end_classes(namespace);
                self.classes_changed(&news, Sight::Listed, now);
            }
            SourceKind::Mounts => {
                let news = self.classes.end_mounts(namespace);
                self.classes_changed(&news, Sight::Listed, now);
            }
            _ => {}
        }
        let (users, gone) = self.index.end_list(source);
        for id in gone {
            self.move_out(id);
        }
        self.objects_changed(&users, now);
        let waited = !self.knows_enough();
        self.unsynced.remove(source);
        if waited && self.knows_enough() {
            self.consider_all(now);
        }
    }

    /// A watch may not even list: workloads of other kinds do not wait for that. Without its config objects nothing can
    /// be decided.
    pub fn do_without(&mut self, source: &Source, now: Now) {
        if source.kind.workload().is_none() || !self.unsynced.contains(source) {
            return;
        }
        let waited = !self.knows_enough();
        self.without.insert(source.clone());
        if waited && self.knows_enough() {
            self.consider_all(now);
        }
    }

    /// We lead, or no longer do. A new leader considers every workload.
    pub fn lead(&mut self, leading: bool, now: Now) {
        if leading && !self.leading {
            self.consider_all(now);
        }
        self.leading = leading;
    }

    /// Whether this engine acts.
    #[must_use]
    pub const fn leads(&self) -> bool {
        self.leading
    }

    /// Only workloads in these namespaces are kept current from now on.
    pub fn set_scope(&mut self, scope: Scope, now: Now) {
        let before = std::mem::replace(&mut self.scope, scope);
        let entered = self
            .index
            .places()
            .filter(|(.., namespace)| self.scope.includes(namespace) && !before.includes(namespace));
        let entered: Vec<WorkloadId> = entered.map(|(id, ..)| id).collect();
        entered.into_iter().for_each(|id| self.agenda_changed(id, now));
    }

    /// When [`Self::next`] is to be called again at the latest; `None` if only an event can bring work.
    #[must_use]
    pub fn next_due(&self) -> Option<Millis> {
        if !self.acts() {
            return None;
        }
        let due = if self.has_room() { self.agenda.next_due() } else { None };
        [due, self.turn].into_iter().flatten().min()
    }

    /// The next thing to do. Call it until it returns `None`.
    pub fn next(&mut self, now: Now) -> Option<Command> {
        if self.turn.is_some_and(|turn| turn <= now.mono) {
            self.take_turns(now);
        }
        while self.acts() && self.has_room() {
            let (id, since) = self.agenda.pop(now.mono)?;
            if let Some(command) = self.consider(id, now) {
                return Some(Command { since, ..command });
            }
        }
        None
    }

    /// What came of a command.
    pub fn finish(&mut self, job: Job, outcome: Outcome, now: Now) {
        self.running = self.running.saturating_sub(1);
        if job.touches {
            self.touching = self.touching.saturating_sub(1);
        }
        if self.slots.tenant(job.id) != job.tenant {
            self.finish_departed(job, &outcome);
            return self.take_turns(now); // moved out meanwhile
        }
        let Some(run) = self.slots.get_mut(job.id).and_then(|slot| slot.running.take()) else {
            return;
        };
        if matches!(run.action, Action::Roll(..)) {
            self.rolling = self.rolling.saturating_sub(1);
        }
        let (objects, workload) = (run.objects, run.workload);
        self.settle_outcome(job.id, *run, outcome, now);
        if workload {
            self.agenda_changed(job.id, now);
        }
        if objects {
            self.objects_changed(&[job.id], now);
        }
        self.slots.tidy(job.id);
        self.take_turns(now);
    }

    /// Takes out what is to be told. Only a leader tells; what a standby finds is kept, up to a bound, until it leads.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        if self.leading {
            return std::mem::take(&mut self.notices);
        }
        self.notices.truncate(MOST_KEPT_NOTICES);
        Vec::new()
    }

    /// How many actions are under way.
    #[must_use]
    pub const fn running_count(&self) -> usize {
        self.running
    }

    /// How many workloads are not at rest: waiting for a time or for their turn.
    #[must_use]
    pub fn waiting_count(&self) -> usize {
        self.agenda.len() + self.held.len()
    }

    /// What the workload waits for, and until when; `None` if it is at rest.
    #[must_use]
    pub fn waits(&self, id: WorkloadId) -> Option<(Waits, Option<Millis>)> {
        if self.slots.get(id).is_some_and(|slot| slot.running.is_some()) {
            return Some((Waits::Running, None));
        }
        if self.held.contains(&id) {
            return Some((Waits::Turn, None));
        }
        self.agenda.wait(id).map(|(why, due)| (Waits::Until(why), Some(due)))
    }

    /// How often in a row the workload's last action failed.
    #[must_use]
    pub fn failures(&self, id: WorkloadId) -> u32 {
        self.slots.get(id).map_or(0, |slot| slot.failures)
    }

    fn has_room(&self) -> bool {
        self.running - self.touching < self.settings.concurrency
    }

    fn acts(&self) -> bool {
        self.leading && self.knows_enough()
    }

    fn knows_enough(&self) -> bool {
        self.unsynced.is_subset(&self.without)
    }
}

pub use command::{Action, Begin, Command, End, Eviction, Job, Outcome, Roll};
pub use settings::{Scope, Settings};

use departed::Departed;
use evicting::Siblings;
use slots::{Slots, TouchState};

mod act;
mod command;
mod departed;
mod evicting;
mod meddling;
mod pause;
mod settings;
mod slots;
mod tell;
mod turn;

#[cfg(test)]
mod tests;
