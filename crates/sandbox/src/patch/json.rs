//! RFC 6902 JSON patch.

use serde_json::Value;

use crate::status::ApiError;

/// The limit of the real API server (endpoints/handlers/patch.go).
const MAX_OPERATIONS: usize = 10_000;

pub(crate) fn apply(object: &Value, patch: &Value) -> Result<Value, ApiError> {
    let operations = patch
        .as_array()
        .ok_or_else(|| ApiError::bad_request("json: cannot unmarshal into jsonpatch"))?;
    if operations.len() > MAX_OPERATIONS {
        return Err(ApiError::too_large_body(MAX_OPERATIONS));
    }
    operations.iter().try_fold(object.clone(), step)
}

fn step(mut object: Value, operation: &Value) -> Result<Value, ApiError> {
    let text = |key: &str| operation.get(key).and_then(Value::as_str);
    let path = text("path").ok_or_else(|| ApiError::bad_request("a JSON patch operation needs a path"))?;
    let value = || {
        operation
            .get("value")
            .cloned()
            .ok_or_else(|| ApiError::bad_request("a JSON patch operation needs a value"))
    };
    let from = || text("from").ok_or_else(|| ApiError::bad_request("a JSON patch operation needs a from"));
    match text("op").unwrap_or_default() {
        "add" => add(&mut object, path, value()?)?,
        "remove" => drop(remove(&mut object, path)?),
        "replace" => {
            remove(&mut object, path)?;
            add(&mut object, path, value()?)?;
        }
        "move" => {
            let moved = remove(&mut object, from()?)?;
            add(&mut object, path, moved)?;
        }
        "copy" => {
            let copied = object.pointer(from()?).cloned().ok_or_else(|| missing("copy", path))?;
            add(&mut object, path, copied)?;
        }
        "test" => {
            if object.pointer(path).unwrap_or(&Value::Null) != &value()? {
                return Err(ApiError::unprocessable(format!(
                    "testing value {path} failed: test failed"
                )));
            }
        }
        other => return Err(ApiError::bad_request(format!("unexpected kind: {other}"))),
    }
    Ok(object)
}

fn missing(operation: &str, path: &str) -> ApiError {
    ApiError::unprocessable(format!(
        "{operation} operation does not apply: doc is missing path: {path}: missing value"
    ))
}

fn split(path: &str) -> Result<(&str, String), ApiError> {
    let (parent, last) = path
        .rsplit_once('/')
        .ok_or_else(|| ApiError::bad_request(format!("bad path {path:?}")))?;
    Ok((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn add(object: &mut Value, path: &str, value: Value) -> Result<(), ApiError> {
    if path.is_empty() {
        *object = value;
        return Ok(());
    }
    let (parent, last) = split(path)?;
    match object.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.insert(last, value)),
        Some(Value::Array(items)) if last == "-" => items.push(value),
        Some(Value::Array(items)) => match last.parse::<usize>() {
            Ok(index) if index <= items.len() => items.insert(index, value),
            _ => return Err(missing("add", path)),
        },
        _ => return Err(missing("add", path)),
    }
    Ok(())
}

fn remove(object: &mut Value, path: &str) -> Result<Value, ApiError> {
    let (parent, last) = split(path)?;
    let removed = match object.pointer_mut(parent) {
        Some(Value::Object(fields)) => fields.remove(&last),
        Some(Value::Array(items)) => last
            .parse::<usize>()
            .ok()
            .filter(|index| *index < items.len())
            .map(|index| items.remove(index)),
        _ => None,
    };
    removed.ok_or_else(|| missing("remove", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_operation_does_what_the_rfc_says() {
        let object = json!({"a": {"x/y": 1}, "list": [1, 3]});
        let patch = json!([
            {"op": "test", "path": "/a/x~1y", "value": 1},
            {"op": "add", "path": "/list/1", "value": 2},
            {"op": "add", "path": "/list/-", "value": 4},
            {"op": "copy", "from": "/list/0", "path": "/first"},
            {"op": "move", "from": "/a/x~1y", "path": "/b"},
            {"op": "replace", "path": "/list/0", "value": 0},
            {"op": "remove", "path": "/a"},
        ]);
        assert_eq!(
            apply(&object, &patch).unwrap(),
            json!({"b": 1, "first": 1, "list": [0, 2, 3, 4]})
        );
    }

    #[test]
    fn what_does_not_fit_is_unprocessable_and_what_is_no_patch_is_bad() {
        let code = |patch: Value| apply(&json!({"a": 1}), &patch).unwrap_err().code;
        assert_eq!(code(json!([{"op": "test", "path": "/a", "value": 2}])), 422);
        assert_eq!(code(json!([{"op": "remove", "path": "/b"}])), 422);
        assert_eq!(code(json!([{"op": "add", "path": "/b/c", "value": 1}])), 422);
        assert_eq!(code(json!([{"op": "hop", "path": "/a"}])), 400);
        assert_eq!(code(json!({"a": 1})), 400);
    }
}
