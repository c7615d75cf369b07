//! Watches: where they start, what they tell, how they end.

use serde_json::{Value, json};

use crate::harness::Method::{Delete, Get, Merge, Post};
use crate::harness::World;

/// Seconds. What a watch begins with is there at once, however busy the machine is; all watches are open at the same time.
const OPEN: u32 = 8;

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

    positions(w, &maps, &before, &middle, &end).await;
    initial(w, &maps).await;
}

async fn positions(w: &mut World, maps: &str, before: &str, middle: &str, end: &str) {
    let watch = format!("{maps}?watch=1&timeoutSeconds={OPEN}");
    let steps = [
        ("from before", format!("{watch}&resourceVersion={before}"), ""),
        ("from the middle", format!("{watch}&resourceVersion={middle}"), ""),
        ("from the end", format!("{watch}&resourceVersion={end}"), ""),
        (
            "a selection",
            format!("{watch}&resourceVersion={before}&labelSelector=app%3Dx"),
            "",
        ),
        (
            "one object",
            format!("{watch}&resourceVersion={before}&fieldSelector=metadata.name%3Db"),
            "",
        ),
        ("the metadata", format!("{watch}&resourceVersion={middle}"), PARTIAL),
        ("without a version", watch.clone(), ""),
        ("from zero", format!("{watch}&resourceVersion=0"), ""),
        ("too old", format!("{watch}&resourceVersion=1"), ""),
    ];
    w.watch(&steps).await;
    let named = format!(
        "{}?watch=1&timeoutSeconds={OPEN}&resourceVersion={before}",
        w.core("configmaps/b")
    );
    w.call("under a name nothing is watched", Get, &named, Value::Null)
        .await;
    let (code, _) = w
        .send(Get, &format!("{watch}&resourceVersion=x"), "", &Value::Null)
        .await;
    w.note("from no version", json!(code));
}

async fn initial(w: &mut World, maps: &str) {
    let watch = format!("{maps}?watch=1&timeoutSeconds={OPEN}");
    let initial = format!("{watch}&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
    w.watch(&[
        ("initial events", initial.clone(), ""),
        ("initial events of metadata", initial.clone(), PARTIAL),
        (
            "initial events of a selection",
            format!("{initial}&labelSelector=app%3Dy"),
            "",
        ),
    ])
    .await;
    let unmatched = format!("{watch}&sendInitialEvents=true");
    w.call("initial events without a match", Get, &unmatched, Value::Null)
        .await;
    let matched = format!("{watch}&resourceVersionMatch=NotOlderThan");
    w.call("a match without initial events", Get, &matched, Value::Null)
        .await;
}
