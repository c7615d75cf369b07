//! Pods on a node: what their processes see in the environment and in files, when objects change, go and come back.

use std::time::Duration;

use afresh_sandbox::Sandbox;
use afresh_testbed::{BUSYBOX, Cluster};
use serde_json::{Value, json};

use crate::harness::Method::{Delete, Get, Merge, Post};
use crate::harness::World;

/// A kubelet backs off for up to two minutes from what is missing; touches bring it back sooner.
const PATIENCE: Duration = Duration::from_secs(400);
/// Long enough for a touch to have done what it can, short of the pods' own slow timer.
const EFFECT: Duration = Duration::from_secs(4);

/// Looks into pods.
pub(crate) enum Eyes {
    Real(&'static Cluster),
    Sandbox(Sandbox),
}

impl Eyes {
    async fn file(&self, w: &World, path: &str) -> Option<String> {
        match self {
            Self::Real(cluster) => cluster.read_file(&w.namespace, "p", path).await.ok(),
            Self::Sandbox(sandbox) => sandbox.node().file(&w.namespace, "p", "app", path),
        }
    }

    /// The environment of the container's first process.
    async fn variable(&self, w: &World, pod: &str, name: &str) -> Option<String> {
        match self {
            Self::Real(cluster) => {
                let all = cluster
                    .exec(&w.namespace, pod, &["cat", "/proc/1/environ"])
                    .await
                    .ok()?;
                all.split('\0')
                    .find_map(|line| line.strip_prefix(&format!("{name}=")).map(str::to_owned))
            }
            Self::Sandbox(sandbox) => sandbox.node().process(&w.namespace, pod, "app")?.env.get(name).cloned(),
        }
    }
}

const FILES: [&str; 7] = [
    "/conf/k",
    "/conf/l",
    "/items/path/to/k",
    "/sub/k",
    "/maybe/m",
    "/all/k",
    "/all/p",
];

fn pod() -> Value {
    let items = json!([{"key": "k", "path": "path/to/k"}]);
    json!({"metadata": {"name": "p"}, "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{
            "name": "app", "image": BUSYBOX, "imagePullPolicy": "Never",
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "conf"}}],
            "env": [
                {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "k"}}},
                {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "p"}}},
                {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "none", "optional": true}}},
                {"name": "TEXT", "value": "$(KEY)-$$(KEY)-$(NO)"},
            ],
            "volumeMounts": [
                {"name": "conf", "mountPath": "/conf"}, {"name": "conf", "mountPath": "/sub/k", "subPath": "k"},
                {"name": "items", "mountPath": "/items"}, {"name": "maybe", "mountPath": "/maybe"},
                {"name": "all", "mountPath": "/all"}, {"name": "seen", "mountPath": "/seen"},
            ],
        }],
        "volumes": [
            {"name": "conf", "configMap": {"name": "conf"}},
            {"name": "items", "configMap": {"name": "conf", "items": items}},
            {"name": "maybe", "configMap": {"name": "maybe", "optional": true}},
            {"name": "seen", "secret": {"secretName": "s"}},
            {"name": "all", "projected": {"sources": [
                {"configMap": {"name": "conf"}}, {"secret": {"name": "s", "items": [{"key": "p", "path": "p"}]}}]}},
        ],
    }})
}

async fn get(w: &World, path: &str) -> Value {
    serde_json::from_str(&w.send(Get, path, "", &Value::Null).await.1).unwrap()
}

async fn waiting(w: &World, pod: &str) -> Value {
    let pod = get(w, &w.core(&format!("pods/{pod}"))).await;
    pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].clone()
}

async fn touch(w: &World, value: &str) {
    let patch = json!({"metadata": {"annotations": {"afresh.dev/touched": value}}});
    w.send(Merge, &w.core("pods/p/status"), "", &patch).await;
}

/// Touches the pod now and then until something holds.
async fn until(w: &World, what: &str, holds: impl AsyncFn() -> bool) {
    let wait = async {
        for round in 0_u32.. {
            if holds().await {
                return;
            }
            if round % 20 == 0 {
                touch(w, &format!("{what} {round}")).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, wait).await.is_ok(),
        "{}: never: {what}",
        w.namespace
    );
}

async fn until_says(w: &World, eyes: &Eyes, path: &str, content: &str) {
    until(w, &format!("{path} says {content}"), async || {
        eyes.file(w, path).await.as_deref() == Some(content)
    })
    .await;
}

/// Writes down what the container sees.
async fn look(w: &mut World, eyes: &Eyes, step: &str) {
    let mut files = serde_json::Map::new();
    for path in FILES {
        files.insert(path.to_owned(), json!(eyes.file(w, path).await));
    }
    w.note(step, Value::Object(files));
}

fn is_running(pod: &Value) -> bool {
    pod["status"]["phase"] == "Running" && pod["status"]["containerStatuses"][0]["ready"] == true
}

pub(crate) async fn script(w: &mut World, eyes: &Eyes) {
    start(w, eyes).await;
    change(w, eyes).await;
    lose(w, eyes).await;
    environment(w, eyes).await;
}

async fn start(w: &mut World, eyes: &Eyes) {
    w.send(Post, &w.core("pods"), "", &pod()).await;
    until(w, "waits for its volumes", async || {
        waiting(w, "p").await == "ContainerCreating"
    })
    .await;
    tokio::time::sleep(EFFECT).await;
    let reason = waiting(w, "p").await;
    w.note("a pod whose ConfigMap and Secret are not there", reason);
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"p": "pass", "q": "x"}});
    w.send(Post, &w.core("secrets"), "", &secret).await;
    let conf = json!({"metadata": {"name": "conf"}, "data": {"k": "1", "l": "1"}});
    w.send(Post, &w.core("configmaps"), "", &conf).await;
    until(w, "runs", async || is_running(&get(w, &w.core("pods/p")).await)).await;
    look(w, eyes, "the files of a new pod").await;
    for name in ["KEY", "SECRET", "NONE", "TEXT", "P_k", "P_l"] {
        let value = eyes.variable(w, "p", name).await;
        w.note(&format!("the variable {name} of a new pod"), json!(value));
    }
}

async fn change(w: &mut World, eyes: &Eyes) {
    let conf = w.core("configmaps/conf");
    w.send(Merge, &conf, "", &json!({"data": {"k": "2", "l": null, "n": "2"}}))
        .await;
    // The kubelet writes the volumes of a pod one by one.
    for path in ["/conf/k", "/items/path/to/k", "/all/k"] {
        until_says(w, eyes, path, "2").await;
    }
    look(w, eyes, "the files after a change").await;
    let value = eyes.variable(w, "p", "KEY").await;
    w.note("the environment does not change", json!(value));
    let maybe = json!({"metadata": {"name": "maybe"}, "data": {"m": "1"}});
    w.send(Post, &w.core("configmaps"), "", &maybe).await;
    until(w, "sees the optional one", async || {
        eyes.file(w, "/maybe/m").await.is_some()
    })
    .await;
    w.send(Delete, &w.core("configmaps/maybe"), "", &Value::Null).await;
    until(w, "the optional one is gone", async || {
        eyes.file(w, "/maybe/m").await.is_none()
    })
    .await;
    look(w, eyes, "the files after an optional ConfigMap came and went").await;
}

async fn lose(w: &mut World, eyes: &Eyes) {
    w.send(Merge, &w.core("secrets/s"), "", &json!({"data": {"p": null}}))
        .await;
    // The kubelet hears of Secrets and of ConfigMaps by different watches.
    until(w, "sees that the key is gone", async || {
        eyes.file(w, "/seen/p").await.is_none()
    })
    .await;
    w.send(Merge, &w.core("configmaps/conf"), "", &json!({"data": {"k": "3"}}))
        .await;
    for path in ["/conf/k", "/items/path/to/k"] {
        until_says(w, eyes, path, "3").await;
    }
    look(w, eyes, "a projected volume that lacks a key is frozen as a whole").await;
    w.send(Merge, &w.core("secrets/s"), "", &json!({"stringData": {"p": "again"}}))
        .await;
    until_says(w, eyes, "/all/p", "again").await;
    look(w, eyes, "the key of the projected volume is back").await;
    w.send(Delete, &w.core("configmaps/conf"), "", &Value::Null).await;
    touch(w, "deleted").await;
    tokio::time::sleep(EFFECT).await;
    touch(w, "deleted for long").await;
    tokio::time::sleep(EFFECT).await;
    look(w, eyes, "the files of a required ConfigMap that is gone stay").await;
    let running = is_running(&get(w, &w.core("pods/p")).await);
    w.note("and the pod runs on", json!(running));
    let conf = json!({"metadata": {"name": "conf"}, "data": {"k": "4"}});
    w.send(Post, &w.core("configmaps"), "", &conf).await;
    for path in ["/conf/k", "/items/path/to/k", "/all/k"] {
        until_says(w, eyes, path, "4").await;
    }
    look(w, eyes, "the files of a ConfigMap that was made anew").await;
}

async fn environment(w: &mut World, eyes: &Eyes) {
    let mut other = pod();
    other["metadata"]["name"] = json!("q");
    other["spec"]["volumes"] = json!([]);
    other["spec"]["containers"][0]["volumeMounts"] = json!([]);
    other["spec"]["containers"][0]["env"] =
        json!([{"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "late"}}}]);
    w.send(Post, &w.core("pods"), "", &other).await;
    until(w, "cannot be configured", async || {
        waiting(w, "q").await == "CreateContainerConfigError"
    })
    .await;
    w.send(Merge, &w.core("configmaps/conf"), "", &json!({"data": {"late": "5"}}))
        .await;
    until(w, "is configured", async || {
        is_running(&get(w, &w.core("pods/q")).await)
    })
    .await;
    let value = eyes.variable(w, "q", "KEY").await;
    w.note("a variable that came late", json!(value));
}
