//! Of the answer to a write of a record: that record, and the revision.

use afresh_model::annotation::Annotations;
use afresh_model::policy::Problem;
use afresh_model::record::Record;
use afresh_model::time::Revision;
use afresh_model::workload::record_of;
use serde::Deserialize;

use super::decode::{self, null_is_default};
use super::meta::{Ours, revision};
use super::undecodable::DecodeError;

/// A workload whose record was written, as much of it as tells whether it was kept.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// `metadata.resourceVersion`.
    pub revision: Option<Revision>,
    uid: Box<str>,
    annotations: Annotations,
}

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    #[serde(deserialize_with = "null_is_default")]
    uid: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    resource_version: Box<str>,
    #[serde(deserialize_with = "decode::collect")]
    annotations: Ours,
}

impl Receipt {
    /// Reads an object, whole or its metadata alone.
    ///
    /// # Errors
    /// If the text is no object.
    pub fn decode(json: &str) -> Result<Self, DecodeError> {
        let Wire { metadata } = serde_json::from_str(json).map_err(|error| DecodeError::json(&error))?;
        Ok(Self {
            revision: revision(&metadata.resource_version),
            uid: metadata.uid,
            annotations: metadata.annotations.0,
        })
    }

    /// The record that it bears.
    ///
    /// # Errors
    /// If it bears what is no record.
    pub fn record(&self) -> Result<Option<Record>, Problem> {
        record_of(&self.uid, &self.annotations)
    }
}
