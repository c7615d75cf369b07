//! The API server's verbs over the store: synchronous, one caller at a time, no I/O.

mod delete;
mod list;
mod write;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::random::Random;
use crate::resource::{Registry, Resource};
use crate::signal::{Changes, Signal};
use crate::status::ApiError;
use crate::store::{Key, Store};

pub(crate) use delete::{Deleted, Propagation, Removal};
pub(crate) use list::{Query, VersionMatch};
pub(crate) use write::Write;

/// The state of the API server and everything that changes it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// Wakes watchers and controllers after every write.
    changed: Signal,
}

impl Server {
    /// A server with the namespaces every cluster has.
    pub(crate) fn new(base: Timestamp, seed: u64, history: usize) -> Self {
        let mut server = Self {
            store: Store::new(history),
            registry: Registry::built_in(),
            clock: Clock::starting_at(base),
            random: Random::labelled(seed, "server"),
            changed: Signal::default(),
        };
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            server.ensure_namespace(name);
        }
        server
    }

    /// Wakes after every write.
    pub(crate) fn revisions(&self) -> Changes {
        self.changed.subscribe()
    }

    pub(crate) fn resource(&self, group: &str, version: &str, plural: &str) -> Result<Arc<Resource>, ApiError> {
        self.registry
            .get(group, version, plural)
            .ok_or_else(ApiError::no_such_path)
    }

    /// The stored object.
    pub(crate) fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Arc<Value>, ApiError> {
        let found = self.store.get(resource.storage(), &key(resource, namespace, name));
        found.cloned().ok_or_else(|| ApiError::not_found(resource, name))
    }

    /// Creates the namespace unless it exists.
    pub(crate) fn ensure_namespace(&mut self, name: &str) {
        if let Some(resource) = self.registry.get("", "v1", "namespaces") {
            let write = Write::by("sandbox");
            // The only way to fail is that it exists already, which is what was asked for.
            drop(self.create(&resource, "", json!({"metadata": {"name": name}}), &write));
        }
    }

    pub(super) fn put(&mut self, resource: &Resource, key: Key, value: Value) -> Arc<Value> {
        let stored = self.store.put(resource.storage(), key, value);
        self.changed.tell();
        stored
    }

    pub(super) fn remove(&mut self, resource: &Resource, key: &Key) -> Option<Arc<Value>> {
        let removed = self.store.remove(resource.storage(), key);
        self.changed.tell();
        removed
    }

    /// Forgets all history, as etcd's compaction at the current revision does.
    pub(crate) fn compact(&mut self) {
        let revision = self.store.revision();
        self.store.compact(revision);
        self.changed.tell();
    }
}

/// The key of an object; cluster-scoped ones have no namespace.
pub(crate) fn key(resource: &Resource, namespace: &str, name: &str) -> Key {
    let namespace = if resource.namespaced { namespace } else { "" };
    (namespace.to_owned(), name.to_owned())
}

#[cfg(test)]
mod tests;
