//! What is known of the pipeline, for people and for Prometheus. Never content, and no plain digest of it: that of a
//! weak Secret could be guessed.

mod program;
mod sources;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry, Unit};
use serde_json::{Value, json};

use crate::plan::Plan;
use crate::supervise::ChildHandle;
use program::ProgramMetrics;
use sources::SourceMetrics;
#[cfg(feature = "source")]
pub(crate) use sources::{SourceFacts, SourcesFacts};

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

/// Shared by those who work, who write it, and whoever asks.
#[derive(Debug)]
pub struct Status {
    registry: Registry,
    ready: Gauge,
    steps: Family<StepLabels, Counter>,
    /// Of the pipeline, where there is one.
    facts: Mutex<Facts>,
    files: Option<FileMetrics>,
    /// Of the program, where it is ours.
    program: Option<(ChildHandle, ProgramMetrics)>,
    sources: SourceMetrics,
}

/// Of the pipeline.
#[derive(Debug)]
struct FileMetrics {
    watch: Vec<PathBuf>,
    output: Option<PathBuf>,
    changes: Counter,
    pending: Gauge,
    rejected: Gauge,
    failing: Gauge,
    stale: Gauge,
    last_success: Gauge,
}

impl FileMetrics {
    fn register(plan: &Plan, to: &mut Registry) -> Self {
        let metrics = Self {
            watch: plan.watch.clone(),
            output: plan.output.clone(),
            changes: register(to, "changes", "Different contents seen after the first"),
            pending: register(
                to,
                "pending",
                "Whether something is still to be done for the newest content",
            ),
            rejected: register(to, "rejected", "Whether the newest content failed the check"),
            failing: register(to, "failing", "Whether something fails and is tried again"),
            stale: register(to, "stale_mounts", "subPath mounts that show old content"),
            last_success: Gauge::default(),
        };
        let help = "When all actions last succeeded, since 1970";
        to.register_with_unit(
            "last_success_timestamp",
            help,
            Unit::Seconds,
            metrics.last_success.clone(),
        );
        metrics
    }

    fn set(&self, facts: &Facts) {
        self.pending.set((!facts.is_current || facts.rejected.is_some()).into());
        self.rejected.set(facts.rejected.is_some().into());
        self.failing.set(facts.failing.is_some().into());
        self.stale.set(count(facts.stale.len()));
        self.last_success.set(facts.last_success.unwrap_or(0));
    }

    fn state(&self, facts: &Facts) -> Value {
        let paths = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        json!({
            "watch": paths(&self.watch),
            "output": self.output.as_ref().map(|output| output.display().to_string()),
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
        })
    }
}

impl Status {
    /// Of what has not begun: a pipeline, a program of ours, or both.
    #[must_use]
    pub fn new(plan: Option<&Plan>, program: Option<ChildHandle>) -> Self {
        let mut registry = Registry::with_prefix("afresh_agent");
        let help = "Whether there is content that the application can use, and the program runs where it is ours";
        let ready = register(&mut registry, "ready", help);
        let help = "Checks, outputs, actions, verifications and written sources, by what became of them";
        let steps = register(&mut registry, "steps", help);
        let files = plan.map(|plan| FileMetrics::register(plan, &mut registry));
        let program = program.map(|program| (program, ProgramMetrics::register(&mut registry)));
        Self {
            sources: SourceMetrics::register(&mut registry),
            registry,
            ready,
            steps,
            facts: Mutex::default(),
            files,
            program,
        }
    }

    /// Changes what is known.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.lock());
    }

    /// Counts different content.
    pub(crate) fn changed(&self) {
        if let Some(files) = &self.files {
            files.changes.inc();
        }
    }

    /// Counts a step: `check`, `output`, `verify`, `source`, or the kind of an action.
    pub(crate) fn step(&self, step: &'static str, outcome: Outcome) {
        let result = match outcome {
            Outcome::Ok => "ok",
            Outcome::Rejected => "rejected",
            Outcome::Failed => "failed",
        };
        self.steps.get_or_create(&StepLabels { step, result }).inc();
    }

    /// Why the application has nothing to use, or does not run where it is ours; `None` if it has, and does.
    #[must_use]
    pub fn not_ready(&self) -> Option<String> {
        let content = self.files.as_ref().and_then(|_| self.no_content());
        content.or_else(|| {
            let (program, _) = self.program.as_ref()?;
            let reason = program::not_running(&program.status())?;
            Some(self.sources.waiting().unwrap_or(reason))
        })
    }

    fn no_content(&self) -> Option<String> {
        let facts = self.lock();
        if facts.in_use.is_some() {
            return None;
        }
        let reasons = [&facts.rejected, &facts.failing, &facts.unreadable];
        let reason = reasons.into_iter().flatten().next().cloned();
        drop(facts);
        let reason = reason.or_else(|| self.sources.waiting());
        Some(reason.unwrap_or_else(|| "still reading".to_owned()))
    }

    /// The metrics, in the OpenMetrics format.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.ready.set(self.not_ready().is_none().into());
        if let Some(files) = &self.files {
            files.set(&self.lock());
        }
        if let Some((program, metrics)) = &self.program {
            metrics.set(&program.status());
        }
        self.sources.set();
        let mut body = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut body, &self.registry);
        body
    }

    /// The state as JSON.
    #[must_use]
    pub fn state(&self) -> String {
        let not_ready = self.not_ready();
        let mut state = match &self.files {
            Some(files) => files.state(&self.lock()),
            None => json!({}),
        };
        state["ready"] = not_ready.is_none().into();
        state["notReady"] = not_ready.into();
        if let Some((program, _)) = &self.program {
            state["program"] = program::state(&program.status());
        }
        if let Some(sources) = self.sources.state() {
            state["sources"] = sources;
        }
        format!("{state}\n")
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        // Facts are whole after every change.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A metric that begins with nothing.
fn register<M: Metric + Clone + Default>(to: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    to.register(name, help, metric.clone());
    metric
}

/// Now, in seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
