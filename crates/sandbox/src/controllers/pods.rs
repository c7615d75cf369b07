//! What the workload controllers know about pods.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::object;

/// A pod of a template, controlled by `owner`.
pub(super) fn of_template(owner: &Value, template: &Value) -> Value {
    let mut metadata = json!({"namespace": object::namespace(owner), "ownerReferences": [owner_reference(owner)]});
    for field in ["labels", "annotations"] {
        if let Some(map) = object::at(template, &["metadata", field]) {
            metadata[field] = map.clone();
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"].clone()})
}

/// The reference by which `owner` controls an object.
pub(super) fn owner_reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": object::name(owner),
        "uid": object::uid(owner), "controller": true, "blockOwnerDeletion": true,
    })
}

/// Whether the pod counts at all: neither ended nor being deleted.
pub(super) fn is_active(pod: &Value) -> bool {
    !object::is_deleting(pod) && !["Succeeded", "Failed"].contains(&object::text(pod, &["status", "phase"]))
}

/// Whether the pod is ready.
pub(super) fn is_ready(pod: &Value) -> bool {
    ready_condition(pod).is_some_and(|condition| object::text(condition, &["status"]) == "True")
}

fn ready_condition(pod: &Value) -> Option<&Value> {
    object::list(pod, &["status", "conditions"])
        .iter()
        .find(|c| object::text(c, &["type"]) == "Ready")
}

/// How long until the ready pod is available: zero if it is, nothing if it is not ready.
pub(super) fn available_in(pod: &Value, min_ready: i64, now: Timestamp) -> Option<Duration> {
    let condition = ready_condition(pod).filter(|condition| object::text(condition, &["status"]) == "True")?;
    let since: Timestamp = object::text(condition, &["lastTransitionTime"]).parse().ok()?;
    let left = min_ready.saturating_sub(now.duration_since(since).as_secs());
    Some(Duration::from_secs(u64::try_from(left).unwrap_or(0)))
}

/// A tally of pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) total: i64,
    pub(super) ready: i64,
    pub(super) available: i64,
    /// Until the next ready pod becomes available.
    pub(super) wait: Option<Duration>,
}

/// Counts pods; `min_ready` is `minReadySeconds`.
pub(super) fn count<'a>(pods: impl Iterator<Item = &'a Value>, min_ready: i64, now: Timestamp) -> Count {
    pods.fold(Count::default(), |mut count, pod| {
        count.total += 1;
        match available_in(pod, min_ready, now) {
            Some(Duration::ZERO) => {
                count.ready += 1;
                count.available += 1;
            }
            Some(wait) => {
                count.ready += 1;
                count.wait = Some(count.wait.map_or(wait, |other| other.min(wait)));
            }
            None => {}
        }
        count
    })
}

/// An absolute number, or a percentage of `total` rounded up or down.
pub(super) fn scaled(value: Option<&Value>, total: i64, up: bool) -> i64 {
    match value {
        Some(Value::Number(number)) => number.as_i64().unwrap_or(0),
        Some(Value::String(text)) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let product = percent.saturating_mul(total);
            if up {
                product.saturating_add(99) / 100
            } else {
                product / 100
            }
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_rounded_up_for_surge_and_down_for_unavailability() {
        assert_eq!(scaled(Some(&json!("25%")), 3, true), 1);
        assert_eq!(scaled(Some(&json!("25%")), 3, false), 0);
        assert_eq!(scaled(Some(&json!("100%")), 3, false), 3);
        assert_eq!(scaled(Some(&json!(2)), 3, false), 2);
    }

    #[test]
    fn a_ready_pod_is_available_after_its_minimum() {
        let pod = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2030-01-01T00:00:00Z"}]}});
        let now: Timestamp = "2030-01-01T00:00:04Z".parse().unwrap();
        assert_eq!(available_in(&pod, 10, now), Some(Duration::from_secs(6)));
        let tally = count([&pod, &pod].into_iter(), 4, now);
        assert_eq!(
            tally,
            Count {
                total: 2,
                ready: 2,
                available: 2,
                wait: None
            }
        );
    }

    #[test]
    fn a_pod_takes_labels_annotations_and_spec_of_its_template() {
        let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "r", "namespace": "n", "uid": "u"}});
        let template = json!({"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": {"x": 1}});
        let pod = of_template(&owner, &template);
        assert_eq!(pod["metadata"]["labels"], json!({"a": "b"}));
        assert_eq!(pod["metadata"]["annotations"], json!({"c": "d"}));
        assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], "u");
        assert_eq!(pod["spec"], json!({"x": 1}));
    }
}
