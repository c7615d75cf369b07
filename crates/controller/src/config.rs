//! What an operator chose, checked.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use afresh_engine::lease::Terms;
use afresh_engine::lifecycle::Lifecycle;
use afresh_k8s::client::RequestCounts;
use afresh_model::convention::Conventions;
use afresh_model::name::{Name, WorkloadKind};
use afresh_model::reloader::marks::Strategy;

use crate::reloader::{Alerts, Endpoint, MetaInfo};

/// Everything there is to choose about a controller.
#[derive(Debug, Clone)]
pub struct Config {
    /// Only these namespaces, each with watches of its own; empty is all, with one watch per kind.
    pub namespaces: BTreeSet<Name>,
    /// A label selector on Namespaces; only where `namespaces` is empty.
    pub namespace_selector: Option<String>,
    /// Never these namespaces.
    pub exclude_namespaces: BTreeSet<Name>,
    /// A label selector on config objects; others never trigger anything.
    pub selector: Option<String>,
    /// Keep track of what the secrets-store CSI driver mounts.
    pub csi: bool,
    /// By which conventions annotations are read.
    pub conventions: Conventions,
    /// What `afresh reloader` does as Reloader did; `None` is `afresh controller`.
    pub reloader: Option<Reloader>,
    /// The kinds of workload to keep current.
    pub kinds: BTreeSet<WorkloadKind>,
    /// Decide and report, write nothing.
    pub dry_run: bool,
    /// The quiet time that ends a burst.
    pub settle: Duration,
    /// How many workloads may be mid-rollout at once; 0 is no limit.
    pub max_rolling: usize,
    /// After this a rollout no longer counts towards `max_rolling`.
    pub rollout_timeout: Duration,
    /// Touches per second, over all pods.
    pub touch_qps: u32,
    /// When after its first touch a pod is touched again, in growing order.
    pub touch_again: Vec<Duration>,
    /// How many actions may be under way at once.
    pub concurrency: usize,
    /// The longest a call to the API server may take.
    pub call_timeout: Duration,
    /// Fetch lists as streams (KEP-3157) where the server can.
    pub streaming_lists: bool,
    /// Where the Secret with the digest key lives.
    pub digest_key: SecretName,
    /// Leader election; `None` acts at once and alone.
    pub leader: Option<LeaderConfig>,
    /// Where metrics, health and state are served; `None` is nowhere.
    pub metrics_addr: Option<SocketAddr>,
    /// A name for this process, in Events and the Lease.
    pub identity: String,
    /// Where the client counts its requests, for the metrics.
    pub requests: RequestCounts,
    /// What the wall clock reads at the start, since the Unix epoch; `None` is the system's clock. For tests whose
    /// clock is paused, and for clocks that are wrong.
    pub wall: Option<Duration>,
}

/// What is done as Reloader does it: marks, lifecycle, and what is told to whom.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reloader {
    /// By what mark a reload shows in the pod template.
    pub strategy: Strategy,
    /// An object that appears counts as changed.
    pub on_create: bool,
    /// An object that vanishes counts as changed.
    pub on_delete: bool,
    /// POST here instead of ever reloading.
    pub webhook_url: Option<Endpoint>,
    /// Who is told of reloads.
    pub alerts: Option<Alerts>,
    /// What to write into `reloader-meta-info`; `None` writes none.
    pub meta_info: Option<MetaInfo>,
    /// Whether reloads are counted by namespace too.
    pub count_by_namespace: bool,
}

/// A Secret by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName {
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
}

/// The Lease that decides who leads.
#[derive(Debug, Clone)]
pub struct LeaderConfig {
    /// The Lease's namespace.
    pub namespace: Name,
    /// The Lease's name.
    pub name: Name,
    /// Its times.
    pub terms: Terms,
}

impl Config {
    /// The defaults of `afresh controller`, in the given namespace: all namespaces, alone, nothing served.
    #[must_use]
    pub fn new(namespace: Name, digest_key: Name) -> Self {
        Self {
            namespaces: BTreeSet::new(),
            namespace_selector: None,
            exclude_namespaces: BTreeSet::new(),
            selector: None,
            csi: false,
            conventions: Conventions::default(),
            reloader: None,
            kinds: WorkloadKind::DEFAULT.into(),
            dry_run: false,
            settle: Duration::from_millis(200),
            max_rolling: 0,
            rollout_timeout: Duration::from_secs(600),
            touch_qps: 50,
            touch_again: vec![Duration::from_secs(2), Duration::from_secs(65)],
            concurrency: 16,
            call_timeout: Duration::from_secs(10),
            streaming_lists: true,
            digest_key: SecretName {
                namespace,
                name: digest_key,
            },
            leader: None,
            metrics_addr: None,
            identity: "afresh".to_owned(),
            requests: RequestCounts::default(),
            wall: None,
        }
    }

    /// By which conventions annotations and marks are read.
    #[must_use]
    pub fn conventions(&self) -> Conventions {
        Conventions {
            strategy: self.reloader.as_ref().map(|reloader| reloader.strategy),
            ..self.conventions.clone()
        }
    }

    /// What it means that an object appears or vanishes.
    #[must_use]
    pub fn lifecycle(&self) -> Lifecycle {
        self.reloader.as_ref().map_or_else(Lifecycle::default, |reloader| {
            Lifecycle::reloader(reloader.on_create, reloader.on_delete)
        })
    }
}
