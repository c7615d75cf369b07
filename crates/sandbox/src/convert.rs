//! Objects that are shown in another shape than they are stored: Events of `events.k8s.io`, and metadata-only views.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::object;
use crate::resource::Resource;

/// Core Event fields and what `events.k8s.io/v1` calls them.
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// An object of the resource's own shape as it is stored.
pub(crate) fn to_stored(resource: &Resource, mut value: Value) -> Value {
    if resource.is_new_event() {
        rename(&mut value, |(core, new)| (new, core));
        value["apiVersion"] = json!("v1");
    }
    value
}

/// A stored object in the resource's own shape.
pub(crate) fn to_shown<'a>(resource: &Resource, stored: &'a Value) -> Cow<'a, Value> {
    if !resource.is_new_event() {
        return Cow::Borrowed(stored);
    }
    let mut value = stored.clone();
    rename(&mut value, |names| names);
    value["apiVersion"] = json!(resource.api_version());
    Cow::Owned(value)
}

/// A stored object as it is answered: with the zero values that the real server writes out.
pub(crate) fn to_answered(resource: &Resource, stored: &Value) -> Value {
    let mut value = to_shown(resource, stored).into_owned();
    let zeroes: &[(&str, Value)] = match (resource.is_new_event(), resource.storage().as_ref()) {
        (true, _) => &[
            ("eventTime", Value::Null),
            ("deprecatedFirstTimestamp", Value::Null),
            ("deprecatedLastTimestamp", Value::Null),
            ("deprecatedSource", json!({})),
        ],
        (_, "events") => &[
            ("eventTime", Value::Null),
            ("firstTimestamp", Value::Null),
            ("lastTimestamp", Value::Null),
            ("source", json!({})),
            ("reportingComponent", json!("")),
            ("reportingInstance", json!("")),
        ],
        _ => &[],
    };
    for (field, zero) in zeroes {
        if value.get(*field).is_none() {
            value[*field] = zero.clone();
        }
    }
    value
}

fn rename(value: &mut Value, direction: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str)) {
    for names in RENAMED {
        let (from, to) = direction(names);
        if let Some(field) = object::remove(value, &[from]) {
            value[to] = field;
        }
    }
}

/// The metadata of an object, as `PartialObjectMetadata`.
pub(crate) fn to_partial(value: &Value) -> Value {
    let metadata = value.get("metadata").cloned().unwrap_or_else(|| json!({}));
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
}

/// The `autoscaling/v1` Scale of a workload.
pub(crate) fn to_scale(value: &Value) -> Value {
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        object::copy(&mut metadata, &value["metadata"], &[field]);
    }
    let selector: Vec<_> = object::map_at(value, &["spec", "selector", "matchLabels"])
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": object::integer(value, &["spec", "replicas"]).unwrap_or(0)},
        "status": {
            "replicas": object::integer(value, &["status", "replicas"]).unwrap_or(0),
            "selector": selector.join(","),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Registry;

    #[test]
    fn an_event_written_through_one_group_reads_back_through_the_other() {
        let new = Registry::built_in().get("events.k8s.io", "v1", "events").unwrap();
        let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "n", "regarding": {"name": "x"}});
        let stored = to_stored(&new, event.clone());
        assert_eq!(
            stored,
            json!({"apiVersion": "v1", "kind": "Event", "message": "n", "involvedObject": {"name": "x"}})
        );
        assert_eq!(*to_shown(&new, &stored), event);
    }
}
