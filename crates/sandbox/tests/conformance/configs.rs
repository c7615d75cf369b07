//! ConfigMaps and Secrets: creation, replacement, deletion, and everything that is refused.

use serde_json::{Value, json};

use crate::harness::Method::{Delete, Get, Merge, Post, Put};
use crate::harness::World;

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": "a"}}, "data": {"a": "1", "b": "2"}})
}

pub(crate) async fn script(w: &mut World) {
    create(w).await;
    replace(w).await;
    secrets(w).await;
    refuse(w).await;
    immutable(w).await;
    delete(w).await;
}

async fn create(w: &mut World) {
    let maps = w.core("configmaps");
    w.call("create a ConfigMap", Post, &maps, map("one")).await;
    w.call("create it again", Post, &maps, map("one")).await;
    w.call("read it", Get, &format!("{maps}/one"), Value::Null).await;
    w.call("read one that is not there", Get, &format!("{maps}/none"), Value::Null)
        .await;
    let partial = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    w.call_as("read its metadata", Get, &format!("{maps}/one"), partial, Value::Null)
        .await;
    w.call("create without a name", Post, &maps, json!({"metadata": {}}))
        .await;
    let kindless = json!({"metadata": {"name": "kindless"}, "data": {"a": "1"}, "binaryData": {"b": "AAE="}});
    w.call("create without kind", Post, &maps, kindless).await;
    let generated = json!({"metadata": {"generateName": "gen-"}});
    let (code, text) = w.send(Post, &maps, "", &generated).await;
    let made: Value = serde_json::from_str(&text).unwrap();
    let name = made["metadata"]["name"].as_str().unwrap();
    w.note(
        "create with a generated name",
        json!([code, name.len(), made["metadata"]["generateName"]]),
    );
    w.call(
        "create for someone else",
        Post,
        &format!("{maps}?fieldManager=alice"),
        map("two"),
    )
    .await;
    w.call("create as a dry run", Post, &format!("{maps}?dryRun=All"), map("dry"))
        .await;
    w.call("a dry run leaves nothing", Get, &format!("{maps}/dry"), Value::Null)
        .await;
    let elsewhere = "/api/v1/namespaces/nowhere/configmaps";
    w.call("create in a namespace that is not there", Post, elsewhere, map("one"))
        .await;
    let foreign = json!({"metadata": {"name": "x", "namespace": "default"}});
    w.call("create with another namespace", Post, &maps, foreign).await;
    w.call(
        "create another kind",
        Post,
        &maps,
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}),
    )
    .await;
    w.call(
        "empty values are kept",
        Post,
        &maps,
        json!({"metadata": {"name": "empty", "annotations": {}}, "data": {"k": ""}}),
    )
    .await;
    w.call("an unknown resource", Get, &w.core("gadgets"), Value::Null)
        .await;
    w.call("an unknown group", Get, "/apis/example.org/v1/gadgets", Value::Null)
        .await;
}

async fn replace(w: &mut World) {
    let one = w.core("configmaps/one");
    let old = w.call("read before replacing", Get, &one, Value::Null).await;
    let mut next = old.body.clone();
    next["data"] = json!({"a": "1", "b": "3", "c": "4"});
    let replaced = w.call("replace", Put, &one, next.clone()).await;
    w.call("replace with a stale version", Put, &one, next.clone()).await;
    let mut same = replaced.body.clone();
    let again = w.call("replace by the same", Put, &one, same.clone()).await;
    w.note(
        "a replacement by the same makes no version",
        json!(again.version() == replaced.version()),
    );
    same["metadata"]["resourceVersion"] = json!("");
    same["data"]["c"] = json!("5");
    let forced = w.call("replace without a version", Put, &one, same.clone()).await;
    w.note(
        "a change makes a version",
        json!(forced.version() != replaced.version()),
    );
    same["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
    w.call("replace another incarnation", Put, &one, same).await;
    w.call("replace under another name", Put, &one, map("other")).await;
    w.call(
        "replace what is not there",
        Put,
        &w.core("configmaps/none"),
        map("none"),
    )
    .await;
    let mut removed = forced.body.clone();
    removed["metadata"]["resourceVersion"] = json!("");
    removed["data"] = json!({"a": "1"});
    w.call(
        "replace with less, as someone else",
        Put,
        &format!("{one}?fieldManager=bob"),
        removed,
    )
    .await;
}

async fn secrets(w: &mut World) {
    let secrets = w.core("secrets");
    let body = json!({"metadata": {"name": "s"}, "data": {"a": "MQ=="}, "stringData": {"b": "2", "a": "3"}});
    w.call("create a Secret with stringData", Post, &secrets, body).await;
    let one = w.core("secrets/s");
    w.call("patch stringData", Merge, &one, json!({"stringData": {"c": "4"}}))
        .await;
    w.call(
        "change the type of a Secret",
        Merge,
        &one,
        json!({"type": "example.org/x"}),
    )
    .await;
    w.call(
        "a Secret that is no base64",
        Post,
        &secrets,
        json!({"metadata": {"name": "t"}, "data": {"a": "%"}}),
    )
    .await;
    let code = w.send(Merge, &one, "", &json!({"data": {"a": "%"}})).await.0;
    w.note("patch in what is no base64", json!(code));
    w.call(
        "a key with a space",
        Post,
        &secrets,
        json!({"metadata": {"name": "t"}, "data": {"a b": "MQ=="}}),
    )
    .await;
}

async fn refuse(w: &mut World) {
    let maps = w.core("configmaps");
    for (index, name) in ["Upper", "-dash", "under_score", "a..b"].iter().enumerate() {
        w.call(&format!("bad name {index}"), Post, &maps, map(name)).await;
    }
    let long = "a".repeat(254);
    w.call("a name that is too long", Post, &maps, map(&long)).await;
    for (index, key) in ["a b", "..", ".", "..x", "a/b"].iter().enumerate() {
        let body = json!({"metadata": {"name": "k"}, "data": {*key: "1"}});
        w.call(&format!("bad key {index}"), Post, &maps, body).await;
    }
    let both = json!({"metadata": {"name": "k"}, "data": {"a": "1"}, "binaryData": {"a": "AA=="}});
    w.call("one key twice", Post, &maps, both).await;
    let number = w
        .send(Post, &maps, "", &json!({"metadata": {"name": "k"}, "data": {"a": 1}}))
        .await
        .0;
    w.note("a number as data", json!(number));
    let number = w
        .send(Merge, &w.core("configmaps/one"), "", &json!({"data": {"a": 1}}))
        .await
        .0;
    w.note("a number patched in as data", json!(number));
    let big = "x".repeat(1024 * 1024 - 1);
    let (code, _) = w
        .send(
            Post,
            &maps,
            "",
            &json!({"metadata": {"name": "big"}, "data": {"a": big}}),
        )
        .await;
    w.note("1 MiB of data", json!(code));
    w.call(
        "more than 1 MiB of data",
        Merge,
        &w.core("configmaps/big"),
        json!({"data": {"b": "xx"}}),
    )
    .await;
    let noted = json!({"metadata": {"annotations": {"a": "x".repeat(256 * 1024)}}});
    w.call("256 KiB of annotations", Merge, &w.core("configmaps/one"), noted)
        .await;
    let bad = json!({"metadata": {"annotations": {"a b": "x"}, "labels": {"c d": "e f"}}});
    w.call("bad annotation and label", Merge, &w.core("configmaps/one"), bad)
        .await;
}

async fn immutable(w: &mut World) {
    let maps = w.core("configmaps");
    let fixed = json!({"metadata": {"name": "fixed"}, "data": {"a": "1"}, "immutable": true});
    w.call("create an immutable one", Post, &maps, fixed).await;
    let one = w.core("configmaps/fixed");
    w.call(
        "change the data of an immutable one",
        Merge,
        &one,
        json!({"data": {"a": "2"}, "binaryData": {"b": "AA=="}}),
    )
    .await;
    w.call("make it mutable again", Merge, &one, json!({"immutable": false}))
        .await;
    w.call(
        "label an immutable one",
        Merge,
        &one,
        json!({"metadata": {"labels": {"x": "y"}}}),
    )
    .await;
}

async fn delete(w: &mut World) {
    let one = w.core("configmaps/one");
    let other = json!({"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}});
    w.call("delete another incarnation", Delete, &one, other).await;
    w.call(
        "delete another version",
        Delete,
        &one,
        json!({"preconditions": {"resourceVersion": "1"}}),
    )
    .await;
    w.call("delete as a dry run", Delete, &format!("{one}?dryRun=All"), Value::Null)
        .await;
    w.call("delete", Delete, &one, Value::Null).await;
    w.call("delete again", Delete, &one, Value::Null).await;
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.org/hold"]}});
    w.call("create one with a finalizer", Post, &w.core("configmaps"), held)
        .await;
    let held = w.core("configmaps/held");
    w.call("delete one with a finalizer", Delete, &held, Value::Null).await;
    w.call("delete it once more", Delete, &held, Value::Null).await;
    let more = json!({"metadata": {"finalizers": ["example.org/hold", "example.org/more"]}});
    w.call("add a finalizer to one that is going", Merge, &held, more).await;
    w.call("change one that is going", Merge, &held, json!({"data": {"a": "1"}}))
        .await;
    w.call(
        "take its finalizer away",
        Merge,
        &held,
        json!({"metadata": {"finalizers": null}}),
    )
    .await;
    w.call("then it is gone", Get, &held, Value::Null).await;
    w.call(
        "delete all with a label",
        Delete,
        &format!("{}?labelSelector=app%3Da", w.core("configmaps")),
        Value::Null,
    )
    .await;
}
