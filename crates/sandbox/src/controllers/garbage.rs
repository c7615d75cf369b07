//! Garbage collection by owner references, and the emptying of namespaces.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::actor::Actor;
use crate::api::{Removal, Server, Write};
use crate::object;
use crate::patch::Patch;
use crate::resource::Resource;
use crate::store::{Change, Kind};

/// Which UIDs exist.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    live: HashSet<String>,
}

impl Garbage {
    /// Deletes what has lost its last owner, and finishes foreground and orphaning deletions.
    pub(super) fn collect(&mut self, server: &mut Server, changes: &[Arc<Change>]) {
        let mut lost: BTreeSet<&str> = BTreeSet::new();
        let mut suspects: Vec<Arc<Value>> = Vec::new();
        if self.live.is_empty() {
            // Anything may have happened before: look at everything.
            suspects.extend(server.store.everything().map(|(_, _, value)| value.clone()));
            self.live = suspects.iter().map(|value| object::uid(value).to_owned()).collect();
        }
        for change in changes {
            let uid = object::uid(&change.after);
            if change.kind == Kind::Deleted {
                self.live.remove(uid);
                lost.insert(uid);
            } else {
                self.live.insert(uid.to_owned());
                suspects.push(change.after.clone());
            }
        }
        if !lost.is_empty() {
            let all = server.store.everything().map(|(_, _, value)| value);
            suspects.extend(
                all.filter(|value| owners(value).any(|owner| lost.contains(owner)))
                    .cloned(),
            );
        }
        for suspect in &suspects {
            let orphaned = owners(suspect).next().is_some() && !owners(suspect).any(|owner| self.live.contains(owner));
            if orphaned {
                delete(server, suspect);
            }
            finish(server, suspect);
        }
        // Dependents that are going may have been the last to wait for.
        let owners_of_lost: Vec<_> = changes
            .iter()
            .filter(|change| change.kind == Kind::Deleted)
            .flat_map(|change| owners(&change.after).map(str::to_owned).collect::<Vec<_>>())
            .collect();
        for uid in owners_of_lost {
            let owner = server
                .store
                .everything()
                .map(|(_, _, value)| value)
                .find(|value| object::uid(value) == uid);
            if let Some(owner) = owner.cloned() {
                finish(server, &owner);
            }
        }
    }
}

fn owners(value: &Value) -> impl Iterator<Item = &str> {
    object::list(value, &["metadata", "ownerReferences"])
        .iter()
        .map(object::uid_of)
}

fn resource_of(server: &Server, value: &Value) -> Option<Arc<Resource>> {
    server
        .registry
        .by_kind(object::text(value, &["apiVersion"]), object::text(value, &["kind"]))
}

fn delete(server: &mut Server, value: &Value) {
    if let Some(resource) = resource_of(server, value) {
        let options = Removal {
            uid: Some(object::uid(value).to_owned()),
            ..Removal::default()
        };
        // Gone already is what was wanted.
        drop(server.delete(&resource, object::namespace(value), object::name(value), &options));
    }
}

/// Foreground: dependents go before their owner. Orphan: they lose their reference to it.
fn finish(server: &mut Server, owner: &Value) {
    if !object::is_deleting(owner) {
        return;
    }
    let finalizers: Vec<&str> = object::list(owner, &["metadata", "finalizers"])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let foreground = finalizers.contains(&"foregroundDeletion");
    let orphan = finalizers.contains(&"orphan");
    if !foreground && !orphan {
        return;
    }
    let uid = object::uid(owner);
    let all = server.store.everything().map(|(_, _, value)| value);
    let dependents: Vec<_> = all
        .filter(|value| owners(value).any(|other| other == uid))
        .cloned()
        .collect();
    for dependent in &dependents {
        if orphan {
            let kept: Vec<_> = object::list(dependent, &["metadata", "ownerReferences"]).to_vec();
            let kept: Vec<_> = kept
                .into_iter()
                .filter(|reference| object::uid_of(reference) != uid)
                .collect();
            patch(server, dependent, json!({"metadata": {"ownerReferences": kept}}));
        } else if !object::is_deleting(dependent) {
            delete(server, dependent);
        }
    }
    let waiting = foreground && dependents.iter().any(|dependent| resource_has(server, dependent));
    if !waiting {
        let kept: Vec<_> = finalizers
            .into_iter()
            .filter(|f| !["foregroundDeletion", "orphan"].contains(f))
            .collect();
        patch(server, owner, json!({"metadata": {"finalizers": kept}}));
    }
}

fn resource_has(server: &Server, value: &Value) -> bool {
    let resource = resource_of(server, value);
    resource.is_some_and(|resource| {
        server
            .get(&resource, object::namespace(value), object::name(value))
            .is_ok()
    })
}

fn patch(server: &mut Server, value: &Value, patch: Value) {
    if let Some(resource) = resource_of(server, value) {
        let write = Write::by("generic-garbage-collector");
        let (namespace, name) = (object::namespace(value), object::name(value));
        // A refused patch means the object has changed, which brings the next attempt.
        drop(server.patch(&resource, namespace, name, &Patch::Merge(patch), &write));
    }
}

/// Deletes what is in a namespace that is going, and then the namespace.
pub(super) fn empty_namespace(actor: &mut Actor<'_>, namespace: &Value) {
    if !object::is_deleting(namespace) {
        return;
    }
    let name = object::name(namespace);
    let all = actor.server.store.everything();
    let inside: Vec<_> = all
        .filter(|(_, (home, _), _)| home == name)
        .map(|(_, _, value)| value.clone())
        .collect();
    for value in &inside {
        if let Some(resource) = resource_of(actor.server, value) {
            // Pods go without grace here: their node has nothing to save.
            drop(
                actor
                    .server
                    .delete(&resource, name, object::name(value), &Removal::now()),
            );
        }
    }
    let left = actor.server.store.everything().any(|(_, (home, _), _)| home == name);
    if !left {
        actor.finalize_namespace(namespace);
    }
}
