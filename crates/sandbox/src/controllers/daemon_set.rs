//! DaemonSets: one pod on every node that fits.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::actor::Actor;
use super::replica_set::positive;
use super::revision::{self, REVISION_HASH};
use super::{pods, schedule};
use crate::object;

/// One step, and the status.
pub(super) fn reconcile(actor: &mut Actor<'_>, set: &Value) -> Option<Duration> {
    if object::is_deleting(set) {
        return None;
    }
    let update = revision::current(actor, set)?;
    let hash = revision::label(&update).to_owned();
    let nodes = eligible(actor, set);
    place(actor, set, &hash, &nodes);
    if object::text(set, &["spec", "updateStrategy", "type"]) != "OnDelete" {
        roll(actor, set, &hash, nodes.len());
    }
    report(actor, set, &hash, nodes.len())
}

fn eligible(actor: &Actor<'_>, set: &Value) -> Vec<String> {
    let template = &set["spec"]["template"];
    let nodes = actor.server.store.list("nodes");
    nodes
        .filter(|(_, node)| schedule::fits(template, node))
        .map(|((_, name), _)| name.clone())
        .collect()
}

fn node_of(pod: &Value) -> &str {
    object::text(pod, &["spec", "nodeName"])
}

/// A pod for each node without one; pods on other nodes go.
fn place(actor: &mut Actor<'_>, set: &Value, hash: &str, nodes: &[String]) {
    let pods = actor.controlled("pods", set);
    for pod in pods
        .iter()
        .filter(|pod| !nodes.iter().any(|node| node == node_of(pod)) && !object::is_deleting(pod))
    {
        actor.delete("pods", pod);
    }
    // Without surge, a new pod waits until the old one is gone for good.
    for node in nodes
        .iter()
        .filter(|node| !pods.iter().any(|pod| node_of(pod) == node.as_str()))
    {
        let mut pod = pods::of_template(set, &set["spec"]["template"]);
        object::set(
            &mut pod,
            &["metadata", "generateName"],
            json!(format!("{}-", object::name(set))),
        );
        object::set(&mut pod, &["metadata", "labels", REVISION_HASH], json!(hash));
        let generation = object::generation(set).to_string();
        object::set(
            &mut pod,
            &["metadata", "labels", "pod-template-generation"],
            json!(generation),
        );
        pod["spec"]["nodeName"] = json!(node);
        actor.create("pods", object::namespace(set), pod);
    }
}

/// Deletes old pods as far as `maxUnavailable` allows; those that do not serve anyway cost nothing.
fn roll(actor: &mut Actor<'_>, set: &Value, hash: &str, nodes: usize) {
    let nodes = i64::try_from(nodes).unwrap_or(i64::MAX);
    let bound = object::at(set, &["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"]);
    let max_unavailable = pods::scaled(bound, nodes, true).max(1);
    let pods = actor.controlled("pods", set);
    let serves = |pod: &Value| !object::is_deleting(pod) && pods::is_ready(pod);
    let serving = i64::try_from(pods.iter().filter(|pod| serves(pod)).count()).unwrap_or(0);
    let mut budget = max_unavailable - (nodes - serving);
    let is_old = |pod: &&Arc<Value>| {
        !object::is_deleting(pod) && object::text(pod, &["metadata", "labels", REVISION_HASH]) != hash
    };
    for pod in pods.iter().filter(is_old) {
        if !serves(pod) {
            actor.delete("pods", pod);
        } else if budget > 0 {
            budget -= 1;
            actor.delete("pods", pod);
        }
    }
}

fn report(actor: &mut Actor<'_>, set: &Value, hash: &str, nodes: usize) -> Option<Duration> {
    let pods = actor.controlled("pods", set);
    let live = || pods.iter().filter(|pod| !object::is_deleting(pod)).map(AsRef::as_ref);
    let min_ready = object::integer(set, &["spec", "minReadySeconds"]).unwrap_or(0);
    let count = pods::count(live(), min_ready, actor.now());
    let updated = live()
        .filter(|pod| object::text(pod, &["metadata", "labels", REVISION_HASH]) == hash)
        .count();
    let wanted = i64::try_from(nodes).unwrap_or(0);
    let status = json!({
        "observedGeneration": object::generation(set), "desiredNumberScheduled": wanted,
        "currentNumberScheduled": count.total.min(wanted), "numberMisscheduled": 0, "numberReady": count.ready,
        "numberAvailable": positive(count.available), "numberUnavailable": positive(wanted - count.available),
        "updatedNumberScheduled": positive(i64::try_from(updated).unwrap_or(0)),
    });
    actor.patch_status("daemonsets", set, json!({"status": status}));
    count.wait
}
