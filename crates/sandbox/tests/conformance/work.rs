//! Jobs and CronJobs without their controllers, and a kind of one's own: what Afresh asks of them.

use serde_json::{Value, json};

use crate::harness::Method::{Delete, Get, Merge, Post, Strategic};
use crate::harness::World;

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "w"}}, "spec": {"restartPolicy": "Never",
        "containers": [{"name": "app", "image": "i:1", "envFrom": [{"configMapRef": {"name": "c"}}]}]}})
}

fn job(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": "w"}}, "spec": {"template": template()}})
}

fn note(key: &str) -> Value {
    json!({"metadata": {"annotations": {key: "{}"}}})
}

fn background(preconditions: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background", "preconditions": preconditions})
}

/// Code, reason and the first field of a refusal, whose message shows the whole object in Go's words. Of another uid
/// every field that follows from it is refused as well.
async fn refused(w: &mut World, step: &str, path: &str, body: Value) {
    let (code, text) = w.send(Merge, path, "", &body).await;
    let status: Value = serde_json::from_str(&text).unwrap();
    let field = &status["details"]["causes"][0]["field"];
    w.note(step, json!([code, status["reason"], field]));
}

pub(crate) async fn script(w: &mut World) {
    let jobs = format!("/apis/batch/v1/namespaces/{}/jobs", w.namespace);
    made_and_read(w, &jobs).await;
    changed(w, &jobs).await;
    deleted(w, &jobs).await;
    cron_jobs(w, &jobs).await;
}

async fn made_and_read(w: &mut World, jobs: &str) {
    let path = format!("{jobs}?fieldManager=afresh");
    w.call("try a Job", Post, &format!("{path}&dryRun=All"), job("tried"))
        .await;
    w.call("it is not there", Get, &format!("{jobs}/tried"), Value::Null)
        .await;
    let first = w.call("make a Job", Post, &path, job("one")).await;
    w.call("make it again", Post, &path, job("one")).await;
    let mut suspended = job("suspended");
    suspended["metadata"]["labels"] = json!({"afresh.dev/stand-in": "true"});
    suspended["spec"]["suspend"] = json!(true);
    w.call("one that is suspended", Post, &path, suspended).await;
    let mut own = job("own");
    own["spec"]["manualSelector"] = json!(true);
    own["spec"]["selector"] = json!({"matchLabels": {"app": "w"}});
    w.call("one with a selector of its own", Post, &path, own).await;
    w.call("read a Job", Get, &format!("{jobs}/one"), Value::Null).await;
    w.call("list Jobs", Get, &format!("{jobs}?limit=100"), Value::Null)
        .await;
    let labelled = format!("{jobs}?labelSelector=afresh.dev%2Fstand-in&limit=100");
    w.call("list Jobs by their label", Get, &labelled, Value::Null).await;
    let since = format!("{jobs}?watch=1&timeoutSeconds=8&resourceVersion={}", first.version());
    w.watch(&[("watch Jobs", since, "")]).await;
}

async fn changed(w: &mut World, jobs: &str) {
    let one = format!("{jobs}/one");
    let read = w.call("read it before", Get, &one, Value::Null).await;
    let mut patch = note("afresh.dev/applied");
    patch["metadata"]["uid"] = json!(read.uid());
    w.call("write on a Job", Merge, &one, patch.clone()).await;
    patch["metadata"]["uid"] = json!("0b7f1cf0-0000-4000-8000-000000000000");
    refused(w, "write on a Job of another uid", &one, patch).await;
    let template = json!({"spec": {"template": note("afresh.dev/config")}});
    refused(w, "write on a Job's template", &one, template).await;
    w.call("suspend a Job", Merge, &one, json!({"spec": {"suspend": true}}))
        .await;
}

async fn deleted(w: &mut World, jobs: &str) {
    let one = format!("{jobs}/one");
    let read = w.call("read it before it goes", Get, &one, Value::Null).await;
    let other = json!({"uid": "0b7f1cf0-0000-4000-8000-000000000000"});
    let (code, _) = w.send(Delete, &one, "", &background(&other)).await;
    w.note("delete a Job of another uid", json!(code));
    let stale = json!({"uid": read.uid(), "resourceVersion": "1"});
    let (code, _) = w.send(Delete, &one, "", &background(&stale)).await;
    w.note("delete a Job of another version", json!(code));
    let right = json!({"uid": read.uid(), "resourceVersion": read.version()});
    w.call("delete a Job", Delete, &one, background(&right)).await;
    w.call("it is gone", Get, &one, Value::Null).await;

    let mut slow = job("slow");
    slow["metadata"]["finalizers"] = json!(["example.org/slow"]);
    let made = w.call("one that goes slowly", Post, jobs, slow.clone()).await;
    let path = format!("{jobs}/slow");
    w.call(
        "it begins to go",
        Delete,
        &path,
        background(&json!({"uid": made.uid()})),
    )
    .await;
    w.call("make it again before it is gone", Post, jobs, slow).await;
    w.call("let it go", Merge, &path, json!({"metadata": {"finalizers": null}}))
        .await;
    w.call("it is gone at last", Get, &path, Value::Null).await;
}

async fn cron_jobs(w: &mut World, jobs: &str) {
    let path = format!("/apis/batch/v1/namespaces/{}/cronjobs", w.namespace);
    let body = json!({"metadata": {"name": "nightly"},
        "spec": {"schedule": "0 3 * * *", "concurrencyPolicy": "Forbid", "suspend": true,
            "jobTemplate": {"metadata": {"labels": {"a": "b"}, "annotations": {"x": "y"}}, "spec": {"template": template()}}}});
    let made = w.call("make a CronJob", Post, &path, body).await;
    let one = format!("{path}/nightly");
    let mut patch = note("afresh.dev/applied");
    patch["metadata"]["uid"] = json!(made.uid());
    w.call("write on a CronJob", Merge, &one, patch).await;
    w.call("read a CronJob", Get, &one, Value::Null).await;
    w.call("list CronJobs", Get, &path, Value::Null).await;
    let since = format!("{path}?watch=1&timeoutSeconds=8&resourceVersion={}", made.version());
    w.watch(&[("watch CronJobs", since, "")]).await;
    let mut run = job("nightly-0123456789");
    run["metadata"]["annotations"] = json!({"cronjob.kubernetes.io/instantiate": "manual"});
    run["metadata"]["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": made.uid(), "controller": true}]);
    w.call("a Job of a CronJob", Post, jobs, run).await;
    w.call(
        "delete a CronJob",
        Delete,
        &one,
        background(&json!({"uid": made.uid()})),
    )
    .await;
}

/// A kind with a template, whose definition keeps whatever is in it.
pub(crate) const GROUP: &str = "work.example.org";
pub(crate) const VERSION: &str = "v1beta1";
pub(crate) const PLURAL: &str = "webbies";
pub(crate) const KIND: &str = "Web";

pub(crate) fn definition() -> Value {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{PLURAL}.{GROUP}")},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": {"plural": PLURAL, "singular": "web", "kind": KIND},
            "versions": [{"name": VERSION, "served": true, "storage": true, "schema": schema, "subresources": {"status": {}}}]}})
}

pub(crate) async fn own_kind(w: &mut World) {
    let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{}/{PLURAL}", w.namespace);
    let discovery = format!("/apis/{GROUP}/{VERSION}");
    let (code, text) = w.send(Get, &discovery, "", &Value::Null).await;
    let found: Value = serde_json::from_str(&text).unwrap();
    let named = |resource: &Value| json!([resource["name"], resource["kind"], resource["namespaced"]]);
    let resources = found["resources"].as_array().into_iter().flatten().map(named);
    w.note(
        "what a kind's collection is called",
        json!([code, resources.collect::<Vec<_>>()]),
    );

    let body = json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": KIND, "metadata": {"name": "web"},
        "spec": {"replicas": 2, "odd": [1, {"a": null}], "template": template()}});
    let made = w.call("make one", Post, &path, body).await;
    let one = format!("{path}/web");
    let mut patch = note("afresh.dev/applied");
    patch["metadata"]["uid"] = json!(made.uid());
    patch["spec"] = json!({"template": note("afresh.dev/config")});
    w.call(
        "try a roll",
        Merge,
        &format!("{one}?dryRun=All&fieldManager=afresh"),
        patch.clone(),
    )
    .await;
    w.call("roll it", Merge, &format!("{one}?fieldManager=afresh"), patch.clone())
        .await;
    patch["metadata"]["resourceVersion"] = json!(made.version());
    patch["metadata"]["annotations"]["afresh.dev/applied"] = json!("{\"a\":1}");
    refused(w, "roll it as it was before", &one, patch).await;
    let (code, text) = w.send(Strategic, &one, "", &note("a")).await;
    let status: Value = serde_json::from_str(&text).unwrap();
    w.note("merge its lists", json!([code, status["reason"]]));
    w.call(
        "write its status",
        Merge,
        &format!("{one}/status"),
        json!({"status": {"observedGeneration": 2}}),
    )
    .await;
    w.call("read one", Get, &one, Value::Null).await;
    w.call("list them", Get, &format!("{path}?limit=100"), Value::Null)
        .await;
    let since = format!("{path}?watch=1&timeoutSeconds=8&resourceVersion={}", made.version());
    w.watch(&[("watch them", since, "")]).await;
    w.call("delete one", Delete, &one, background(&json!({"uid": made.uid()})))
        .await;
    w.call("one that is gone", Get, &one, Value::Null).await;
}
