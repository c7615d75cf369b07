//! Jobs as runs of a CronJob.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Watched;
use super::decode::null_is_default;
use super::meta::{Meta, Owner};
use super::rollout::Status;
use super::undecodable::DecodeError;

/// A Job, as far as it matters to whoever must not run beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeanRun {
    /// `metadata.name`.
    pub name: Box<str>,
    /// The controller that owns it.
    pub owner: Option<Owner>,
    /// It is complete, or has failed for good.
    pub over: bool,
    /// `metadata.resourceVersion`.
    pub resource_version: Box<str>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    metadata: Meta,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
}

impl Watched for LeanRun {
    const KIND: &'static str = "Job";
    const GROUP: &'static str = "apis/batch/v1";
    const PLURAL: &'static str = "jobs";

    fn decode(json: &str) -> Result<Self, DecodeError> {
        let wire: Wire<'_> = serde_json::from_str(json).map_err(|error| DecodeError::json(&error))?;
        // A status of another shape is none: then it runs.
        let status: Status = wire
            .status
            .and_then(|status| serde_json::from_str(status.get()).ok())
            .unwrap_or_default();
        Ok(Self {
            name: wire.metadata.name,
            owner: wire.metadata.owner_references.0,
            over: status.has_ended(),
            resource_version: wire.metadata.resource_version,
        })
    }

    fn resource_version(&self) -> &str {
        &self.resource_version
    }
}
