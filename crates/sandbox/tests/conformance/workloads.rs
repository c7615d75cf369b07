//! Workload objects without controllers: defaults, generation, selectors, scale.

use serde_json::{Value, json};

use crate::harness::Method::{Delete, Get, Json, Merge, Post, Put};
use crate::harness::World;

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "w"}}, "spec": {
        "initContainers": [{"name": "init", "image": "registry.example.org:5000/i"}],
        "containers": [{"name": "app", "image": "i:1", "ports": [{"containerPort": 80}], "envFrom": [{"configMapRef": {"name": "c"}}],
            "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]}],
        "volumes": [{"name": "c", "configMap": {"name": "c"}}, {"name": "s", "secret": {"secretName": "s"}},
            {"name": "p", "projected": {"sources": [{"configMap": {"name": "c"}}]}}, {"name": "e", "emptyDir": {}}],
    }})
}

fn workload(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": "w"}}, "template": template()}})
}

pub(crate) async fn script(w: &mut World) {
    for kind in ["deployments", "daemonsets", "statefulsets", "replicasets"] {
        let path = w.apps(kind);
        let mut body = workload("w");
        if kind == "statefulsets" {
            body["spec"]["serviceName"] = json!("w");
        }
        w.call(&format!("{kind}: create"), Post, &path, body).await;
        let one = w.apps(&format!("{kind}/w"));
        w.call(
            &format!("{kind}: label"),
            Merge,
            &one,
            json!({"metadata": {"labels": {"a": "b"}}}),
        )
        .await;
        w.call(
            &format!("{kind}: annotate"),
            Merge,
            &one,
            json!({"metadata": {"annotations": {"a": "b"}}}),
        )
        .await;
        let note = json!({"spec": {"template": {"metadata": {"annotations": {"afresh.dev/config": "1"}}}}});
        w.call(&format!("{kind}: annotate the template"), Merge, &one, note)
            .await;
        w.call(
            &format!("{kind}: status through the main door"),
            Merge,
            &one,
            json!({"status": {"observedGeneration": 9}}),
        )
        .await;
        let status = json!({"status": {"observedGeneration": 2}, "spec": {"minReadySeconds": 5}, "metadata": {"annotations": {"by": "status"}, "labels": {"by": "status"}}});
        w.call(
            &format!("{kind}: the status door"),
            Merge,
            &format!("{one}/status"),
            status,
        )
        .await;
        let selector = json!({"spec": {"selector": {"matchLabels": {"app": "v"}}, "template": {"metadata": {"labels": {"app": "v"}}}}});
        let (code, text) = w.send(Merge, &one, "", &selector).await;
        let refused: Value = serde_json::from_str(&text).unwrap();
        w.note(
            &format!("{kind}: change the selector"),
            json!([code, refused["reason"], refused["details"]["causes"][0]["field"]]),
        );
        w.table(&format!("{kind}: table"), &path).await;
        w.call(
            &format!("{kind}: delete in the background"),
            Delete,
            &one,
            json!({"propagationPolicy": "Background"}),
        )
        .await;
    }
    others(w).await;
}

async fn others(w: &mut World) {
    refused(w).await;
    scale(w).await;
    jobs(w).await;
}

async fn refused(w: &mut World) {
    let path = w.apps("deployments");
    let mut odd = workload("odd");
    odd["spec"]["selector"] = json!({"matchLabels": {"app": "other"}});
    w.call("a selector that does not match", Post, &path, odd).await;
    let bare = json!({"metadata": {"name": "bare"}, "spec": {"template": template()}});
    let (code, text) = w.send(Post, &path, "", &bare).await;
    let status: Value = serde_json::from_str(&text).unwrap();
    w.note("no selector", json!([code, status["reason"]]));
    let mut negative = workload("negative");
    negative["spec"]["replicas"] = json!(-1);
    w.call("a negative number", Post, &path, negative).await;
    let mut empty = workload("empty");
    empty["spec"]["template"]["spec"] = json!({"containers": []});
    w.call("no containers", Post, &path, empty).await;
}

async fn scale(w: &mut World) {
    w.call("scale: create", Post, &w.apps("deployments"), workload("s"))
        .await;
    let scale = w.apps("deployments/s/scale");
    let read = w.call("scale: read", Get, &scale, Value::Null).await;
    let mut wanted = read.body.clone();
    wanted["spec"]["replicas"] = json!(3);
    w.call("scale: replace", Put, &scale, wanted).await;
    w.call("scale: patch", Merge, &scale, json!({"spec": {"replicas": 2}}))
        .await;
    w.call(
        "scale: pause",
        Json,
        &w.apps("deployments/s"),
        json!([{"op": "add", "path": "/spec/paused", "value": true}]),
    )
    .await;
}

async fn jobs(w: &mut World) {
    let path = format!("/apis/batch/v1/namespaces/{}/cronjobs", w.namespace);
    let mut template = template();
    template["spec"]["restartPolicy"] = json!("Never");
    let body = json!({"metadata": {"name": "c"}, "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}}});
    w.call("create a CronJob", Post, &path, body).await;
    let note = json!({"spec": {"jobTemplate": {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}}}});
    w.call("annotate a CronJob's template", Merge, &format!("{path}/c"), note)
        .await;
}
