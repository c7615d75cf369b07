//! Namespaces, for `--namespace-selector`.

use afresh_model::annotation::Annotations;
use afresh_model::name::Name;
use serde::Deserialize;

use super::Watched;
use super::decode::{self, null_is_default};
use super::meta::Labels;
use super::undecodable::DecodeError;

/// A Namespace: its name and labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeanNamespace {
    /// Its name.
    pub name: Name,
    /// `metadata.labels`.
    pub labels: Annotations,
    /// `metadata.resourceVersion`.
    pub resource_version: Box<str>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    #[serde(deserialize_with = "null_is_default")]
    metadata: Meta,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    #[serde(deserialize_with = "null_is_default")]
    name: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    resource_version: Box<str>,
    #[serde(deserialize_with = "decode::collect")]
    labels: Labels,
}

impl Watched for LeanNamespace {
    const KIND: &'static str = "Namespace";
    const GROUP: &'static str = "api/v1";
    const PLURAL: &'static str = "namespaces";
    const METADATA_ONLY: bool = true;

    fn decode(json: &str) -> Result<Self, DecodeError> {
        let wire: Wire = serde_json::from_str(json).map_err(|error| DecodeError::json(&error))?;
        Ok(Self {
            name: wire.metadata.name.parse()?,
            labels: wire.metadata.labels.0,
            resource_version: wire.metadata.resource_version,
        })
    }

    fn resource_version(&self) -> &str {
        &self.resource_version
    }
}
