//! Pods: in full, read as their own template, and by metadata only, as the targets of a touch.

use afresh_model::annotation;
use afresh_model::name::{WorkloadKey, WorkloadKind};
use afresh_model::template::{self, PodSpec, PodTemplate};
use afresh_model::time::UnixSeconds;
use afresh_model::workload::{Observed, Replace, Rollout};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Watched;
use super::decode::{self, null_is_default};
use super::meta::{Meta, Owner, names, revision};
use super::undecodable::DecodeError;
use super::workload::LeanWorkload;

/// A Pod read as a workload of its own.
#[derive(Debug, Clone)]
pub struct LeanPod {
    /// Which one.
    pub key: WorkloadKey,
    /// What the model reads; its selector is empty, and its rollout is complete when it is ready.
    pub observed: Observed,
    /// The controller that owns it.
    pub owner: Option<Owner>,
    /// `status.phase`.
    pub phase: Phase,
    /// `metadata.deletionTimestamp` is set: it is going away.
    pub deleting: bool,
    /// `metadata.resourceVersion`.
    pub resource_version: Box<str>,
}

/// `status.phase` of a Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Phase {
    /// Not all containers have started.
    Pending,
    /// At least one container runs.
    Running,
    /// All containers ended, none will start again.
    Succeeded,
    /// All containers ended, at least one of them badly.
    Failed,
    /// Anything else, or nothing.
    #[default]
    Unknown,
}

impl Phase {
    /// Whether no container of the pod will ever run again.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }

    fn of(text: &str) -> Self {
        match text {
            "Pending" => Self::Pending,
            "Running" => Self::Running,
            "Succeeded" => Self::Succeeded,
            "Failed" => Self::Failed,
            _ => Self::Unknown,
        }
    }
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    metadata: Meta,
    #[serde(borrow)]
    spec: &'a RawValue,
    #[serde(default, deserialize_with = "null_is_default")]
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    #[serde(deserialize_with = "null_is_default")]
    phase: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    conditions: Vec<Condition>,
    #[serde(rename = "containerStatuses", deserialize_with = "null_is_default")]
    containers: Vec<ContainerStatus>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ContainerStatus {
    #[serde(deserialize_with = "null_is_default")]
    state: ContainerState,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ContainerState {
    #[serde(deserialize_with = "null_is_default")]
    running: Running,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Running {
    #[serde(deserialize_with = "decode::time")]
    started_at: Option<UnixSeconds>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type", deserialize_with = "null_is_default")]
    kind: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    status: Box<str>,
}

impl Status {
    fn ready(&self) -> bool {
        let is = |condition: &Condition| &*condition.kind == "Ready" && &*condition.status == "True";
        self.conditions.iter().any(is)
    }

    /// When the last of its containers started, if all of them run.
    fn started(&self) -> Option<UnixSeconds> {
        let each = self
            .containers
            .iter()
            .map(|container| container.state.running.started_at);
        each.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    fn rollout(&self) -> Rollout {
        if self.ready() {
            Rollout::Complete
        } else {
            Rollout::InProgress
        }
    }
}

impl Watched for LeanPod {
    const KIND: &'static str = "Pod";
    const GROUP: &'static str = "api/v1";
    const PLURAL: &'static str = "pods";

    fn decode(json: &str) -> Result<Self, DecodeError> {
        let wire: Wire<'_> = serde_json::from_str(json).map_err(|error| DecodeError::json(&error))?;
        let (namespace, name) = names(&wire.metadata.namespace, &wire.metadata.name)?;
        let spec: PodSpec = serde_json::from_str(wire.spec.get()).map_err(|error| DecodeError::json(&error))?;
        let observed = Observed {
            uid: wire.metadata.uid,
            annotations: wire.metadata.annotations.0,
            // The pod's own annotations are the workload's, so the template has none.
            template: PodTemplate {
                spec,
                ..PodTemplate::default()
            },
            template_hash: template::hash(wire.spec.get()).map_err(|error| DecodeError::json(&error))?,
            created: wire.metadata.creation_timestamp,
            revision: revision(&wire.metadata.resource_version),
            selector: Box::default(),
            replace: Replace::Template,
            paused: false,
            aside: None,
            owner: wire.metadata.owner_references.0.as_ref().map(|owner| owner.uid.clone()),
            rollout: wire.status.rollout(),
        };
        Ok(Self {
            key: WorkloadKey {
                kind: WorkloadKind::Pod,
                namespace,
                name,
            },
            observed,
            owner: wire.metadata.owner_references.0,
            phase: Phase::of(&wire.status.phase),
            deleting: wire.metadata.deletion_timestamp,
            resource_version: wire.metadata.resource_version,
        })
    }

    fn resource_version(&self) -> &str {
        &self.resource_version
    }
}

impl From<LeanPod> for LeanWorkload {
    fn from(pod: LeanPod) -> Self {
        Self {
            key: pod.key,
            observed: pod.observed,
            generation: 0,
            replicas: None,
            resource_version: pod.resource_version,
            lender: None,
        }
    }
}

/// A Pod by its metadata, as the target of a touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeanPodMeta {
    /// Its namespace and name.
    pub key: WorkloadKey,
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.creationTimestamp`.
    pub created: Option<UnixSeconds>,
    /// `metadata.deletionTimestamp` is set: it is going away.
    pub deleting: bool,
    /// The controller that owns it.
    pub owner: Option<Owner>,
    /// The annotation `afresh.dev/touched`.
    pub touched: Option<Box<str>>,
    /// `metadata.resourceVersion`.
    pub resource_version: Box<str>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MetaOnly {
    #[serde(deserialize_with = "null_is_default")]
    metadata: Meta,
}

impl Watched for LeanPodMeta {
    const KIND: &'static str = "Pod";
    const GROUP: &'static str = "api/v1";
    const PLURAL: &'static str = "pods";
    const METADATA_ONLY: bool = true;

    fn decode(json: &str) -> Result<Self, DecodeError> {
        let MetaOnly { mut metadata } = serde_json::from_str(json).map_err(|error| DecodeError::json(&error))?;
        let (namespace, name) = names(&metadata.namespace, &metadata.name)?;
        Ok(Self {
            key: WorkloadKey {
                kind: WorkloadKind::Pod,
                namespace,
                name,
            },
            uid: metadata.uid,
            created: metadata.creation_timestamp,
            deleting: metadata.deletion_timestamp,
            owner: metadata.owner_references.0,
            touched: metadata.annotations.0.remove(annotation::TOUCHED).map(Into::into),
            resource_version: metadata.resource_version,
        })
    }

    fn resource_version(&self) -> &str {
        &self.resource_version
    }
}

/// A Pod by its metadata and how far it is: as one of those that are evicted one by one, or that prove what they run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeanReplica {
    /// Its metadata.
    pub pod: LeanPodMeta,
    /// Its condition `Ready` is `True`.
    pub ready: bool,
    /// When the last of its containers started, init containers aside; `None` if not all of them run.
    pub started: Option<UnixSeconds>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StatusOnly {
    #[serde(deserialize_with = "null_is_default")]
    status: Status,
}

impl Watched for LeanReplica {
    const KIND: &'static str = "Pod";
    const GROUP: &'static str = "api/v1";
    const PLURAL: &'static str = "pods";

    fn decode(json: &str) -> Result<Self, DecodeError> {
        let StatusOnly { status } = serde_json::from_str(json).map_err(|error| DecodeError::json(&error))?;
        Ok(Self {
            pod: LeanPodMeta::decode(json)?,
            ready: status.ready(),
            started: status.started(),
        })
    }

    fn resource_version(&self) -> &str {
        &self.pod.resource_version
    }
}
