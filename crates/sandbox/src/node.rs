//! A node: starts the pods given to it, and keeps their volumes as the kubelet does.
//!
//! A pod is synced by its own slow timer, and soon after its spec, labels, annotations or deletion timestamp change;
//! never because of its status, and never because a ConfigMap or Secret changed: that only refreshes the node's cache.

mod cache;
mod env;
mod kubelet;
mod pod;
mod status;
mod volume;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use afresh_volume::Files;
use jiff::Timestamp;
use tokio::sync::Notify;

pub(crate) use kubelet::Kubelet;

/// An annotation of a pod (or its template): the seconds after which its containers are ready, or `never`.
pub const READY_AFTER: &str = "sandbox.afresh.dev/ready-after";

/// How the nodes behave.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// From a pod being given to a node until its containers start.
    pub start_delay: Duration,
    /// From a container's start until it is ready.
    pub ready_delay: Duration,
    /// From a pod's deletion until it is gone; never more than its grace period.
    pub stop_delay: Duration,
    /// The shortest time between two syncs by the pod's own timer (syncFrequency, 60 s).
    pub sync_min: Duration,
    /// The longest time between two syncs by the pod's own timer (syncFrequency with jitter 0.5, 90 s).
    pub sync_max: Duration,
    /// From a change of the pod until its volumes are written (0.1 s measured).
    pub reaction: Duration,
    /// The shortest time between two syncs caused by changes (about 1 s measured).
    pub min_interval: Duration,
    /// How long the node's own watch of a ConfigMap or Secret lags behind the API server.
    pub cache_lag: Duration,
    /// Where volumes are written as real files, below `pods/UID/volumes/NAME`; in memory only if absent.
    pub volume_root: Option<PathBuf>,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            start_delay: Duration::from_millis(500),
            ready_delay: Duration::from_millis(500),
            stop_delay: Duration::from_millis(500),
            sync_min: Duration::from_secs(60),
            sync_max: Duration::from_secs(90),
            reaction: Duration::from_millis(100),
            min_interval: Duration::from_secs(1),
            cache_lag: Duration::from_millis(20),
            volume_root: None,
        }
    }
}

/// What a process of a container saw when it started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its environment, of `env` and `envFrom`.
    pub env: BTreeMap<String, String>,
    /// When it started.
    pub started_at: Timestamp,
    /// How many processes of this container there were before.
    pub restart_count: u32,
}

/// The handle to look into the nodes of a sandbox.
#[derive(Clone, Debug)]
pub struct Node {
    kubelet: Arc<Mutex<Kubelet>>,
    poke: Arc<Notify>,
}

impl Node {
    pub(crate) fn new(kubelet: Kubelet) -> Self {
        Self {
            kubelet: Arc::new(Mutex::new(kubelet)),
            poke: Arc::new(Notify::new()),
        }
    }

    /// The running process of a container, init containers included; none before its start.
    #[must_use]
    pub fn process(&self, namespace: &str, pod: &str, container: &str) -> Option<Process> {
        self.kubelet().process(namespace, pod, container)
    }

    /// The files a container sees under a mount path, by their path below it; none if the container has not started.
    ///
    /// A `subPath` of a single file shows that file under its own name.
    #[must_use]
    pub fn files(&self, namespace: &str, pod: &str, container: &str, mount_path: &str) -> Option<Files> {
        self.kubelet().files(namespace, pod, container, mount_path)
    }

    /// One file as text, by its absolute path in the container; what is not UTF-8 is replaced.
    #[must_use]
    pub fn file(&self, namespace: &str, pod: &str, container: &str, path: &str) -> Option<String> {
        let below = |files: &Files, name: &str| {
            files
                .get(name)
                .map(|file| String::from_utf8_lossy(&file.bytes).into_owned())
        };
        // A file mounted by subPath is its own mount, under its own path.
        let (_, own_name) = path.rsplit_once('/')?;
        if let Some(files) = self.files(namespace, pod, container, path) {
            return below(&files, own_name);
        }
        path.rmatch_indices('/').find_map(|(at, _)| {
            let files = self.files(namespace, pod, container, &path[..at])?;
            below(&files, &path[at + 1..])
        })
    }

    /// Where a volume of a pod lies on disk, if volumes are written there.
    #[must_use]
    pub fn volume_path(&self, namespace: &str, pod: &str, volume: &str) -> Option<PathBuf> {
        self.kubelet().volume_path(namespace, pod, volume)
    }

    /// How often a pod was synced.
    #[must_use]
    pub fn syncs(&self, namespace: &str, pod: &str) -> u64 {
        self.kubelet().syncs(namespace, pod)
    }

    /// Restarts a container's process at once, as after its exit: environment and `subPath` mounts are made anew.
    ///
    /// Returns whether there was a running process.
    pub fn restart(&self, namespace: &str, pod: &str, container: &str) -> bool {
        let done = self.kubelet().restart(namespace, pod, container);
        self.poke.notify_one();
        done
    }

    pub(crate) fn kubelet(&self) -> MutexGuard<'_, Kubelet> {
        self.kubelet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn poked(&self) {
        self.poke.notified().await;
    }
}
