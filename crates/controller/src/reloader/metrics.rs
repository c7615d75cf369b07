//! The `reloader_*` metrics under Reloader's names, counted so that each says what its help says.
//!
//! Reloader's own counting has faults that are not copied: it counts an event's reconciliation twice, and its depth gauge
//! holds whatever queue wrote last.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// `reloader_reconcile_duration_seconds`.
const RECONCILE: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// `reloader_action_latency_seconds`.
const ACTION: [f64; 11] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// `reloader_workqueue_latency_seconds`.
const QUEUE: [f64; 11] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Success {
    success: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SuccessIn {
    success: &'static str,
    namespace: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabel {
    workload_kind: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WorkloadKindLabel {
    workload_kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabel {
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Received {
    event_type: &'static str,
    resource_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Processed {
    event_type: &'static str,
    resource_type: &'static str,
    result: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventType {
    /// It appeared, or was in the first list.
    Add,
    /// It was written.
    Update,
    /// It vanished.
    Delete,
}

impl EventType {
    const fn word(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// Why an event led to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skipped {
    /// No value changed.
    NoDataChange,
    /// No workload that is kept current uses the object, or it says `ignore`.
    IgnoredOrNotSelected,
}

/// How a reload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reload {
    Succeeded,
    Failed,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct ReloaderMetrics {
    executed: Family<Success, Counter>,
    /// Only where `METRICS_COUNT_BY_NAMESPACE` says so.
    executed_by_namespace: Option<Family<SuccessIn, Gauge>>,
    reconciles: Family<ResultLabel, Counter>,
    reconcile_seconds: Histograms<ResultLabel>,
    actions: Family<ActionLabel, Counter>,
    action_seconds: Histograms<WorkloadKindLabel>,
    skipped: Family<ReasonLabel, Counter>,
    queue_depth: Gauge,
    queue_adds: Counter,
    queue_seconds: Histogram,
    errors: Family<TypeLabel, Counter>,
    retries: Counter,
    received: Family<Received, Counter>,
    processed: Family<Processed, Counter>,
    scanned: Family<KindLabel, Counter>,
    matched: Family<KindLabel, Counter>,
}

impl ReloaderMetrics {
    /// Registers all of them under `reloader_`.
    pub(crate) fn new(root: &mut Registry, by_namespace: bool) -> Self {
        let metrics = Self {
            executed: Family::default(),
            executed_by_namespace: by_namespace.then(Family::default),
            reconciles: Family::default(),
            reconcile_seconds: Family::new_with_constructor(|| Histogram::new(RECONCILE)),
            actions: Family::default(),
            action_seconds: Family::new_with_constructor(|| Histogram::new(ACTION)),
            skipped: Family::default(),
            queue_depth: Gauge::default(),
            queue_adds: Counter::default(),
            queue_seconds: Histogram::new(QUEUE),
            errors: Family::default(),
            retries: Counter::default(),
            received: Family::default(),
            processed: Family::default(),
            scanned: Family::default(),
            matched: Family::default(),
        };
        let to = root.sub_registry_with_prefix("reloader");
        metrics.register_reloads(to);
        metrics.register_queue(to);
        metrics.register_events(to);
        // Alerts on a rate need the series before the first failure.
        for success in ["true", "false"] {
            let _ = metrics.executed.get_or_create(&Success { success });
        }
        metrics
    }

    fn register_reloads(&self, to: &mut Registry) {
        let help = "Workload writes by their success";
        to.register("reload_executed", help, self.executed.clone());
        if let Some(by_namespace) = &self.executed_by_namespace {
            // A gauge by its type, because a counter's name would get one more `_total`; it only grows.
            let help = "Workload writes by their success and namespace";
            to.register("reload_executed_total_by_namespace", help, by_namespace.clone());
        }
        to.register("reconcile", "Decisions by their result", self.reconciles.clone());
        let help = "How long a decision's action took";
        to.register_with_unit(
            "reconcile_duration",
            help,
            Unit::Seconds,
            self.reconcile_seconds.clone(),
        );
        to.register("action", "Actions by kind and result", self.actions.clone());
        let help = "From the change's arrival to the API server's answer";
        to.register_with_unit("action_latency", help, Unit::Seconds, self.action_seconds.clone());
        to.register("skipped", "Events that led to nothing", self.skipped.clone());
    }

    fn register_queue(&self, to: &mut Registry) {
        to.register("workqueue_depth", "Workloads not at rest", self.queue_depth.clone());
        to.register(
            "workqueue_adds",
            "Changes that concern a workload",
            self.queue_adds.clone(),
        );
        let help = "From the change's arrival to the beginning of its action";
        to.register_with_unit("workqueue_latency", help, Unit::Seconds, self.queue_seconds.clone());
        to.register("errors", "Failed actions", self.errors.clone());
        to.register("retries", "Failed actions that are tried again", self.retries.clone());
    }

    fn register_events(&self, to: &mut Registry) {
        to.register("events_received", "Events by type", self.received.clone());
        to.register("events_processed", "Events taken in", self.processed.clone());
        to.register(
            "workloads_scanned",
            "Workloads considered for a change",
            self.scanned.clone(),
        );
        to.register(
            "workloads_matched",
            "Workloads reloaded for a change",
            self.matched.clone(),
        );
    }

    /// Counts an event. Every one that is received is processed: nothing is ever dropped.
    pub(crate) fn event(&self, event: EventType, resource_type: &'static str) {
        let event_type = event.word();
        self.received
            .get_or_create(&Received {
                event_type,
                resource_type,
            })
            .inc();
        self.processed
            .get_or_create(&Processed {
                event_type,
                resource_type,
                result: "success",
            })
            .inc();
    }

    /// Counts an event that led to nothing.
    pub(crate) fn skipped(&self, why: Skipped) {
        let reason = match why {
            Skipped::NoDataChange => "no_data_change",
            Skipped::IgnoredOrNotSelected => "ignored_or_not_selected",
        };
        self.skipped.get_or_create(&ReasonLabel { reason }).inc();
        self.reconciles.get_or_create(&ResultLabel { result: "skipped" }).inc();
    }

    /// Counts a workload that a change concerns.
    pub(crate) fn queued(&self, kind: &str) {
        self.queue_adds.inc();
        self.scanned.get_or_create(&KindLabel { kind: kind.to_owned() }).inc();
    }

    /// Counts a reload that came to an end. `waited` is the time from the change to the action's beginning.
    pub(crate) fn reloaded(&self, kind: &str, namespace: &str, how: Reload, took: Duration, waited: Option<Duration>) {
        let (success, result) = match how {
            Reload::Succeeded => ("true", "success"),
            Reload::Failed => ("false", "error"),
        };
        self.executed.get_or_create(&Success { success }).inc();
        if let Some(by_namespace) = &self.executed_by_namespace {
            let namespace = namespace.to_owned();
            by_namespace.get_or_create(&SuccessIn { success, namespace }).inc();
        }
        let labels = ResultLabel { result };
        self.reconciles.get_or_create(&labels).inc();
        self.reconcile_seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        let workload_kind = kind.to_owned();
        let label = ActionLabel { workload_kind, result };
        self.actions.get_or_create(&label).inc();
        let workload_kind = label.workload_kind;
        let waited = waited.unwrap_or_default();
        self.action_seconds
            .get_or_create(&WorkloadKindLabel { workload_kind })
            .observe((waited + took).as_secs_f64());
        self.queue_seconds.observe(waited.as_secs_f64());
        match how {
            Reload::Succeeded => {
                let kind = kind.to_owned();
                self.matched.get_or_create(&KindLabel { kind }).inc();
            }
            Reload::Failed => {
                let label = TypeLabel {
                    r#type: "handler_error",
                };
                self.errors.get_or_create(&label).inc();
                self.retries.inc();
            }
        }
    }

    /// Brings the gauge up to date.
    pub(crate) fn depth(&self, waiting: usize) {
        self.queue_depth.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }
}
