//! The metrics `afresh_*`, in base units.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// Seconds from a millisecond to a minute: what an action takes.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0];

/// Labels of an action.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ActionLabels {
    /// `record`, `roll`, `touch`, `look`.
    pub action: &'static str,
    /// `deployment`, `statefulset`, `daemonset`, `pod`.
    pub kind: &'static str,
    /// `ok`, `failed`, `denied`, `gone`, `abandoned`, `dry-run`.
    pub result: &'static str,
}

/// One label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    /// The kind of object or workload.
    pub kind: &'static str,
}

/// One label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByReason {
    /// Why.
    pub reason: &'static str,
}

/// One label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByResult {
    /// What became of it.
    pub result: &'static str,
}

/// Labels of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: &'static str,
    /// `configmaps`, `pods/status`.
    pub resource: String,
    /// `answered` or `failed`.
    pub result: &'static str,
}

/// Labels of a watch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WatchLabels {
    /// What is watched.
    pub kind: &'static str,
    /// Where; empty is everywhere.
    pub namespace: String,
}

/// All metrics of a controller. Gauges are brought up to date when somebody asks.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Actions that came to an end.
    pub actions: Family<ActionLabels, Counter>,
    /// How long actions took, from the decision to the answer.
    pub action_seconds: Histogram,
    /// From a change's arrival to the answer to the patch it led to, settling included.
    pub latency_seconds: Histogram,
    /// Pods touched.
    pub touches: Counter,
    /// What people were told.
    pub notices: Family<ByReason, Counter>,
    /// What became of the Events.
    pub events: Family<ByResult, Counter>,
    /// Requests to the API server.
    pub requests: Family<RequestLabels, Counter>,
    /// 1 if this replica leads.
    pub leader: Gauge,
    /// 1 if every watch has listed.
    pub synced: Gauge,
    /// Config objects known.
    pub objects: Family<Kind, Gauge>,
    /// Workloads kept current.
    pub workloads: Family<Kind, Gauge>,
    /// Workloads mid-rollout because of us.
    pub rolling: Gauge,
    /// Workloads not at rest.
    pub waiting: Gauge,
    /// Lists begun, by watch.
    pub watch_lists: Family<WatchLabels, Counter>,
    /// Watches opened again.
    pub watch_restarts: Family<WatchLabels, Counter>,
    /// Failures of watches.
    pub watch_failures: Family<WatchLabels, Counter>,
    /// Seconds since a watch last heard from the server.
    pub watch_silence: Family<WatchLabels, Gauge>,
    /// Objects that could not be read.
    pub watch_undecodable: Family<WatchLabels, Counter>,
}

impl Metrics {
    /// Registers all of them.
    #[must_use]
    pub fn new(version: &str) -> Self {
        let mut root = Registry::default();
        let registry = root.sub_registry_with_prefix("afresh");
        let metrics = Self {
            registry: Registry::default(),
            actions: Family::default(),
            action_seconds: Histogram::new(BUCKETS),
            latency_seconds: Histogram::new(BUCKETS),
            touches: Counter::default(),
            notices: Family::default(),
            events: Family::default(),
            requests: Family::default(),
            leader: Gauge::default(),
            synced: Gauge::default(),
            objects: Family::default(),
            workloads: Family::default(),
            rolling: Gauge::default(),
            waiting: Gauge::default(),
            watch_lists: Family::default(),
            watch_restarts: Family::default(),
            watch_failures: Family::default(),
            watch_silence: Family::default(),
            watch_undecodable: Family::default(),
        };
        registry.register(
            "build",
            "The running version",
            Info::new(vec![("version", version.to_owned())]),
        );
        metrics.register_actions(registry);
        metrics.register_gauges(registry);
        metrics.register_watches(registry);
        Self {
            registry: root,
            ..metrics
        }
    }

    /// Where others may register theirs.
    pub(crate) const fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    fn register_actions(&self, to: &mut Registry) {
        to.register("actions", "Actions on workloads by their result", self.actions.clone());
        let help = "From the decision to the API server's answer";
        to.register_with_unit("action", help, Unit::Seconds, self.action_seconds.clone());
        let help = "From a change's arrival to the answer to the patch it led to, settling included";
        to.register_with_unit("latency", help, Unit::Seconds, self.latency_seconds.clone());
        to.register("touches", "Pods touched", self.touches.clone());
        to.register("notices", "Events told, by reason", self.notices.clone());
        to.register("events", "What became of the Events", self.events.clone());
        to.register("api_requests", "Requests to the API server", self.requests.clone());
    }

    fn register_gauges(&self, to: &mut Registry) {
        to.register("leader", "1 if this replica leads", self.leader.clone());
        to.register("synced", "1 if every watch has listed", self.synced.clone());
        to.register("objects", "Config objects known", self.objects.clone());
        to.register("workloads", "Workloads kept current", self.workloads.clone());
        to.register(
            "rolling",
            "Workloads mid-rollout because of Afresh",
            self.rolling.clone(),
        );
        to.register("waiting", "Workloads that are not at rest", self.waiting.clone());
    }

    fn register_watches(&self, to: &mut Registry) {
        to.register("watch_lists", "Lists begun", self.watch_lists.clone());
        to.register(
            "watch_restarts",
            "Watches opened again after one ended",
            self.watch_restarts.clone(),
        );
        to.register("watch_failures", "Failures of watches", self.watch_failures.clone());
        let help = "Time since the API server was last heard on the watch";
        to.register_with_unit("watch_silence", help, Unit::Seconds, self.watch_silence.clone());
        to.register(
            "watch_undecodable",
            "Objects that could not be read",
            self.watch_undecodable.clone(),
        );
    }

    /// Counts an action that came to an end.
    pub fn action(&self, action: &'static str, kind: &'static str, result: &'static str, took: Duration) {
        self.actions.get_or_create(&ActionLabels { action, kind, result }).inc();
        self.action_seconds.observe(took.as_secs_f64());
    }

    /// All metrics as OpenMetrics text.
    ///
    /// # Errors
    /// Never in practice: writing to a string cannot fail.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut body = String::new();
        text::encode(&mut body, &self.registry)?;
        Ok(body)
    }
}
