//! The controllers of a small cluster: Deployments, ReplicaSets, StatefulSets, DaemonSets, the scheduler, namespaces
//! and garbage collection.
//!
//! Each is a function of the present state that makes the next small step; one task runs them until nothing moves.

mod actor;
mod daemon_set;
mod deployment;
mod garbage;
mod pods;
mod replica_set;
mod revision;
mod rolling;
mod schedule;
mod stateful_set;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::api::Server;
use crate::object;
use crate::store::{Change, Kind};
use actor::Actor;
use garbage::Garbage;

/// Rounds in one go before other tasks get a turn: enough for any rollout step, and a bound against a livelock.
const MAX_ROUNDS: usize = 50;

/// What is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    storage: Arc<str>,
    namespace: String,
    name: String,
}

/// All controllers and what they have yet to look at.
#[derive(Debug, Default)]
pub(crate) struct Controllers {
    cursor: u64,
    dirty: BTreeSet<Item>,
    /// What has to be looked at again when time has passed.
    timers: BTreeSet<(Instant, Item)>,
    garbage: Garbage,
}

impl Controllers {
    /// Works until nothing moves; returns when to come back at the latest.
    pub(crate) fn run(&mut self, server: &mut Server) -> Option<Instant> {
        for _ in 0..MAX_ROUNDS {
            self.collect(server);
            self.expire();
            if self.dirty.is_empty() {
                break;
            }
            for item in std::mem::take(&mut self.dirty) {
                if let Some(after) = reconcile(server, &item) {
                    self.timers.insert((Instant::now() + after, item));
                }
            }
        }
        let again = (!self.dirty.is_empty()).then(Instant::now);
        again.or_else(|| self.timers.first().map(|(at, _)| *at))
    }

    /// Turns the changes since the last time into things to look at.
    fn collect(&mut self, server: &mut Server) {
        let changes: Vec<Arc<Change>> = match server.store.since(self.cursor) {
            Ok(changes) => changes.cloned().collect(),
            Err(_) => {
                // Compacted under us: look at everything, as after a relist.
                let all = server.store.everything();
                self.dirty
                    .extend(all.map(|(storage, (namespace, name), _)| item(storage, namespace, name)));
                self.garbage = Garbage::default();
                Vec::new()
            }
        };
        self.cursor = server.store.revision();
        for change in &changes {
            self.route(server, change);
        }
        self.garbage.collect(server, &changes);
    }

    fn route(&mut self, server: &Server, change: &Change) {
        let value = &change.after;
        let namespace = object::namespace(value);
        if change.kind != Kind::Deleted {
            self.dirty.insert(item(&change.storage, namespace, object::name(value)));
        }
        if let Some(owner) = object::controller_of(value) {
            let (version, kind) = (object::text(owner, &["apiVersion"]), object::text(owner, &["kind"]));
            if let Some(resource) = server.registry.by_kind(version, kind) {
                self.dirty
                    .insert(item(resource.storage(), namespace, object::text(owner, &["name"])));
            }
        }
        if change.kind == Kind::Deleted && !namespace.is_empty() {
            self.dirty.insert(item(&"namespaces".into(), "", namespace));
        }
        if &*change.storage == "nodes" {
            let sets = server
                .store
                .list("daemonsets.apps")
                .map(|((namespace, name), _)| (namespace, name));
            let pending = server
                .store
                .list("pods")
                .map(|((namespace, name), _)| (namespace, name));
            let storage = |name: &str| -> Arc<str> { name.into() };
            self.dirty
                .extend(sets.map(|(ns, name)| item(&storage("daemonsets.apps"), ns, name)));
            self.dirty
                .extend(pending.map(|(ns, name)| item(&storage("pods"), ns, name)));
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while self.timers.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, item)) = self.timers.pop_first() {
                self.dirty.insert(item);
            }
        }
    }
}

fn item(storage: &Arc<str>, namespace: &str, name: &str) -> Item {
    Item {
        storage: storage.clone(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

/// One step for one object; returns when to look again although nothing changes.
fn reconcile(server: &mut Server, item: &Item) -> Option<Duration> {
    let key = (item.namespace.clone(), item.name.clone());
    let object: Arc<Value> = server.store.get(&item.storage, &key)?.clone();
    let mut actor = Actor::new(server);
    match &*item.storage {
        "deployments.apps" => deployment::reconcile(&mut actor, &object),
        "replicasets.apps" => replica_set::reconcile(&mut actor, &object),
        "statefulsets.apps" => stateful_set::reconcile(&mut actor, &object),
        "daemonsets.apps" => daemon_set::reconcile(&mut actor, &object),
        "pods" => {
            schedule::reconcile(&mut actor, &object);
            None
        }
        "namespaces" => {
            garbage::empty_namespace(&mut actor, &object);
            None
        }
        _ => None,
    }
}
