//! Whether a workload's own controller is still replacing pods, by the rules of `kubectl rollout status`.

use afresh_model::workload::Rollout;
use serde::Deserialize;

use super::decode::null_is_default;

/// The part of `spec` that decides.
#[derive(Default, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) generation: i64,
    pub(super) replicas: i64,
    pub(super) paused: bool,
    /// Pods are replaced only when somebody deletes them.
    pub(super) on_delete: bool,
    /// A StatefulSet's pods below this ordinal are not replaced.
    pub(super) partition: i64,
}

/// `status` of a Deployment, StatefulSet, DaemonSet, or of a kind that is like one; what is absent counts as zero.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Status {
    #[serde(deserialize_with = "null_is_default")]
    observed_generation: i64,
    #[serde(deserialize_with = "null_is_default")]
    replicas: i64,
    #[serde(deserialize_with = "null_is_default")]
    updated_replicas: i64,
    #[serde(deserialize_with = "null_is_default")]
    available_replicas: i64,
    #[serde(deserialize_with = "null_is_default")]
    current_revision: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    update_revision: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    desired_number_scheduled: i64,
    #[serde(deserialize_with = "null_is_default")]
    updated_number_scheduled: i64,
    #[serde(deserialize_with = "null_is_default")]
    number_available: i64,
    #[serde(deserialize_with = "null_is_default")]
    conditions: Vec<Condition>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type", deserialize_with = "null_is_default")]
    kind: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    status: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    reason: Box<str>,
}

fn complete(done: bool) -> Rollout {
    if done { Rollout::Complete } else { Rollout::InProgress }
}

impl Status {
    /// On how many nodes a DaemonSet's pods should be.
    pub(super) const fn desired(&self) -> i64 {
        self.desired_number_scheduled
    }

    /// Whether a Job is complete or has failed for good.
    pub(super) fn has_ended(&self) -> bool {
        let over = |condition: &Condition| {
            &*condition.status == "True"
                && matches!(
                    &*condition.kind,
                    "Complete" | "Failed" | "SuccessCriteriaMet" | "FailureTarget"
                )
        };
        self.conditions.iter().any(over)
    }

    /// Whether the kind counts its pods as a Deployment does.
    pub(super) const fn counts_replicas(&self) -> bool {
        self.observed_generation > 0 && self.updated_replicas > 0
    }

    /// A Deployment's; a paused one counts as complete, because it will not move by itself.
    pub(super) fn deployment(&self, wanted: Wanted) -> Rollout {
        if wanted.paused {
            return Rollout::Complete;
        }
        if self.observed_generation < wanted.generation {
            return Rollout::InProgress;
        }
        let gave_up = |condition: &Condition| {
            &*condition.kind == "Progressing"
                && &*condition.status == "False"
                && &*condition.reason == "ProgressDeadlineExceeded"
        };
        if self.conditions.iter().any(gave_up) {
            return Rollout::Failed;
        }
        // `replicas` counts pods of old templates too.
        complete(
            self.updated_replicas == wanted.replicas
                && self.replicas == wanted.replicas
                && self.available_replicas == wanted.replicas,
        )
    }

    /// A StatefulSet's.
    pub(super) fn stateful_set(&self, wanted: Wanted) -> Rollout {
        if wanted.on_delete {
            return Rollout::Complete;
        }
        let to_update = wanted.replicas.saturating_sub(wanted.partition).max(0);
        let updated = (!self.update_revision.is_empty() && self.update_revision == self.current_revision)
            || self.updated_replicas >= to_update;
        complete(
            self.observed_generation >= wanted.generation
                && updated
                && self.replicas == wanted.replicas
                && self.available_replicas == wanted.replicas,
        )
    }

    /// A DaemonSet's.
    pub(super) fn daemon_set(&self, wanted: Wanted) -> Rollout {
        if wanted.on_delete {
            return Rollout::Complete;
        }
        complete(
            self.observed_generation >= wanted.generation
                && self.updated_number_scheduled == self.desired_number_scheduled
                && self.number_available == self.desired_number_scheduled,
        )
    }
}

/// `status` of an Argo Rollout.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ArgoStatus {
    #[serde(deserialize_with = "null_is_default")]
    phase: Box<str>,
    /// A generation as a text; a hash in old versions.
    #[serde(deserialize_with = "null_is_default")]
    observed_generation: Box<str>,
    restarted_at: Option<Box<str>>,
}

impl ArgoStatus {
    /// By the words of `kubectl argo rollouts status`. A paused step counts as in progress: pods of two templates run.
    pub(super) fn state(&self, wanted: Wanted, restart_at: Option<&str>) -> Rollout {
        if wanted.paused {
            return Rollout::Complete;
        }
        let behind = self
            .observed_generation
            .parse()
            .is_ok_and(|seen: i64| seen < wanted.generation);
        let restarting = restart_at.is_some() && self.restarted_at.as_deref() != restart_at;
        match &*self.phase {
            _ if behind || restarting => Rollout::InProgress,
            "Degraded" => Rollout::Failed,
            "Progressing" | "Paused" => Rollout::InProgress,
            _ => Rollout::Complete,
        }
    }
}
