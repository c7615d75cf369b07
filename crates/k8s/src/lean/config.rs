//! ConfigMaps and Secrets: digests of their entries, never their values.

use std::fmt;

use afresh_model::annotation::Annotations;
use afresh_model::content::{Content, Entry};
use afresh_model::convention::{Conventions, Marks};
use afresh_model::digest::DigestKey;
use afresh_model::name::{ConfigKey, ConfigKind, Name};
use afresh_model::object::ConfigObject;
use afresh_model::policy::Problem;
use afresh_model::reloader::sha1::Sha1;
use afresh_model::time::UnixSeconds;
use serde::Deserialize;

use super::Watched;
use super::data::{Hashed, Unsealed};
use super::decode;
use super::meta::{ConfigMeta, flag, names, revision};
use super::undecodable::DecodeError;

/// A ConfigMap: its name, and digests of its entries.
#[derive(Debug)]
pub struct LeanConfigMap {
    identity: Identity,
    entries: Vec<Entry>,
}

/// A Secret: its name, and hashes of its entries that [`into_object`](Self::into_object) seals at once.
///
/// Its `Debug` names it and nothing else.
pub struct LeanSecret {
    identity: Identity,
    entries: Vec<Unsealed>,
}

/// What both kinds keep besides data.
#[derive(Debug)]
struct Identity {
    namespace: Name,
    name: Name,
    resource_version: Box<str>,
    created: Option<UnixSeconds>,
    written: Option<UnixSeconds>,
    immutable: bool,
    annotations: Annotations,
    sha1: Option<Sha1>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ConfigMapWire {
    #[serde(deserialize_with = "decode::null_is_default")]
    metadata: ConfigMeta,
    #[serde(deserialize_with = "decode::collect")]
    data: Hashed<Entry, false>,
    #[serde(deserialize_with = "decode::collect")]
    binary_data: Hashed<Entry, true>,
    #[serde(deserialize_with = "flag")]
    immutable: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SecretWire {
    #[serde(deserialize_with = "decode::null_is_default")]
    metadata: ConfigMeta,
    #[serde(deserialize_with = "decode::collect")]
    data: Hashed<Unsealed, true>,
    #[serde(deserialize_with = "flag")]
    immutable: bool,
}

impl Identity {
    fn new(meta: ConfigMeta, immutable: bool) -> Result<Self, DecodeError> {
        let (namespace, name) = names(&meta.namespace, &meta.name)?;
        Ok(Self {
            namespace,
            name,
            resource_version: meta.resource_version,
            created: meta.creation_timestamp,
            written: meta.managed_fields.0,
            immutable,
            annotations: meta.annotations.0,
            sha1: None,
        })
    }

    fn into_object(
        self,
        kind: ConfigKind,
        entries: Vec<Entry>,
        conventions: &Conventions,
    ) -> (ConfigKey, ConfigObject, Option<Problem>) {
        let Marks {
            ignored,
            matched,
            problem,
        } = conventions.marks(&self.annotations);
        let object = ConfigObject {
            content: Content::new(entries),
            immutable: self.immutable,
            ignored,
            sha1: self.sha1,
            matched,
            created: self.created,
            written: self.written,
            rewritten: false,
            revision: revision(&self.resource_version),
        };
        let key = ConfigKey {
            kind,
            namespace: self.namespace,
            name: self.name,
        };
        (key, object, problem)
    }
}

impl LeanConfigMap {
    /// The same with Reloader's hash.
    pub(super) fn with_sha1(mut self, sha1: Option<Sha1>) -> Self {
        self.identity.sha1 = sha1;
        self
    }

    /// Which object this is.
    #[must_use]
    pub fn key(&self) -> ConfigKey {
        self.identity.key(ConfigKind::ConfigMap)
    }

    /// What is kept of it, and what is wrong with its annotations.
    #[must_use]
    pub fn into_object(self, conventions: &Conventions) -> (ConfigKey, ConfigObject, Option<Problem>) {
        self.identity
            .into_object(ConfigKind::ConfigMap, self.entries, conventions)
    }
}

impl LeanSecret {
    /// The same with Reloader's hash.
    pub(super) fn with_sha1(mut self, sha1: Option<Sha1>) -> Self {
        self.identity.sha1 = sha1;
        self
    }

    /// Which object this is.
    #[must_use]
    pub fn key(&self) -> ConfigKey {
        self.identity.key(ConfigKind::Secret)
    }

    /// What is kept of it, its digests keyed by `key`, and what is wrong with its annotations.
    #[must_use]
    pub fn into_object(self, key: &DigestKey, conventions: &Conventions) -> (ConfigKey, ConfigObject, Option<Problem>) {
        let seal = |entry: Unsealed| Entry {
            key: entry.key,
            digest: key.seal(&entry.hash),
            // Every key of a Secret can be an environment variable.
            binary: false,
        };
        let entries = self.entries.into_iter().map(seal).collect();
        self.identity.into_object(ConfigKind::Secret, entries, conventions)
    }
}

impl Identity {
    fn key(&self, kind: ConfigKind) -> ConfigKey {
        ConfigKey {
            kind,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

impl fmt::Debug for LeanSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeanSecret({}/{})", self.identity.namespace, self.identity.name)
    }
}

impl Watched for LeanConfigMap {
    const KIND: &'static str = "ConfigMap";
    const GROUP: &'static str = "api/v1";
    const PLURAL: &'static str = "configmaps";

    fn decode(json: &str) -> Result<Self, DecodeError> {
        let wire: ConfigMapWire = serde_json::from_str(json).map_err(|error| DecodeError::json(&error))?;
        let mut entries = wire.data.0;
        entries.extend(wire.binary_data.0);
        Ok(Self {
            identity: Identity::new(wire.metadata, wire.immutable)?,
            entries,
        })
    }

    fn resource_version(&self) -> &str {
        &self.identity.resource_version
    }
}

impl Watched for LeanSecret {
    const KIND: &'static str = "Secret";
    const GROUP: &'static str = "api/v1";
    const PLURAL: &'static str = "secrets";

    fn decode(json: &str) -> Result<Self, DecodeError> {
        let wire: SecretWire = serde_json::from_str(json).map_err(|error| DecodeError::place(&error))?;
        Ok(Self {
            identity: Identity::new(wire.metadata, wire.immutable)?,
            entries: wire.data.0,
        })
    }

    fn resource_version(&self) -> &str {
        &self.identity.resource_version
    }
}
