//! Lists: order, pages, selectors, versions and shapes.

use serde_json::{Value, json};

use crate::harness::Method::{Get, Post};
use crate::harness::World;

const PARTIAL: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

pub(crate) async fn script(w: &mut World) {
    let maps = w.core("configmaps");
    for (name, tier) in [("c", "front"), ("a", "back"), ("b", "front"), ("d", "")] {
        let labels = if tier.is_empty() {
            json!({})
        } else {
            json!({"tier": tier})
        };
        let body = json!({"metadata": {"name": name, "labels": labels}, "data": {"k": name}});
        w.call(&format!("create {name}"), Post, &maps, body).await;
    }
    // The real server puts one of its own into every namespace with controllers; here it runs without.
    let all = w.call("list all", Get, &maps, Value::Null).await;
    w.call_as("list their metadata", Get, &maps, PARTIAL, Value::Null).await;
    w.table("the table of ConfigMaps", &maps).await;
    select(w, &maps).await;
    pages(w, &maps).await;
    versions(w, &maps, &all.version()).await;
}

async fn select(w: &mut World, maps: &str) {
    let selectors = [
        "labelSelector=tier%3Dfront",
        "labelSelector=tier%21%3Dfront",
        "labelSelector=tier%20in%20%28back%2Cfront%29",
        "labelSelector=tier%20notin%20%28back%29",
        "labelSelector=tier",
        "labelSelector=%21tier",
        "fieldSelector=metadata.name%3Db",
        "fieldSelector=metadata.name%21%3Db",
        "labelSelector=tier%3Dfront&fieldSelector=metadata.name%3Db",
    ];
    for selector in selectors {
        let path = format!("{maps}?{selector}");
        let answer: Value = serde_json::from_str(&w.send(Get, &path, "", &Value::Null).await.1).unwrap();
        let names: Vec<_> = answer["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["metadata"]["name"].clone())
            .collect();
        w.note(&format!("list by {selector}"), json!(names));
    }
    for (index, broken) in [
        "labelSelector=a%20b",
        "labelSelector=tier%20in%20%28x",
        "fieldSelector=nonsense",
    ]
    .iter()
    .enumerate()
    {
        let (code, text) = w.send(Get, &format!("{maps}?{broken}"), "", &Value::Null).await;
        let status: Value = serde_json::from_str(&text).unwrap();
        w.note(&format!("broken selector {index}"), json!([code, status["reason"]]));
    }
    let everywhere = "/api/v1/configmaps?labelSelector=tier%3Dnowhere";
    w.call("list in all namespaces", Get, everywhere, Value::Null).await;
}

async fn pages(w: &mut World, maps: &str) {
    let first = w
        .call("the first page", Get, &format!("{maps}?limit=3"), Value::Null)
        .await;
    let token = first.body["metadata"]["continue"].as_str().unwrap().to_owned();
    let late = json!({"metadata": {"name": "e"}});
    w.call("create e between the pages", Post, maps, late).await;
    let second = w
        .call(
            "the second page",
            Get,
            &format!("{maps}?limit=3&continue={token}"),
            Value::Null,
        )
        .await;
    w.note("pages are of one version", json!(first.version() == second.version()));
    w.call(
        "pages of a selection",
        Get,
        &format!("{maps}?limit=1&labelSelector=tier%3Dfront"),
        Value::Null,
    )
    .await;
    let (code, text) = w
        .send(Get, &format!("{maps}?limit=3&continue=nonsense"), "", &Value::Null)
        .await;
    let status: Value = serde_json::from_str(&text).unwrap();
    w.note("a broken token", json!([code, status["reason"]]));
}

async fn versions(w: &mut World, maps: &str, old: &str) {
    let names = |body: &Value| -> Vec<Value> {
        body["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["metadata"]["name"].clone())
            .collect()
    };
    let exact = format!("{maps}?resourceVersion={old}&resourceVersionMatch=Exact");
    let answer: Value = serde_json::from_str(&w.send(Get, &exact, "", &Value::Null).await.1).unwrap();
    w.note(
        "list the past",
        json!([names(&answer), answer["metadata"]["resourceVersion"] == old]),
    );
    let newer = format!("{maps}?resourceVersion={old}&resourceVersionMatch=NotOlderThan");
    let answer: Value = serde_json::from_str(&w.send(Get, &newer, "", &Value::Null).await.1).unwrap();
    w.note("list what is not older", json!(names(&answer)));
    let (code, text) = w
        .send(Get, &format!("{maps}?resourceVersion=999999999"), "", &Value::Null)
        .await;
    let status: Value = serde_json::from_str(&text).unwrap();
    w.note(
        "list the future",
        json!([code, status["reason"], status["details"]["causes"]]),
    );
    let (code, text) = w
        .send(Get, &format!("{maps}?resourceVersion=x"), "", &Value::Null)
        .await;
    let status: Value = serde_json::from_str(&text).unwrap();
    w.note("list no version", json!([code, status["reason"]]));
    w.call(
        "a match without a version",
        Get,
        &format!("{maps}?resourceVersionMatch=Exact"),
        Value::Null,
    )
    .await;
    let (code, _) = w
        .send(
            Get,
            &format!("{maps}?resourceVersion={old}&resourceVersionMatch=Maybe"),
            "",
            &Value::Null,
        )
        .await;
    w.note("an unknown match", json!(code));
}

/// Makes some objects; returns the token of the second page and an old version.
pub(crate) async fn before_compaction(w: &mut World) -> (String, String) {
    let maps = w.core("configmaps");
    for name in ["a", "b", "c"] {
        w.send(Post, &maps, "", &json!({"metadata": {"name": name}})).await;
    }
    let page = w
        .call("the first page", Get, &format!("{maps}?limit=1"), Value::Null)
        .await;
    let token = page.body["metadata"]["continue"].as_str().unwrap().to_owned();
    w.send(Post, &maps, "", &json!({"metadata": {"name": "d"}})).await;
    (token, page.version())
}

/// What was begun before cannot be continued.
pub(crate) async fn after_compaction(w: &mut World, (token, version): &(String, String)) {
    let maps = w.core("configmaps");
    let second = format!("{maps}?limit=1&continue={token}");
    let expired = w.call("the second page", Get, &second, Value::Null).await;
    let next = expired.body["metadata"]["continue"].as_str().unwrap_or_default();
    let rest = format!("{maps}?limit=5&continue={next}");
    w.call("the rest as it is now", Get, &rest, Value::Null).await;
    let exact = format!("{maps}?resourceVersion={version}&resourceVersionMatch=Exact");
    w.call("the past", Get, &exact, Value::Null).await;
    let (code, _) = w.send(Get, &maps, "", &Value::Null).await;
    w.note("a fresh list", json!(code));
}
