//! The environment of a container, as it is at the moment of its start.

use std::collections::BTreeMap;

use serde_json::Value;

use super::cache::Cache;
use super::volume;
use crate::object;

/// The environment of a container; an error names what is missing.
pub(super) fn resolve(cache: &Cache, pod: &Value, container: &Value) -> Result<BTreeMap<String, String>, String> {
    let mut env = BTreeMap::new();
    for source in object::list(container, &["envFrom"]) {
        let prefix = object::text(source, &["prefix"]);
        for (storage, field) in [("configmaps", "configMapRef"), ("secrets", "secretRef")] {
            if let Some(reference) = source.get(field) {
                for (key, value) in all_keys(cache, pod, storage, reference)? {
                    env.insert(format!("{prefix}{key}"), value);
                }
            }
        }
    }
    for variable in object::list(container, &["env"]) {
        let name = object::text(variable, &["name"]);
        let value = match variable.get("valueFrom") {
            Some(source) => from(cache, pod, container, source)?,
            None => Some(expand(object::text(variable, &["value"]), &env)),
        };
        if let Some(value) = value {
            env.insert(name.to_owned(), value);
        }
    }
    Ok(env)
}

fn all_keys(
    cache: &Cache,
    pod: &Value,
    storage: &'static str,
    reference: &Value,
) -> Result<BTreeMap<String, String>, String> {
    let name = object::text(reference, &["name"]);
    let Some(found) = cache.get(&(storage, object::namespace(pod).to_owned(), name.to_owned())) else {
        let optional = object::flag(reference, &["optional"]);
        let missing = format!("{} {name:?} not found", storage.trim_end_matches('s'));
        return if optional { Ok(BTreeMap::new()) } else { Err(missing) };
    };
    // binaryData never becomes environment.
    let keys = object::map_at(found, &["data"]).into_iter().flat_map(|map| map.keys());
    Ok(keys
        .filter_map(|key| Some((key.clone(), text(volume::bytes(storage, found, key)?))))
        .collect())
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn from(cache: &Cache, pod: &Value, container: &Value, source: &Value) -> Result<Option<String>, String> {
    for (storage, field) in [("configmaps", "configMapKeyRef"), ("secrets", "secretKeyRef")] {
        let Some(reference) = source.get(field) else { continue };
        let (name, key) = (object::text(reference, &["name"]), object::text(reference, &["key"]));
        let optional = object::flag(reference, &["optional"]);
        let singular = storage.trim_end_matches('s');
        let found = cache.get(&(storage, object::namespace(pod).to_owned(), name.to_owned()));
        // Only `data` is looked at: a key of binaryData is no variable.
        let value = found.filter(|found| object::at(found, &["data", key]).is_some());
        return match value.and_then(|found| volume::bytes(storage, found, key)) {
            Some(bytes) => Ok(Some(text(bytes))),
            None if optional => Ok(None),
            None if found.is_none() => Err(format!("{singular} {name:?} not found")),
            None => Err(format!(
                "couldn't find key {key} in {singular} {}/{name}",
                object::namespace(pod)
            )),
        };
    }
    if let Some(path) = object::at(source, &["fieldRef", "fieldPath"]).and_then(Value::as_str) {
        return Ok(Some(field(pod, path).unwrap_or_default()));
    }
    let resource = object::text(source, &["resourceFieldRef", "resource"]);
    let (kind, name) = resource.split_once('.').unwrap_or((resource, ""));
    Ok(object::at(container, &["resources", kind, name])
        .and_then(Value::as_str)
        .map(str::to_owned))
}

/// A field of the pod, as `fieldRef` and downwardAPI name it.
pub(super) fn field(pod: &Value, path: &str) -> Option<String> {
    if let Some((map, key)) = path.split_once("['") {
        let key = key.strip_suffix("']")?;
        let map: Vec<&str> = map.split('.').collect();
        return object::map_at(pod, &map)?.get(key)?.as_str().map(str::to_owned);
    }
    let path: Vec<&str> = path.split('.').collect();
    match object::at(pod, &path)? {
        Value::String(text) => Some(text.clone()),
        Value::Object(map) => {
            let line = |(key, value): (&String, &Value)| format!("{key}={:?}", value.as_str().unwrap_or_default());
            Some(map.iter().map(line).collect::<Vec<_>>().join("\n"))
        }
        other => Some(other.to_string()),
    }
}

/// Replaces `$(NAME)` by variables defined before; `$$` is one dollar; unknown names stay.
fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match env.get(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use serde_json::json;
    use std::collections::BTreeSet;

    fn cache() -> Cache {
        let mut store = Store::new(10);
        let map = json!({"metadata": {"namespace": "n", "name": "a"}, "data": {"K": "v", "L": "w"}});
        store.put(&"configmaps".into(), ("n".into(), "a".into()), map);
        let mut cache = Cache::default();
        cache.follow(
            &store,
            &BTreeSet::from([("configmaps", "n".to_owned(), "a".to_owned())]),
        );
        cache
    }

    fn env(container: &Value) -> Result<Vec<String>, String> {
        let pod = json!({"metadata": {"namespace": "n", "name": "p", "labels": {"a.b/c": "x"}}});
        let env = resolve(&cache(), &pod, container)?;
        Ok(env.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn env_overrides_env_from_and_expands_what_came_before() {
        let container = json!({
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "a"}}, {"configMapRef": {"name": "none", "optional": true}}],
            "env": [
                {"name": "P_L", "value": "over"}, {"name": "X", "value": "$(P_K)-$(P_L)-$(NO)-$$(P_K)"},
                {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a.b/c']"}}},
                {"name": "GONE", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "no", "optional": true}}},
            ],
        });
        assert_eq!(
            env(&container).unwrap(),
            ["LABEL=x", "NAME=p", "P_K=v", "P_L=over", "X=v-over-$(NO)-$(P_K)"]
        );
    }

    #[test]
    fn a_required_object_or_key_that_is_missing_is_an_error() {
        assert!(env(&json!({"envFrom": [{"configMapRef": {"name": "none"}}]})).is_err());
        let key = json!({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "no"}}}]});
        assert_eq!(env(&key).unwrap_err(), "couldn't find key no in configmap n/a");
    }
}
