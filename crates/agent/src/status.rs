//! What is known of the pipeline, for people and for Prometheus. Never content, and no plain digest of it: that of a
//! weak Secret could be guessed.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use serde_json::json;

use crate::plan::Plan;

/// Labels of what was tried.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    step: &'static str,
    result: &'static str,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    /// The check said no.
    Rejected,
    Failed,
}

/// The state at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// How many different contents were seen, one after another.
    pub(crate) generation: u64,
    /// Of how many files the newest is.
    pub(crate) files: usize,
    /// The generation that the application has; 0 is one from before this start.
    pub(crate) in_use: Option<u64>,
    /// Whether all is done for what is in use.
    pub(crate) is_current: bool,
    /// Why the newest content is not used.
    pub(crate) rejected: Option<String>,
    /// Why there is no content to be read.
    pub(crate) unreadable: Option<String>,
    /// What fails and is tried again, and why.
    pub(crate) failing: Option<String>,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// Mounts that show old content.
    pub(crate) stale: Vec<PathBuf>,
    /// Why changes are found by the slow poll only.
    pub(crate) degraded: Option<String>,
    /// When all actions last succeeded, in seconds since 1970.
    pub(crate) last_success: Option<i64>,
}

/// Shared by the pipeline, which writes it, and whoever asks.
#[derive(Debug, Default)]
pub struct Status {
    facts: Mutex<Facts>,
    registry: Registry,
    steps: Family<StepLabels, Counter>,
    changes: Counter,
    ready: Gauge,
    pending: Gauge,
    rejected: Gauge,
    failing: Gauge,
    stale: Gauge,
    last_success: Gauge,
    watch: Vec<PathBuf>,
    output: Option<PathBuf>,
}

impl Status {
    /// Of a pipeline that has not begun.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let mut status = Self {
            registry: Registry::with_prefix("afresh_agent"),
            watch: plan.watch.clone(),
            output: plan.output.clone(),
            ..Self::default()
        };
        status.register();
        status
    }

    fn register(&mut self) {
        let to = &mut self.registry;
        to.register(
            "changes",
            "Different contents seen after the first",
            self.changes.clone(),
        );
        to.register(
            "steps",
            "Checks, outputs, actions and verifications, by what became of them",
            self.steps.clone(),
        );
        to.register(
            "ready",
            "Whether there is content that the application can use",
            self.ready.clone(),
        );
        to.register(
            "pending",
            "Whether something is still to be done for the newest content",
            self.pending.clone(),
        );
        to.register(
            "rejected",
            "Whether the newest content failed the check",
            self.rejected.clone(),
        );
        to.register(
            "failing",
            "Whether something fails and is tried again",
            self.failing.clone(),
        );
        to.register(
            "stale_mounts",
            "subPath mounts that show old content",
            self.stale.clone(),
        );
        to.register_with_unit(
            "last_success_timestamp",
            "When all actions last succeeded, since 1970",
            Unit::Seconds,
            self.last_success.clone(),
        );
    }

    /// Changes what is known.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.lock());
    }

    /// Counts different content.
    pub(crate) fn changed(&self) {
        self.changes.inc();
    }

    /// Counts a step: `check`, `output`, `verify`, or the kind of an action.
    pub(crate) fn step(&self, step: &'static str, outcome: Outcome) {
        let result = match outcome {
            Outcome::Ok => "ok",
            Outcome::Rejected => "rejected",
            Outcome::Failed => "failed",
        };
        self.steps.get_or_create(&StepLabels { step, result }).inc();
    }

    /// Why the application has nothing to use yet; `None` if it has.
    #[must_use]
    pub fn not_ready(&self) -> Option<String> {
        let facts = self.lock();
        if facts.in_use.is_some() {
            return None;
        }
        let reasons = [&facts.rejected, &facts.failing, &facts.unreadable];
        let reason = reasons.into_iter().flatten().next().cloned();
        Some(reason.unwrap_or_else(|| "still reading".to_owned()))
    }

    /// The metrics, in the OpenMetrics format.
    #[must_use]
    pub fn metrics(&self) -> String {
        let facts = self.lock().clone();
        self.ready.set(facts.in_use.is_some().into());
        self.pending.set((!facts.is_current || facts.rejected.is_some()).into());
        self.rejected.set(facts.rejected.is_some().into());
        self.failing.set(facts.failing.is_some().into());
        self.stale.set(i64::try_from(facts.stale.len()).unwrap_or(i64::MAX));
        self.last_success.set(facts.last_success.unwrap_or(0));
        let mut body = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut body, &self.registry);
        body
    }

    /// The state as JSON.
    #[must_use]
    pub fn state(&self) -> String {
        let facts = self.lock().clone();
        let paths = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        let state = json!({
            "watch": paths(&self.watch),
            "output": self.output.as_ref().map(|output| output.display().to_string()),
            "ready": facts.in_use.is_some(),
            "current": facts.is_current && facts.rejected.is_none(),
            "seen": { "generation": facts.generation, "files": facts.files },
            "inUse": facts.in_use,
            "rejected": facts.rejected,
            "unreadable": facts.unreadable,
            "failing": facts.failing,
            "attempts": facts.attempts,
            "staleMounts": paths(&facts.stale),
            "pollOnly": facts.degraded,
            "lastSuccess": facts.last_success.map(|at| afresh_model::time::UnixSeconds(at).to_string()),
        });
        format!("{state}\n")
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        // Facts are whole after every change.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Now, in seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
