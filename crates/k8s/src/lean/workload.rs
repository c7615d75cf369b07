//! Workloads: references, policy, rollout. Those of apps/v1 are read here in one pass, as there are most of them.

use afresh_model::name::{Name, WorkloadKey, WorkloadKind};
use afresh_model::template::{self, PodTemplate};
use afresh_model::workload::{Observed, Replace, Rollout};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::decode::null_is_default;
use super::meta::{Meta, flag, is_kept, names, revision};
use super::rollout::{Status, Wanted};
use super::selector::Selector;
use super::undecodable::DecodeError;
use super::{LeanPod, Watched, kinds};

/// A workload with a pod template, read.
#[derive(Debug, Clone)]
pub struct LeanWorkload {
    /// Which one.
    pub key: WorkloadKey,
    /// What the model reads.
    pub observed: Observed,
    /// `metadata.generation`: changes with every change of `spec`; 0 for a Pod.
    pub generation: i64,
    /// How many pods there should be, where it says so.
    pub replicas: Option<u64>,
    /// `metadata.resourceVersion`, as it is sent back.
    pub resource_version: Box<str>,
    /// The Deployment whose template it uses instead of one of its own (an Argo Rollout's `workloadRef`); until
    /// [`Self::lend`] its template is empty.
    pub lender: Option<Name>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    metadata: Meta,
    #[serde(borrow)]
    spec: Spec<'a>,
    #[serde(default, deserialize_with = "null_is_default")]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(default)]
    replicas: Option<i64>,
    #[serde(default, deserialize_with = "flag")]
    paused: bool,
    #[serde(default, deserialize_with = "null_is_default")]
    selector: Selector,
    #[serde(borrow, default)]
    template: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "null_is_default")]
    update_strategy: Strategy,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Strategy {
    #[serde(rename = "type", deserialize_with = "null_is_default")]
    kind: Box<str>,
    #[serde(deserialize_with = "null_is_default")]
    rolling_update: RollingUpdate,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RollingUpdate {
    #[serde(deserialize_with = "null_is_default")]
    partition: i64,
}

impl LeanWorkload {
    /// Reads a workload of the given kind.
    ///
    /// # Errors
    /// If the text is no such workload.
    pub fn decode(kind: WorkloadKind, json: &str) -> Result<Self, DecodeError> {
        if kind == WorkloadKind::Pod {
            return LeanPod::decode(json).map(Self::from);
        }
        if !matches!(
            kind,
            WorkloadKind::Deployment | WorkloadKind::StatefulSet | WorkloadKind::DaemonSet
        ) {
            return Self::decode_other(kind, json);
        }
        let wire: Wire<'_> = serde_json::from_str(json).map_err(|error| DecodeError::json(&error))?;
        let (namespace, name) = names(&wire.metadata.namespace, &wire.metadata.name)?;
        let template = wire.spec.template.ok_or_else(|| no_template(kind))?.get();
        let generation = wire.metadata.generation.unwrap_or(0);
        let observed = Observed {
            uid: wire.metadata.uid,
            annotations: wire.metadata.annotations.0,
            template: read_template(template)?,
            template_hash: template::hash(template).map_err(|error| DecodeError::json(&error))?,
            created: wire.metadata.creation_timestamp,
            revision: revision(&wire.metadata.resource_version),
            selector: wire.spec.selector.query()?,
            replace: Replace::Template,
            paused: wire.spec.paused,
            owner: None,
            aside: None,
            rollout: or_idle(
                rollout(kind, &wire.spec, generation, &wire.status),
                wire.spec.replicas == Some(0),
            ),
        };
        Ok(Self {
            key: WorkloadKey { kind, namespace, name },
            observed,
            generation,
            replicas: replicas(kind, &wire.spec, &wire.status),
            resource_version: wire.metadata.resource_version,
            lender: None,
        })
    }

    fn decode_other(kind: WorkloadKind, json: &str) -> Result<Self, DecodeError> {
        let wire: kinds::Wire<'_> = serde_json::from_str(json).map_err(|error| DecodeError::json(&error))?;
        let parts = wire.parts(kind, json)?;
        let meta = wire.metadata;
        let (namespace, name) = names(&meta.namespace, &meta.name)?;
        let template = parts.template.ok_or_else(|| no_template(kind))?;
        let observed = Observed {
            uid: meta.uid,
            annotations: meta.annotations.0,
            template: read_template(template)?,
            template_hash: template::hash(template).map_err(|error| DecodeError::json(&error))?,
            created: meta.creation_timestamp,
            revision: revision(&meta.resource_version),
            selector: parts.selector,
            replace: parts.replace,
            aside: parts.aside,
            paused: false,
            owner: None,
            rollout: or_idle(parts.rollout, parts.replicas == Some(0)),
        };
        Ok(Self {
            key: WorkloadKey { kind, namespace, name },
            observed,
            generation: meta.generation.unwrap_or(0),
            replicas: parts.replicas,
            resource_version: meta.resource_version,
            lender: parts.lender,
        })
    }

    /// The Deployment whose template it uses, if it has none of its own.
    #[must_use]
    pub fn lender(&self) -> Option<WorkloadKey> {
        let name = self.lender.clone()?;
        Some(WorkloadKey {
            kind: WorkloadKind::Deployment,
            namespace: self.key.namespace.clone(),
            name,
        })
    }

    /// Takes over the template of that Deployment, and its selector where it has none itself.
    pub fn lend(&mut self, lender: &Observed) {
        let own = &mut self.observed;
        own.template = lender.template.clone();
        own.template_hash = lender.template_hash;
        // A change of the one or of the other is a change of this workload.
        own.revision = own.revision.max(lender.revision);
        if own.selector.is_empty() {
            own.selector.clone_from(&lender.selector);
        }
    }
}

fn no_template(kind: WorkloadKind) -> DecodeError {
    DecodeError::NoTemplate(kind.template_path().join(".").into())
}

fn read_template(json: &str) -> Result<PodTemplate, DecodeError> {
    let mut template: PodTemplate = serde_json::from_str(json).map_err(|error| DecodeError::json(&error))?;
    template.metadata.annotations.retain(|key, _| is_kept(key));
    Ok(template)
}

fn replicas(kind: WorkloadKind, spec: &Spec<'_>, status: &Status) -> Option<u64> {
    let replicas = match kind {
        WorkloadKind::DaemonSet => Some(status.desired()),
        // The API server fills in 1 where nothing is said.
        WorkloadKind::Deployment | WorkloadKind::StatefulSet => Some(spec.replicas.unwrap_or(1)),
        _ => None,
    };
    replicas.map(|replicas| u64::try_from(replicas).unwrap_or(0))
}

/// `zero` is what its owner says. That a DaemonSet has no node is only what its controller found, some time ago.
fn or_idle(rollout: Rollout, zero: bool) -> Rollout {
    match rollout {
        Rollout::Complete if zero => Rollout::Idle,
        rollout => rollout,
    }
}

fn rollout(kind: WorkloadKind, spec: &Spec<'_>, generation: i64, status: &Status) -> Rollout {
    let wanted = Wanted {
        generation,
        // The API server fills in 1 where nothing is said.
        replicas: spec.replicas.unwrap_or(1),
        paused: spec.paused,
        on_delete: &*spec.update_strategy.kind == "OnDelete",
        partition: spec.update_strategy.rolling_update.partition,
    };
    match kind {
        WorkloadKind::Deployment => status.deployment(wanted),
        WorkloadKind::StatefulSet => status.stateful_set(wanted),
        WorkloadKind::DaemonSet => status.daemon_set(wanted),
        _ => Rollout::Complete,
    }
}

macro_rules! workload_kind {
    ($name:ident, $kind:ident, $plural:literal) => {
        #[doc = concat!("An apps/v1 ", stringify!($kind), ".")]
        #[derive(Debug, Clone)]
        pub struct $name(pub LeanWorkload);

        impl Watched for $name {
            const KIND: &'static str = stringify!($kind);
            const GROUP: &'static str = "apis/apps/v1";
            const PLURAL: &'static str = $plural;

            fn decode(json: &str) -> Result<Self, DecodeError> {
                LeanWorkload::decode(WorkloadKind::$kind, json).map(Self)
            }

            fn resource_version(&self) -> &str {
                &self.0.resource_version
            }
        }

        impl From<$name> for LeanWorkload {
            fn from(lean: $name) -> Self {
                lean.0
            }
        }
    };
}

workload_kind!(LeanDeployment, Deployment, "deployments");
workload_kind!(LeanStatefulSet, StatefulSet, "statefulsets");
workload_kind!(LeanDaemonSet, DaemonSet, "daemonsets");
