//! Workloads and objects for tests, small enough to read.

use std::collections::BTreeMap;

use afresh_model::annotation::Annotations;
use afresh_model::content::{Content, Entry};
use afresh_model::convention::Conventions;
use afresh_model::digest::{DigestKey, EntryHasher, KeyHash, KeyId};
use afresh_model::name::{ConfigKey, ConfigRef, Name, WorkloadKey, WorkloadKind};
use afresh_model::object::ConfigObject;
use afresh_model::policy::Reload;
use afresh_model::record::Record;
use afresh_model::template::{self, PodTemplate};
use afresh_model::time::{Revision, UnixSeconds};
use afresh_model::workload::{Observed, Replace, Rollout, Workload};
use serde_json::{Value, json};

use crate::lifecycle::Lifecycle;
use crate::plan::Context;
use crate::time::{Millis, Now};

pub(crate) const INSTALLED: i64 = 1_000;

pub(crate) fn key_id() -> KeyId {
    DigestKey::new(&[7; 32]).unwrap().id()
}

pub(crate) fn context() -> Context {
    Context {
        key: key_id(),
        installed: Some(UnixSeconds(INSTALLED)),
        partial: false,
        lifecycle: Lifecycle::default(),
    }
}

pub(crate) fn now(millis: u64) -> Now {
    Now {
        mono: Millis(millis),
        wall: UnixSeconds(10_000 + i64::try_from(millis / 1000).unwrap()),
    }
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// `configmap/web` in namespace `prod`.
pub(crate) fn config_key(text: &str) -> ConfigKey {
    let ConfigRef { kind, name: own } = text.parse().unwrap();
    ConfigKey {
        kind,
        namespace: name("prod"),
        name: own,
    }
}

pub(crate) fn deployment(own: &str) -> WorkloadKey {
    WorkloadKey {
        kind: WorkloadKind::Deployment,
        namespace: name("prod"),
        name: name(own),
    }
}

pub(crate) fn content(data: &[(&str, &str)]) -> Content {
    let entry = |key: &str, value: &str| {
        let mut hasher = EntryHasher::new(key);
        hasher.update(value.as_bytes());
        Entry {
            key: KeyHash::of(key),
            digest: hasher.finish().plain(),
            binary: false,
        }
    };
    Content::new(data.iter().map(|(key, value)| entry(key, value)).collect())
}

/// An object written when it was created, at second `at` and revision `revision`.
pub(crate) fn object(data: &[(&str, &str)], at: i64, revision: u64) -> ConfigObject {
    ConfigObject {
        content: content(data),
        immutable: false,
        ignored: false,
        sha1: None,
        matched: false,
        created: Some(UnixSeconds(at)),
        written: Some(UnixSeconds(at)),
        rewritten: false,
        revision: Some(Revision(revision)),
    }
}

/// The same object, changed later.
pub(crate) fn rewritten(created: i64, data: &[(&str, &str)], at: i64, revision: u64) -> ConfigObject {
    ConfigObject {
        created: Some(UnixSeconds(created)),
        ..object(data, at, revision)
    }
}

/// A Deployment under construction.
#[derive(Clone)]
pub(crate) struct Build {
    pub(crate) uid: String,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) spec: Value,
    pub(crate) created: i64,
    pub(crate) revision: u64,
    pub(crate) rollout: Rollout,
    pub(crate) kind: WorkloadKind,
    pub(crate) owner: Option<String>,
    pub(crate) paused: bool,
    pub(crate) conventions: Conventions,
    pub(crate) template_annotations: BTreeMap<String, String>,
}

impl Build {
    pub(crate) fn new(spec: Value) -> Self {
        let annotations = [("afresh.dev/reload".to_owned(), "auto".to_owned())].into();
        let rollout = Rollout::Complete;
        Self {
            uid: "uid-1".into(),
            annotations,
            spec,
            created: 500,
            revision: 10,
            rollout,
            kind: WorkloadKind::Deployment,
            owner: None,
            paused: false,
            conventions: Conventions::native(Reload::Off),
            template_annotations: BTreeMap::new(),
        }
    }

    /// Takes all of `configmap/web` as environment.
    pub(crate) fn env() -> Self {
        Self::new(json!({"containers": [{"name": "app", "envFrom": [{"configMapRef": {"name": "web"}}]}]}))
    }

    /// Mounts `configmap/web` and rereads it.
    pub(crate) fn hot() -> Self {
        Self::mounted().with("afresh.dev/hot", "true")
    }

    /// Mounts `configmap/web`.
    pub(crate) fn mounted() -> Self {
        Self::new(
            json!({"containers": [{"name": "app", "volumeMounts": [{"name": "c", "mountPath": "/c"}]}],
            "volumes": [{"name": "c", "configMap": {"name": "web"}}]}),
        )
    }

    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    pub(crate) fn image(mut self, image: &str) -> Self {
        self.spec["containers"][0]["image"] = json!(image);
        self
    }

    pub(crate) fn at(mut self, revision: u64) -> Self {
        self.revision = revision;
        self
    }

    pub(crate) fn created(mut self, created: i64) -> Self {
        self.created = created;
        self
    }

    pub(crate) fn recorded(self, record: &Record) -> Self {
        self.with("afresh.dev/applied", &record.to_string())
    }

    pub(crate) fn done(&self) -> Workload {
        let labels = json!({"app": "x"});
        let template =
            json!({"metadata": {"labels": labels, "annotations": self.template_annotations}, "spec": self.spec});
        let annotations: Annotations = self.annotations.clone();
        let observed = Observed {
            uid: self.uid.as_str().into(),
            annotations,
            template: serde_json::from_value::<PodTemplate>(template.clone()).unwrap(),
            template_hash: template::hash(&template.to_string()).unwrap(),
            created: Some(UnixSeconds(self.created)),
            revision: Some(Revision(self.revision)),
            selector: if self.kind == WorkloadKind::Pod {
                "".into()
            } else {
                "app=x".into()
            },
            replace: Replace::Template,
            paused: self.paused,
            owner: self.owner.as_deref().map(Into::into),
            aside: None,
            rollout: self.rollout,
        };
        let key = WorkloadKey {
            kind: self.kind,
            ..deployment("web")
        };
        observed.read(&key, &self.conventions).workload.expect("opted in")
    }
}
