//! One pod on the node: its processes, its volumes, and when it is to be looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use afresh_volume::{AtomicWriter, Files};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::cache::{self, Cache, Name};
use super::{Process, READY_AFTER, env, volume};
use crate::object;

/// The first wait after a volume could not be filled; it doubles (volume operations, 500 ms to 2m2s).
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(122);

/// Longer than any test.
const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A container's present or last process.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) process: Process,
    pub(super) ready_at: Instant,
    /// What `subPath` mounts showed when it started, by mount path.
    sub_paths: BTreeMap<String, Files>,
    /// An init container that has done its work.
    pub(super) finished: bool,
}

/// A pod as the node holds it.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) object: Arc<Value>,
    pub(super) used: BTreeSet<Name>,
    pub(super) start_at: Instant,
    pub(super) next_sync: Instant,
    pub(super) last_sync: Option<Instant>,
    pub(super) gone_at: Option<Instant>,
    pub(super) syncs: u64,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) restarts: BTreeMap<String, u32>,
    volumes: BTreeMap<String, Files>,
    retry: Duration,
    /// Why it has not started, as reason and message by container.
    pub(super) waiting: BTreeMap<String, (&'static str, String)>,
    directory: Option<PathBuf>,
}

impl Pod {
    pub(super) fn new(object: Arc<Value>, start_at: Instant, root: Option<&Path>) -> Self {
        let directory = root.map(|root| root.join("pods").join(object::uid(&object)).join("volumes"));
        Self {
            used: cache::used_by(&object),
            object,
            start_at,
            next_sync: start_at,
            last_sync: None,
            gone_at: None,
            syncs: 0,
            containers: BTreeMap::new(),
            restarts: BTreeMap::new(),
            volumes: BTreeMap::new(),
            retry: FIRST_RETRY,
            waiting: BTreeMap::new(),
            directory,
        }
    }

    /// Whether the kubelet would see a change that makes it sync (kubelet.md section 3): everything but status.
    pub(super) fn differs(&self, new: &Value) -> bool {
        let changed = |path: &[&str]| object::at(&self.object, path) != object::at(new, path);
        let metadata = [
            "labels",
            "annotations",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ];
        metadata.into_iter().any(|field| changed(&["metadata", field])) || changed(&["spec"])
    }

    /// Fills the volumes and starts what can start. Returns when to try again, if something is missing.
    pub(super) fn sync(&mut self, cache: &Cache, now: Timestamp, ready_delay: Duration) -> Option<Duration> {
        self.waiting.clear();
        if let Some(missing) = self.mount(cache) {
            let wait = self.retry;
            self.retry = (self.retry * 2).min(LAST_RETRY);
            if self.volumes.len() < self.mounted_volumes() {
                // Before the first mount nothing starts; afterwards the volume just stays as it is.
                for container in self.specs() {
                    let name = object::text(&container, &["name"]).to_owned();
                    self.waiting.insert(name, ("ContainerCreating", missing.clone()));
                }
            } else {
                self.start(cache, now, ready_delay);
            }
            return Some(wait);
        }
        self.retry = FIRST_RETRY;
        self.start(cache, now, ready_delay);
        // A container that cannot be configured is tried again after the sync's error back-off.
        (!self.waiting.is_empty()).then_some(Duration::from_secs(10))
    }

    fn mounted_volumes(&self) -> usize {
        let filled = |volume: &&Value| {
            ["configMap", "secret", "projected", "downwardAPI"]
                .iter()
                .any(|k| volume.get(*k).is_some())
        };
        object::list(&self.object, &["spec", "volumes"])
            .iter()
            .filter(filled)
            .count()
    }

    fn specs(&self) -> Vec<Value> {
        ["initContainers", "containers"]
            .iter()
            .flat_map(|list| object::list(&self.object, &["spec", list]).to_vec())
            .collect()
    }

    /// Brings every volume up to what the node knows; says what is missing.
    fn mount(&mut self, cache: &Cache) -> Option<String> {
        let mut missing = None;
        for spec in object::list(&self.object, &["spec", "volumes"]) {
            let name = object::text(spec, &["name"]);
            let outcome = volume::files(cache, &self.object, spec).and_then(|files| match (files, &self.directory) {
                (Some(files), Some(directory)) => write(&directory.join(name), &files).map(|()| Some(files)),
                (files, _) => Ok(files),
            });
            match outcome {
                Ok(Some(files)) => drop(self.volumes.insert(name.to_owned(), files)),
                Ok(None) => {}
                Err(why) => missing = Some(format!("MountVolume.SetUp failed for volume {name:?} : {why}")),
            }
        }
        missing
    }

    fn start(&mut self, cache: &Cache, now: Timestamp, ready_delay: Duration) {
        for spec in object::list(&self.object.clone(), &["spec", "initContainers"]) {
            let name = object::text(spec, &["name"]);
            let is_sidecar = object::text(spec, &["restartPolicy"]) == "Always";
            if !self.containers.contains_key(name) && !self.launch(cache, spec, now, ready_delay) {
                return;
            }
            if let Some(container) = self.containers.get_mut(name) {
                container.finished = !is_sidecar;
            }
        }
        for spec in object::list(&self.object.clone(), &["spec", "containers"]) {
            if !self.containers.contains_key(object::text(spec, &["name"])) {
                self.launch(cache, spec, now, ready_delay);
            }
        }
    }

    fn launch(&mut self, cache: &Cache, spec: &Value, now: Timestamp, ready_delay: Duration) -> bool {
        let name = object::text(spec, &["name"]).to_owned();
        match env::resolve(cache, &self.object, spec) {
            Ok(env) => {
                let restart_count = self.restarts.get(&name).copied().unwrap_or(0);
                let process = Process {
                    env,
                    started_at: now,
                    restart_count,
                };
                let ready_at = Instant::now() + self.ready_after().unwrap_or(ready_delay);
                let sub_paths = self.pin(spec);
                self.containers.insert(
                    name,
                    Container {
                        process,
                        ready_at,
                        sub_paths,
                        finished: false,
                    },
                );
                true
            }
            Err(why) => {
                self.waiting.insert(name, ("CreateContainerConfigError", why));
                false
            }
        }
    }

    /// What the pod itself says about when its containers are ready.
    fn ready_after(&self) -> Option<Duration> {
        match object::text(&self.object, &["metadata", "annotations", READY_AFTER]) {
            "" => None,
            "never" => Some(NEVER),
            seconds => Duration::try_from_secs_f64(seconds.parse().ok()?).ok(),
        }
    }

    /// What the `subPath` mounts of a starting container show, for as long as it runs.
    fn pin(&self, spec: &Value) -> BTreeMap<String, Files> {
        let mounts = object::list(spec, &["volumeMounts"])
            .iter()
            .filter(|m| !object::text(m, &["subPath"]).is_empty());
        let pinned = mounts.filter_map(|mount| {
            let files = self.volumes.get(object::text(mount, &["name"]))?;
            let path = object::text(mount, &["mountPath"]).trim_end_matches('/');
            Some((
                path.to_owned(),
                volume::sub_path(files, object::text(mount, &["subPath"])),
            ))
        });
        pinned.collect()
    }

    /// Ends a process; the next sync starts its successor.
    pub(super) fn stop(&mut self, container: &str) -> bool {
        let stopped = self.containers.remove(container).is_some();
        if stopped {
            *self.restarts.entry(container.to_owned()).or_insert(0) += 1;
        }
        stopped
    }

    pub(super) fn files(&self, container: &str, mount_path: &str) -> Option<Files> {
        let running = self.containers.get(container)?;
        let wanted = mount_path.trim_end_matches('/');
        if let Some(pinned) = running.sub_paths.get(wanted) {
            return Some(pinned.clone());
        }
        let specs = self.specs();
        let spec = specs.iter().find(|spec| object::text(spec, &["name"]) == container)?;
        let mounts = object::list(spec, &["volumeMounts"]);
        let mount = mounts
            .iter()
            .find(|mount| object::text(mount, &["mountPath"]).trim_end_matches('/') == wanted)?;
        self.volumes.get(object::text(mount, &["name"])).cloned()
    }

    pub(super) fn volume_path(&self, volume: &str) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join(volume)).filter(|_| self.volumes.contains_key(volume))
    }

    /// Removes the pod's files.
    pub(super) fn clean_up(&self) {
        if let Some(pod) = self.directory.as_ref().and_then(|volumes| volumes.parent()) {
            // Nobody is left to be told; a leftover directory is named by a UID that never returns.
            drop(std::fs::remove_dir_all(pod));
        }
    }
}

fn write(directory: &Path, files: &Files) -> Result<(), String> {
    std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    AtomicWriter::write(directory, files)
        .map(drop)
        .map_err(|error| error.to_string())
}
