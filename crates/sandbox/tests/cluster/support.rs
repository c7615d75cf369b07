//! Objects to begin with, and short ways to look at the sandbox.

use std::collections::BTreeSet;
use std::time::Duration;

use afresh_sandbox::{Options, Patch, Sandbox};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

pub(crate) const NS: &str = "default";

pub(crate) fn map(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

pub(crate) fn workload(kind: &str, name: &str, replicas: i64) -> Value {
    let mut body = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}}, "serviceName": name,
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "app", "image": "i:1", "envFrom": [{"configMapRef": {"name": "conf", "optional": true}}]}]},
        },
    }});
    if kind == "DaemonSet" {
        body["spec"]
            .as_object_mut()
            .unwrap()
            .retain(|key, _| key != "replicas" && key != "serviceName");
    }
    body
}

pub(crate) fn roll(sandbox: &Sandbox, resource: &str, name: &str, to: &str) {
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"afresh.dev/config": to}}}}});
    sandbox.patch(resource, NS, name, &Patch::Strategic(patch)).unwrap();
}

pub(crate) fn status(sandbox: &Sandbox, resource: &str, name: &str) -> Value {
    sandbox.get(resource, NS, name).unwrap()["status"].clone()
}

pub(crate) fn pods(sandbox: &Sandbox) -> Vec<Value> {
    sandbox.list("pods", NS)
}

pub(crate) fn names(sandbox: &Sandbox) -> BTreeSet<String> {
    pods(sandbox)
        .iter()
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn uids(sandbox: &Sandbox) -> BTreeSet<String> {
    pods(sandbox)
        .iter()
        .map(|pod| pod["metadata"]["uid"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// Waits until something holds, in paused time.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(timeout(Duration::from_secs(600), wait).await.is_ok(), "never: {what}");
}

pub(crate) fn is_complete(sandbox: &Sandbox, resource: &str, name: &str, replicas: i64) -> bool {
    let object = sandbox.get(resource, NS, name).unwrap();
    let status = &object["status"];
    status["observedGeneration"] == object["metadata"]["generation"]
        && status["replicas"] == replicas
        && status["updatedReplicas"] == replicas
        && status["availableReplicas"] == replicas
        && status["readyReplicas"] == replicas
}

/// A pod that mounts `conf` whole at /etc/conf, its key `k` by subPath at /etc/k, and more volumes if asked.
pub(crate) fn mounting_pod(volumes: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {
        "containers": [{"name": "app", "image": "i", "volumeMounts": [
            {"name": "conf", "mountPath": "/etc/conf"}, {"name": "conf", "mountPath": "/etc/k", "subPath": "k"}]}],
        "volumes": volumes,
    }})
}

pub(crate) fn conf_volume() -> Value {
    json!([{"name": "conf", "configMap": {"name": "conf"}}])
}

pub(crate) fn touch(sandbox: &Sandbox, value: &str) {
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"afresh.dev/touched": value}}}));
    sandbox.patch_status("pods", NS, "p", &patch).unwrap();
}

pub(crate) async fn with_pod(options: &Options, volumes: Value) -> Sandbox {
    let sandbox = Sandbox::start(options);
    sandbox.create(map("conf", &json!({"k": "1"}))).unwrap();
    sandbox.create(mounting_pod(&volumes)).unwrap();
    until("the pod runs", || pods(&sandbox).iter().all(is_ready)).await;
    sandbox
}
