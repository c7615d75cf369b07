//! What the server itself changes in an object on the way in: the registry strategies of the real one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::defaults;
use crate::object;
use crate::resource::{Generation, Resource};

/// The door a write comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Main,
    Status,
    /// The number of replicas.
    Scale,
}

impl Door {
    /// The subresource of this door.
    pub(crate) fn subresource(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Status => "status",
            Self::Scale => "scale",
        }
    }
}

/// Normalises a decoded body: nulls and empty maps vanish, `stringData` is folded, defaults are filled in.
pub(crate) fn decode(resource: &Resource, value: &mut Value) {
    if resource.custom {
        // Of an unknown kind only metadata is decoded.
        object::tidy_metadata(value);
    } else {
        object::tidy(value);
    }
    value["apiVersion"] = json!(resource.api_version());
    value["kind"] = json!(resource.kind);
    match resource.kind.as_str() {
        "Secret" => fold_string_data(value),
        "DaemonSet" if resource.group == "apps" => object::default(value, &TEMPLATE_GENERATION, json!("1")),
        "Namespace" => {
            let name = object::name(value).to_owned();
            object::set(
                value,
                &["metadata", "labels", "kubernetes.io/metadata.name"],
                json!(name),
            );
        }
        _ => {}
    }
    defaults::fill(resource, value);
}

fn fold_string_data(secret: &mut Value) {
    let Some(Value::Object(texts)) = object::remove(secret, &["stringData"]) else {
        return;
    };
    for (key, text) in texts {
        let encoded = STANDARD.encode(text.as_str().unwrap_or_default());
        object::set(secret, &["data", &key], json!(encoded));
    }
}

/// Prepares a new object: its status is empty and its generation one.
pub(crate) fn prepare_create(resource: &Resource, value: &mut Value) {
    if resource.status {
        object::remove(value, &["status"]);
    }
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => value["status"] = json!({"phase": "Pending", "qosClass": "BestEffort"}),
        ("", "Namespace") => {
            value["status"] = json!({"phase": "Active"});
            object::set(value, &["spec", "finalizers"], json!(["kubernetes"]));
        }
        ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet") | ("batch", _) => {
            value["status"] = empty_status(resource);
        }
        _ => {}
    }
    object::remove(value, &["metadata", "generation"]);
    if resource.generation != Generation::None {
        object::set(value, &["metadata", "generation"], json!(1));
    }
}

/// By what a Job finds its pods, unless somebody has chosen that: its own uid.
pub(crate) fn finish_create(resource: &Resource, value: &mut Value) {
    if resource.group != "batch" || resource.kind != "Job" || object::flag(value, &["spec", "manualSelector"]) {
        return;
    }
    let (uid, name) = (object::uid(value).to_owned(), object::name(value).to_owned());
    object::set(
        value,
        &["spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid"],
        json!(uid),
    );
    for (label, text) in [
        ("controller-uid", &uid),
        ("batch.kubernetes.io/controller-uid", &uid),
        ("job-name", &name),
        ("batch.kubernetes.io/job-name", &name),
    ] {
        object::set(value, &["spec", "template", "metadata", "labels", label], json!(text));
    }
}

/// The status fields that Go writes even when they are zero.
fn empty_status(resource: &Resource) -> Value {
    match resource.kind.as_str() {
        "ReplicaSet" => json!({"replicas": 0}),
        "StatefulSet" => json!({"replicas": 0, "availableReplicas": 0}),
        "DaemonSet" => json!({
            "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0,
        }),
        _ => json!({}),
    }
}

/// Prepares a changed object: what this door may not change is taken from the old one.
pub(crate) fn prepare_update(resource: &Resource, door: Door, old: &Value, new: &mut Value) {
    for field in [
        "creationTimestamp",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
    ] {
        object::copy(new, old, &["metadata", field]);
    }
    if object::uid(new).is_empty() {
        object::copy(new, old, &["metadata", "uid"]);
    }
    match door {
        Door::Main | Door::Scale => {
            if resource.status {
                object::copy(new, old, &["status"]);
            }
            if grows(resource, old, new) {
                let generation = object::generation(old) + 1;
                object::set(new, &["metadata", "generation"], json!(generation));
            }
        }
        Door::Status => keep_all_but_status(resource, old, new),
    }
}

/// What the server changes after a replacement's fields were recorded, and nobody owns.
pub(crate) fn finish_update(resource: &Resource, door: Door, old: &Value, new: &mut Value) {
    if resource.kind == "DaemonSet" && resource.group == "apps" && door == Door::Main {
        let template = |value: &Value| object::at(value, &["spec", "template"]).cloned();
        let number: i64 = object::text(old, &TEMPLATE_GENERATION).parse().unwrap_or(0);
        let number = number + i64::from(template(old) != template(new));
        object::set(new, &TEMPLATE_GENERATION, json!(number.to_string()));
    }
}

/// How `spec.templateGeneration` of former versions lives on.
const TEMPLATE_GENERATION: [&str; 3] = ["metadata", "annotations", "deprecated.daemonset.template.generation"];

/// The per-kind rules of the `…StatusStrategy` types: metadata is writable, less what each of them resets.
fn keep_all_but_status(resource: &Resource, old: &Value, new: &mut Value) {
    let fields: Vec<_> = old
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.clone())
        .collect();
    for field in fields
        .iter()
        .filter(|field| !["metadata", "status"].contains(&field.as_str()))
    {
        object::copy(new, old, &[field]);
    }
    if let Some(map) = new.as_object_mut() {
        map.retain(|key, _| key == "metadata" || key == "status" || fields.contains(key));
    }
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => {
            object::copy(new, old, &["metadata", "ownerReferences"]);
            if object::text(new, &["status", "qosClass"]).is_empty() {
                object::copy(new, old, &["status", "qosClass"]);
            }
        }
        ("apps", "Deployment") => object::copy(new, old, &["metadata", "labels"]),
        // A custom resource's status door changes nothing else (apiextensions, statusStrategy).
        _ if resource.custom => object::copy(new, old, &["metadata"]),
        _ => {}
    }
}

fn grows(resource: &Resource, old: &Value, new: &Value) -> bool {
    let changed = |path: &[&str]| object::at(old, path) != object::at(new, path);
    let spec = changed(&["spec"]);
    match resource.generation {
        Generation::None => false,
        Generation::Spec if resource.custom => {
            let rest = |value: &Value| {
                let mut value = value.clone();
                object::remove(&mut value, &["metadata"]);
                object::remove(&mut value, &["status"]);
                value
            };
            rest(old) != rest(new)
        }
        Generation::Spec => spec,
        Generation::SpecAndAnnotations => spec || changed(&["metadata", "annotations"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Registry;

    fn resource(name: &str) -> std::sync::Arc<Resource> {
        Registry::built_in().by_name(name).unwrap()
    }

    #[test]
    fn string_data_is_folded_into_data() {
        let mut secret = json!({"metadata": {"name": "s"}, "data": {"a": "YQ=="}, "stringData": {"a": "b", "c": "d"}});
        decode(&resource("secrets"), &mut secret);
        assert_eq!(secret["data"], json!({"a": "Yg==", "c": "ZA=="}));
        assert!(secret.get("stringData").is_none());
        assert_eq!(secret["type"], "Opaque");
    }

    #[test]
    fn a_pods_status_door_changes_annotations_but_neither_spec_nor_owners() {
        let old = json!({"metadata": {"name": "p", "ownerReferences": [{"uid": "u"}]}, "spec": {"a": 1}, "status": {}});
        let mut new = json!({"metadata": {"name": "p", "annotations": {"x": "y"}}, "spec": {"a": 2}, "status": {"phase": "Running"}});
        prepare_update(&resource("pods"), Door::Status, &old, &mut new);
        assert_eq!(new["spec"], json!({"a": 1}));
        assert_eq!(new["metadata"]["annotations"]["x"], "y");
        assert_eq!(new["metadata"]["ownerReferences"], json!([{"uid": "u"}]));
        assert_eq!(new["status"]["phase"], "Running");
    }

    #[test]
    fn a_deployments_generation_grows_with_spec_and_annotations_but_not_with_labels() {
        let old = json!({"metadata": {"generation": 1}, "spec": {"replicas": 1}});
        let generation = |name: &str, new: &Value| {
            let mut new = new.clone();
            prepare_update(&resource(name), Door::Main, &old, &mut new);
            object::generation(&new)
        };
        let labelled = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 1}});
        let annotated = json!({"metadata": {"annotations": {"a": "b"}}, "spec": {"replicas": 1}});
        let scaled = json!({"metadata": {}, "spec": {"replicas": 2}});
        assert_eq!(
            ["deployments", "statefulsets"].map(|r| generation(r, &labelled)),
            [1, 1]
        );
        assert_eq!(
            ["deployments", "statefulsets"].map(|r| generation(r, &annotated)),
            [2, 1]
        );
        assert_eq!(["deployments", "statefulsets"].map(|r| generation(r, &scaled)), [2, 2]);
    }
}
