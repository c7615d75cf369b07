//! The three patch formats the API server accepts here: JSON merge patch, JSON patch and strategic merge patch.

mod json;
mod strategic;

use serde_json::{Map, Value};

use crate::status::ApiError;

pub(crate) use strategic::merge_key;

/// A patch and its format.
#[derive(Clone, Debug, PartialEq)]
pub enum Patch {
    /// RFC 7396.
    Merge(Value),
    /// RFC 6902.
    Json(Value),
    /// Kubernetes' own: lists are merged by their key.
    Strategic(Value),
}

impl Patch {
    /// A patch of the format that the `Content-Type` names.
    ///
    /// # Errors
    /// 415 for a format that is not served, server-side apply among them.
    pub fn of_type(content_type: &str, body: Value) -> Result<Self, ApiError> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/merge-patch+json" => Ok(Self::Merge(body)),
            "application/json-patch+json" => Ok(Self::Json(body)),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic(body)),
            other => Err(ApiError::unsupported_media(format!(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json \
                 (got {other:?})"
            ))),
        }
    }

    /// The object with the patch applied.
    ///
    /// # Errors
    /// 400 for a patch of the wrong shape, 422 for one that does not fit the object.
    pub fn apply(&self, object: &Value) -> Result<Value, ApiError> {
        match self {
            Self::Merge(patch) => {
                object_patch(patch)?;
                let mut patched = object.clone();
                merge(&mut patched, patch);
                Ok(patched)
            }
            Self::Json(patch) => json::apply(object, patch),
            Self::Strategic(patch) => strategic::apply(object, object_patch(patch)?),
        }
    }
}

/// Whether a merge patch asks only for what the object has already, which is cheaper to see than to do.
pub(crate) fn is_merged(object: &Value, patch: &Value) -> bool {
    match (object, patch) {
        (Value::Object(fields), Value::Object(changes)) => changes.iter().all(|(key, change)| match fields.get(key) {
            Some(field) => !change.is_null() && is_merged(field, change),
            None => change.is_null(),
        }),
        (object, patch) => object == patch,
    }
}

fn object_patch(patch: &Value) -> Result<&Map<String, Value>, ApiError> {
    patch.as_object().ok_or_else(|| {
        let kind = match patch {
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Number(_) => "number",
            _ => "bool",
        };
        let what = format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}");
        ApiError::bad_request(format!("error decoding patch: {what}"))
    })
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (key, change) in changes {
        if change.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_merge_patch_removes_nulls_and_replaces_lists() {
        let object = json!({"data": {"a": "1", "b": "2"}, "list": [1, 2]});
        let patch = Patch::Merge(json!({"data": {"a": null, "c": {"d": null, "e": 1}}, "list": [3]}));
        assert_eq!(
            patch.apply(&object).unwrap(),
            json!({"data": {"b": "2", "c": {"e": 1}}, "list": [3]})
        );
    }

    #[test]
    fn a_patch_is_merged_if_applying_it_changes_nothing() {
        let object = json!({"a": {"b": 1, "c": [1, 2]}});
        for (patch, merged) in [
            (json!({}), true),
            (json!({"a": {"b": 1}, "x": null}), true),
            (json!({"a": {"c": [1, 2]}}), true),
            (json!({"a": {"b": null}}), false),
            (json!({"a": {"c": [1]}}), false),
            (json!({"a": {"x": {}}}), false),
        ] {
            assert_eq!(is_merged(&object, &patch), merged, "{patch}");
            assert_eq!(Patch::Merge(patch).apply(&object).unwrap() == object, merged);
        }
    }

    #[test]
    fn a_patch_that_is_no_object_is_refused() {
        assert_eq!(Patch::Merge(json!([1])).apply(&json!({})).unwrap_err().code, 400);
        assert_eq!(
            Patch::of_type("application/apply-patch+yaml", json!({}))
                .unwrap_err()
                .code,
            415
        );
    }
}
