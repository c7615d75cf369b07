//! `metadata.managedFields`: who changed which field last, and when.
//!
//! A manager's entry gets a new time when it changes or adds a field, not when it only removes one, as in
//! structured-merge-diff's `Updater.Update`.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::object;
use crate::patch::merge_key;

/// Who writes, and through which door.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manager<'a> {
    pub(crate) name: &'a str,
    pub(crate) api_version: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) time: &'a str,
    /// Whether `status` can only be changed through the status subresource.
    pub(crate) has_status: bool,
    /// Whether elements of lists are known by a key of theirs; of a kind that the server does not know, a list is one.
    pub(crate) keyed_lists: bool,
}

impl Manager<'_> {
    /// Whether what stands under this key of an object can be owned through this door.
    fn sees(&self, key: &str) -> bool {
        match (self.subresource, key) {
            (_, "apiVersion" | "kind") => false,
            ("" | "scale", "status") => !self.has_status,
            ("" | "scale", _) => true,
            (_, key) => key == "metadata" || key == "status",
        }
    }
}

/// Metadata that the server keeps itself and nobody owns.
const SERVER_METADATA: [&str; 8] = [
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "resourceVersion",
    "generation",
    "managedFields",
    "deletionTimestamp",
];

/// Replaces `managedFields` of `new` by those of `old` with this change recorded.
pub(crate) fn record(old: Option<&Value>, new: &mut Value, manager: &Manager<'_>) {
    let empty = Value::Object(Map::new());
    let before = old.unwrap_or(&empty);
    let (taken, gone) = difference(before, new, manager);
    let mut entries = object::list(before, &["metadata", "managedFields"]).to_vec();
    for entry in &mut entries {
        let own = is_of(entry, manager);
        if let Some(fields) = entry.get_mut("fieldsV1") {
            subtract(fields, &gone);
            if !own {
                subtract(fields, &taken);
            }
        }
    }
    if taken.as_object().is_some_and(|fields| !fields.is_empty()) {
        match entries.iter_mut().find(|entry| is_of(entry, manager)) {
            Some(entry) => {
                unite(&mut entry["fieldsV1"], &taken);
                stamp(entry, manager);
            }
            None => entries.push(entry(manager, &taken)),
        }
    }
    entries.retain(|entry| {
        entry
            .get("fieldsV1")
            .and_then(Value::as_object)
            .is_some_and(|fields| !fields.is_empty())
    });
    if entries.is_empty() {
        object::remove(new, &["metadata", "managedFields"]);
    } else {
        object::set(new, &["metadata", "managedFields"], Value::Array(entries));
    }
}

fn is_of(entry: &Value, manager: &Manager<'_>) -> bool {
    object::text(entry, &["manager"]) == manager.name
        && object::text(entry, &["operation"]) == "Update"
        && object::text(entry, &["apiVersion"]) == manager.api_version
        && object::text(entry, &["subresource"]) == manager.subresource
}

fn entry(manager: &Manager<'_>, fields: &Value) -> Value {
    let mut entry = json!({
        "manager": manager.name, "operation": "Update", "apiVersion": manager.api_version,
        "fieldsType": "FieldsV1", "fieldsV1": fields,
    });
    stamp(&mut entry, manager);
    if !manager.subresource.is_empty() {
        entry["subresource"] = json!(manager.subresource);
    }
    entry
}

fn stamp(entry: &mut Value, manager: &Manager<'_>) {
    // The real server forgets the time of writes through `scale`.
    if manager.subresource != "scale" {
        entry["time"] = json!(manager.time);
    }
}

/// The field sets that `new` adds or changes, and that it no longer has.
fn difference(old: &Value, new: &Value, manager: &Manager<'_>) -> (Value, Value) {
    let (mut taken, mut gone) = (Map::new(), Map::new());
    let keys: BTreeSet<&String> = [old, new]
        .into_iter()
        .filter_map(Value::as_object)
        .flat_map(Map::keys)
        .collect();
    for key in keys.into_iter().filter(|key| manager.sees(key)) {
        if key == "metadata" {
            // A few entries: cheap to copy without what the server keeps itself.
            let [old, new] = [old, new].map(own_metadata);
            compare_fields(old.as_ref(), new.as_ref(), key, &mut taken, &mut gone);
        } else if manager.keyed_lists {
            compare_fields(old.get(key), new.get(key), key, &mut taken, &mut gone);
        } else {
            let [old, new] = [old, new].map(|object| object.get(key).map(lists_as_one));
            compare_fields(old.as_ref(), new.as_ref(), key, &mut taken, &mut gone);
        }
    }
    (Value::Object(taken), Value::Object(gone))
}

/// The same with each list as a single plain value.
fn lists_as_one(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), lists_as_one(value)))
            .collect(),
        Value::Array(_) => Value::String(value.to_string()),
        plain => plain.clone(),
    }
}

/// The metadata that clients own, if there is any.
fn own_metadata(value: &Value) -> Option<Value> {
    let metadata = value.get("metadata")?.as_object()?;
    let own = metadata
        .iter()
        .filter(|(key, _)| !SERVER_METADATA.contains(&key.as_str()));
    let own: Map<_, _> = own.map(|(key, value)| (key.clone(), value.clone())).collect();
    (!own.is_empty()).then_some(Value::Object(own))
}

fn compare_fields(
    old: Option<&Value>,
    new: Option<&Value>,
    key: &str,
    taken: &mut Map<String, Value>,
    gone: &mut Map<String, Value>,
) {
    let name = format!("f:{key}");
    match (old, new) {
        (old, Some(new)) => compare(old, new, key, "", &name, taken, gone),
        (Some(old), None) => drop(gone.insert(name, whole(old, key, ""))),
        (None, None) => {}
    }
}

fn compare_maps(
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    here: &str,
    taken: &mut Map<String, Value>,
    gone: &mut Map<String, Value>,
) {
    for (key, value) in new {
        let name = format!("f:{key}");
        compare(old.get(key), value, key, here, &name, taken, gone);
    }
    for (key, value) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
        gone.insert(format!("f:{key}"), whole(value, key, here));
    }
}

fn compare(
    old: Option<&Value>,
    new: &Value,
    field: &str,
    parent: &str,
    name: &str,
    taken: &mut Map<String, Value>,
    gone: &mut Map<String, Value>,
) {
    if old == Some(new) {
        return;
    }
    let (mut sub_taken, mut sub_gone) = (Map::new(), Map::new());
    match (old, new, merge_key(field, parent)) {
        (Some(Value::Object(before)), Value::Object(after), _) if !is_atomic(field) => {
            compare_maps(before, after, field, &mut sub_taken, &mut sub_gone);
        }
        (Some(Value::Array(before)), Value::Array(after), Some(key)) => {
            compare_lists(before, after, key, field, &mut sub_taken, &mut sub_gone);
        }
        _ => {
            taken.insert(name.to_owned(), whole(new, field, parent));
            return;
        }
    }
    if !sub_taken.is_empty() {
        taken.insert(name.to_owned(), Value::Object(sub_taken));
    }
    if !sub_gone.is_empty() {
        gone.insert(name.to_owned(), Value::Object(sub_gone));
    }
}

fn compare_lists(
    old: &[Value],
    new: &[Value],
    key: &str,
    field: &str,
    taken: &mut Map<String, Value>,
    gone: &mut Map<String, Value>,
) {
    let find = |items: &[Value], item: &Value| items.iter().find(|other| other.get(key) == item.get(key)).cloned();
    for item in new {
        let name = element_name(item, key);
        match find(old, item) {
            Some(before) => compare(Some(&before), item, field, "", &name, taken, gone),
            None => drop(taken.insert(name, whole_element(item, field))),
        }
    }
    for item in old.iter().filter(|item| find(new, item).is_none()) {
        gone.insert(element_name(item, key), whole_element(item, field));
    }
}

fn element_name(item: &Value, key: &str) -> String {
    let field = |key: &str| item.get(key).cloned().unwrap_or(Value::Null);
    match key {
        // This list has a second key for server-side apply.
        "containerPort" => format!("k:{}", json!({key: field(key), "protocol": field("protocol")})),
        _ => format!("k:{}", json!({key: field(key)})),
    }
}

/// The set of all fields of a value: one leaf for plain values and atomic lists.
fn whole(value: &Value, field: &str, parent: &str) -> Value {
    match (value, merge_key(field, parent)) {
        (Value::Object(map), _) if !is_atomic(field) => {
            // An empty metadata says nothing; other empty structures are leaves.
            let said =
                |(key, v): &(&String, &Value)| *key != "metadata" || v.as_object().is_none_or(|map| !map.is_empty());
            let mut set: Map<_, _> = map
                .iter()
                .filter(said)
                .map(|(key, v)| (format!("f:{key}"), whole(v, key, field)))
                .collect();
            if is_string_map(field) {
                set.insert(".".to_owned(), json!({}));
            }
            Value::Object(set)
        }
        (Value::Array(items), Some(key)) => {
            let mut set: Map<_, _> = items
                .iter()
                .map(|item| (element_name(item, key), whole_element(item, field)))
                .collect();
            set.insert(".".to_owned(), json!({}));
            Value::Object(set)
        }
        (Value::Array(items), None) if field == "finalizers" => {
            let names = items.iter().map(|item| format!("v:{item}")).chain([".".to_owned()]);
            Value::Object(names.map(|name| (name, json!({}))).collect())
        }
        _ => json!({}),
    }
}

/// Structures that are owned as a whole (`x-kubernetes-map-type: atomic`).
fn is_atomic(field: &str) -> bool {
    const ATOMIC: [&str; 9] = [
        "selector",
        "nodeSelector",
        "configMapKeyRef",
        "secretKeyRef",
        "fieldRef",
        "resourceFieldRef",
        "labelSelector",
        "involvedObject",
        "regarding",
    ];
    ATOMIC.contains(&field)
}

fn whole_element(item: &Value, field: &str) -> Value {
    if field == "ownerReferences" {
        return json!({}); // an owner is owned as one
    }
    let mut set = whole(item, field, "");
    object::set(&mut set, &["."], json!({}));
    set
}

/// Maps with free keys are owned as such (`.`), structures are not.
fn is_string_map(field: &str) -> bool {
    ["annotations", "labels", "data", "binaryData", "nodeSelector"].contains(&field)
}

fn unite(set: &mut Value, more: &Value) {
    let (Value::Object(set), Value::Object(more)) = (set, more) else {
        return;
    };
    for (key, value) in more {
        unite(set.entry(key.clone()).or_insert_with(|| json!({})), value);
    }
}

/// Removes the leaves of `less`, and what becomes empty by that.
fn subtract(set: &mut Value, less: &Value) {
    let (Value::Object(set), Value::Object(less)) = (set, less) else {
        return;
    };
    for (key, value) in less {
        let Some(mine) = set.get_mut(key) else { continue };
        let is_leaf = value.as_object().is_none_or(Map::is_empty);
        if !is_leaf {
            subtract(mine, value);
        }
        if is_leaf || mine.as_object().is_none_or(Map::is_empty) {
            set.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager<'a>(name: &'a str, time: &'a str) -> Manager<'a> {
        Manager {
            name,
            api_version: "v1",
            subresource: "",
            time,
            has_status: false,
            keyed_lists: true,
        }
    }

    fn times(value: &Value) -> Vec<(String, String)> {
        let entries = object::list(value, &["metadata", "managedFields"]);
        entries
            .iter()
            .map(|e| (object::text(e, &["manager"]).into(), object::text(e, &["time"]).into()))
            .collect()
    }

    fn created() -> Value {
        let mut value = json!({"metadata": {"name": "c", "labels": {"l": "1"}}, "data": {"a": "1", "b": "1"}});
        record(None, &mut value, &manager("alice", "t1"));
        value
    }

    #[test]
    fn the_creator_owns_every_field() {
        let fields = &created()["metadata"]["managedFields"][0]["fieldsV1"];
        assert_eq!(fields["f:data"], json!({".": {}, "f:a": {}, "f:b": {}}));
        assert_eq!(fields["f:metadata"], json!({"f:labels": {".": {}, "f:l": {}}}));
    }

    #[test]
    fn a_changed_field_moves_to_its_changer_and_only_his_time_moves() {
        let old = created();
        let mut new = old.clone();
        new["data"]["a"] = json!("2");
        record(Some(&old), &mut new, &manager("bob", "t2"));
        assert_eq!(
            times(&new),
            [("alice".into(), "t1".into()), ("bob".into(), "t2".into())]
        );
        assert_eq!(
            new["metadata"]["managedFields"][1]["fieldsV1"],
            json!({"f:data": {"f:a": {}}})
        );
        assert_eq!(
            new["metadata"]["managedFields"][0]["fieldsV1"]["f:data"],
            json!({".": {}, "f:b": {}})
        );
    }

    #[test]
    fn removing_a_field_moves_no_time() {
        let old = created();
        let mut new = old.clone();
        object::remove(&mut new, &["data", "b"]);
        record(Some(&old), &mut new, &manager("alice", "t2"));
        assert_eq!(times(&new), [("alice".into(), "t1".into())]);
        assert_eq!(
            new["metadata"]["managedFields"][0]["fieldsV1"]["f:data"],
            json!({".": {}, "f:a": {}})
        );
    }

    #[test]
    fn list_elements_are_named_by_their_key() {
        let mut value = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "i"}]}}}});
        record(None, &mut value, &manager("alice", "t1"));
        let set = &value["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"];
        assert_eq!(
            set["k:{\"name\":\"app\"}"],
            json!({".": {}, "f:name": {}, "f:image": {}})
        );
    }
}
