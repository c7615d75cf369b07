//! Objects that cannot be read: they are named and counted, and the rest goes on.

use afresh_model::name::{Name, NameError};
use serde::Deserialize;
use thiserror::Error;

/// Longest part of a decoder's message that is kept.
const MAX_MESSAGE: usize = 200;

/// An object that is not of the shape its kind has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Not the JSON of such an object; shortened.
    #[error("{0}")]
    Json(Box<str>),
    /// Its namespace or name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// `spec.selector` has an operator that is not known, or lacks values.
    #[error("spec.selector: {0}")]
    Selector(Box<str>),
    /// A workload without a pod template.
    #[error("{0} is missing")]
    NoTemplate(Box<str>),
    /// A Rollout that uses the template of something other than a Deployment.
    #[error("spec.workloadRef names a {0:?}; only a Deployment is followed")]
    Lender(Box<str>),
    /// The Deployment whose template it uses could not be read.
    #[error("its template is that of the Deployment {0}, which cannot be read: {1}")]
    Lent(Name, Box<str>),
}

impl DecodeError {
    pub(crate) fn json(error: &serde_json::Error) -> Self {
        Self::Json(error.to_string().chars().take(MAX_MESSAGE).collect())
    }

    /// Only where it went wrong: the message itself could quote a value.
    pub(crate) fn place(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let what = match error.classify() {
            serde_json::error::Category::Data => "a field has the wrong type",
            _ => "it is not JSON",
        };
        Self::Json(format!("{what}, line {line} column {column}").into())
    }
}

/// An object that could not be decoded, by name where that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// `metadata.namespace`, or empty.
    pub namespace: Box<str>,
    /// `metadata.name`, or empty.
    pub name: Box<str>,
    /// `metadata.resourceVersion`, or empty.
    pub resource_version: Box<str>,
    /// Whether the event said that it is deleted.
    pub deleted: bool,
    /// Why.
    pub error: DecodeError,
}

impl Undecodable {
    /// Names the object in `json` as well as it can be.
    #[must_use]
    pub fn new(json: &str, deleted: bool, error: DecodeError) -> Self {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Object {
            metadata: Names,
        }
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Names {
            namespace: Box<str>,
            name: Box<str>,
            resource_version: Box<str>,
        }
        let Object { metadata } = serde_json::from_str(json).unwrap_or_default();
        Self {
            namespace: metadata.namespace,
            name: metadata.name,
            resource_version: metadata.resource_version,
            deleted,
            error,
        }
    }
}
