//! The model as Kubernetes objects.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::model::{Data, Kind, Mode, Object, ObjectKind, Use, Workload, is_binary};

pub(crate) const NAMESPACE: &str = "prod";

pub(crate) fn object(object: Object, data: &Data) -> Value {
    let encode = |value: &String| json!(STANDARD.encode(value));
    let text: serde_json::Map<String, Value> = data
        .iter()
        .filter(|(key, _)| object.kind == ObjectKind::Secret || !is_binary(key))
        .map(|(key, value)| match object.kind {
            ObjectKind::Secret => (key.clone(), encode(value)),
            ObjectKind::ConfigMap => (key.clone(), json!(value)),
        })
        .collect();
    let metadata = json!({"namespace": NAMESPACE, "name": object.name()});
    match object.kind {
        ObjectKind::Secret => json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": text}),
        ObjectKind::ConfigMap => {
            let binary: serde_json::Map<String, Value> = data
                .iter()
                .filter(|(key, _)| is_binary(key))
                .map(|(key, value)| (key.clone(), encode(value)))
                .collect();
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": text, "binaryData": binary})
        }
    }
}

/// The workload; `edition` is what its owner last put into the template.
pub(crate) fn workload(workload: &Workload, edition: u64) -> Value {
    let mode = match workload.mode {
        Mode::Auto => "auto",
        Mode::Roll => "roll",
        Mode::Touch => "touch",
        Mode::Evict => "evict",
    };
    let mut annotations = if workload.reloader && workload.mode == Mode::Auto {
        json!({"reloader.stakater.com/auto": "true"})
    } else {
        json!({"afresh.dev/reload": mode})
    };
    if let Some(period) = workload.pause {
        annotations["deployment.reloader.stakater.com/pause-period"] = json!(format!("{}s", period.as_secs()));
    }
    if workload.hot {
        annotations["afresh.dev/hot"] = json!("app");
    }
    let name = &workload.name;
    let labels = json!({"app": name});
    let metadata = json!({"namespace": NAMESPACE, "name": name, "annotations": annotations, "labels": labels});
    let template = json!({
        "metadata": {"labels": labels, "annotations": {"edition": edition.to_string()}},
        "spec": pod_spec(workload),
    });
    let selector = json!({"matchLabels": labels});
    match workload.kind {
        Kind::Deployment => json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {"replicas": workload.replicas, "selector": selector, "template": template}}),
        Kind::StatefulSet => json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata,
            "spec": {"replicas": workload.replicas, "serviceName": name, "selector": selector, "template": template}}),
        Kind::DaemonSet => json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata,
            "spec": {"selector": selector, "template": template}}),
        Kind::Pod => json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec(workload)}),
    }
}

fn pod_spec(workload: &Workload) -> Value {
    let (mut env, mut env_from, mut mounts, mut volumes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (number, usage) in workload.uses.iter().enumerate() {
        let volume = format!("v{number}");
        match usage {
            Use::EnvFrom(object) => {
                let prefix = format!("P{number}_");
                env_from.push(match object.kind {
                    ObjectKind::ConfigMap => json!({"prefix": prefix, "configMapRef": {"name": object.name()}}),
                    ObjectKind::Secret => json!({"prefix": prefix, "secretRef": {"name": object.name()}}),
                });
            }
            Use::EnvKey(object, key) => {
                let source = json!({"name": object.name(), "key": key});
                let source = match object.kind {
                    ObjectKind::ConfigMap => json!({"configMapKeyRef": source}),
                    ObjectKind::Secret => json!({"secretKeyRef": source}),
                };
                env.push(json!({"name": format!("P{number}_{key}"), "valueFrom": source}));
            }
            Use::Mount(object) => {
                volumes.push(volume_of(&volume, *object, None));
                mounts.push(json!({"name": volume, "mountPath": mount_path(number)}));
            }
            Use::Item(object, key) => {
                volumes.push(volume_of(&volume, *object, Some(key)));
                mounts.push(json!({"name": volume, "mountPath": mount_path(number)}));
            }
            Use::SubPath(object, key) => {
                volumes.push(volume_of(&volume, *object, None));
                let path = format!("{}/{key}", mount_path(number));
                mounts.push(json!({"name": volume, "mountPath": path, "subPath": key}));
            }
            Use::Projected(first, second) => {
                let sources: Vec<Value> = [first, second].map(|object| source_of(*object)).into();
                volumes.push(json!({"name": volume, "projected": {"sources": sources}}));
                mounts.push(json!({"name": volume, "mountPath": mount_path(number)}));
            }
        }
    }
    json!({"containers": [{"name": "app", "image": "app", "env": env, "envFrom": env_from, "volumeMounts": mounts}],
        "volumes": volumes, "terminationGracePeriodSeconds": 1})
}

pub(crate) fn mount_path(number: usize) -> String {
    format!("/etc/{number}")
}

fn volume_of(name: &str, object: Object, key: Option<&String>) -> Value {
    let (field, named) = match object.kind {
        ObjectKind::ConfigMap => ("configMap", "name"),
        ObjectKind::Secret => ("secret", "secretName"),
    };
    let mut volume = json!({"name": name, field: {named: object.name()}});
    if let Some(key) = key {
        volume[field]["items"] = json!([{"key": key, "path": key}]);
    }
    volume
}

fn source_of(object: Object) -> Value {
    match object.kind {
        ObjectKind::ConfigMap => json!({"configMap": {"name": object.name()}}),
        ObjectKind::Secret => json!({"secret": {"name": object.name()}}),
    }
}
