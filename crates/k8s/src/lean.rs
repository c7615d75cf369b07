//! What is kept of a Kubernetes object, decoded straight from its JSON.
//!
//! A Deployment decoded in full takes 64 KB of heap, half of it `managedFields`; what is kept here takes about 1 KB.
//! Values of ConfigMaps and Secrets are hashed while they are read and never stored.

mod config;
mod csi;
mod data;
mod decode;
mod kinds;
mod managed;
mod meta;
mod namespace;
mod page;
mod pod;
mod reader;
mod receipt;
mod rollout;
mod run;
mod selector;
mod sha1;
mod undecodable;
mod workload;

pub(crate) use page::BookmarkMeta;

pub use config::{LeanConfigMap, LeanSecret};
pub use csi::{LeanClass, LeanMount};
pub use meta::Owner;
pub use namespace::LeanNamespace;
pub use page::Page;
pub use pod::{LeanPod, LeanPodMeta, LeanReplica, Phase};
pub use reader::{Of, Reader, Workloads};
pub use receipt::Receipt;
pub use run::LeanRun;
pub use sha1::WithSha1;
pub use undecodable::{DecodeError, Undecodable};
pub use workload::{LeanDaemonSet, LeanDeployment, LeanStatefulSet, LeanWorkload};

use afresh_model::name::Name;

/// A kind that can be listed and watched, and how one object of it is read.
pub trait Watched: Sized + Send + 'static {
    /// The API kind: `ConfigMap`.
    const KIND: &'static str;
    /// Where the group and version are served: `api/v1`, `apis/apps/v1`.
    const GROUP: &'static str;
    /// The plural in paths: `configmaps`.
    const PLURAL: &'static str;
    /// Ask the server for `PartialObjectMetadata` only.
    const METADATA_ONLY: bool = false;

    /// Reads one object.
    ///
    /// # Errors
    /// If the text is not such an object. The error never shows a value of a Secret.
    fn decode(json: &str) -> Result<Self, DecodeError>;

    /// `metadata.resourceVersion`; empty if the object has none.
    fn resource_version(&self) -> &str;

    /// The path of the collection: of one namespace, or of all.
    #[must_use]
    fn path(namespace: Option<&Name>) -> String {
        match namespace {
            Some(namespace) => format!("/{}/namespaces/{namespace}/{}", Self::GROUP, Self::PLURAL),
            None => format!("/{}/{}", Self::GROUP, Self::PLURAL),
        }
    }
}

#[cfg(test)]
mod tests;
