//! ReplicaSets: keep so many pods of a template.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::actor::Actor;
use super::pods;
use crate::object;

/// One step towards the wanted number of pods, and the status.
pub(super) fn reconcile(actor: &mut Actor<'_>, set: &Value) -> Option<Duration> {
    let wanted = object::integer(set, &["spec", "replicas"]).unwrap_or(1);
    let mut active: Vec<Arc<Value>> = actor
        .controlled("pods", set)
        .into_iter()
        .filter(|pod| pods::is_active(pod))
        .collect();
    let have = i64::try_from(active.len()).unwrap_or(i64::MAX);
    if !object::is_deleting(set) {
        for _ in have..wanted {
            let mut pod = pods::of_template(set, &set["spec"]["template"]);
            let prefix = format!("{}-", object::name(set));
            object::set(&mut pod, &["metadata", "generateName"], json!(prefix));
            active.extend(actor.create("pods", object::namespace(set), pod));
        }
        let surplus = usize::try_from(have - wanted).unwrap_or(0);
        for pod in victims(active.clone(), surplus) {
            actor.delete("pods", &pod);
            active.retain(|other| object::uid(other) != object::uid(&pod));
        }
    }
    let min_ready = object::integer(set, &["spec", "minReadySeconds"]).unwrap_or(0);
    let count = pods::count(active.iter().map(AsRef::as_ref), min_ready, actor.now());
    let status = json!({
        "replicas": count.total, "fullyLabeledReplicas": positive(count.total),
        "readyReplicas": positive(count.ready), "availableReplicas": positive(count.available),
        "observedGeneration": object::generation(set),
    });
    actor.patch_status("replicasets", set, json!({"status": status}));
    count.wait
}

/// Zero counts are left out, as Go's `omitempty` does.
pub(super) fn positive(count: i64) -> Option<i64> {
    Some(count).filter(|count| *count > 0)
}

/// The pods to do without: those that serve least, and among equals the youngest.
fn victims(mut pods: Vec<Arc<Value>>, count: usize) -> Vec<Arc<Value>> {
    pods.sort_by_key(|pod| {
        let unscheduled = object::text(pod, &["spec", "nodeName"]).is_empty();
        let created = object::text(pod, &["metadata", "creationTimestamp"]).to_owned();
        (
            !unscheduled,
            pods::is_ready(pod),
            Reverse(created),
            object::name(pod).to_owned(),
        )
    });
    pods.truncate(count);
    pods
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_that_are_not_ready_go_first_and_then_the_youngest() {
        let pod = |name: &str, ready: &str, created: &str| {
            Arc::new(json!({
                "metadata": {"name": name, "creationTimestamp": created}, "spec": {"nodeName": "n"},
                "status": {"conditions": [{"type": "Ready", "status": ready}]},
            }))
        };
        let all = vec![
            pod("old", "True", "2030-01-01"),
            pod("new", "True", "2030-01-02"),
            pod("bad", "False", "2030-01-01"),
        ];
        let names: Vec<_> = victims(all, 2).iter().map(|pod| object::name(pod).to_owned()).collect();
        assert_eq!(names, ["bad", "new"]);
    }
}
