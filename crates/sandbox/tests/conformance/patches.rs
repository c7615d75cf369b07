//! The three patch formats, and who is recorded as having changed what.

use serde_json::{Value, json};

use crate::harness::Method::{Get, Json, Merge, Post, Strategic};
use crate::harness::World;

pub(crate) async fn script(w: &mut World) {
    let maps = w.core("configmaps");
    let body = json!({"metadata": {"name": "m", "annotations": {"x": "1"}}, "data": {"a": "1", "b": "2"}});
    let made = w.call("create", Post, &maps, body).await;
    let one = w.core("configmaps/m");
    merge(w, &one, &made.version(), &made.uid()).await;
    json_patch(w, &one).await;
    strategic(w).await;
}

async fn merge(w: &mut World, one: &str, stale: &str, uid: &str) {
    let add = json!({"data": {"a": "9", "b": null, "c": "3"}});
    let first = w.call("merge: change, add and remove", Merge, one, add).await;
    let again = w
        .call("merge: the same again", Merge, one, json!({"data": {"a": "9"}}))
        .await;
    w.note(
        "a patch that changes nothing makes no version",
        json!(first.version() == again.version()),
    );
    let bob = format!("{one}?fieldManager=bob");
    let other = "00000000-0000-0000-0000-000000000000";
    let steps = [
        (
            "merge: someone else changes one key",
            bob.as_str(),
            json!({"data": {"a": "10"}}),
        ),
        (
            "merge: someone else removes one key",
            &bob,
            json!({"data": {"c": null}}),
        ),
        ("merge: all data goes", one, json!({"data": null})),
        ("merge: data comes back", &bob, json!({"data": {"z": "1"}})),
        ("merge: a label", one, json!({"metadata": {"labels": {"l": "1"}}})),
        (
            "merge: the last label goes",
            one,
            json!({"metadata": {"labels": {"l": null}}}),
        ),
        (
            "merge: a stale version",
            one,
            json!({"metadata": {"resourceVersion": stale}, "data": {"q": "1"}}),
        ),
        (
            "merge: its own UID",
            one,
            json!({"metadata": {"uid": uid}, "data": {"q": "2"}}),
        ),
        (
            "merge: another UID",
            one,
            json!({"metadata": {"uid": other}, "data": {"q": "3"}}),
        ),
        ("merge: another name", one, json!({"metadata": {"name": "n"}})),
        (
            "merge: another namespace",
            one,
            json!({"metadata": {"namespace": "default"}}),
        ),
        ("merge: a generation", one, json!({"metadata": {"generation": 7}})),
        ("merge: no object", one, json!([1])),
    ];
    for (step, path, patch) in steps {
        w.call(step, Merge, path, patch).await;
    }
    strangers(w, one).await;
}

async fn strangers(w: &mut World, one: &str) {
    w.call(
        "merge: what is not there",
        Merge,
        &w.core("configmaps/none"),
        json!({"data": {"a": "1"}}),
    )
    .await;
    let born = json!({"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z"}});
    w.call("merge: another time of birth", Merge, one, born).await;
    long_annotation(w, one).await;
}

async fn long_annotation(w: &mut World, one: &str) {
    let big_note = json!({"metadata": {"annotations": {"afresh.dev/applied": "x".repeat(100_000)}}});
    let (code, _) = w.send(Merge, one, "", &big_note).await;
    w.note("merge: a long annotation", json!(code));
    let gone = json!({"metadata": {"annotations": null}});
    w.call("merge: the annotation goes", Merge, one, gone).await;
}

async fn json_patch(w: &mut World, one: &str) {
    let ops = json!([{"op": "test", "path": "/data/z", "value": "1"}, {"op": "add", "path": "/data/j", "value": "1"}]);
    w.call("json: test and add", Json, one, ops.clone()).await;
    let failing = json!([{"op": "test", "path": "/data/z", "value": "2"}, {"op": "remove", "path": "/data/z"}]);
    let (code, text) = w.send(Json, one, "", &failing).await;
    let status: Value = serde_json::from_str(&text).unwrap();
    w.note("json: a failing test", json!([code, status["reason"]]));
    let (code, text) = w
        .send(Json, one, "", &json!([{"op": "remove", "path": "/data/none"}]))
        .await;
    let status: Value = serde_json::from_str(&text).unwrap();
    w.note("json: remove what is not there", json!([code, status["reason"]]));
    w.call(
        "json: escaped path",
        Json,
        one,
        json!([{"op": "add", "path": "/metadata/labels", "value": {"a.b/c": "1"}}]),
    )
    .await;
    w.call(
        "json: through the escape",
        Json,
        one,
        json!([{"op": "replace", "path": "/metadata/labels/a.b~1c", "value": "2"}]),
    )
    .await;
    w.call("json: move and copy", Json, one, json!([{"op": "move", "from": "/data/z", "path": "/data/y"}, {"op": "copy", "from": "/data/y", "path": "/data/x"}])).await;
    let (code, _) = w.send(Json, one, "", &json!({"op": "add"})).await;
    w.note("json: no list", json!(code));
}

async fn strategic(w: &mut World) {
    let body = json!({"metadata": {"name": "w"}, "spec": {
        "selector": {"matchLabels": {"app": "w"}},
        "template": {"metadata": {"labels": {"app": "w"}}, "spec": {
            "containers": [
                {"name": "app", "image": "i:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "args": ["x", "y"]},
                {"name": "side", "image": "j:1", "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
            ],
            "volumes": [{"name": "v", "configMap": {"name": "c"}}, {"name": "s", "secret": {"secretName": "s"}}],
        }},
    }});
    w.call("strategic: create", Post, &w.apps("deployments"), body).await;
    let one = w.apps("deployments/w");
    let note = json!({"spec": {"template": {"metadata": {"annotations": {"afresh.dev/config": "1"}}}}});
    w.call(
        "strategic: annotate the template",
        Strategic,
        &format!("{one}?fieldManager=afresh"),
        note.clone(),
    )
    .await;
    w.call(
        "strategic: the same again",
        Strategic,
        &format!("{one}?fieldManager=afresh"),
        note,
    )
    .await;
    let env = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "args": ["z"], "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}]}}}});
    w.call("strategic: lists by key", Strategic, &one, env).await;
    let gone = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "env": [{"name": "A", "$patch": "delete"}]}]}}}});
    w.call("strategic: delete an element", Strategic, &one, gone).await;
    let volume = json!({"spec": {"template": {"spec": {"volumes": [{"$retainKeys": ["name", "emptyDir"], "name": "s", "emptyDir": {}}]}}}});
    w.call("strategic: retain keys", Strategic, &one, volume).await;
    let order = json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "side"}, {"name": "app"}], "containers": [{"name": "side", "image": "j:2"}]}}}});
    w.call("strategic: order", Strategic, &one, order).await;
    let replaced = json!({"spec": {"template": {"metadata": {"annotations": {"$patch": "replace", "n": "1"}}}}});
    w.call("strategic: replace a map", Strategic, &one, replaced).await;
    w.call("strategic: read back", Get, &one, Value::Null).await;
}
