//! The workloads of the tests.

use afresh_testbed::BUSYBOX;
use serde_json::{Value, json};

/// A container's way to its configuration: what the container says, and the pod's volume where there is one.
pub(crate) struct Uses {
    container: Value,
    volumes: Value,
}

/// All keys as variables.
pub(crate) fn variables(config_map: &str) -> Uses {
    let container = json!({ "envFrom": [{ "configMapRef": { "name": config_map } }] });
    Uses {
        container,
        volumes: json!([]),
    }
}

/// All keys of a Secret as variables.
pub(crate) fn secret_variables(secret: &str) -> Uses {
    let container = json!({ "envFrom": [{ "secretRef": { "name": secret } }] });
    Uses {
        container,
        volumes: json!([]),
    }
}

/// Files below `/etc/NAME-OF-VOLUME`, from any source of volumes.
pub(crate) fn files(volumes: &[(&str, Value)]) -> Uses {
    let mounts = volumes
        .iter()
        .map(|(name, _)| json!({ "name": name, "mountPath": format!("/etc/{name}") }));
    let named = volumes.iter().map(|(name, source)| {
        let mut volume = source.clone();
        volume["name"] = json!(name);
        volume
    });
    Uses {
        container: json!({ "volumeMounts": mounts.collect::<Vec<_>>() }),
        volumes: named.collect(),
    }
}

/// One key as the file `/etc/single`, which a running container never sees change.
pub(crate) fn sub_path(config_map: &str, key: &str) -> Uses {
    let mount = json!({ "name": "single", "mountPath": "/etc/single", "subPath": key });
    let volume = json!({ "name": "single", "configMap": { "name": config_map } });
    Uses {
        container: json!({ "volumeMounts": [mount] }),
        volumes: json!([volume]),
    }
}

/// A source of volumes.
pub(crate) fn config_map(name: &str) -> Value {
    json!({ "configMap": { "name": name } })
}

/// A source of volumes.
pub(crate) fn secret(name: &str) -> Value {
    json!({ "secret": { "secretName": name } })
}

/// A source of volumes: a ConfigMap and a Secret in one directory.
pub(crate) fn projected(config_map: &str, secret: &str) -> Value {
    json!({ "projected": { "sources": [{ "configMap": { "name": config_map } }, { "secret": { "name": secret } }] } })
}

impl Uses {
    /// A pod that sleeps, and ends at once.
    pub(crate) fn pod_spec(self) -> Value {
        let mut container = self.container;
        container["name"] = json!("app");
        container["image"] = json!(BUSYBOX);
        container["imagePullPolicy"] = json!("Never");
        json!({ "terminationGracePeriodSeconds": 0, "containers": [container], "volumes": self.volumes })
    }
}

/// A workload of one of the three kinds, opted in, with more annotations.
pub(crate) fn workload(kind: &str, name: &str, replicas: u32, uses: Uses, annotations: &Value) -> Value {
    let mut all = json!({ "afresh.dev/reload": "auto" });
    for (key, value) in annotations.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    let labels = json!({ "app": name });
    let mut spec = json!({
        "selector": { "matchLabels": labels },
        "template": { "metadata": { "labels": labels }, "spec": uses.pod_spec() },
    });
    if kind != "DaemonSet" {
        spec["replicas"] = json!(replicas);
    }
    if kind == "StatefulSet" {
        spec["serviceName"] = json!(name);
    }
    json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": name, "annotations": all }, "spec": spec })
}

/// A Deployment with one replica, opted in.
pub(crate) fn deployment(name: &str, uses: Uses) -> Value {
    workload("Deployment", name, 1, uses, &json!({}))
}
