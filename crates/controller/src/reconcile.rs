//! The controller's one task: facts in, commands out, answers to whoever asks.

use std::sync::Arc;
use std::time::Duration;

use afresh_engine::Engine;
use afresh_engine::engine::{Eviction, Outcome};
use afresh_engine::index::SourceKind;
use afresh_engine::notice::Notice;
use afresh_engine::sight::Sight;
use afresh_k8s::client::RequestCounts;
use afresh_k8s::event::Recorder;
use afresh_k8s::lean::{LeanMount, LeanPod, LeanWorkload};
use afresh_k8s::watch::FailureKind;
use afresh_model::convention::Conventions;
use afresh_model::name::{Name, WorkloadKey, WorkloadKind};
use afresh_model::workload::{Observed, Reading};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::act::{Actor, Done, act, finish_stand_ins};
use crate::borrowed::Borrowed;
use crate::clock::Clock;
use crate::feed::{Fact, Key, Thing, Watch};
use crate::herald;
use crate::leader::Term;
use crate::metrics::{ByReason, Metrics};
use crate::reloader::Compat;
use crate::scope::Namespaces;
use crate::state::kind_word;

/// Where Jobs may be left to be made again, and the work on that: at most one.
#[derive(Default)]
pub(crate) struct StandIns {
    pub(crate) namespaces: Vec<Option<Name>>,
    pub(crate) work: FuturesUnordered<BoxFuture<'static, ()>>,
}

/// Everything the task holds.
pub(crate) struct Controller {
    pub(crate) engine: Engine,
    pub(crate) actor: Arc<Actor>,
    pub(crate) actions: FuturesUnordered<BoxFuture<'static, Done>>,
    pub(crate) stand_ins: StandIns,
    pub(crate) watches: Vec<Watch>,
    pub(crate) namespaces: Namespaces,
    pub(crate) borrowed: Borrowed,
    pub(crate) term: Term,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) conventions: Arc<Conventions>,
    pub(crate) identity: String,
    pub(crate) requests: RequestCounts,
    /// Only in `afresh reloader`.
    pub(crate) compat: Option<Compat>,
}

impl Controller {
    /// Takes in what a watch tells.
    pub(crate) fn learn(&mut self, watch: usize, fact: Fact) {
        let now = self.clock.now();
        let Some(Watch { source, .. }) = self.watches.get(watch) else {
            return;
        };
        let source = source.clone();
        match fact {
            Fact::Begin => {
                self.engine.begin_list(&source);
                self.borrowed.begin_list(&source);
                if source.kind == SourceKind::Namespaces {
                    self.namespaces.begin();
                }
            }
            Fact::Synced => {
                if source.kind == SourceKind::Namespaces {
                    self.namespaces.synced();
                    self.engine.set_scope(self.namespaces.scope(), now);
                }
                self.engine.end_list(&source, now);
                tracing::info!(
                    kind = kind_word(source.kind),
                    synced = self.engine.is_synced(),
                    "a watch has listed"
                );
            }
            Fact::Is(thing, live) => self.is(thing, if live { Sight::Live } else { Sight::Listed }),
            Fact::Gone(key) => self.gone(&key),
            Fact::Undecodable(what) => {
                tracing::warn!(
                    kind = kind_word(source.kind),
                    "what cannot be read stays as it was: {}",
                    what.error
                );
                if let (Ok(namespace), Ok(name), false) = (what.namespace.parse(), what.name.parse(), what.deleted) {
                    self.engine.keep(source.kind, &namespace, &name);
                }
            }
            Fact::Failed(failure) if failure.kind == FailureKind::Absent => tracing::info!(
                kind = kind_word(source.kind),
                "not served; it is looked for now and then: {}",
                failure.message
            ),
            Fact::Failed(failure) => {
                tracing::warn!(
                    kind = kind_word(source.kind),
                    failure = failure.kind.word(),
                    retry_in_ms = failure.retry_in.as_millis(),
                    "watch: {}",
                    failure.message
                );
                if failure.kind == FailureKind::Denied {
                    self.engine.do_without(&source, now);
                }
            }
        }
    }

    fn is(&mut self, thing: Thing, sight: Sight) {
        let now = self.clock.now();
        match thing {
            Thing::Object(key, object, problem) => {
                if let Some(compat) = &mut self.compat {
                    compat.object(&self.engine, &key, &object);
                }
                self.engine.apply_object(&key, object, problem, sight, now);
            }
            Thing::Workload(lean) => {
                self.borrowed.note(&lean);
                for LeanWorkload { key, observed, .. } in self.borrowed.renewed(&lean.key, &lean.observed) {
                    self.workload(key, &observed, sight);
                }
                let LeanWorkload { key, observed, .. } = *lean;
                self.workload(key, &observed, sight);
            }
            Thing::Pod(lean) if lean.deleting || lean.phase.is_over() => self.engine.delete_workload(&lean.key, now),
            Thing::Pod(lean) => {
                let LeanPod { key, observed, .. } = *lean;
                self.workload(key, &observed, sight);
            }
            Thing::Class(lean) => {
                let (manner, problem) = lean.manner(&self.conventions);
                self.engine.apply_class(&lean.key, manner, problem, sight, now);
            }
            Thing::Mount(lean) => {
                let LeanMount { key, mount, .. } = *lean;
                self.engine.apply_mount(key, mount, sight, now);
            }
            Thing::Namespace(name) if sight == Sight::Listed => self.namespaces.listed(name),
            Thing::Namespace(name) => {
                self.namespaces.entered(name);
                self.compat.iter().for_each(|compat| compat.namespace(true));
                self.engine.set_scope(self.namespaces.scope(), now);
            }
        }
    }

    fn workload(&mut self, key: WorkloadKey, observed: &Observed, sight: Sight) {
        let now = self.clock.now();
        let Reading { workload, problems, .. } = observed.read(&key, &self.conventions);
        match workload {
            Some(mut workload) => {
                self.actor.unwritten.fill(&key, &mut workload);
                self.engine.apply_workload(key, workload, problems, sight, now);
            }
            None => {
                self.actor.unwritten.forget(&key);
                self.engine.leave_alone(&key, &observed.uid, problems, now);
            }
        }
    }

    fn gone(&mut self, key: &Key) {
        let now = self.clock.now();
        match key {
            Key::Object(key) => {
                if let Some(compat) = &mut self.compat {
                    compat.object_gone(&self.engine, key);
                }
                self.engine.delete_object(key, now);
            }
            Key::Workload(key) => {
                self.borrowed.forget(key);
                self.actor.unwritten.forget(key);
                self.engine.delete_workload(key, now);
            }
            Key::Class(key) => self.engine.delete_class(key, now),
            Key::Mount(key) => self.engine.delete_mount(key, now),
            Key::Namespace(name) => {
                self.namespaces.left(name);
                self.compat.iter().for_each(|compat| compat.namespace(false));
                self.engine.set_scope(self.namespaces.scope(), now);
            }
        }
    }

    /// Takes in who leads.
    pub(crate) fn lead(&mut self, term: Term) {
        if term.leads() != self.term.leads() {
            tracing::info!(leading = term.leads(), identity = %self.identity, "leadership");
        }
        // Two installations with one Lease by mistake: one of them is idle, and says because of whom.
        if let Some(leader) = term.other().filter(|other| self.term.other() != Some(*other)) {
            tracing::info!(leader, identity = %self.identity, "another replica leads");
        }
        self.term = term;
        self.actor.term.set(self.term.until());
        self.keep_term();
    }

    /// Stops acting when the term has run out.
    pub(crate) fn keep_term(&mut self) {
        let now = self.clock.now();
        let (led, leads) = (
            self.engine.leads(),
            self.term.until().is_some_and(|until| now.mono < until),
        );
        self.engine.lead(leads, now);
        if leads && !led {
            self.finish_stand_ins();
        }
        if let Some(compat) = self.compat.as_mut().filter(|_| leads && !led) {
            compat.lead();
        }
    }

    fn finish_stand_ins(&mut self) {
        let StandIns { namespaces, work } = &self.stand_ins;
        if work.is_empty() && !namespaces.is_empty() {
            work.push(Box::pin(finish_stand_ins(self.actor.clone(), namespaces.clone())));
        }
    }

    /// Begins every action that is due.
    pub(crate) fn begin_actions(&mut self) {
        while let Some(command) = self.engine.next(self.clock.now()) {
            tracing::debug!(workload = %command.key, action = command.action.word(), cause = command.cause, "acting");
            self.actions.push(Box::pin(act(self.actor.clone(), command)));
        }
        self.tell_all();
    }

    /// Tells people what there is to tell.
    pub(crate) fn tell_all(&mut self) {
        for notice in self.engine.take_notices() {
            self.tell(&notice);
        }
    }

    /// Takes in what came of an action.
    pub(crate) fn finish(&mut self, done: Done) {
        let result = result_word(&done.outcome, self.actor.dry_run);
        self.metrics.action(done.word, done.key.kind.word(), result, done.took);
        self.metrics.touches.inc_by(done.touched as u64);
        if let (Some(since), Outcome::Written(_) | Outcome::Recorded { .. }) = (done.since, &done.outcome) {
            self.metrics
                .latency_seconds
                .observe(self.clock.millis().since(since).as_secs_f64());
        }
        self.compat.iter().for_each(|compat| compat.finished(&done));
        let (workload, action, took_ms) = (&done.key, done.word, done.took.as_millis());
        match &done.outcome {
            Outcome::Failed { message, .. } => tracing::warn!(%workload, action, took_ms, "failed: {message}"),
            Outcome::Eviction(Eviction::Evicted(pod)) => {
                tracing::info!(%workload, action, result, took_ms, %pod, cause = done.cause, "evicted a pod");
            }
            Outcome::Touched { touched, .. } => {
                tracing::info!(%workload, action, result, took_ms, touched, cause = done.cause, "acted");
            }
            _ if done.word == "roll" => tracing::info!(%workload, action, result, took_ms, cause = done.cause, "acted"),
            _ => tracing::debug!(%workload, action, result, took_ms, "done"),
        }
        let is_missing = done.key.kind == WorkloadKind::Job && matches!(done.outcome, Outcome::Failed { .. });
        self.engine.finish(done.job, done.outcome, self.clock.now());
        if is_missing {
            self.finish_stand_ins();
        }
    }

    /// When the task has to wake up by itself.
    pub(crate) fn alarm(&self) -> Option<Instant> {
        let due = [self.engine.next_due(), self.term.until()]
            .into_iter()
            .flatten()
            .min()?;
        // Never a busy loop, whatever the engine says.
        Some(self.clock.instant(due).max(Instant::now() + Duration::from_micros(100)))
    }

    fn tell(&mut self, notice: &Notice) {
        let reason = notice.reason.word();
        self.metrics.notices.get_or_create(&ByReason { reason }).inc();
        if notice.reason.is_warning() {
            tracing::warn!(subject = %notice.subject, reason, "{}", notice.note);
        }
        let event = match &self.compat {
            Some(compat) => compat.tell(notice, self.actor.dry_run),
            None => herald::event(notice),
        };
        if !self.actor.dry_run {
            self.recorder.publish(event);
        }
    }
}

const fn result_word(outcome: &Outcome, dry_run: bool) -> &'static str {
    match outcome {
        Outcome::Failed { denied: true, .. } => "denied",
        Outcome::Failed { .. } => "failed",
        Outcome::Gone => "gone",
        Outcome::Waits { .. } => "waits",
        Outcome::Abandoned => "abandoned",
        Outcome::Written(_) | Outcome::Touched { .. } if dry_run => "dry-run",
        Outcome::Eviction(Eviction::Refused { .. }) => "refused",
        Outcome::Eviction(Eviction::Waits) => "waits",
        Outcome::Written(_)
        | Outcome::Recorded { .. }
        | Outcome::Touched { .. }
        | Outcome::Pods(_)
        | Outcome::Eviction(_) => "ok",
    }
}
