//! Reading and writing the few fields of an object that the server itself cares for.

use serde_json::{Map, Value};

/// The map at `path`, if there is one.
pub(crate) fn map_at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Map<String, Value>> {
    at(object, path).and_then(Value::as_object)
}

/// The value at `path`, if there is one.
pub(crate) fn at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, key| value.get(key))
}

/// The text at `path`; absent and non-text read as empty, as Go's zero value does.
pub(crate) fn text<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    at(object, path).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn integer(object: &Value, path: &[&str]) -> Option<i64> {
    at(object, path).and_then(Value::as_i64)
}

pub(crate) fn flag(object: &Value, path: &[&str]) -> bool {
    at(object, path).and_then(Value::as_bool).unwrap_or_default()
}

/// The elements at `path`; absent reads as none.
pub(crate) fn list<'a>(object: &'a Value, path: &[&str]) -> &'a [Value] {
    at(object, path)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

pub(crate) fn name(object: &Value) -> &str {
    text(object, &["metadata", "name"])
}

pub(crate) fn namespace(object: &Value) -> &str {
    text(object, &["metadata", "namespace"])
}

pub(crate) fn uid(object: &Value) -> &str {
    text(object, &["metadata", "uid"])
}

/// The `uid` of an owner reference.
pub(crate) fn uid_of(reference: &Value) -> &str {
    text(reference, &["uid"])
}

#[cfg(test)]
pub(crate) fn version(object: &Value) -> u64 {
    text(object, &["metadata", "resourceVersion"]).parse().unwrap_or(0)
}

pub(crate) fn generation(object: &Value) -> i64 {
    integer(object, &["metadata", "generation"]).unwrap_or(0)
}

pub(crate) fn is_deleting(object: &Value) -> bool {
    at(object, &["metadata", "deletionTimestamp"]).is_some_and(|v| !v.is_null())
}

/// Sets the value at `path`, making maps of whatever stands in the way.
pub(crate) fn set(object: &mut Value, path: &[&str], value: Value) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let mut current = object;
    for key in parents {
        current = child(current, key);
    }
    *child(current, last) = value;
}

fn child<'a>(value: &'a mut Value, key: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    // Indexing a map by a missing key inserts null.
    &mut value[key]
}

/// Sets the value at `path` only where there is none.
pub(crate) fn default(object: &mut Value, path: &[&str], value: Value) {
    if at(object, path).is_none_or(Value::is_null) {
        set(object, path, value);
    }
}

/// Removes the value at `path`.
pub(crate) fn remove(object: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    let mut current = object;
    for key in parents {
        current = current.get_mut(key)?;
    }
    current.as_object_mut()?.remove(*last)
}

/// Copies the value at `path` from another object, removing it where the other has none.
pub(crate) fn copy(into: &mut Value, from: &Value, path: &[&str]) {
    match at(from, path) {
        Some(value) => set(into, path, value.clone()),
        None => {
            remove(into, path);
        }
    }
}

/// The owner reference with `controller: true`, if any.
pub(crate) fn controller_of(object: &Value) -> Option<&Value> {
    list(object, &["metadata", "ownerReferences"])
        .iter()
        .find(|owner| flag(owner, &["controller"]))
}

/// Removes nulls and empty metadata maps, which Go's `omitempty` never writes: so that absent and empty compare equal.
pub(crate) fn tidy(object: &mut Value) {
    drop_nulls(object);
    for path in [
        &["metadata", "annotations"][..],
        &["metadata", "labels"],
        &["metadata", "finalizers"],
        &["metadata", "ownerReferences"],
        &["data"],
        &["binaryData"],
    ] {
        let empty = match at(object, path) {
            Some(Value::Object(map)) => map.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            _ => false,
        };
        if empty {
            remove(object, path);
        }
    }
}

/// The same for the metadata alone.
pub(crate) fn tidy_metadata(object: &mut Value) {
    let metadata = object.get_mut("metadata").map(Value::take).unwrap_or_default();
    let mut alone = serde_json::json!({ "metadata": metadata });
    tidy(&mut alone);
    if let Some(metadata) = remove(&mut alone, &["metadata"]) {
        object["metadata"] = metadata;
    } else if let Some(map) = object.as_object_mut() {
        map.remove("metadata");
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn set_makes_the_maps_on_the_way() {
        let mut object = json!({"metadata": null});
        set(&mut object, &["metadata", "labels", "a"], json!("b"));
        assert_eq!(object, json!({"metadata": {"labels": {"a": "b"}}}));
        default(&mut object, &["metadata", "labels", "a"], json!("c"));
        assert_eq!(text(&object, &["metadata", "labels", "a"]), "b");
    }

    #[test]
    fn tidy_makes_absent_and_empty_equal() {
        let mut object = json!({"metadata": {"annotations": {}, "creationTimestamp": null}, "data": {}, "spec": {}});
        tidy(&mut object);
        assert_eq!(object, json!({"metadata": {}, "spec": {}}));
    }
}
