//! The key of Secret digests: 32 random bytes in a Secret of their own, made once per installation.

use std::fmt;

use afresh_model::digest::DigestKey;
use afresh_model::name::Name;
use afresh_model::time::UnixSeconds;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use crate::write::{WriteError, Writer};

/// The key of the Secret's data that holds the bytes.
pub const DATA_KEY: &str = "key";

/// Bytes in a digest key.
const SIZE: usize = 32;

/// Replicas that start together meet at most a few times.
const ATTEMPTS: usize = 5;

/// The digest key, and when it was made.
#[derive(Debug, Clone)]
pub struct InstallationKey {
    /// The key.
    pub key: DigestKey,
    /// `metadata.creationTimestamp` of its Secret: when Afresh was installed.
    pub created: Option<UnixSeconds>,
}

/// The digest key cannot be had.
#[derive(Debug, Error)]
pub enum KeyError {
    /// A rule is missing.
    #[error(
        "may not {verb} the Secret {secret} that holds the digest key: {message}; give the ServiceAccount a Role with {verb} on it"
    )]
    Forbidden {
        /// `get`, `create` or `patch`.
        verb: &'static str,
        /// Namespace and name.
        secret: String,
        /// What the API server said.
        message: Box<str>,
    },
    /// The namespace is not there.
    #[error("the namespace of the Secret {0} is not there; it holds the digest key")]
    NoNamespace(String),
    /// The Secret holds something else.
    #[error(
        "the Secret {0} does not hold {SIZE} bytes of base64 under {DATA_KEY:?}; delete it, and all workloads are adopted anew"
    )]
    Invalid(String),
    /// Others kept changing it.
    #[error("the Secret {0} kept changing while it was read and written")]
    Contended(String),
    /// The API server could not be reached, or was unwell.
    #[error("the Secret {secret} with the digest key: {error}")]
    Call {
        /// Namespace and name.
        secret: String,
        /// What went wrong.
        error: WriteError,
    },
    /// The system has no random bytes.
    #[error("the system gives no random bytes for the digest key: {0}")]
    Random(String),
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct KeySecret {
    metadata: Meta,
    data: Option<Data>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    resource_version: String,
    creation_timestamp: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Data {
    key: Option<String>,
}

struct Place<'a> {
    namespace: &'a Name,
    name: &'a Name,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Reads the digest key where there is one, and writes nothing.
///
/// # Errors
/// See [`KeyError`].
pub async fn read(writer: &Writer, namespace: &Name, name: &Name) -> Result<Option<InstallationKey>, KeyError> {
    read_at(writer, "secrets", &Place { namespace, name }).await
}

/// The same from the ConfigMap that stands in for the Secret, see [`get_or_create_in_config_map`].
///
/// # Errors
/// See [`KeyError`].
pub async fn read_in_config_map(
    writer: &Writer,
    namespace: &Name,
    name: &Name,
) -> Result<Option<InstallationKey>, KeyError> {
    read_at(writer, "configmaps", &Place { namespace, name }).await
}

async fn read_at(writer: &Writer, plural: &str, place: &Place<'_>) -> Result<Option<InstallationKey>, KeyError> {
    let Place { namespace, name } = place;
    match writer
        .get(&format!("/api/v1/namespaces/{namespace}/{plural}/{name}"))
        .await
    {
        Ok(answer) => found(&parse(&answer, place)?, place),
        Err(WriteError::Gone) => Ok(None),
        Err(error) => Err(failed("get", error, place)),
    }
}

/// Reads the digest key, or makes it where there is none. Of several that make it at once, one wins and all use its key.
///
/// # Errors
/// See [`KeyError`].
pub async fn get_or_create(writer: &Writer, namespace: &Name, name: &Name) -> Result<InstallationKey, KeyError> {
    let place = Place { namespace, name };
    let collection = format!("/api/v1/namespaces/{namespace}/secrets");
    let path = format!("{collection}/{name}");
    for _ in 0..ATTEMPTS {
        let written = match writer.get(&path).await {
            Ok(answer) => {
                let secret = parse(&answer, &place)?;
                if let Some(found) = found(&secret, &place)? {
                    return Ok(found);
                }
                let body = json!({
                    "metadata": {"resourceVersion": secret.metadata.resource_version},
                    "data": {DATA_KEY: random()?},
                });
                let patched = writer.patch(&path, &body, "application/json").await;
                patched.map_err(|error| ("patch", error))
            }
            Err(WriteError::Gone) => {
                let body = new_object("Secret", &place, &random()?);
                let created = writer.send(Method::POST, &collection, &body).await;
                if created == Err(WriteError::Gone) {
                    return Err(KeyError::NoNamespace(place.to_string()));
                }
                created.map_err(|error| ("create", error))
            }
            Err(error) => Err(("get", error)),
        };
        match written {
            Ok(answer) => {
                let secret = parse(&answer, &place)?;
                return found(&secret, &place)?.ok_or_else(|| KeyError::Invalid(place.to_string()));
            }
            // Somebody was faster, or took it away: look again.
            Err((_, WriteError::Conflict(_) | WriteError::Gone)) => {}
            Err((verb, error)) => return Err(failed(verb, error, &place)),
        }
    }
    Err(KeyError::Contended(place.to_string()))
}

/// The same in a ConfigMap, for where no Secret may be written. Whoever may read ConfigMaps of this namespace can then
/// guess weak Secrets from the digests on workloads; in Reloader's own way of marking, everybody who sees the workload can.
///
/// # Errors
/// See [`KeyError`].
pub async fn get_or_create_in_config_map(
    writer: &Writer,
    namespace: &Name,
    name: &Name,
) -> Result<InstallationKey, KeyError> {
    let place = Place { namespace, name };
    let collection = format!("/api/v1/namespaces/{namespace}/configmaps");
    let path = format!("{collection}/{name}");
    for _ in 0..ATTEMPTS {
        let known = match writer.get(&path).await {
            Err(WriteError::Gone) => {
                let body = new_object("ConfigMap", &place, &random()?);
                let created = writer.send(Method::POST, &collection, &body).await;
                created.map_err(|error| ("create", error))
            }
            read => read.map_err(|error| ("get", error)),
        };
        match known {
            Ok(answer) => {
                let object = parse(&answer, &place)?;
                return found(&object, &place)?.ok_or_else(|| KeyError::Invalid(place.to_string()));
            }
            // Somebody was faster: look again.
            Err(("create", WriteError::Conflict(_))) => {}
            Err((_, WriteError::Gone)) => return Err(KeyError::NoNamespace(place.to_string())),
            Err((verb, error)) => return Err(failed(verb, error, &place)),
        }
    }
    Err(KeyError::Contended(place.to_string()))
}

fn parse(answer: &[u8], place: &Place<'_>) -> Result<KeySecret, KeyError> {
    // The parser's own message could quote the key.
    serde_json::from_slice(answer).map_err(|_| KeyError::Invalid(place.to_string()))
}

fn found(secret: &KeySecret, place: &Place<'_>) -> Result<Option<InstallationKey>, KeyError> {
    let Some(text) = secret.data.as_ref().and_then(|data| data.key.as_ref()) else {
        return Ok(None);
    };
    let bytes = STANDARD.decode(text).ok();
    let key = bytes.and_then(|bytes| DigestKey::new(&bytes).ok());
    let created = secret.metadata.creation_timestamp.as_ref();
    Ok(Some(InstallationKey {
        key: key.ok_or_else(|| KeyError::Invalid(place.to_string()))?,
        created: created.and_then(|text| text.parse().ok()),
    }))
}

fn new_object(kind: &str, place: &Place<'_>, key: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {
            "namespace": place.namespace.to_string(),
            "name": place.name.to_string(),
            "labels": {"app.kubernetes.io/managed-by": "afresh"},
            "annotations": {afresh_model::annotation::IGNORE: "true"},
        },
        "data": {DATA_KEY: key},
    })
}

/// A digest key that nobody keeps, for a run that writes nothing.
///
/// # Errors
/// If the system gives no random bytes.
pub fn unsaved() -> Result<InstallationKey, KeyError> {
    let key = DigestKey::new(&random_bytes()?).map_err(|error| KeyError::Random(error.to_string()))?;
    Ok(InstallationKey { key, created: None })
}

fn random() -> Result<String, KeyError> {
    Ok(STANDARD.encode(random_bytes()?))
}

fn random_bytes() -> Result<[u8; SIZE], KeyError> {
    let mut bytes = [0; SIZE];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::Random(error.to_string()))?;
    Ok(bytes)
}

fn failed(verb: &'static str, error: WriteError, place: &Place<'_>) -> KeyError {
    let secret = place.to_string();
    match error {
        WriteError::Denied(message) => KeyError::Forbidden { verb, secret, message },
        error => KeyError::Call { secret, error },
    }
}
