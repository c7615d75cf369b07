//! Strategic merge patch, with the merge keys of the kinds in the resource table.

use serde_json::{Map, Value};

use crate::status::ApiError;

/// How a list is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    Atomic,
    /// Elements are maps told apart by this key.
    ByKey(&'static str),
    /// Elements are plain values of a set.
    Set,
}

/// `patchMergeKey` of the Kubernetes types, by the name of the list and of the field that holds it.
fn strategy(field: &str, parent: &str) -> Strategy {
    use Strategy::{Atomic, ByKey, Set};
    match (field, parent) {
        ("containers" | "initContainers" | "ephemeralContainers" | "volumes" | "env", _) => ByKey("name"),
        ("imagePullSecrets" | "secrets", "spec" | "") => ByKey("name"),
        ("ports", "containers" | "initContainers" | "ephemeralContainers") => ByKey("containerPort"),
        ("volumeMounts", _) => ByKey("mountPath"),
        ("volumeDevices", _) => ByKey("devicePath"),
        ("hostAliases" | "podIPs" | "hostIPs", _) => ByKey("ip"),
        ("topologySpreadConstraints", _) => ByKey("topologyKey"),
        ("ownerReferences", _) => ByKey("uid"),
        ("conditions" | "addresses", "status") => ByKey("type"),
        ("taints", _) => ByKey("key"),
        ("finalizers", "metadata") => Set,
        _ => Atomic,
    }
}

/// The key that tells the elements of a list apart, for those that have one.
pub(crate) fn merge_key(field: &str, parent: &str) -> Option<&'static str> {
    match strategy(field, parent) {
        Strategy::ByKey(key) => Some(key),
        _ => None,
    }
}

pub(crate) fn apply(object: &Value, patch: &Map<String, Value>) -> Result<Value, ApiError> {
    let fields = object.as_object().cloned().unwrap_or_default();
    Ok(merge_map(fields, patch, "")?.map_or(Value::Null, Value::Object))
}

/// The merged map, or nothing if the patch deletes it.
fn merge_map(
    mut target: Map<String, Value>,
    patch: &Map<String, Value>,
    here: &str,
) -> Result<Option<Map<String, Value>>, ApiError> {
    match patch.get("$patch").and_then(Value::as_str) {
        Some("delete") => return Ok(None),
        Some("replace") => {
            let mut replaced = patch.clone();
            replaced.remove("$patch");
            return Ok(Some(replaced));
        }
        Some("merge") | None => {}
        Some(other) => return Err(ApiError::bad_request(format!("unknown patch type: {other}"))),
    }
    if let Some(keep) = patch.get("$retainKeys").and_then(Value::as_array) {
        target.retain(|key, _| keep.iter().any(|kept| kept == key));
    }
    delete_from_sets(&mut target, patch);
    for (key, change) in patch.iter().filter(|(key, _)| !key.starts_with('$')) {
        match merge_field(target.remove(key), change, key, here)? {
            Some(value) => drop(target.insert(key.clone(), value)),
            None => drop(target.remove(key)),
        }
    }
    reorder(&mut target, patch, here);
    Ok(Some(target))
}

fn merge_field(old: Option<Value>, change: &Value, key: &str, here: &str) -> Result<Option<Value>, ApiError> {
    match (old, change) {
        (_, Value::Null) => Ok(None),
        (Some(Value::Object(fields)), Value::Object(changes)) => {
            Ok(merge_map(fields, changes, key)?.map(Value::Object))
        }
        (_, Value::Object(changes)) => Ok(merge_map(Map::new(), changes, key)?.map(Value::Object)),
        (old, Value::Array(changes)) => {
            let items = match old {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            };
            merge_list(items, changes, key, here).map(|merged| Some(Value::Array(merged)))
        }
        (_, plain) => Ok(Some(plain.clone())),
    }
}

fn merge_list(mut items: Vec<Value>, changes: &[Value], field: &str, parent: &str) -> Result<Vec<Value>, ApiError> {
    match strategy(field, parent) {
        Strategy::Atomic => Ok(changes.to_vec()),
        Strategy::Set => {
            let new: Vec<_> = changes
                .iter()
                .filter(|change| !items.contains(change))
                .cloned()
                .collect();
            items.extend(new);
            Ok(items)
        }
        Strategy::ByKey(key) => {
            if changes
                .iter()
                .any(|change| change == &serde_json::json!({"$patch": "replace"}))
            {
                items.clear();
            }
            for change in changes {
                merge_element(&mut items, change, key, field)?;
            }
            Ok(items)
        }
    }
}

fn merge_element(items: &mut Vec<Value>, change: &Value, key: &str, field: &str) -> Result<(), ApiError> {
    let changes = change
        .as_object()
        .ok_or_else(|| ApiError::bad_request(format!("{field}: the elements of this list must be maps")))?;
    let Some(id) = changes.get(key) else {
        if changes.contains_key("$patch") {
            return Ok(());
        }
        // The wording of strategicpatch's ErrNoMergeKey.
        return Err(ApiError::unprocessable(format!(
            "map: {change} does not contain declared merge key: {key}"
        )));
    };
    let at = items.iter().position(|item| item.get(key) == Some(id));
    let old = at.and_then(|index| items[index].as_object().cloned());
    match (at, merge_map(old.unwrap_or_default(), changes, field)?) {
        (Some(index), Some(merged)) => items[index] = Value::Object(merged),
        (Some(index), None) => drop(items.remove(index)),
        (None, Some(merged)) => items.push(Value::Object(merged)),
        (None, None) => {}
    }
    Ok(())
}

fn delete_from_sets(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (directive, gone) in patch {
        let Some(field) = directive.strip_prefix("$deleteFromPrimitiveList/") else {
            continue;
        };
        if let (Some(Value::Array(items)), Some(gone)) = (target.get_mut(field), gone.as_array()) {
            items.retain(|item| !gone.contains(item));
        }
    }
}

/// `$setElementOrder/field`: the named elements take this order, the others keep their place behind their neighbour.
fn reorder(target: &mut Map<String, Value>, patch: &Map<String, Value>, here: &str) {
    for (directive, order) in patch {
        let Some(field) = directive.strip_prefix("$setElementOrder/") else {
            continue;
        };
        let (Some(Value::Array(items)), Some(order)) = (target.get_mut(field), order.as_array()) else {
            continue;
        };
        let strategy = strategy(field, here);
        let rank = |item: &Value| {
            order.iter().position(|wanted| match strategy {
                Strategy::ByKey(key) => wanted.get(key).is_some() && wanted.get(key) == item.get(key),
                _ => wanted == item,
            })
        };
        let mut last = 0;
        let mut keyed: Vec<_> = items
            .drain(..)
            .map(|item| {
                last = rank(&item).unwrap_or(last);
                (last, item)
            })
            .collect();
        keyed.sort_by_key(|(rank, _)| *rank);
        items.extend(keyed.into_iter().map(|(_, item)| item));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(object: &Value, patch: &Value) -> Value {
        apply(object, patch.as_object().unwrap()).unwrap()
    }

    fn pod() -> Value {
        json!({"metadata": {"finalizers": ["a"]}, "spec": {
            "containers": [
                {"name": "app", "image": "a:1", "env": [{"name": "A", "value": "1"}], "args": ["x"]},
                {"name": "side", "image": "b:1"},
            ],
            "volumes": [{"name": "v", "configMap": {"name": "c"}}],
        }})
    }

    #[test]
    fn lists_are_merged_by_key_and_atomic_ones_replaced() {
        let patch = json!({"spec": {"containers": [
            {"name": "app", "env": [{"name": "B", "value": "2"}], "args": ["y"]}, {"name": "new", "image": "c:1"},
        ]}});
        let result = patched(&pod(), &patch);
        let names: Vec<_> = result["spec"]["containers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| &c["name"])
            .collect();
        assert_eq!(names, ["app", "side", "new"]);
        assert_eq!(result["spec"]["containers"][0]["env"].as_array().unwrap().len(), 2);
        assert_eq!(result["spec"]["containers"][0]["args"], json!(["y"]));
        assert_eq!(result["spec"]["containers"][0]["image"], "a:1");
    }

    #[test]
    fn directives_delete_replace_retain_and_order() {
        let deleted = patched(
            &pod(),
            &json!({"spec": {"containers": [{"name": "side", "$patch": "delete"}]}}),
        );
        assert_eq!(deleted["spec"]["containers"].as_array().unwrap().len(), 1);
        let replaced = patched(&pod(), &json!({"spec": {"$patch": "replace", "x": 1}}));
        assert_eq!(replaced["spec"], json!({"x": 1}));
        let retained = patched(
            &pod(),
            &json!({"spec": {"volumes": [{"$retainKeys": ["name", "secret"], "name": "v", "secret": {"secretName": "s"}}]}}),
        );
        assert_eq!(
            retained["spec"]["volumes"],
            json!([{"name": "v", "secret": {"secretName": "s"}}])
        );
        let ordered = patched(
            &pod(),
            &json!({"spec": {"$setElementOrder/containers": [{"name": "side"}, {"name": "app"}],
                            "containers": [{"name": "side", "image": "b:2"}]}}),
        );
        assert_eq!(
            ordered["spec"]["containers"][0],
            json!({"name": "side", "image": "b:2"})
        );
        let set = patched(
            &pod(),
            &json!({"metadata": {"finalizers": ["b"], "$deleteFromPrimitiveList/finalizers": ["a"]}}),
        );
        assert_eq!(set["metadata"]["finalizers"], json!(["b"]));
    }

    #[test]
    fn an_element_without_its_key_is_unprocessable() {
        let patch = json!({"spec": {"containers": [{"image": "x"}]}});
        assert_eq!(apply(&pod(), patch.as_object().unwrap()).unwrap_err().code, 422);
    }
}
