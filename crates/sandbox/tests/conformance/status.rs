//! Pods and their status, Leases, Events, namespaces, and what servers refuse.

use serde_json::{Value, json};

use crate::harness::Method::{Delete, Get, Merge, Post, Put, Strategic};
use crate::harness::World;

pub(crate) async fn script(w: &mut World) {
    pods(w).await;
    leases(w).await;
    events(w).await;
    namespaces(w).await;
    tables(w).await;
    refused(w).await;
}

async fn pods(w: &mut World) {
    let body = json!({"metadata": {"name": "p", "labels": {"app": "p"}}, "spec": {
        "containers": [{"name": "c", "image": "i:1"}], "automountServiceAccountToken": false, "serviceAccountName": "default"}});
    let made = w.send(Post, &w.core("pods"), "", &body).await;
    w.note("create a pod", json!(made.0));
    let pod = w.core("pods/p");
    let door = format!("{pod}/status");
    let generation = |text: &str| serde_json::from_str::<Value>(text).unwrap()["metadata"]["generation"].clone();
    let first = generation(&made.1);
    let touch = json!({"metadata": {"annotations": {"afresh.dev/touched": "1"}}, "spec": {"activeDeadlineSeconds": 5}});
    for (step, path) in [
        ("touch through the status door", &door),
        ("touch it again with the same", &door),
    ] {
        let (code, text) = w.send(Strategic, path, "", &touch).await;
        let body: Value = serde_json::from_str(&text).unwrap();
        let spec = body["spec"]["activeDeadlineSeconds"].clone();
        w.note(
            step,
            json!([
                code,
                body["metadata"]["annotations"],
                spec,
                body["metadata"]["generation"] == first
            ]),
        );
    }
    let owners = json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "u"}], "labels": {"by": "status"}}, "status": {"phase": "Running", "message": "m"}});
    let (code, text) = w.send(Merge, &door, "", &owners).await;
    let body: Value = serde_json::from_str(&text).unwrap();
    let seen = json!([
        code,
        body["metadata"]["ownerReferences"],
        body["metadata"]["labels"],
        body["status"]["phase"],
        body["status"]["message"]
    ]);
    w.note("owners, labels and status through the status door", seen);
    let (code, text) = w.send(Merge, &pod, "", &json!({"status": {"phase": "Failed"}})).await;
    let body: Value = serde_json::from_str(&text).unwrap();
    w.note("status through the main door", json!([code, body["status"]["phase"]]));
    let (code, text) = w.send(Merge, &pod, "", &json!({"spec": {"hostname": "h"}})).await;
    let body: Value = serde_json::from_str(&text).unwrap();
    w.note(
        "change a pod's spec",
        json!([code, body["reason"], body["details"]["causes"][0]["field"]]),
    );
    let image = json!({"spec": {"containers": [{"name": "c", "image": "i:2"}]}});
    let (code, text) = w.send(Strategic, &pod, "", &image).await;
    w.note("change a pod's image", json!([code, generation(&text) == 2]));
    w.table("the table of pods", &w.core("pods")).await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let (code, _) = w.send(Post, &format!("{pod}/eviction"), "", &eviction).await;
    w.note("evict a pod", json!(code));
    let (code, _) = w.send(Get, &pod, "", &Value::Null).await;
    w.note("an unscheduled pod is gone at once", json!(code));
}

async fn tables(w: &mut World) {
    let events = w.core("events");
    w.table("the table of Events", &events).await;
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", w.namespace);
    w.table("the table of Leases", &leases).await;
    let here = format!("/api/v1/namespaces?fieldSelector=metadata.name%3D{}", w.namespace);
    w.table("the table of namespaces", &here).await;
}

async fn leases(w: &mut World) {
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", w.namespace);
    let body = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {
        "holderIdentity": "me", "leaseDurationSeconds": 15, "acquireTime": "2030-01-01T00:00:00.000000Z",
        "renewTime": "2030-01-01T00:00:00.123456Z", "leaseTransitions": 0}});
    let made = w.call("create a Lease", Post, &leases, body.clone()).await;
    let one = format!("{leases}/l");
    let mut next = made.body.clone();
    next["spec"]["renewTime"] = json!("2030-01-01T00:00:02.000000Z");
    w.call("renew a Lease", Put, &one, next.clone()).await;
    w.call("renew with a stale version", Put, &one, next).await;
    let mut versionless = body.clone();
    versionless["spec"]["holderIdentity"] = json!("you");
    w.call("replace a Lease without a version", Put, &one, versionless)
        .await;
    let guarded = json!({"metadata": {"resourceVersion": made.version()}, "spec": {"holderIdentity": "you"}});
    w.call("patch a Lease with a stale version", Merge, &one, guarded).await;
    w.call(
        "release a Lease",
        Merge,
        &one,
        json!({"spec": {"holderIdentity": null}}),
    )
    .await;
    let mut other = body;
    other["metadata"]["name"] = json!("m");
    w.call("replace a Lease that is not there", Put, &format!("{leases}/m"), other)
        .await;
    w.call(
        "a Lease of no duration",
        Merge,
        &one,
        json!({"spec": {"leaseDurationSeconds": 0}}),
    )
    .await;
}

async fn events(w: &mut World) {
    let new = format!("/apis/events.k8s.io/v1/namespaces/{}/events", w.namespace);
    let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"},
        "eventTime": "2030-01-01T00:00:00.000000Z", "reportingController": "afresh.dev/controller", "reportingInstance": "i",
        "action": "Roll", "reason": "Rolled", "type": "Normal", "note": "said",
        "regarding": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "w", "namespace": w.namespace, "uid": "00000000-0000-0000-0000-000000000001"}});
    w.call("an Event of the new group", Post, &new, event).await;
    w.call(
        "the same Event through the old group",
        Get,
        &w.core("events/e"),
        Value::Null,
    )
    .await;
    let series = json!({"series": {"count": 2, "lastObservedTime": "2030-01-01T00:01:00.000000Z"}});
    w.call("a series of Events", Merge, &format!("{new}/e"), series).await;
    let old = json!({"metadata": {"name": "o"}, "reason": "Old", "message": "said", "type": "Warning", "count": 1,
        "firstTimestamp": "2030-01-01T00:00:00Z", "lastTimestamp": "2030-01-01T00:00:00Z", "source": {"component": "me"},
        "involvedObject": {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "namespace": w.namespace}});
    w.call("an Event of the old group", Post, &w.core("events"), old).await;
    w.call(
        "the same Event through the new group",
        Get,
        &format!("{new}/o"),
        Value::Null,
    )
    .await;
    let by_object = format!(
        "{}?fieldSelector=involvedObject.name%3Dc%2Creason%3DOld",
        w.core("events")
    );
    w.call("Events about an object", Get, &by_object, Value::Null).await;
}

async fn namespaces(w: &mut World) {
    let name = format!("{}-made", w.namespace);
    w.call(
        "create a namespace",
        Post,
        "/api/v1/namespaces",
        json!({"metadata": {"name": name}}),
    )
    .await;
    w.call(
        "a bad namespace",
        Post,
        "/api/v1/namespaces",
        json!({"metadata": {"name": "a.b"}}),
    )
    .await;
    w.call(
        "delete a namespace",
        Delete,
        &format!("/api/v1/namespaces/{name}"),
        Value::Null,
    )
    .await;
    let inside = format!("/api/v1/namespaces/{name}/configmaps");
    w.call(
        "create in a namespace that is going",
        Post,
        &inside,
        json!({"metadata": {"name": "x"}}),
    )
    .await;
}

async fn refused(w: &mut World) {
    let one = w.core("configmaps/none");
    w.call("POST to an object", Post, &one, json!({})).await;
    w.call("an unknown subresource", Get, &format!("{one}/status"), Value::Null)
        .await;
    w.call("replace a collection", Put, &w.core("configmaps"), json!({}))
        .await;
    w.call_as("only JSON is served", Get, &one, "application/yaml2", Value::Null)
        .await;
    let answer = w.call("the version", Get, "/version", Value::Null).await;
    // Only that it reads like one: the numbers are the real server's own.
    let text = answer.body["gitVersion"]
        .as_str()
        .unwrap_or_default()
        .starts_with("v1.");
    w.steps.pop();
    w.note("a version is told", json!([answer.code, text]));
    for path in ["/healthz", "/readyz", "/livez"] {
        w.call(path, Get, path, Value::Null).await;
    }
    let versions = w.call("core versions", Get, "/api", Value::Null).await;
    w.steps.pop();
    w.note(
        "core versions are told",
        json!([versions.code, versions.body["versions"]]),
    );
    let resources = w.call("resources of apps", Get, "/apis/apps/v1", Value::Null).await;
    w.steps.pop();
    let list = resources.body["resources"].as_array().unwrap();
    let deployments: Vec<_> = list
        .iter()
        .filter(|row| row["name"].as_str().unwrap().starts_with("deployments"))
        .map(|row| {
            json!([
                row["name"],
                row["singularName"],
                row["namespaced"],
                row["kind"],
                row["verbs"],
                row["shortNames"],
                row["categories"],
                row["group"],
                row["version"]
            ])
        })
        .collect();
    w.note("how Deployments are discovered", json!(deployments));
}
