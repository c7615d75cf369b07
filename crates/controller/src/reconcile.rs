//! The controller's one task: facts in, commands out, answers to whoever asks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use afresh_engine::Engine;
use afresh_engine::engine::Outcome;
use afresh_engine::index::SourceKind;
use afresh_engine::notice::Notice;
use afresh_engine::sight::Sight;
use afresh_k8s::event::{EventCounts, Recorder};
use afresh_k8s::lean::{LeanPod, LeanWorkload};
use afresh_model::name::{ConfigKind, WorkloadKey, WorkloadKind};
use afresh_model::policy::Reload;
use afresh_model::workload::{Observed, Reading};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::act::{Actor, Done, act};
use crate::admin::{Answer, Question};
use crate::clock::Clock;
use crate::feed::{Fact, Key, Thing, Watch};
use crate::herald;
use crate::leader::Term;
use crate::metrics::{ByReason, ByResult, Kind, Metrics, WatchLabels};
use crate::scope::Namespaces;
use crate::state::{State, WatchState, kind_word};

/// Everything the task holds.
pub(crate) struct Controller {
    pub(crate) engine: Engine,
    pub(crate) actor: Arc<Actor>,
    pub(crate) actions: FuturesUnordered<BoxFuture<'static, Done>>,
    pub(crate) watches: Vec<Watch>,
    pub(crate) namespaces: Namespaces,
    pub(crate) term: Term,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) default_reload: Reload,
    pub(crate) identity: String,
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
            Fact::Failed(failure) => tracing::warn!(
                kind = kind_word(source.kind),
                failure = failure.kind.word(),
                retry_in_ms = failure.retry_in.as_millis(),
                "watch: {}",
                failure.message
            ),
        }
    }

    fn is(&mut self, thing: Thing, sight: Sight) {
        let now = self.clock.now();
        match thing {
            Thing::Object(key, object, problem) => self.engine.apply_object(&key, object, problem, sight, now),
            Thing::Workload(lean) => {
                let LeanWorkload { key, observed, .. } = *lean;
                self.workload(key, &observed, self.default_reload, sight);
            }
            Thing::Pod(lean) if lean.deleting || lean.phase.is_over() => self.engine.delete_workload(&lean.key, now),
            Thing::Pod(lean) => {
                let LeanPod { key, observed, .. } = *lean;
                // A pod by itself speaks for itself: the default is meant for what has a template.
                self.workload(key, &observed, Reload::Off, sight);
            }
            Thing::Namespace(name) if sight == Sight::Listed => self.namespaces.listed(name),
            Thing::Namespace(name) => {
                self.namespaces.entered(name);
                self.engine.set_scope(self.namespaces.scope(), now);
            }
        }
    }

    fn workload(&mut self, key: WorkloadKey, observed: &Observed, default: Reload, sight: Sight) {
        let now = self.clock.now();
        let Reading { workload, problems, .. } = observed.read(key.kind, default);
        match workload {
            Some(workload) => self.engine.apply_workload(key, workload, problems, sight, now),
            None => {
                for problem in &problems {
                    tracing::warn!(workload = %key, "{problem}");
                }
                self.engine.delete_workload(&key, now);
            }
        }
    }

    fn gone(&mut self, key: &Key) {
        let now = self.clock.now();
        match key {
            Key::Object(key) => self.engine.delete_object(key, now),
            Key::Workload(key) => self.engine.delete_workload(key, now),
            Key::Namespace(name) => {
                self.namespaces.left(name);
                self.engine.set_scope(self.namespaces.scope(), now);
            }
        }
    }

    /// Takes in who leads.
    pub(crate) fn lead(&mut self, term: Term) {
        if term.leads() != self.term.leads() {
            tracing::info!(leading = term.leads(), identity = %self.identity, "leadership");
        }
        self.term = term;
        self.keep_term();
    }

    /// Stops acting when the term has run out.
    pub(crate) fn keep_term(&mut self) {
        let now = self.clock.now();
        self.engine
            .lead(self.term.until().is_some_and(|until| now.mono < until), now);
    }

    /// Begins every action that is due.
    pub(crate) fn begin_actions(&mut self) {
        let Some(until) = self.term.until() else { return };
        let until = self.clock.instant(until);
        while let Some(command) = self.engine.next(self.clock.now()) {
            tracing::debug!(workload = %command.key, action = command.action.word(), cause = command.cause, "acting");
            self.actions.push(Box::pin(act(self.actor.clone(), command, until)));
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
        if let (Some(since), Outcome::Written(_)) = (done.since, &done.outcome) {
            self.metrics
                .latency_seconds
                .observe(self.clock.millis().since(since).as_secs_f64());
        }
        let (workload, action, took_ms) = (&done.key, done.word, done.took.as_millis());
        match &done.outcome {
            Outcome::Failed { message, .. } => tracing::warn!(%workload, action, took_ms, "failed: {message}"),
            _ if matches!(done.word, "roll" | "touch") => {
                tracing::info!(%workload, action, result, took_ms, touched = done.touched, cause = done.cause);
            }
            _ => tracing::debug!(%workload, action, result, took_ms),
        }
        self.engine.finish(done.job, done.outcome, self.clock.now());
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

    pub(crate) fn answer(&self, question: Question) -> Answer {
        match question {
            Question::Live => Answer {
                healthy: true,
                body: "ok\n".into(),
            },
            Question::Ready => self.ready(),
            Question::Metrics => {
                self.refresh_gauges();
                let body = self.metrics.encode();
                Answer {
                    healthy: body.is_ok(),
                    body: body.unwrap_or_default(),
                }
            }
            Question::State => {
                let body = serde_json::to_string_pretty(&self.state());
                Answer {
                    healthy: body.is_ok(),
                    body: body.unwrap_or_default(),
                }
            }
        }
    }

    fn ready(&self) -> Answer {
        let unsynced: Vec<&str> = self
            .watches
            .iter()
            .filter(|watch| !watch.status.is_synced())
            .map(|watch| kind_word(watch.source.kind))
            .collect();
        let trouble = match (&unsynced[..], self.term.trouble()) {
            ([], None) => {
                return Answer {
                    healthy: true,
                    body: "ok\n".into(),
                };
            }
            ([], Some(trouble)) => format!("can neither lead nor take over: {trouble}\n"),
            (kinds, _) => format!("not listed yet: {}\n", kinds.join(", ")),
        };
        Answer {
            healthy: false,
            body: trouble,
        }
    }

    fn state(&self) -> State {
        State {
            version: env!("CARGO_PKG_VERSION"),
            identity: self.identity.clone(),
            engine: self.engine.state(self.clock.now()),
            watches: self.watches.iter().map(WatchState::of).collect(),
        }
    }

    fn refresh_gauges(&self) {
        let (metrics, index) = (&self.metrics, self.engine.index());
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        metrics.leader.set(self.engine.leads().into());
        metrics.synced.set(self.engine.is_synced().into());
        metrics.rolling.set(number(self.engine.rolling(self.clock.now().wall)));
        metrics.waiting.set(number(self.engine.waiting_count()));
        let EventCounts {
            created,
            repeated,
            dropped,
            failed,
        } = self.recorder.counts();
        for (result, count) in [
            ("created", created),
            ("repeated", repeated),
            ("dropped", dropped),
            ("failed", failed),
        ] {
            metrics
                .events
                .get_or_create(&ByResult { result })
                .inner()
                .store(count, Ordering::Relaxed);
        }
        for kind in ConfigKind::ALL {
            let count = index.objects().filter(|(key, _)| key.kind == kind).count();
            metrics
                .objects
                .get_or_create(&Kind { kind: kind.word() })
                .set(number(count));
        }
        for kind in WorkloadKind::ALL {
            let count = index.workloads().filter(|(_, known)| known.key.kind == kind).count();
            metrics
                .workloads
                .get_or_create(&Kind { kind: kind.word() })
                .set(number(count));
        }
        for watch in &self.watches {
            let namespace = watch
                .source
                .namespace
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            let labels = WatchLabels {
                kind: kind_word(watch.source.kind),
                namespace,
            };
            let seen = watch.status.snapshot();
            let big = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            metrics
                .watch_lists
                .get_or_create(&labels)
                .inner()
                .store(seen.lists, Ordering::Relaxed);
            metrics
                .watch_restarts
                .get_or_create(&labels)
                .inner()
                .store(seen.restarts, Ordering::Relaxed);
            metrics
                .watch_failures
                .get_or_create(&labels)
                .inner()
                .store(seen.failures, Ordering::Relaxed);
            metrics
                .watch_undecodable
                .get_or_create(&labels)
                .inner()
                .store(seen.undecodable, Ordering::Relaxed);
            let silence = seen.heard.map_or(-1, |ago| big(ago.as_secs()));
            metrics.watch_silence.get_or_create(&labels).set(silence);
        }
    }

    fn tell(&mut self, notice: &Notice) {
        let reason = notice.reason.word();
        self.metrics.notices.get_or_create(&ByReason { reason }).inc();
        if notice.reason.is_warning() {
            tracing::warn!(subject = ?notice.subject, reason, "{}", notice.note);
        }
        if !self.actor.dry_run {
            self.recorder.publish(herald::event(notice));
        }
    }
}

const fn result_word(outcome: &Outcome, dry_run: bool) -> &'static str {
    match outcome {
        Outcome::Failed { denied: true, .. } => "denied",
        Outcome::Failed { .. } => "failed",
        Outcome::Gone => "gone",
        Outcome::Abandoned => "abandoned",
        Outcome::Written(_) | Outcome::Touched { .. } if dry_run => "dry-run",
        Outcome::Written(_) | Outcome::Touched { .. } | Outcome::Pods(_) => "ok",
    }
}
