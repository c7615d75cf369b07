//! Deployments: one ReplicaSet per template, and pods moved from the old ones to the new one.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::actor::Actor;
use super::pods;
use super::replica_set::positive;
use super::revision::{self, TEMPLATE_HASH};
use super::rolling::{Bounds, Set};
use crate::object;

const REVISION: &str = "deployment.kubernetes.io/revision";
/// Why a rollout that makes no progress is said to have failed.
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";

/// A Deployment with the ReplicaSets it controls.
struct Rollout<'a> {
    deployment: &'a Value,
    /// Of the present template, if made already.
    new: Option<Arc<Value>>,
    /// Of other templates, oldest first.
    old: Vec<Arc<Value>>,
}

/// One step of the rollout, and the status.
pub(super) fn reconcile(actor: &mut Actor<'_>, deployment: &Value) -> Option<Duration> {
    if object::is_deleting(deployment) {
        return None;
    }
    let mut rollout = Rollout::find(actor, deployment);
    if object::flag(deployment, &["spec", "paused"]) {
        rollout.scale_only(actor);
    } else {
        match object::text(deployment, &["spec", "strategy", "type"]) {
            "Recreate" => rollout.recreate(actor),
            _ => rollout.roll(actor),
        }
        rollout.trim(actor);
    }
    Rollout::find(actor, deployment).report(actor)
}

fn wanted(set: &Value) -> i64 {
    object::integer(set, &["spec", "replicas"]).unwrap_or(0)
}

fn revision_of(value: &Value) -> i64 {
    object::text(value, &["metadata", "annotations", REVISION])
        .parse()
        .unwrap_or(0)
}

fn tally(set: &Value) -> Set {
    Set {
        wanted: wanted(set),
        available: object::integer(set, &["status", "availableReplicas"]).unwrap_or(0),
    }
}

fn resize(actor: &mut Actor<'_>, set: &Value, size: i64) {
    if wanted(set) != size {
        actor.patch("replicasets", set, json!({"spec": {"replicas": size}}));
    }
}

/// The metadata of a template, less what the controller adds.
fn metadata_of(template: &Value) -> Value {
    let mut metadata = json!({"metadata": template["metadata"]});
    object::remove(&mut metadata, &["metadata", "labels", TEMPLATE_HASH]);
    object::tidy(&mut metadata);
    metadata
}

impl<'a> Rollout<'a> {
    fn find(actor: &Actor<'_>, deployment: &'a Value) -> Self {
        let mut sets = actor.controlled("replicasets.apps", deployment);
        sets.sort_by_key(|set| {
            (
                object::text(set, &["metadata", "creationTimestamp"]).to_owned(),
                revision_of(set),
                object::name(set).to_owned(),
            )
        });
        let own = metadata_of(&deployment["spec"]["template"]);
        let same = |set: &Arc<Value>| {
            set["spec"]["template"]["spec"] == deployment["spec"]["template"]["spec"]
                && metadata_of(&set["spec"]["template"]) == own
        };
        let new = sets.iter().position(same).map(|index| sets.remove(index));
        Self {
            deployment,
            new,
            old: sets,
        }
    }

    /// Makes the ReplicaSet of the present template, or brings an old one back to the front.
    fn ensure_new(&mut self, actor: &mut Actor<'_>, size: i64) {
        let newest = self.old.iter().map(|set| revision_of(set)).max().unwrap_or(0);
        let number = match &self.new {
            Some(set) if revision_of(set) > newest => revision_of(set),
            _ => newest + 1,
        };
        let mut annotations = self.annotations(number);
        if let Some(set) = self.new.as_ref().filter(|set| revision_of(set) != number) {
            // Which numbers this template has had before.
            let past = object::text(set, &["metadata", "annotations", HISTORY]);
            let history = if past.is_empty() {
                String::new()
            } else {
                format!("{past},")
            };
            annotations[HISTORY] = json!(format!("{history}{}", revision_of(set)));
        }
        match &self.new {
            Some(set) => {
                if let Some(set) = actor.patch("replicasets", set, json!({"metadata": {"annotations": annotations}})) {
                    self.new = Some(set);
                }
            }
            None => self.new = self.make(actor, &annotations, size),
        }
        // Through the status door, so that the annotation does not count as a change of the Deployment.
        let note = json!({"metadata": {"annotations": {REVISION: number.to_string()}}});
        actor.patch_status("deployments", self.deployment, note);
    }

    /// What the controller copies onto its ReplicaSets.
    fn annotations(&self, number: i64) -> Value {
        let bounds = Bounds::of(self.deployment);
        let own = object::map_at(self.deployment, &["metadata", "annotations"])
            .cloned()
            .unwrap_or_default();
        let skipped = ["kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY];
        let mut copied: serde_json::Map<_, _> = own
            .into_iter()
            .filter(|(key, _)| !skipped.contains(&key.as_str()))
            .collect();
        for (key, value) in [
            (REVISION, number),
            ("deployment.kubernetes.io/desired-replicas", bounds.replicas),
            ("deployment.kubernetes.io/max-replicas", bounds.replicas + bounds.surge),
        ] {
            copied.insert(key.to_owned(), json!(value.to_string()));
        }
        Value::Object(copied)
    }

    fn make(&self, actor: &mut Actor<'_>, annotations: &Value, size: i64) -> Option<Arc<Value>> {
        let deployment = self.deployment;
        let mut template = deployment["spec"]["template"].clone();
        let namespace = object::namespace(deployment);
        // Another template may have the same hash: the next salt tells them apart.
        (0..10).find_map(|collisions| {
            let hash = revision::hash(&deployment["spec"]["template"], collisions);
            object::set(&mut template, &["metadata", "labels", TEMPLATE_HASH], json!(hash));
            let mut selector = deployment["spec"]["selector"].clone();
            object::set(&mut selector, &["matchLabels", TEMPLATE_HASH], json!(hash));
            let body = json!({
                "metadata": {
                    "name": format!("{}-{hash}", object::name(deployment)),
                    "labels": template["metadata"]["labels"], "annotations": annotations,
                    "ownerReferences": [pods::owner_reference(deployment)],
                },
                "spec": {
                    "replicas": size, "minReadySeconds": deployment["spec"].get("minReadySeconds"),
                    "selector": selector, "template": template,
                },
            });
            actor.create("replicasets", namespace, body)
        })
    }

    /// A paused Deployment is scaled, but not rolled.
    fn scale_only(&self, actor: &mut Actor<'_>) {
        let size = Bounds::of(self.deployment).replicas;
        let mut active = self.old.iter().chain(&self.new).filter(|set| wanted(set) > 0);
        match (active.next(), active.next()) {
            (Some(only), None) => resize(actor, only, size),
            (None, None) => self.new.iter().for_each(|set| resize(actor, set, size)),
            // In the middle of a rollout the sizes stay as they were when it was paused.
            _ => {}
        }
    }

    fn roll(&mut self, actor: &mut Actor<'_>) {
        let bounds = Bounds::of(self.deployment);
        let old: Vec<Set> = self.old.iter().map(|set| tally(set)).collect();
        self.ensure_new(actor, bounds.grow(Set::default(), &old));
        let Some(new) = &self.new else { return };
        let size = bounds.grow(tally(new), &old);
        resize(actor, new, size);
        let grown = Set {
            wanted: size,
            ..tally(new)
        };
        for (set, size) in self.old.iter().zip(bounds.shrink(grown, &old)) {
            resize(actor, set, size);
        }
    }

    fn recreate(&mut self, actor: &mut Actor<'_>) {
        for set in &self.old {
            resize(actor, set, 0);
        }
        // Pods that are still stopping count as well.
        let stopped = self.old.iter().all(|set| actor.controlled("pods", set).is_empty());
        if !stopped {
            return;
        }
        let size = Bounds::of(self.deployment).replicas;
        self.ensure_new(actor, size);
        if let Some(new) = &self.new {
            resize(actor, new, size);
        }
    }

    /// Deletes the oldest empty ReplicaSets beyond the history limit.
    fn trim(&self, actor: &mut Actor<'_>) {
        let limit = object::integer(self.deployment, &["spec", "revisionHistoryLimit"]).unwrap_or(10);
        let mut empty: Vec<_> = self
            .old
            .iter()
            .filter(|set| wanted(set) == 0 && object::integer(set, &["status", "replicas"]).unwrap_or(0) == 0)
            .collect();
        empty.sort_by_key(|set| revision_of(set));
        let surplus = empty.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        empty
            .into_iter()
            .take(surplus)
            .for_each(|set| actor.delete("replicasets", set));
    }

    fn report(&self, actor: &mut Actor<'_>) -> Option<Duration> {
        let sum = |key: &str| -> i64 {
            let sets = self.old.iter().chain(&self.new);
            sets.map(|set| object::integer(set, &["status", key]).unwrap_or(0))
                .sum()
        };
        let of_new = |key: &str| {
            self.new
                .as_ref()
                .and_then(|set| object::integer(set, &["status", key]))
                .unwrap_or(0)
        };
        let bounds = Bounds::of(self.deployment);
        let (total, available) = (sum("replicas"), sum("availableReplicas"));
        let updated = of_new("replicas");
        let complete = updated == bounds.replicas && total == updated && available == updated;
        let present = actor.server.store.get("deployments.apps", &self.key()).cloned()?;
        let mut status = json!({
            "observedGeneration": object::generation(self.deployment), "replicas": positive(total),
            "updatedReplicas": positive(updated), "readyReplicas": positive(sum("readyReplicas")),
            "availableReplicas": positive(available),
            "unavailableReplicas": positive((bounds.replicas.max(total) - available).max(0)),
        });
        let moved = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"]
            .iter()
            .any(|key| {
                object::integer(&present, &["status", key]).unwrap_or(0)
                    != object::integer(&status, &[key]).unwrap_or(0)
            });
        let enough = available >= bounds.replicas - bounds.unavailable;
        let (conditions, wait) = self.conditions(&present, actor.now(), &actor.stamp(), (complete, moved, enough));
        status["conditions"] = conditions;
        actor.patch_status("deployments", self.deployment, json!({"status": status}));
        wait
    }

    fn key(&self) -> (String, String) {
        (
            object::namespace(self.deployment).to_owned(),
            object::name(self.deployment).to_owned(),
        )
    }

    /// `Available` and `Progressing`, and when the progress deadline is to be checked.
    fn conditions(
        &self,
        present: &Value,
        now: Timestamp,
        stamp: &str,
        (complete, moved, enough): (bool, bool, bool),
    ) -> (Value, Option<Duration>) {
        let available = if enough {
            (
                "True",
                "MinimumReplicasAvailable",
                "Deployment has minimum availability.".to_owned(),
            )
        } else {
            (
                "False",
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.".to_owned(),
            )
        };
        let list = object::list(present, &["status", "conditions"]);
        let old = |kind: &str| list.iter().find(|condition| object::text(condition, &["type"]) == kind);
        let deadline = object::integer(self.deployment, &["spec", "progressDeadlineSeconds"]).unwrap_or(600);
        let updated: Option<Timestamp> =
            old("Progressing").and_then(|condition| object::text(condition, &["lastUpdateTime"]).parse().ok());
        let left = updated.map_or(deadline, |since| deadline - now.duration_since(since).as_secs());
        let was = |reason: &str| old("Progressing").is_some_and(|c| object::text(c, &["reason"]) == reason);
        let is_new =
            object::integer(present, &["status", "observedGeneration"]) != Some(object::generation(self.deployment));
        let fresh = is_new && (was("NewReplicaSetAvailable") || was(TIMED_OUT));
        let late = (left <= 0 || was(TIMED_OUT)) && !moved && !fresh;
        let name = self
            .new
            .as_ref()
            .map(|set| object::name(set).to_owned())
            .unwrap_or_default();
        let progressing = if complete {
            (
                "True",
                "NewReplicaSetAvailable",
                format!("ReplicaSet {name:?} has successfully progressed."),
            )
        } else if late {
            (
                "False",
                TIMED_OUT,
                format!("ReplicaSet {name:?} has timed out progressing."),
            )
        } else {
            (
                "True",
                "ReplicaSetUpdated",
                format!("ReplicaSet {name:?} is progressing."),
            )
        };
        let conditions = [
            ("Available", available, false),
            ("Progressing", progressing, moved || fresh),
        ];
        let conditions = conditions.map(|(kind, new, touch)| condition(kind, new, old(kind), touch, stamp));
        let wait = (!complete && left > 0).then(|| Duration::from_secs(u64::try_from(left).unwrap_or(0)));
        (json!(conditions), wait)
    }
}

/// A condition: its times move only when something in it does.
fn condition(
    kind: &str,
    (status, reason, message): (&str, &str, String),
    old: Option<&Value>,
    touch: bool,
    now: &str,
) -> Value {
    let kept = |key: &str, same: bool| match old.filter(|_| same) {
        Some(old) => old[key].clone(),
        None => json!(now),
    };
    let same_status = old.is_some_and(|old| old["status"] == status);
    let same_reason = same_status && old.is_some_and(|old| old["reason"] == reason);
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": kept("lastTransitionTime", same_status),
        "lastUpdateTime": kept("lastUpdateTime", same_reason && !touch),
    })
}
