//! Which writes move the time of a managedFields entry: the evidence of when data last changed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::Method::{Merge, Post};
use crate::harness::World;

/// Times are whole seconds.
const TICK: Duration = Duration::from_millis(1_100);

fn times(body: &Value) -> BTreeMap<String, String> {
    let entries = body["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let entry = |entry: &Value| {
        (
            entry["manager"].as_str().unwrap().to_owned(),
            entry["time"].as_str().unwrap().to_owned(),
        )
    };
    entries.iter().map(entry).collect()
}

pub(crate) async fn script(w: &mut World) {
    let maps = w.core("configmaps");
    let body = json!({"metadata": {"name": "t"}, "data": {"a": "1", "b": "1", "c": "1"}});
    let made = w
        .call("create", Post, &format!("{maps}?fieldManager=alice"), body)
        .await;
    let mut before = times(&made.body);
    let steps = [
        ("alice changes a key", "alice", json!({"data": {"a": "2"}})),
        ("alice removes a key", "alice", json!({"data": {"c": null}})),
        ("bob changes a key", "bob", json!({"data": {"a": "3"}})),
        ("bob changes it once more", "bob", json!({"data": {"a": "4"}})),
        ("bob adds a key", "bob", json!({"data": {"d": "1"}})),
        ("bob removes a key of alice's", "bob", json!({"data": {"b": null}})),
        ("bob only labels", "bob", json!({"metadata": {"labels": {"x": "y"}}})),
        ("alice changes nothing", "alice", json!({"data": {"a": "4"}})),
        ("carol makes it immutable", "carol", json!({"immutable": true})),
    ];
    for (step, manager, patch) in steps {
        tokio::time::sleep(TICK).await;
        let path = format!("{}?fieldManager={manager}", w.core("configmaps/t"));
        let after = times(&w.call(step, Merge, &path, patch).await.body);
        let moved: Vec<_> = after
            .iter()
            .filter(|(name, time)| before.get(*name) != Some(*time))
            .map(|(name, _)| name.clone())
            .collect();
        w.note(&format!("{step}: whose time moved"), json!(moved));
        before = after;
    }
}
