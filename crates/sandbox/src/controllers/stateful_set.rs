//! StatefulSets: pods with names and an order, updated one by one from the last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::actor::Actor;
use super::pods;
use super::replica_set::positive;
use super::revision::{self, REVISION_HASH};
use crate::object;

/// One step, and the status.
pub(super) fn reconcile(actor: &mut Actor<'_>, set: &Value) -> Option<Duration> {
    if object::is_deleting(set) {
        return None;
    }
    let update = revision::current(actor, set)?;
    let known = actor.controlled("controllerrevisions.apps", set);
    let current_name = object::text(set, &["status", "currentRevision"]);
    let current = known
        .into_iter()
        .find(|revision| object::name(revision) == current_name);
    let current = current.unwrap_or_else(|| update.clone());
    let plan = Plan {
        set,
        update: &update,
        current: &current,
    };
    let pods = plan.pods(actor);
    plan.step(actor, &pods);
    let pods = plan.pods(actor);
    plan.report(actor, &pods)
}

struct Plan<'a> {
    set: &'a Value,
    update: &'a Arc<Value>,
    current: &'a Arc<Value>,
}

type Pods = BTreeMap<i64, Arc<Value>>;

impl Plan<'_> {
    fn wanted(&self) -> i64 {
        object::integer(self.set, &["spec", "replicas"]).unwrap_or(1)
    }

    fn pods(&self, actor: &Actor<'_>) -> Pods {
        let ordinal = |pod: &Value| object::name(pod).rsplit('-').next().and_then(|text| text.parse().ok());
        actor
            .controlled("pods", self.set)
            .into_iter()
            .filter_map(|pod| Some((ordinal(&pod)?, pod)))
            .collect()
    }

    fn is_updated(&self, pod: &Value) -> bool {
        object::text(pod, &["metadata", "labels", REVISION_HASH]) == object::name(self.update)
    }

    /// Whether one pod at a time is moved, each waiting for the one before.
    fn in_order(&self) -> bool {
        object::text(self.set, &["spec", "podManagementPolicy"]) != "Parallel"
    }

    fn step(&self, actor: &mut Actor<'_>, pods: &Pods) {
        let healthy = |pod: &Value| !object::is_deleting(pod) && pods::is_ready(pod);
        for ordinal in 0..self.wanted() {
            match pods.get(&ordinal) {
                None => self.make(actor, ordinal),
                Some(pod) if healthy(pod) => continue,
                Some(pod) if !object::is_deleting(pod) && !pods::is_active(pod) => actor.delete("pods", pod),
                Some(_) => {}
            }
            // A pod that never gets ready holds up the rest, whatever its template (kubernetes#67250).
            if self.in_order() {
                return;
            }
        }
        for (_, pod) in pods.iter().rev().filter(|(ordinal, _)| **ordinal >= self.wanted()) {
            if !object::is_deleting(pod) {
                actor.delete("pods", pod);
            }
            if self.in_order() {
                return;
            }
        }
        self.roll(actor, pods);
    }

    /// Deletes the highest pod that is not of the new template, once all above it are well.
    fn roll(&self, actor: &mut Actor<'_>, pods: &Pods) {
        if object::text(self.set, &["spec", "updateStrategy", "type"]) == "OnDelete" {
            return;
        }
        let partition = self.partition();
        for (_, pod) in pods.range(partition..self.wanted().max(partition)).rev() {
            if !self.is_updated(pod) && !object::is_deleting(pod) {
                actor.delete("pods", pod);
                return;
            }
            if object::is_deleting(pod) || !pods::is_ready(pod) {
                return;
            }
        }
    }

    fn partition(&self) -> i64 {
        object::integer(self.set, &["spec", "updateStrategy", "rollingUpdate", "partition"]).unwrap_or(0)
    }

    fn make(&self, actor: &mut Actor<'_>, ordinal: i64) {
        let is_held = ordinal < self.partition();
        let revision = if is_held { self.current } else { self.update };
        let mut pod = pods::of_template(self.set, &revision["data"]["spec"]["template"]);
        let name = format!("{}-{ordinal}", object::name(self.set));
        for (label, value) in [
            (REVISION_HASH, object::name(revision)),
            ("statefulset.kubernetes.io/pod-name", name.as_str()),
            ("apps.kubernetes.io/pod-index", ordinal.to_string().as_str()),
        ] {
            object::set(&mut pod, &["metadata", "labels", label], json!(value));
        }
        object::set(&mut pod, &["metadata", "name"], json!(name));
        pod["spec"]["hostname"] = json!(name);
        actor.create("pods", object::namespace(self.set), pod);
    }

    fn report(&self, actor: &mut Actor<'_>, pods: &Pods) -> Option<Duration> {
        let min_ready = object::integer(self.set, &["spec", "minReadySeconds"]).unwrap_or(0);
        let live = || pods.values().filter(|pod| !object::is_deleting(pod)).map(AsRef::as_ref);
        let count = pods::count(live(), min_ready, actor.now());
        let updated = i64::try_from(live().filter(|pod| self.is_updated(pod)).count()).unwrap_or(0);
        let is_current =
            |pod: &&Value| object::text(pod, &["metadata", "labels", REVISION_HASH]) == object::name(self.current);
        let current = i64::try_from(live().filter(is_current).count()).unwrap_or(0);
        let complete = updated == self.wanted() && count.ready == updated && count.total == updated;
        let current_name = if complete {
            object::name(self.update)
        } else {
            object::name(self.current)
        };
        let status = json!({
            "observedGeneration": object::generation(self.set), "replicas": count.total,
            "readyReplicas": positive(count.ready), "availableReplicas": count.available,
            "updatedReplicas": positive(updated), "currentReplicas": positive(if complete { updated } else { current }),
            "currentRevision": current_name, "updateRevision": object::name(self.update), "collisionCount": 0,
        });
        actor.patch_status("statefulsets", self.set, json!({"status": status}));
        count.wait
    }
}
