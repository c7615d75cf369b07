//! What a volume holds, from what the node knows.

use afresh_volume::{File, Files};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::cache::Cache;
use super::env;
use crate::object;

/// The mode of a file in octal 0644, where nothing else is said.
const DEFAULT_MODE: i64 = 0o644;

/// The files of a volume; none for kinds the node does not fill; an error names what is missing.
pub(super) fn files(cache: &Cache, pod: &Value, volume: &Value) -> Result<Option<Files>, String> {
    let mode = |source: &Value| object::integer(source, &["defaultMode"]).unwrap_or(DEFAULT_MODE);
    if let Some(source) = volume.get("configMap") {
        return keyed(
            cache,
            pod,
            "configmaps",
            object::text(source, &["name"]),
            source,
            mode(source),
        )
        .map(Some);
    }
    if let Some(source) = volume.get("secret") {
        return keyed(
            cache,
            pod,
            "secrets",
            object::text(source, &["secretName"]),
            source,
            mode(source),
        )
        .map(Some);
    }
    if let Some(source) = volume.get("downwardAPI") {
        return Ok(Some(downward(pod, source, mode(source))));
    }
    let Some(projected) = volume.get("projected") else {
        return Ok(None);
    };
    let mode = mode(projected);
    let mut files = Files::new();
    // All or nothing: one missing source fails the whole volume.
    for source in object::list(projected, &["sources"]) {
        if let Some(source) = source.get("configMap") {
            files.extend(keyed(
                cache,
                pod,
                "configmaps",
                object::text(source, &["name"]),
                source,
                mode,
            )?);
        }
        if let Some(source) = source.get("secret") {
            files.extend(keyed(
                cache,
                pod,
                "secrets",
                object::text(source, &["name"]),
                source,
                mode,
            )?);
        }
        if let Some(source) = source.get("downwardAPI") {
            files.extend(downward(pod, source, mode));
        }
    }
    Ok(Some(files))
}

fn keyed(
    cache: &Cache,
    pod: &Value,
    storage: &'static str,
    name: &str,
    source: &Value,
    mode: i64,
) -> Result<Files, String> {
    let optional = object::flag(source, &["optional"]);
    let key = (storage, object::namespace(pod).to_owned(), name.to_owned());
    let singular = storage.trim_end_matches('s');
    let Some(found) = cache.get(&key) else {
        return if optional {
            Ok(Files::new())
        } else {
            Err(format!("{singular} {name:?} not found"))
        };
    };
    let file = |key: &str, mode: i64| {
        Some(File {
            bytes: bytes(storage, found, key)?,
            mode: u32::try_from(mode).ok()?,
        })
    };
    let items = object::list(source, &["items"]);
    if items.is_empty() {
        let keys = ["data", "binaryData"]
            .into_iter()
            .flat_map(|bag| object::map_at(found, &[bag]));
        let keys = keys.flat_map(|map| map.keys());
        return Ok(keys.filter_map(|key| Some((key.clone(), file(key, mode)?))).collect());
    }
    let mut files = Files::new();
    for item in items {
        let (key, path) = (object::text(item, &["key"]), object::text(item, &["path"]));
        match file(key, object::integer(item, &["mode"]).unwrap_or(mode)) {
            Some(file) => drop(files.insert(path.to_owned(), file)),
            None if optional => {}
            None => return Err(format!("references non-existent {singular} key: {key}")),
        }
    }
    Ok(files)
}

/// The bytes of a key of a ConfigMap or Secret.
pub(super) fn bytes(storage: &str, found: &Value, key: &str) -> Option<Vec<u8>> {
    let text = |bag: &str| object::at(found, &[bag, key]).and_then(Value::as_str);
    match storage {
        "secrets" => STANDARD.decode(text("data")?).ok(),
        _ => match text("data") {
            Some(text) => Some(text.as_bytes().to_vec()),
            None => STANDARD.decode(text("binaryData")?).ok(),
        },
    }
}

fn downward(pod: &Value, source: &Value, mode: i64) -> Files {
    let item = |item: &Value| {
        let text = env::field(pod, object::text(item, &["fieldRef", "fieldPath"]))?;
        let mode = object::integer(item, &["mode"]).unwrap_or(mode);
        let file = File {
            bytes: text.into_bytes(),
            mode: u32::try_from(mode).ok()?,
        };
        Some((object::text(item, &["path"]).to_owned(), file))
    };
    object::list(source, &["items"]).iter().filter_map(item).collect()
}

/// The part of a volume that a `subPath` shows: a file under its own name, or what is below a directory.
pub(super) fn sub_path(files: &Files, sub_path: &str) -> Files {
    let wanted = sub_path.trim_matches('/');
    if let Some(file) = files.get(wanted) {
        let name = wanted.rsplit('/').next().unwrap_or(wanted);
        return Files::from([(name.to_owned(), file.clone())]);
    }
    let below = |path: &str| path.strip_prefix(wanted)?.strip_prefix('/').map(str::to_owned);
    files
        .iter()
        .filter_map(|(path, file)| Some((below(path)?, file.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use serde_json::json;
    use std::collections::BTreeSet;

    fn cache() -> Cache {
        let mut store = Store::new(10);
        let map = json!({"metadata": {"namespace": "n", "name": "a"}, "data": {"k": "v", "l": "w"}, "binaryData": {"b": "AAE="}});
        store.put(&"configmaps".into(), ("n".into(), "a".into()), map);
        let secret = json!({"metadata": {"namespace": "n", "name": "s"}, "data": {"p": "cHc="}});
        store.put(&"secrets".into(), ("n".into(), "s".into()), secret);
        let mut cache = Cache::default();
        let names = [("configmaps", "a"), ("secrets", "s"), ("configmaps", "gone")];
        cache.follow(
            &store,
            &BTreeSet::from(names.map(|(storage, name)| (storage, "n".to_owned(), name.to_owned()))),
        );
        cache
    }

    fn content(volume: &Value) -> Result<Vec<(String, String, u32)>, String> {
        let files = files(&cache(), &json!({"metadata": {"namespace": "n"}}), volume)?.unwrap();
        Ok(files
            .into_iter()
            .map(|(path, f)| (path, String::from_utf8(f.bytes).unwrap(), f.mode))
            .collect())
    }

    #[test]
    fn keys_items_modes_and_binary_data_become_files() {
        let all = content(&json!({"configMap": {"name": "a"}})).unwrap();
        assert_eq!(all[0], ("b".into(), "\u{0}\u{1}".into(), 0o644));
        assert_eq!(all.len(), 3);
        let items = json!({"configMap": {"name": "a", "defaultMode": 256, "items": [{"key": "k", "path": "x/y"}, {"key": "l", "path": "z", "mode": 511}]}});
        assert_eq!(
            content(&items).unwrap(),
            [("x/y".into(), "v".into(), 0o400), ("z".into(), "w".into(), 0o777)]
        );
    }

    #[test]
    fn what_is_missing_fails_unless_it_is_optional() {
        assert!(content(&json!({"configMap": {"name": "gone"}})).is_err());
        assert_eq!(
            content(&json!({"configMap": {"name": "gone", "optional": true}})),
            Ok(vec![])
        );
        let key = |optional| json!({"secret": {"secretName": "s", "optional": optional, "items": [{"key": "no", "path": "no"}]}});
        assert!(content(&key(false)).is_err());
        assert_eq!(content(&key(true)), Ok(vec![]));
    }

    #[test]
    fn a_projected_volume_is_all_or_nothing() {
        let both = |second: &str| json!({"projected": {"sources": [{"secret": {"name": "s"}}, {"configMap": {"name": second}}]}});
        assert_eq!(content(&both("a")).unwrap().len(), 4);
        assert!(content(&both("gone")).is_err());
    }

    #[test]
    fn a_sub_path_is_a_file_or_a_directory() {
        let files = Files::from([("a/b".to_owned(), File::new("1")), ("c".to_owned(), File::new("2"))]);
        assert_eq!(sub_path(&files, "c").keys().collect::<Vec<_>>(), ["c"]);
        assert_eq!(sub_path(&files, "a").keys().collect::<Vec<_>>(), ["b"]);
        assert!(sub_path(&files, "none").is_empty());
    }
}
