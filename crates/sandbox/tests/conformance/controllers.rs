//! Workloads with controllers but without a node: the script itself plays the kubelet and marks pods ready.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::Method::{Delete, Get, Merge, Post, Put, Strategic};
use crate::harness::World;

/// The real controllers take a while; this bounds every wait.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) async fn script(w: &mut World) {
    deployment(w).await;
    paused(w).await;
    recreate(w).await;
    stateful_set(w).await;
    garbage(w).await;
}

async fn get(w: &World, path: &str) -> Value {
    serde_json::from_str(&w.send(Get, path, "", &Value::Null).await.1).unwrap()
}

async fn pods(w: &World, app: &str) -> Vec<Value> {
    let list = get(w, &format!("{}?labelSelector=app%3D{app}", w.core("pods"))).await;
    list["items"].as_array().unwrap().clone()
}

/// Polls until something holds, doing the kubelet's work meanwhile if asked.
async fn until(w: &World, what: &str, app: &str, serve: bool, holds: impl AsyncFn(&World) -> bool) {
    let wait = async {
        while !holds(w).await {
            if serve {
                mark_ready(w, app).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        panic!("{}: never: {what}; {:#?}", w.namespace, pods(w, app).await);
    }
}

async fn mark_ready(w: &World, app: &str) {
    for pod in pods(w, app).await {
        let name = pod["metadata"]["name"].as_str().unwrap();
        if pod["status"]["phase"] != "Running" {
            let status = json!({"status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}]}});
            w.send(
                Merge,
                &format!("{}/status", w.core(&format!("pods/{name}"))),
                "",
                &status,
            )
            .await;
        }
    }
}

fn workload(app: &str, replicas: i64) -> Value {
    json!({"metadata": {"name": app}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": {
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "c", "image": "i:1"}], "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false}}}})
}

/// The status without what names the moment or the hash.
fn status(object: &Value) -> Value {
    let mut status = object["status"].clone();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        let kept = ["type", "status", "reason"];
        condition
            .as_object_mut()
            .unwrap()
            .retain(|key, _| kept.contains(&key.as_str()));
    }
    if let Some(conditions) = status["conditions"].as_array_mut() {
        conditions.sort_by_key(|condition| condition["type"].to_string());
    }
    if let Some(map) = status.as_object_mut() {
        // Not served by the sandbox: the real one has counted pods on their way out since 1.33.
        map.remove("terminatingReplicas");
        for revision in ["currentRevision", "updateRevision"] {
            map.remove(revision);
        }
    }
    status
}

/// The status without its generation: how many steps a rollout takes depends on when its pods get ready.
fn counts(set: &Value) -> Value {
    let mut status = status(set);
    status.as_object_mut().unwrap().remove("observedGeneration");
    status
}

fn is_settled(object: &Value) -> bool {
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

/// Writes down the Deployment's status, its ReplicaSets and its pods.
async fn picture(w: &mut World, step: &str, app: &str) {
    let path = w.apps(&format!("deployments/{app}"));
    let deployment = get(w, &path).await;
    let sets = get(w, &format!("{}?labelSelector=app%3D{app}", w.apps("replicasets"))).await;
    let mut rows: Vec<Value> = Vec::new();
    for set in sets["items"].as_array().unwrap() {
        let hash = &set["metadata"]["labels"]["pod-template-hash"];
        let mut annotations = set["metadata"]["annotations"].clone();
        if let Some(map) = annotations.as_object_mut() {
            map.retain(|key, _| key.starts_with("deployment.kubernetes.io/"));
        }
        rows.push(json!({
            "annotations": annotations, "replicas": set["spec"]["replicas"], "status": counts(set), "seen": is_settled(set),
            "hash in selector": set["spec"]["selector"]["matchLabels"]["pod-template-hash"] == *hash,
            "hash in template": set["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] == *hash,
            "name": set["metadata"]["name"] == json!(format!("{app}-{}", hash.as_str().unwrap())),
            "owner": set["metadata"]["ownerReferences"][0]["controller"],
        }));
    }
    rows.sort_by_key(|row| row["annotations"]["deployment.kubernetes.io/revision"].to_string());
    let all = pods(w, app).await;
    let owners: Vec<_> = all
        .iter()
        .map(|pod| pod["metadata"]["ownerReferences"][0]["kind"].clone())
        .collect();
    let revision = deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"].clone();
    w.note(
        step,
        json!({
            "status": status(&deployment), "generation": deployment["metadata"]["generation"], "revision": revision,
            "replica sets": rows, "pods": owners,
        }),
    );
}

async fn rolled(w: &World, app: &str, replicas: i64) -> bool {
    let deployment = get(w, &w.apps(&format!("deployments/{app}"))).await;
    let status = &deployment["status"];
    let counts = ["replicas", "updatedReplicas", "availableReplicas"];
    let progressing = status["conditions"].as_array().cloned().unwrap_or_default();
    let is_complete = progressing.iter().any(|c| c["reason"] == "NewReplicaSetAvailable");
    is_settled(&deployment)
        && is_complete
        && counts.iter().all(|count| status[*count] == replicas)
        && i64::try_from(pods(w, app).await.len()) == Ok(replicas)
}

async fn roll(w: &World, kind: &str, app: &str, to: &str) {
    let note = json!({"spec": {"template": {"metadata": {"annotations": {"afresh.dev/config": to}}}}});
    w.send(Strategic, &w.apps(&format!("{kind}/{app}")), "", &note).await;
}

async fn deployment(w: &mut World) {
    w.send(Post, &w.apps("deployments"), "", &workload("web", 4)).await;
    until(w, "four pods", "web", false, async |w| {
        let deployment = get(w, &w.apps("deployments/web")).await;
        is_settled(&deployment)
            && deployment["status"]["replicas"] == 4
            && deployment["status"]["unavailableReplicas"] == 4
    })
    .await;
    picture(w, "a new Deployment whose pods are not ready", "web").await;
    until(w, "rolled out", "web", true, async |w| rolled(w, "web", 4).await).await;
    picture(w, "a Deployment whose pods are ready", "web").await;

    roll(w, "deployments", "web", "2").await;
    until(w, "first step of a rollout", "web", false, async |w| {
        let deployment = get(w, &w.apps("deployments/web")).await;
        is_settled(&deployment)
            && deployment["status"]["updatedReplicas"] == 2
            && deployment["status"]["availableReplicas"] == 3
    })
    .await;
    picture(w, "a rollout in its first step: one more, one less", "web").await;
    until(w, "rolled to the second template", "web", true, async |w| {
        rolled(w, "web", 4).await
    })
    .await;
    picture(w, "a rollout that is over", "web").await;

    let back = json!({"spec": {"template": {"metadata": {"annotations": null}}}});
    w.send(Merge, &w.apps("deployments/web"), "", &back).await;
    until(w, "rolled back", "web", true, async |w| rolled(w, "web", 4).await).await;
    picture(w, "a rollback reuses the old ReplicaSet", "web").await;

    let annotated = json!({"metadata": {"annotations": {"note": "1"}}});
    w.send(Merge, &w.apps("deployments/web"), "", &annotated).await;
    until(w, "seen the annotation", "web", false, async |w| {
        is_settled(&get(w, &w.apps("deployments/web")).await)
    })
    .await;
    picture(w, "an annotation of the Deployment itself rolls nothing", "web").await;
}

async fn paused(w: &mut World) {
    let mut body = workload("idle", 2);
    body["spec"]["paused"] = json!(true);
    w.send(Post, &w.apps("deployments"), "", &body).await;
    until(w, "seen", "idle", false, async |w| {
        is_settled(&get(w, &w.apps("deployments/idle")).await)
    })
    .await;
    let sets = get(w, &format!("{}?labelSelector=app%3Didle", w.apps("replicasets"))).await;
    w.note("a Deployment that is paused from the start", sets["items"].clone());
    w.send(
        Merge,
        &w.apps("deployments/idle"),
        "",
        &json!({"spec": {"paused": null}}),
    )
    .await;
    until(w, "rolled out", "idle", true, async |w| rolled(w, "idle", 2).await).await;
    w.send(
        Merge,
        &w.apps("deployments/idle"),
        "",
        &json!({"spec": {"paused": true}}),
    )
    .await;
    roll(w, "deployments", "idle", "2").await;
    w.send(
        Merge,
        &w.apps("deployments/idle"),
        "",
        &json!({"spec": {"replicas": 3}}),
    )
    .await;
    until(w, "scaled while paused", "idle", true, async |w| {
        let deployment = get(w, &w.apps("deployments/idle")).await;
        is_settled(&deployment) && deployment["status"]["availableReplicas"] == 3
    })
    .await;
    let sets = get(w, &format!("{}?labelSelector=app%3Didle", w.apps("replicasets"))).await;
    w.note(
        "a paused Deployment scales but does not roll",
        json!(sets["items"].as_array().unwrap().len()),
    );
}

async fn recreate(w: &mut World) {
    let mut body = workload("once", 2);
    body["spec"]["strategy"] = json!({"type": "Recreate"});
    w.send(Post, &w.apps("deployments"), "", &body).await;
    until(w, "rolled out", "once", true, async |w| rolled(w, "once", 2).await).await;
    roll(w, "deployments", "once", "2").await;
    until(w, "recreated", "once", true, async |w| rolled(w, "once", 2).await).await;
    picture(w, "a Deployment that was recreated", "once").await;
}

async fn stateful_set(w: &mut World) {
    let mut body = workload("db", 3);
    body["spec"]["serviceName"] = json!("db");
    w.send(Post, &w.apps("statefulsets"), "", &body).await;
    until(w, "the first pod", "db", false, async |w| {
        let set = get(w, &w.apps("statefulsets/db")).await;
        is_settled(&set) && set["status"]["replicas"] == 1
    })
    .await;
    sets(w, "a StatefulSet waits for its first pod").await;
    let done = async |w: &World| {
        let set = get(w, &w.apps("statefulsets/db")).await;
        let status = &set["status"];
        let counts = ["replicas", "readyReplicas", "updatedReplicas", "currentReplicas"];
        is_settled(&set)
            && counts.iter().all(|c| status[*c] == 3)
            && status["currentRevision"] == status["updateRevision"]
    };
    until(w, "three pods", "db", true, done).await;
    sets(w, "a StatefulSet that is complete").await;
    roll(w, "statefulsets", "db", "2").await;
    until(w, "the highest is new", "db", false, async |w| {
        let pod = get(w, &w.core("pods/db-2")).await;
        pod["metadata"]["annotations"]["afresh.dev/config"] == "2"
    })
    .await;
    until(w, "the update is seen", "db", false, async |w| {
        let set = get(w, &w.apps("statefulsets/db")).await;
        is_settled(&set) && set["status"]["updatedReplicas"] == 1 && set["status"]["readyReplicas"] == 2
    })
    .await;
    sets(w, "a StatefulSet in the middle of its update").await;
    until(w, "updated", "db", true, done).await;
    sets(w, "a StatefulSet that is updated").await;
}

async fn sets(w: &mut World, step: &str) {
    let set = get(w, &w.apps("statefulsets/db")).await;
    let mut shown: Vec<_> = pods(w, "db").await;
    shown.sort_by_key(|pod| pod["metadata"]["name"].to_string());
    let shown: Vec<_> = shown
        .iter()
        .map(|pod| {
            let labels = &pod["metadata"]["labels"];
            let revision = labels["controller-revision-hash"] == set["status"]["updateRevision"];
            json!([
                pod["metadata"]["name"],
                revision,
                labels["apps.kubernetes.io/pod-index"],
                labels["statefulset.kubernetes.io/pod-name"]
            ])
        })
        .collect();
    w.note(step, json!({"status": status(&set), "pods": shown}));
}

async fn garbage(w: &mut World) {
    let background = json!({"propagationPolicy": "Background"});
    w.send(Delete, &w.apps("deployments/web"), "", &background).await;
    until(w, "everything of web is gone", "web", false, async |w| {
        let sets = get(w, &format!("{}?labelSelector=app%3Dweb", w.apps("replicasets"))).await;
        sets["items"].as_array().unwrap().is_empty() && pods(w, "web").await.is_empty()
    })
    .await;
    let foreground = json!({"propagationPolicy": "Foreground"});
    let (code, text) = w.send(Delete, &w.apps("deployments/idle"), "", &foreground).await;
    let going: Value = serde_json::from_str(&text).unwrap();
    w.note(
        "a foreground deletion begins",
        json!([code, going["metadata"]["finalizers"]]),
    );
    until(w, "idle is gone", "idle", false, async |w| {
        w.send(Get, &w.apps("deployments/idle"), "", &Value::Null).await.0 == 404
    })
    .await;
    w.note("a foreground deletion leaves nothing", json!(pods(w, "idle").await));
    let orphan = json!({"propagationPolicy": "Orphan"});
    w.send(Delete, &w.apps("deployments/once"), "", &orphan).await;
    until(w, "once is gone", "once", false, async |w| {
        w.send(Get, &w.apps("deployments/once"), "", &Value::Null).await.0 == 404
    })
    .await;
    let sets = get(w, &format!("{}?labelSelector=app%3Donce", w.apps("replicasets"))).await;
    let owners: Vec<_> = sets["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|set| set["metadata"]["ownerReferences"].clone())
        .collect();
    w.note("orphans have no owner", json!([owners, pods(w, "once").await.len()]));
    let dangling = json!({"metadata": {"name": "dangling", "ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "00000000-0000-0000-0000-00000000dead"}]}});
    let (code, _) = w.send(Put, &w.core("configmaps/dangling"), "", &dangling).await;
    w.note("a ConfigMap is not made by replacing", json!(code));
    w.send(Post, &w.core("configmaps"), "", &dangling).await;
    until(w, "what is owned by nobody is collected", "none", false, async |w| {
        w.send(Get, &w.core("configmaps/dangling"), "", &Value::Null).await.0 == 404
    })
    .await;
}
