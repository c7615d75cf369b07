//! Writing a ConfigMap of our own.

use std::collections::BTreeMap;

use afresh_model::name::Name;
use http::Method;
use serde_json::{Value, json};

use super::{WriteError, Writer};
use crate::lean::{LeanConfigMap, Watched as _};

impl Writer {
    /// Creates the ConfigMap, or replaces its data and its labels of these keys. Needs `get`, `create` and `update`, and no `patch`.
    ///
    /// # Errors
    /// See [`WriteError`]; [`WriteError::Conflict`] if somebody else writes it at the same time.
    pub async fn put_config_map(
        &self,
        namespace: &Name,
        name: &Name,
        labels: &BTreeMap<&'static str, &'static str>,
        data: &BTreeMap<&'static str, String>,
    ) -> Result<(), WriteError> {
        let collection = LeanConfigMap::path(Some(namespace));
        let path = format!("{collection}/{name}");
        let mut object = match self.get(&path).await {
            Ok(answer) => serde_json::from_slice(&answer)
                .map_err(|_| WriteError::Unreadable("the ConfigMap is not JSON".into()))?,
            Err(WriteError::Gone) => Value::Null,
            Err(error) => return Err(error),
        };
        let (method, path) = if object.is_null() {
            let metadata = json!({"name": name.as_str(), "namespace": namespace.as_str()});
            object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
            (Method::POST, collection)
        } else {
            (Method::PUT, path)
        };
        object["data"] = json!(data);
        for (key, value) in labels {
            object["metadata"]["labels"][*key] = Value::from(*value);
        }
        self.send(method, &path, &object).await.map(drop)
    }
}
