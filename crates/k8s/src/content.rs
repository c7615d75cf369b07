//! ConfigMaps and Secrets with their values, for those who hand them on: the library, and an agent that writes files.
//!
//! The controller never uses this; it hashes values while they are read ([`crate::lean`]).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use afresh_model::name::{ConfigKey, ConfigKind, Name};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use kube::Client;
use serde::Deserialize;

use crate::lean::{DecodeError, Watched};
use crate::request::{self, CallError, malformed, unbuildable};

/// Entries by key: the bytes they stand for.
pub type Entries = BTreeMap<String, Vec<u8>>;

/// A ConfigMap with its values, those of `binaryData` decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMapContent(pub ObjectContent);

/// A Secret with its values, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretContent(pub ObjectContent);

/// A config object with its values. Its `Debug` shows keys and sizes, never a value.
#[derive(Clone, PartialEq, Eq)]
pub struct ObjectContent {
    /// Which object it is.
    pub key: ConfigKey,
    /// `metadata.resourceVersion`; empty if the object has none.
    pub resource_version: Box<str>,
    /// Its values.
    pub entries: Entries,
}

impl fmt::Debug for ObjectContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: BTreeMap<_, _> = self.entries.iter().map(|(key, value)| (key, value.len())).collect();
        write!(f, "{} at {}: bytes {sizes:?}", self.key, self.resource_version)
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Wire {
    metadata: Meta,
    data: Option<BTreeMap<String, String>>,
    binary_data: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    namespace: Box<str>,
    name: Box<str>,
    resource_version: Option<Box<str>>,
}

impl ObjectContent {
    fn decode(json: &str, kind: ConfigKind) -> Result<Self, DecodeError> {
        let wire: Wire = serde_json::from_str(json).map_err(|error| DecodeError::place(&error))?;
        let (texts, encoded) = match kind {
            ConfigKind::Secret => (None, wire.data),
            ConfigKind::ConfigMap | ConfigKind::SecretProviderClass => (wire.data, wire.binary_data),
        };
        let mut entries = Entries::new();
        for (key, text) in encoded.unwrap_or_default() {
            let Ok(bytes) = STANDARD.decode(text) else {
                return Err(DecodeError::Json(format!("the value of {key:?} is not base64").into()));
            };
            entries.insert(key, bytes);
        }
        let texts = texts.unwrap_or_default();
        entries.extend(texts.into_iter().map(|(key, text)| (key, text.into_bytes())));
        let key = ConfigKey {
            kind,
            namespace: wire.metadata.namespace.parse()?,
            name: wire.metadata.name.parse()?,
        };
        Ok(Self {
            key,
            resource_version: wire.metadata.resource_version.unwrap_or_default(),
            entries,
        })
    }
}

impl Watched for ConfigMapContent {
    const KIND: &'static str = "ConfigMap";
    const GROUP: &'static str = "api/v1";
    const PLURAL: &'static str = "configmaps";

    fn decode(json: &str) -> Result<Self, DecodeError> {
        ObjectContent::decode(json, ConfigKind::ConfigMap).map(Self)
    }

    fn resource_version(&self) -> &str {
        &self.0.resource_version
    }
}

impl Watched for SecretContent {
    const KIND: &'static str = "Secret";
    const GROUP: &'static str = "api/v1";
    const PLURAL: &'static str = "secrets";

    fn decode(json: &str) -> Result<Self, DecodeError> {
        ObjectContent::decode(json, ConfigKind::Secret).map(Self)
    }

    fn resource_version(&self) -> &str {
        &self.0.resource_version
    }
}

impl From<ConfigMapContent> for ObjectContent {
    fn from(object: ConfigMapContent) -> Self {
        object.0
    }
}

impl From<SecretContent> for ObjectContent {
    fn from(object: SecretContent) -> Self {
        object.0
    }
}

/// One GET of one object; `None` if there is no such object.
///
/// # Errors
/// See [`CallError`]. An object that cannot be decoded is [`CallError::Malformed`], which never shows a value.
pub async fn get<K: Watched>(
    client: &Client,
    namespace: &Name,
    name: &Name,
    limit: Duration,
) -> Result<Option<K>, CallError> {
    let path = format!("{}/{name}", K::path(Some(namespace)));
    let call = Request::get(path).body(Vec::new()).map_err(unbuildable)?;
    let answer = match request::fetch(client, call, limit).await {
        Ok(answer) => answer,
        Err(CallError::Refused(refusal)) if refusal.code == 404 => return Ok(None),
        Err(error) => return Err(error),
    };
    let json = std::str::from_utf8(&answer).map_err(malformed)?;
    K::decode(json).map(Some).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        text.as_bytes().to_vec()
    }

    #[test]
    fn a_config_map_has_its_texts_and_its_decoded_bytes() {
        let json = r#"{"metadata":{"namespace":"prod","name":"web","resourceVersion":"7"},
            "data":{"a":"text \u00e9"},"binaryData":{"b":"AAH/"}}"#;
        let content = ConfigMapContent::decode(json).unwrap().0;
        assert_eq!(
            content.entries,
            Entries::from([("a".into(), bytes("text é")), ("b".into(), vec![0, 1, 255])])
        );
        assert_eq!(&*content.resource_version, "7");
    }

    #[test]
    fn a_secret_is_decoded_and_never_shown() {
        let json = r#"{"metadata":{"namespace":"prod","name":"web"},"data":{"password":"aHVudGVyMg=="}}"#;
        let content = SecretContent::decode(json).unwrap();
        assert_eq!(content.0.entries["password"], bytes("hunter2"));
        let shown = format!("{content:?}");
        assert!(shown.contains("password") && !shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains("aHVudGVyMg"), "{shown}");
    }

    #[test]
    fn an_object_without_data_is_empty() {
        for data in ["", r#","data":null,"binaryData":null"#] {
            let json = format!(r#"{{"metadata":{{"namespace":"a","name":"b"}}{data}}}"#);
            assert!(ConfigMapContent::decode(&json).unwrap().0.entries.is_empty());
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_told_without_a_value() {
        for data in [
            r#"{"password":"hunter2!"}"#,
            r#"{"password":{"a":"hunter2!"}}"#,
            r#""hunter2!""#,
        ] {
            let json = format!(r#"{{"metadata":{{"namespace":"a","name":"b"}},"data":{data}}}"#);
            let error = SecretContent::decode(&json).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
