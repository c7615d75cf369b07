//! What makes an object invalid, in the words of k8s.io/kubernetes/pkg/apis/*/validation.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::object;
use crate::resource::Resource;
use crate::selector::Selector;
use crate::status::{ApiError, Cause};

/// `core.MaxSecretSize`, the limit of a ConfigMap or Secret in bytes.
const MAX_DATA: usize = 1024 * 1024;
/// `TotalAnnotationSizeLimitB`: keys and values together, in bytes.
const MAX_ANNOTATIONS: usize = 256 * 1024;
const SUBDOMAIN_WHY: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
    '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_WHY: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const KEY_WHY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
    'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const IMMUTABLE_WHY: &str = "field is immutable when `immutable` is set";

/// What a typed decoder would refuse: wrong JSON types in the fields the sandbox reads.
pub(crate) fn shape(resource: &Resource, value: &Value) -> Result<(), ApiError> {
    let wrong = |path: &[&str], kind: &str| {
        let field = format!("{}.{}", resource.kind, path.join("."));
        ApiError::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: json: cannot unmarshal into Go struct field {field} of type {kind}",
            resource.kind, resource.version, resource.kind
        ))
    };
    if !value.is_object() {
        return Err(wrong(&[], "object"));
    }
    let is_config = resource.group.is_empty() && matches!(resource.kind.as_str(), "ConfigMap" | "Secret");
    let maps: &[&[&str]] = if is_config {
        &[
            &["metadata", "labels"],
            &["metadata", "annotations"],
            &["data"],
            &["binaryData"],
            &["stringData"],
        ]
    } else {
        &[&["metadata", "labels"], &["metadata", "annotations"]]
    };
    for path in maps {
        match object::at(value, path) {
            None | Some(Value::Null) => {}
            Some(Value::Object(map)) if map.values().all(|v| v.is_string() || v.is_null()) => {}
            Some(_) => return Err(wrong(path, "string")),
        }
    }
    if is_config {
        let encoded: &[&str] = if resource.kind == "Secret" {
            &["data"]
        } else {
            &["binaryData"]
        };
        for text in object::map_at(value, encoded)
            .into_iter()
            .flatten()
            .filter_map(|(_, v)| v.as_str())
        {
            if STANDARD.decode(text.as_bytes()).is_err() {
                return Err(ApiError::bad_request(format!(
                    "{} in version {:?} cannot be handled as a {}: illegal base64 data at input byte 0",
                    resource.kind, resource.version, resource.kind
                )));
            }
        }
    }
    Ok(())
}

/// What makes a new object invalid.
pub(crate) fn created(resource: &Resource, value: &Value) -> Vec<Cause> {
    let mut causes = name(resource, object::name(value));
    causes.extend(common(value));
    causes.extend(content(resource, value));
    causes
}

/// What makes a changed object invalid.
pub(crate) fn updated(resource: &Resource, old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = metadata_unchanged(old, new);
    causes.extend(common(new));
    causes.extend(immutable(resource, old, new));
    causes.extend(content(resource, new));
    causes
}

fn name(resource: &Resource, name: &str) -> Vec<Cause> {
    let field = "metadata.name";
    if name.is_empty() {
        return vec![Cause::required(field, "name or generateName is required")];
    }
    // Namespaces are labels; everything else in the table is a subdomain.
    let is_label = resource.kind == "Namespace" && resource.group.is_empty();
    let (limit, why, good) = if is_label {
        (63, LABEL_WHY, is_dns_label(name))
    } else {
        (253, SUBDOMAIN_WHY, is_subdomain(name))
    };
    let mut causes = Vec::new();
    if name.len() > limit {
        causes.push(Cause::invalid(
            field,
            &json!(name),
            &format!("must be no more than {limit} characters"),
        ));
    }
    if is_label && name.contains('.') {
        causes.push(Cause::invalid(field, &json!(name), "must not contain dots"));
    } else if !good {
        causes.push(Cause::invalid(field, &json!(name), why));
    }
    causes
}

fn is_dns_label(text: &str) -> bool {
    let alnum = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(alnum) && text.ends_with(alnum) && text.chars().all(|c| alnum(c) || c == '-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_dns_label)
}

fn is_qualified_name(key: &str) -> bool {
    let (prefix, name) = key
        .split_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(|prefix| is_subdomain(prefix) && prefix.len() <= 253) && is_label_text(name) && !name.is_empty()
}

/// A label value, or the name part of a label key.
fn is_label_text(text: &str) -> bool {
    let alnum = |c: char| c.is_ascii_alphanumeric();
    text.is_empty()
        || (text.len() <= 63
            && text.starts_with(alnum)
            && text.ends_with(alnum)
            && text.chars().all(|c| alnum(c) || "-_.".contains(c)))
}

fn common(value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let why = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
        alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
        '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    for (key, text) in object::map_at(value, &["metadata", "labels"]).into_iter().flatten() {
        if !is_qualified_name(key) {
            causes.push(Cause::invalid("metadata.labels", &json!(key), why));
        }
        if !is_label_text(text.as_str().unwrap_or_default()) {
            let why = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
                and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', \
                regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
            causes.push(Cause::invalid("metadata.labels", text, why));
        }
    }
    let mut size = 0;
    for (key, text) in object::map_at(value, &["metadata", "annotations"])
        .into_iter()
        .flatten()
    {
        size += key.len() + text.as_str().map_or(0, str::len);
        if !is_qualified_name(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), why));
        }
    }
    if size > MAX_ANNOTATIONS {
        causes.push(Cause::too_long("metadata.annotations", MAX_ANNOTATIONS));
    }
    causes
}

fn metadata_unchanged(old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for field in ["name", "namespace", "uid"] {
        let (before, after) = (
            object::at(old, &["metadata", field]),
            object::at(new, &["metadata", field]),
        );
        if before != after {
            let shown = after.cloned().unwrap_or_else(|| json!(""));
            causes.push(Cause::invalid(
                &format!("metadata.{field}"),
                &shown,
                "field is immutable",
            ));
        }
    }
    let finalizers = |value: &Value| object::list(value, &["metadata", "finalizers"]).to_vec();
    let kept = finalizers(old);
    if object::is_deleting(old) && finalizers(new).iter().any(|finalizer| !kept.contains(finalizer)) {
        let added: Vec<_> = finalizers(new)
            .iter()
            .filter(|f| !kept.contains(f))
            .map(ToString::to_string)
            .collect();
        let why = "no new finalizers can be added if the object is being deleted, found new finalizers []string";
        causes.push(Cause::forbidden(
            "metadata.finalizers",
            &format!("{why}{{{}}}", added.join(", ")),
        ));
    }
    causes
}

fn immutable(resource: &Resource, old: &Value, new: &Value) -> Vec<Cause> {
    let changed = |path: &[&str]| object::at(old, path) != object::at(new, path);
    let mut causes = Vec::new();
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "ConfigMap" | "Secret") => {
            if resource.kind == "Secret" && changed(&["type"]) {
                let shown = object::at(new, &["type"]).cloned().unwrap_or_else(|| json!(""));
                causes.push(Cause::invalid("type", &shown, "field is immutable"));
            }
            if object::flag(old, &["immutable"]) {
                let unlocked = !object::flag(new, &["immutable"]);
                let fields = [
                    ("immutable", unlocked),
                    ("data", changed(&["data"])),
                    ("binaryData", changed(&["binaryData"])),
                ];
                let broken = fields.into_iter().filter(|(_, broken)| *broken);
                causes.extend(broken.map(|(field, _)| Cause::forbidden(field, IMMUTABLE_WHY)));
            }
        }
        ("apps", "Deployment" | "DaemonSet" | "ReplicaSet") if changed(&["spec", "selector"]) => {
            let shown = object::at(new, &["spec", "selector"]).cloned().unwrap_or_default();
            causes.push(Cause::invalid("spec.selector", &shown, "field is immutable"));
        }
        // A suspended one that never ran may change where its pods go; nobody here does.
        ("batch", "Job") if changed(&["spec", "template"]) => {
            let shown = object::at(new, &["spec", "template"]).cloned().unwrap_or_default();
            causes.push(Cause::invalid("spec.template", &shown, "field is immutable"));
        }
        ("apps", "StatefulSet") if changed(&["spec"]) => causes.extend(stateful_set_fixed(old, new)),
        ("", "Pod") if changed(&["spec"]) => causes.extend(pod_fixed(old, new)),
        _ => {}
    }
    causes
}

fn stateful_set_fixed(old: &Value, new: &Value) -> Option<Cause> {
    let frozen = |value: &Value| {
        let mut spec = value.get("spec").cloned().unwrap_or_default();
        for free in [
            "replicas",
            "template",
            "updateStrategy",
            "minReadySeconds",
            "ordinals",
            "persistentVolumeClaimRetentionPolicy",
            "revisionHistoryLimit",
        ] {
            object::remove(&mut spec, &[free]);
        }
        spec
    };
    (frozen(old) != frozen(new)).then(|| {
        Cause::forbidden(
            "spec",
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
             'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        )
    })
}

fn pod_fixed(old: &Value, new: &Value) -> Option<Cause> {
    let frozen = |value: &Value| {
        let mut spec = value.get("spec").cloned().unwrap_or_default();
        for free in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"] {
            object::remove(&mut spec, &[free]);
        }
        for containers in ["containers", "initContainers"] {
            for container in spec
                .get_mut(containers)
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                object::remove(container, &["image"]);
            }
        }
        // Binding writes this one: the sandbox's scheduler goes through the same door.
        if object::text(old, &["spec", "nodeName"]).is_empty() {
            object::remove(&mut spec, &["nodeName"]);
        }
        spec
    };
    (frozen(old) != frozen(new)).then(|| {
        Cause::forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
             `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
             `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        )
    })
}

fn content(resource: &Resource, value: &Value) -> Vec<Cause> {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "ConfigMap" | "Secret") => config(resource, value),
        ("apps", "Deployment" | "DaemonSet" | "ReplicaSet" | "StatefulSet") => workload(resource, value),
        ("", "Pod") => containers(value.get("spec").unwrap_or(&Value::Null), "spec"),
        ("coordination.k8s.io", "Lease") => lease(value),
        _ => Vec::new(),
    }
}

fn config(resource: &Resource, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut size = 0;
    let is_secret = resource.kind == "Secret";
    for bag in ["data", "binaryData"] {
        let encoded = is_secret || bag == "binaryData";
        for (key, text) in object::map_at(value, &[bag]).into_iter().flatten() {
            let text = text.as_str().unwrap_or_default();
            size += if encoded {
                STANDARD.decode(text).map_or(0, |bytes| bytes.len())
            } else {
                text.len()
            };
            let field = format!("{bag}[{key}]");
            if key.len() > 253 {
                causes.push(Cause::invalid(
                    &field,
                    &json!(key),
                    "must be no more than 253 characters",
                ));
            }
            let good = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
            if !good {
                causes.push(Cause::invalid(&field, &json!(key), KEY_WHY));
            }
            match key.as_str() {
                "." => causes.push(Cause::invalid(&field, &json!(key), "must not be '.'")),
                ".." => causes.push(Cause::invalid(&field, &json!(key), "must not be '..'")),
                dots if dots.starts_with("..") => {
                    causes.push(Cause::invalid(&field, &json!(key), "must not start with '..'"));
                }
                _ => {}
            }
            if bag == "data" && !is_secret && object::at(value, &["binaryData", key]).is_some() {
                causes.push(Cause::invalid(
                    &field,
                    &json!(key),
                    "duplicate of key present in binaryData",
                ));
            }
        }
    }
    if size > MAX_DATA {
        causes.push(Cause::too_long(if is_secret { "data" } else { "" }, MAX_DATA));
    }
    causes
}

fn workload(resource: &Resource, value: &Value) -> Vec<Cause> {
    let template = value
        .get("spec")
        .and_then(|spec| spec.get("template"))
        .unwrap_or(&Value::Null);
    let mut causes = Vec::new();
    match object::at(value, &["spec", "selector"]) {
        None => causes.push(Cause::required("spec.selector", "")),
        Some(selector) if !Selector::from_object(selector).matches(template) => {
            let labels = object::at(template, &["metadata", "labels"])
                .cloned()
                .unwrap_or_else(|| json!({}));
            let why = "`selector` does not match template `labels`";
            causes.push(Cause::invalid("spec.template.metadata.labels", &labels, why));
        }
        Some(_) => {}
    }
    if object::integer(value, &["spec", "replicas"]).is_some_and(|replicas| replicas < 0) {
        let shown = value["spec"]["replicas"].clone();
        causes.push(Cause::invalid(
            "spec.replicas",
            &shown,
            "must be greater than or equal to 0",
        ));
    }
    let spec = template.get("spec").unwrap_or(&Value::Null);
    causes.extend(containers(spec, "spec.template.spec"));
    let policy = object::text(spec, &["restartPolicy"]);
    if policy != "Always" && resource.group == "apps" {
        causes.push(Cause::invalid(
            "spec.template.spec.restartPolicy",
            &json!(policy),
            "supported values: \"Always\"",
        ));
    }
    causes
}

fn containers(spec: &Value, here: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    if object::list(spec, &["containers"]).is_empty() {
        causes.push(Cause::required(&format!("{here}.containers"), ""));
    }
    for (index, container) in object::list(spec, &["containers"]).iter().enumerate() {
        for field in ["name", "image"] {
            if object::text(container, &[field]).is_empty() {
                causes.push(Cause::required(&format!("{here}.containers[{index}].{field}"), ""));
            }
        }
    }
    causes
}

fn lease(value: &Value) -> Vec<Cause> {
    let seconds = object::integer(value, &["spec", "leaseDurationSeconds"]);
    let wrong = seconds.filter(|seconds| *seconds <= 0);
    let why = "must be greater than 0";
    wrong
        .map(|seconds| Cause::invalid("spec.leaseDurationSeconds", &json!(seconds), why))
        .into_iter()
        .collect()
}
