//! The kinds of workload beside those of apps/v1: where their template, selector and status are.

use std::borrow::Cow;
use std::collections::BTreeMap;

use afresh_model::annotation::{HELM_HOOK, ROLLOUT_STRATEGY, STANDS_IN_FOR};
use afresh_model::name::{Name, WorkloadKind};
use afresh_model::workload::{Aside, Replace, Rollout};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::decode::null_is_default;
use super::meta::{Meta, flag};
use super::rollout::{ArgoStatus, Status, Wanted};
use super::selector::Selector;
use super::undecodable::DecodeError;

/// What a kind says in a way of its own.
pub(super) struct Parts<'a> {
    pub(super) template: Option<&'a str>,
    pub(super) selector: Box<str>,
    pub(super) replace: Replace,
    pub(super) aside: Option<Aside>,
    pub(super) rollout: Rollout,
    pub(super) replicas: Option<u64>,
    /// The Deployment whose template it uses, instead of one of its own.
    pub(super) lender: Option<Name>,
}

#[derive(Deserialize)]
pub(super) struct Wire<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) metadata: Meta,
    #[serde(borrow, default)]
    spec: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
}

impl<'a> Wire<'a> {
    /// What this kind says of its pods.
    pub(super) fn parts(&self, kind: WorkloadKind, json: &'a str) -> Result<Parts<'a>, DecodeError> {
        match kind {
            WorkloadKind::Rollout => self.rollout(),
            WorkloadKind::DeploymentConfig => self.deployment_config(),
            WorkloadKind::CronJob => self.cron_job(),
            WorkloadKind::Job => self.job(),
            _ => self.custom(kind, json),
        }
    }

    fn spec<T: Deserialize<'a>>(&self) -> Result<T, DecodeError> {
        let spec = self.spec.map_or("{}", RawValue::get);
        serde_json::from_str(spec).map_err(|error| DecodeError::json(&error))
    }

    /// Only waiting hangs on it, so a status of another shape is none.
    fn status<T: DeserializeOwned + Default>(&self) -> T {
        let status = self.status.and_then(|raw| serde_json::from_str(raw.get()).ok());
        status.unwrap_or_default()
    }

    fn wanted(&self, replicas: Option<i64>, paused: bool) -> Wanted {
        Wanted {
            generation: self.metadata.generation.unwrap_or(0),
            replicas: replicas.unwrap_or(1),
            paused,
            ..Wanted::default()
        }
    }

    fn rollout(&self) -> Result<Parts<'a>, DecodeError> {
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
            #[serde(default)]
            workload_ref: Option<Lender>,
            #[serde(default)]
            restart_at: Option<Box<str>>,
        }
        let spec: Spec<'_> = self.spec()?;
        let lender = spec.workload_ref.map(|lender| lender.name()).transpose()?;
        let restarts = self.metadata.annotations.0.get(ROLLOUT_STRATEGY);
        let restarts = lender.is_some() || restarts.is_some_and(|strategy| strategy == "restart");
        let wanted = self.wanted(spec.replicas, spec.paused);
        Ok(Parts {
            template: if lender.is_some() {
                Some("{}")
            } else {
                spec.template.map(RawValue::get)
            },
            selector: spec.selector.query()?,
            replace: if restarts {
                Replace::RestartAt
            } else {
                Replace::Template
            },
            aside: None,
            rollout: self.status::<ArgoStatus>().state(wanted, spec.restart_at.as_deref()),
            replicas: number(Some(wanted.replicas)),
            lender,
        })
    }

    fn deployment_config(&self) -> Result<Parts<'a>, DecodeError> {
        #[derive(Deserialize)]
        struct Spec<'a> {
            #[serde(default)]
            replicas: Option<i64>,
            #[serde(default, deserialize_with = "flag")]
            paused: bool,
            #[serde(default, deserialize_with = "null_is_default")]
            selector: BTreeMap<String, String>,
            #[serde(borrow, default)]
            template: Option<&'a RawValue>,
        }
        let spec: Spec<'_> = self.spec()?;
        let (status, wanted): (Status, _) = (self.status(), self.wanted(spec.replicas, spec.paused));
        Ok(Parts {
            template: spec.template.map(RawValue::get),
            selector: labels(&spec.selector),
            replace: Replace::Template,
            aside: None,
            rollout: status.deployment(wanted),
            replicas: number(Some(wanted.replicas)),
            lender: None,
        })
    }

    fn cron_job(&self) -> Result<Parts<'a>, DecodeError> {
        let spec: BTreeMap<Cow<'a, str>, &'a RawValue> = self.spec()?;
        let path = ["jobTemplate", "spec", "template"];
        Ok(Parts {
            template: within(spec, &path),
            selector: Box::default(),
            replace: Replace::Spawn,
            aside: self.metadata.deletion_timestamp.then_some(Aside::Leaving),
            rollout: Rollout::Complete,
            replicas: None,
            lender: None,
        })
    }

    fn job(&self) -> Result<Parts<'a>, DecodeError> {
        #[derive(Deserialize)]
        struct Spec<'a> {
            #[serde(default, deserialize_with = "null_is_default")]
            selector: Selector,
            #[serde(borrow, default)]
            template: Option<&'a RawValue>,
        }
        let spec: Spec<'_> = self.spec()?;
        let status: Status = self.status();
        let meta = &self.metadata;
        let scheduled = meta
            .owner_references
            .0
            .as_ref()
            .is_some_and(|owner| &*owner.kind == "CronJob");
        let aside = if meta.deletion_timestamp {
            Some(Aside::Leaving)
        } else if meta.annotations.0.contains_key(STANDS_IN_FOR) {
            Some(Aside::StandIn)
        } else if status.has_ended() {
            Some(Aside::Over)
        } else if scheduled {
            Some(Aside::Scheduled)
        } else {
            meta.annotations.0.contains_key(HELM_HOOK).then_some(Aside::Hook)
        };
        Ok(Parts {
            template: spec.template.map(RawValue::get),
            selector: spec.selector.query()?,
            replace: Replace::Recreate,
            aside,
            rollout: Rollout::Complete,
            replicas: None,
            lender: None,
        })
    }

    /// Of any other kind its template is known to be somewhere; the rest is used where it is as most kinds have it.
    fn custom(&self, kind: WorkloadKind, json: &'a str) -> Result<Parts<'a>, DecodeError> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Spec {
            replicas: Value,
            paused: Value,
            selector: Value,
        }
        let object = serde_json::from_str(json).map_err(|error| DecodeError::json(&error))?;
        let spec: Spec = self.spec().unwrap_or_default();
        let status: Status = self.status();
        let replicas = spec.replicas.as_i64();
        let wanted = self.wanted(replicas, spec.paused == true);
        Ok(Parts {
            template: within(object, &kind.template_path()),
            selector: selector(spec.selector),
            replace: Replace::Template,
            aside: None,
            rollout: if replicas.is_some() && status.counts_replicas() {
                status.deployment(wanted)
            } else {
                Rollout::Complete
            },
            replicas: number(replicas),
            lender: None,
        })
    }
}

/// `spec.workloadRef` of an Argo Rollout.
#[derive(Deserialize)]
struct Lender {
    #[serde(default)]
    kind: Box<str>,
    #[serde(default)]
    name: Box<str>,
}

impl Lender {
    fn name(&self) -> Result<Name, DecodeError> {
        if &*self.kind != "Deployment" {
            return Err(DecodeError::Lender(self.kind.chars().take(64).collect()));
        }
        Ok(self.name.parse()?)
    }
}

fn number(replicas: Option<i64>) -> Option<u64> {
    replicas.map(|replicas| u64::try_from(replicas).unwrap_or(0))
}

/// A `LabelSelector`, or plain labels as ReplicationControllers have them; what is neither finds no pods.
fn selector(value: Value) -> Box<str> {
    let plain: Option<BTreeMap<String, String>> = serde_json::from_value(value.clone()).ok();
    match plain {
        Some(plain) => labels(&plain),
        None => {
            let selector: Option<Selector> = serde_json::from_value(value).ok();
            selector.and_then(|selector| selector.query().ok()).unwrap_or_default()
        }
    }
}

fn labels(labels: &BTreeMap<String, String>) -> Box<str> {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",").into()
}

/// The JSON at a path, if there is any.
fn within<'a>(mut map: BTreeMap<Cow<'a, str>, &'a RawValue>, path: &[&str]) -> Option<&'a str> {
    let (last, way) = path.split_last()?;
    for field in way {
        map = serde_json::from_str(map.remove(*field)?.get()).ok()?;
    }
    map.remove(*last).map(RawValue::get).filter(|json| *json != "null")
}
