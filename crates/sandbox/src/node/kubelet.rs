//! The kubelet: which pods there are, and which of them is due.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use afresh_volume::Files;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::cache::Cache;
use super::pod::Pod;
use super::{NodeOptions, Process, status};
use crate::api::{Removal, Server, Write};
use crate::object;
use crate::patch::Patch;
use crate::random::Random;
use crate::store::{Change, Key, Kind};

/// All nodes of a sandbox: they share one cache and differ only in name.
#[derive(Debug)]
pub(crate) struct Kubelet {
    options: NodeOptions,
    random: Random,
    cursor: u64,
    cache: Cache,
    pods: BTreeMap<Key, Pod>,
}

impl Kubelet {
    pub(crate) fn new(options: NodeOptions, seed: u64) -> Self {
        let random = Random::labelled(seed, "kubelet");
        Self {
            options,
            random,
            cursor: 0,
            cache: Cache::default(),
            pods: BTreeMap::new(),
        }
    }

    /// Makes the Node objects.
    pub(crate) fn join(&self, server: &mut Server, nodes: usize) {
        let Some(resource) = server.registry.by_name("nodes") else {
            return;
        };
        for number in 1..=nodes {
            let name = format!("node-{number}");
            let labels = json!({"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"});
            let body = json!({"metadata": {"name": name, "labels": labels}});
            let write = Write::by("kubelet");
            // A fresh server has no node of this name yet.
            drop(server.create(&resource, "", body, &write));
            let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": server.clock.stamp()});
            let status =
                Patch::Merge(json!({"status": {"conditions": [ready], "nodeInfo": {"kubeletVersion": "v1.36.3"}}}));
            drop(server.patch(&resource, "", &name, &status, &write.through_status()));
        }
    }

    /// Does what is due; returns when to come back at the latest.
    pub(crate) fn step(&mut self, server: &mut Server) -> Option<Instant> {
        self.observe(server);
        self.cache.arrive();
        let now = Instant::now();
        let due: Vec<Key> = self
            .pods
            .iter()
            .filter(|(_, pod)| wake(pod) <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            self.attend(server, &key);
        }
        self.pods.values().map(wake).min()
    }

    fn observe(&mut self, server: &Server) {
        let changes: Vec<Arc<Change>> = match server.store.since(self.cursor) {
            Ok(changes) => changes.cloned().collect(),
            Err(_) => self.relist(server),
        };
        self.cursor = server.store.revision();
        for change in changes {
            if &*change.storage == "pods" {
                self.on_pod(server, &change);
            } else {
                self.cache.note(&change, self.options.cache_lag);
            }
        }
    }

    /// The history was compacted under us: everything there is counts as changed.
    fn relist(&mut self, server: &Server) -> Vec<Arc<Change>> {
        let gone = |key: &Key| server.store.get("pods", key).is_none();
        self.pods.retain(|key, pod| {
            let gone = gone(key);
            if gone {
                pod.clean_up();
            }
            !gone
        });
        let all = server
            .store
            .everything()
            .filter(|(storage, _, _)| ["pods", "configmaps", "secrets"].contains(&&***storage));
        let change = |storage: &Arc<str>, value: &Arc<Value>| Change {
            revision: 0,
            storage: storage.clone(),
            kind: Kind::Modified,
            before: None,
            after: value.clone(),
        };
        all.map(|(storage, _, value)| Arc::new(change(storage, value)))
            .collect()
    }

    fn on_pod(&mut self, server: &Server, change: &Change) {
        let value = &change.after;
        let key = (object::namespace(value).to_owned(), object::name(value).to_owned());
        if change.kind == Kind::Deleted {
            if let Some(pod) = self.pods.remove(&key) {
                pod.clean_up();
                let used = self.pods.values().flat_map(|pod| pod.used.iter().cloned()).collect();
                self.cache.retain(&used);
            }
            return;
        }
        if object::text(value, &["spec", "nodeName"]).is_empty() {
            return;
        }
        let now = Instant::now();
        match self
            .pods
            .get_mut(&key)
            .filter(|pod| object::uid(&pod.object) == object::uid(value))
        {
            Some(pod) => {
                let differs = pod.differs(value);
                pod.object = value.clone();
                if differs {
                    let earliest = pod.last_sync.map_or(now, |last| last + self.options.min_interval);
                    // A pod that is going has nothing to wait for.
                    let floor = if object::is_deleting(value) { now } else { pod.start_at };
                    pod.next_sync = pod
                        .next_sync
                        .min((now + self.options.reaction).max(earliest).max(floor));
                }
            }
            None => {
                let start_at = now + self.options.start_delay;
                let pod = Pod::new(value.clone(), start_at, self.options.volume_root.as_deref());
                self.cache.follow(&server.store, &pod.used);
                if let Some(replaced) = self.pods.insert(key, pod) {
                    replaced.clean_up();
                }
            }
        }
    }

    /// Syncs a pod that is due, or reports that it became ready.
    fn attend(&mut self, server: &mut Server, key: &Key) {
        let (now, timestamp) = (Instant::now(), server.clock.now());
        let Some(pod) = self.pods.get_mut(key) else { return };
        if object::is_deleting(&pod.object) {
            let grace = object::integer(&pod.object, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0);
            let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
            let gone_at = *pod.gone_at.get_or_insert(now + self.options.stop_delay.min(grace));
            if gone_at <= now {
                remove(server, &pod.object);
                return;
            }
        }
        if pod.next_sync <= now {
            pod.syncs += 1;
            let retry = if pod.gone_at.is_none() {
                pod.sync(&self.cache, timestamp, self.options.ready_delay)
            } else {
                None
            };
            let timer = self.random.between(self.options.sync_min, self.options.sync_max);
            pod.last_sync = Some(now);
            pod.next_sync = now + retry.map_or(timer, |retry| retry.min(timer));
        }
        report(server, pod);
    }

    fn pod(&self, namespace: &str, pod: &str) -> Option<&Pod> {
        self.pods.get(&(namespace.to_owned(), pod.to_owned()))
    }

    pub(super) fn process(&self, namespace: &str, pod: &str, container: &str) -> Option<Process> {
        self.pod(namespace, pod)?
            .containers
            .get(container)
            .map(|container| container.process.clone())
    }

    pub(super) fn files(&self, namespace: &str, pod: &str, container: &str, mount_path: &str) -> Option<Files> {
        self.pod(namespace, pod)?.files(container, mount_path)
    }

    pub(super) fn volume_path(&self, namespace: &str, pod: &str, volume: &str) -> Option<PathBuf> {
        self.pod(namespace, pod)?.volume_path(volume)
    }

    pub(super) fn syncs(&self, namespace: &str, pod: &str) -> u64 {
        self.pod(namespace, pod).map_or(0, |pod| pod.syncs)
    }

    pub(super) fn restart(&mut self, namespace: &str, pod: &str, container: &str) -> bool {
        let Some(pod) = self.pods.get_mut(&(namespace.to_owned(), pod.to_owned())) else {
            return false;
        };
        let stopped = pod.stop(container);
        if stopped {
            pod.next_sync = Instant::now();
        }
        stopped
    }
}

/// When something is to be done for the pod.
fn wake(pod: &Pod) -> Instant {
    if let Some(gone_at) = pod.gone_at {
        return gone_at;
    }
    let reported = |name: &str| {
        let lists =
            ["containerStatuses", "initContainerStatuses"].map(|list| object::list(&pod.object, &["status", list]));
        lists
            .into_iter()
            .flatten()
            .any(|status| status["name"] == name && status["ready"] == true)
    };
    let unreported = pod
        .containers
        .iter()
        .filter(|(name, container)| !container.finished && !reported(name));
    let ready = unreported.map(|(_, container)| container.ready_at).min();
    ready.map_or(pod.next_sync, |ready| ready.min(pod.next_sync))
}

fn report(server: &mut Server, pod: &mut Pod) {
    let Some(resource) = server.registry.by_name("pods") else {
        return;
    };
    let patch = Patch::Merge(json!({"status": status::of(pod, &server.clock)}));
    let (namespace, name) = (object::namespace(&pod.object), object::name(&pod.object));
    // A pod that is gone by now needs no report.
    if let Ok(reported) = server.patch(
        &resource,
        namespace,
        name,
        &patch,
        &Write::by("kubelet").through_status(),
    ) {
        pod.object = reported;
    }
}

fn remove(server: &mut Server, pod: &Value) {
    if let Some(resource) = server.registry.by_name("pods") {
        let options = Removal {
            uid: Some(object::uid(pod).to_owned()),
            ..Removal::now()
        };
        // Gone already is what was wanted.
        drop(server.delete(&resource, object::namespace(pod), object::name(pod), &options));
    }
}
