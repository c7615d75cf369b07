//! Watches: where they start, what they tell, how they end.

use serde_json::{Value, json};

use crate::harness::Method::{Delete, Get, Merge, Post};
use crate::harness::World;

const PARTIAL: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

pub(crate) async fn script(w: &mut World) {
    let maps = w.core("configmaps");
    let before = w
        .call("list before", Get, &format!("{maps}?limit=1"), Value::Null)
        .await
        .version();
    let body = |name: &str, app: &str| json!({"metadata": {"name": name, "labels": {"app": app}}, "data": {"k": "1"}});
    w.call("create a", Post, &maps, body("a", "x")).await;
    let middle = w.call("create b", Post, &maps, body("b", "y")).await.version();
    let a = w.core("configmaps/a");
    w.call("change a", Merge, &a, json!({"data": {"k": "2"}})).await;
    w.call("a changes nothing", Merge, &a, json!({"data": {"k": "2"}}))
        .await;
    w.call(
        "a leaves the selection",
        Merge,
        &a,
        json!({"metadata": {"labels": {"app": "z"}}}),
    )
    .await;
    w.call("a changes outside", Merge, &a, json!({"data": {"k": "3"}}))
        .await;
    w.call("a comes back", Merge, &a, json!({"metadata": {"labels": {"app": "x"}}}))
        .await;
    w.call("delete a", Delete, &a, Value::Null).await;
    let end = w.call("create c", Post, &maps, body("c", "x")).await.version();

    let watch = format!("{maps}?watch=1&timeoutSeconds=1");
    w.watch("from before", &format!("{watch}&resourceVersion={before}"), "")
        .await;
    w.watch("from the middle", &format!("{watch}&resourceVersion={middle}"), "")
        .await;
    w.watch("from the end", &format!("{watch}&resourceVersion={end}"), "")
        .await;
    w.watch(
        "a selection",
        &format!("{watch}&resourceVersion={before}&labelSelector=app%3Dx"),
        "",
    )
    .await;
    w.watch(
        "one object",
        &format!("{watch}&resourceVersion={before}&fieldSelector=metadata.name%3Db"),
        "",
    )
    .await;
    w.watch("the metadata", &format!("{watch}&resourceVersion={middle}"), PARTIAL)
        .await;
    w.watch("without a version", &watch, "").await;
    w.watch("from zero", &format!("{watch}&resourceVersion=0"), "").await;
    w.watch(
        "under a name",
        &format!(
            "{}?watch=1&timeoutSeconds=1&resourceVersion={before}",
            w.core("configmaps/b")
        ),
        "",
    )
    .await;
    let initial = format!("{watch}&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
    w.watch("initial events", &format!("{initial}&allowWatchBookmarks=true"), "")
        .await;
    w.watch(
        "initial events of metadata",
        &format!("{initial}&allowWatchBookmarks=true"),
        PARTIAL,
    )
    .await;
    w.watch(
        "initial events of a selection",
        &format!("{initial}&allowWatchBookmarks=true&labelSelector=app%3Dy"),
        "",
    )
    .await;
    w.call(
        "initial events without a match",
        Get,
        &format!("{watch}&sendInitialEvents=true"),
        Value::Null,
    )
    .await;
    w.call(
        "a match without initial events",
        Get,
        &format!("{watch}&resourceVersionMatch=NotOlderThan"),
        Value::Null,
    )
    .await;
    w.watch("too old", &format!("{watch}&resourceVersion=1"), "").await;
    let (code, _) = w
        .send(Get, &format!("{watch}&resourceVersion=x"), "", &Value::Null)
        .await;
    w.note("from no version", json!(code));
}
