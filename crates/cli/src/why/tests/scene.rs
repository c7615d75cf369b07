//! A workload, what its objects held when it was brought up to date, and what they hold now.

use afresh_engine::plan::Context;
use afresh_k8s::lean::{LeanConfigMap, LeanSecret, LeanWorkload, Owner, Watched, WithSha1};
use afresh_k8s::write::job::Room;
use afresh_model::convention::Conventions;
use afresh_model::digest::DigestKey;
use afresh_model::name::{ConfigRef, WorkloadKind};
use afresh_model::policy::Reload;
use afresh_model::record::{Record, Rolls};
use afresh_model::time::UnixSeconds;
use serde_json::{Value, json};

use crate::why::explain::explain;
use crate::why::explanation::Explanation;
use crate::why::facts::{Aside, Facts, PodFact, Seen};
use crate::why::setup::command_line::{Variables, parse};
use crate::why::setup::{Setup, Source};

/// 2026-11-21T10:00:00Z.
const NOW: &str = "2026-11-21T10:00:00Z";
const RECORDED: &str = "2026-11-21T09:00:00Z";
const BEFORE: &str = "2026-11-01T00:00:00Z";

pub(super) fn time(text: &str) -> UnixSeconds {
    text.parse().unwrap()
}

/// A ConfigMap last written long ago.
pub(super) fn map(name: &str, data: &Value) -> Value {
    object("ConfigMap", name, data, BEFORE)
}

/// A ConfigMap written two minutes ago.
pub(super) fn new_map(name: &str, data: &Value) -> Value {
    object("ConfigMap", name, data, "2026-11-21T09:58:00Z")
}

/// A Secret last written long ago; the values are base64.
pub(super) fn secret(name: &str, data: &Value) -> Value {
    object("Secret", name, data, BEFORE)
}

/// A Secret written two minutes ago.
pub(super) fn new_secret(name: &str, data: &Value) -> Value {
    object("Secret", name, data, "2026-11-21T09:58:00Z")
}

fn object(kind: &str, name: &str, data: &Value, written: &str) -> Value {
    let managed = json!([{"manager": "kubectl", "time": written, "fieldsV1": {"f:data": {}}}]);
    json!({"apiVersion": "v1", "kind": kind, "data": data, "metadata": {
        "namespace": "prod", "name": name, "resourceVersion": "20", "creationTimestamp": BEFORE, "managedFields": managed,
    }})
}

/// One situation.
pub(super) struct Scene {
    kind: WorkloadKind,
    annotations: Value,
    template_annotations: Value,
    spec: Value,
    status: Value,
    before: Option<Vec<Value>>,
    now: Vec<Value>,
    rolls: Rolls,
    digest_key: bool,
    pods: Option<Result<Vec<PodFact>, String>>,
    setup: Setup,
    room: Room,
    unread: Vec<ConfigRef>,
    aside: Option<Aside>,
    foreign: bool,
}

impl Scene {
    /// A Deployment that opts in, never adopted.
    pub(super) fn new(spec: Value) -> Self {
        Self {
            kind: WorkloadKind::Deployment,
            annotations: json!({"afresh.dev/reload": "auto"}),
            template_annotations: json!({}),
            spec,
            status: json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}),
            before: None,
            now: Vec::new(),
            rolls: Rolls::default(),
            digest_key: true,
            pods: None,
            setup: Setup {
                source: Source::Object {
                    kind: "deployment",
                    namespace: "afresh".to_owned(),
                    name: "afresh".to_owned(),
                },
                ..Setup::default_in("afresh".parse().unwrap(), "afresh-digest-key".parse().unwrap())
            },
            room: Room::Any,
            unread: Vec::new(),
            aside: None,
            foreign: false,
        }
    }

    /// One that takes all of `configmap/web` as environment.
    pub(super) fn env() -> Self {
        Self::new(json!({"containers": [{"name": "app", "envFrom": [{"configMapRef": {"name": "web"}}]}]}))
    }

    /// One that mounts `configmap/web`.
    pub(super) fn mounted() -> Self {
        Self::new(json!({
            "containers": [{"name": "app", "volumeMounts": [{"name": "web", "mountPath": "/etc/web"}]}],
            "volumes": [{"name": "web", "configMap": {"name": "web"}}],
        }))
    }

    pub(super) fn annotations(mut self, annotations: Value) -> Self {
        self.annotations = annotations;
        self
    }

    pub(super) fn with(mut self, key: &str, value: &str) -> Self {
        self.annotations[key] = json!(value);
        self
    }

    pub(super) fn template(mut self, annotations: Value) -> Self {
        self.template_annotations = annotations;
        self
    }

    /// What its objects held when it was brought up to date.
    pub(super) fn before(mut self, objects: &[Value]) -> Self {
        self.before = Some(objects.to_vec());
        self
    }

    pub(super) fn now(mut self, objects: &[Value]) -> Self {
        self.now = objects.to_vec();
        self
    }

    pub(super) fn rolled(mut self, streak: u32, last: &str) -> Self {
        self.rolls = Rolls {
            streak,
            last: Some(time(last)),
        };
        self
    }

    pub(super) fn without_digest_key(mut self) -> Self {
        self.digest_key = false;
        self
    }

    pub(super) fn pods(mut self, pods: &[(&str, Option<&str>)]) -> Self {
        let fact = |&(created, touched): &(&str, Option<&str>)| PodFact {
            started: None,
            created: Some(time(created)),
            touched: touched.map(Into::into),
            behind: true,
        };
        self.pods = Some(Ok(pods.iter().map(fact).collect()));
        self
    }

    pub(super) fn no_pods_because(mut self, why: &str) -> Self {
        self.pods = Some(Err(why.to_owned()));
        self
    }

    pub(super) fn default_reload(mut self, default: Reload) -> Self {
        self.setup.config.conventions.default = default;
        self
    }

    /// It is decided by a controller with this command line.
    pub(super) fn by(mut self, line: &[&str]) -> Self {
        let words: Vec<String> = line.iter().map(ToString::to_string).collect();
        let variables = Variables::from([("POD_NAMESPACE".to_owned(), "afresh".to_owned())]);
        let (program, config) = parse(&words, None, &variables).unwrap();
        (self.setup.program, self.setup.config) = (program, config);
        self
    }

    /// As Reloader left it by `env-vars`: this hash of an object.
    pub(super) fn marked(mut self, variable: &str, hash: &str) -> Self {
        self.spec["containers"][0]["env"] = json!([{"name": variable, "value": hash}]);
        self
    }

    /// Nobody knows how the controller runs.
    pub(super) fn by_nobody_known(mut self) -> Self {
        self.setup.source = Source::Nowhere;
        self
    }

    /// Of another kind.
    pub(super) fn kind(mut self, kind: WorkloadKind) -> Self {
        self.kind = kind;
        self
    }

    /// What it has room for as a CronJob.
    pub(super) fn room(mut self, room: Room) -> Self {
        self.room = room;
        self
    }

    /// An object that may not be read.
    pub(super) fn unread(mut self, object: &str) -> Self {
        self.unread.push(object.parse().unwrap());
        self
    }

    pub(super) fn rolling(mut self) -> Self {
        self.status = json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1});
        self
    }

    /// A Pod, made by another workload if an owner is given.
    pub(super) fn pod(mut self, owner: Option<(&str, &str)>) -> Self {
        self.kind = WorkloadKind::Pod;
        self.aside = owner.map(|(kind, name)| {
            Aside::Owned(Owner {
                kind: kind.into(),
                name: name.into(),
                uid: "u".into(),
            })
        });
        self
    }

    /// The record was written on another workload of this name.
    pub(super) fn recorded_elsewhere(mut self) -> Self {
        self.foreign = true;
        self
    }

    pub(super) fn explain(&self) -> Explanation {
        let annotations = match &self.before {
            Some(before) => self.recorded(before),
            None => self.annotations.clone(),
        };
        explain(&self.facts(&annotations, &self.now, &self.unread))
    }

    /// The annotations once the workload has been brought up to `before`.
    fn recorded(&self, before: &[Value]) -> Value {
        let facts = self.facts(&self.annotations, before, &[]);
        let reading = facts.observed.read(&facts.key, &facts.conventions);
        let workload = reading.workload.unwrap();
        let record = Record {
            uid: if self.foreign {
                "uid-0".into()
            } else {
                workload.uid.clone()
            },
            at: time(RECORDED),
            template: Some(workload.template),
            rolls: self.rolls,
            evicting: None,
            applied: facts.plan(&workload).applied,
        };
        let mut annotations = self.annotations.clone();
        annotations["afresh.dev/applied"] = json!(record.to_string());
        annotations
    }

    fn facts(&self, annotations: &Value, objects: &[Value], unread: &[ConfigRef]) -> Facts {
        let lean = LeanWorkload::decode(self.kind, &self.body(annotations).to_string()).unwrap();
        // Whatever the installation, a record was made by a controller that had its key.
        let key = DigestKey::new(&[7; 32]).unwrap();
        let recording = unread.is_empty() && annotations.get("afresh.dev/applied").is_none() && self.before.is_some();
        let mut facts = Facts {
            key: lean.key,
            observed: lean.observed,
            aside: self.aside.clone(),
            outside: None,
            room: (self.kind == WorkloadKind::CronJob).then_some(self.room),
            conventions: self.setup.config.conventions(),
            setup: self.setup.clone(),
            context: Context {
                key: key.id(),
                installed: Some(time(BEFORE)),
                partial: self.setup.config.selector.is_some(),
                lifecycle: self.setup.config.lifecycle(),
            },
            no_digest_key: (!self.digest_key && !recording)
                .then(|| "may not get the Secret afresh/afresh-digest-key".to_owned()),
            objects: objects
                .iter()
                .map(|body| there(body, &key, &self.setup.config.conventions()))
                .collect(),
            unknowns: Vec::new(),
            pods: self.pods.clone(),
            now: time(NOW),
        };
        facts.outside = facts.setup.outside(&facts.key);
        for object in unread {
            let why = format!("it takes the verb get on {}s in namespace prod", object.kind.word());
            facts.objects.insert(object.clone(), Seen::Unread(why));
        }
        let reading = facts.observed.read(&facts.key, &facts.conventions);
        let included = reading.workload.map(|workload| workload.uses).unwrap_or_default();
        let used = included.into_iter().map(|usage| usage.object);
        for object in reading
            .references
            .into_iter()
            .map(|reference| reference.object)
            .chain(used)
        {
            facts.objects.entry(object).or_insert(Seen::Absent);
        }
        facts
    }

    fn body(&self, annotations: &Value) -> Value {
        let metadata = json!({
            "namespace": "prod", "name": "web", "uid": "uid-1", "generation": 1, "resourceVersion": "10",
            "creationTimestamp": BEFORE, "annotations": annotations,
        });
        if self.kind == WorkloadKind::Pod {
            return json!({"metadata": metadata, "spec": self.spec, "status": {"phase": "Running"}});
        }
        let mut body = json!({"metadata": metadata, "status": self.status, "spec": {
            "replicas": 1,
            "selector": if self.kind == WorkloadKind::DeploymentConfig {
                json!({"app": "web"})
            } else {
                json!({"matchLabels": {"app": "web"}})
            },
        }});
        let mut template = &mut body;
        for field in self.kind.template_path() {
            template = &mut template[field];
        }
        *template = json!({"metadata": {"labels": {"app": "web"}, "annotations": self.template_annotations}, "spec": self.spec});
        body
    }
}

fn there(body: &Value, key: &DigestKey, conventions: &Conventions) -> (ConfigRef, Seen) {
    let text = body.to_string();
    let (own, object, problem) = if body["kind"] == "Secret" {
        let WithSha1(secret) = WithSha1::<LeanSecret>::decode(&text).unwrap();
        secret.into_object(key, conventions)
    } else {
        let WithSha1(map) = WithSha1::<LeanConfigMap>::decode(&text).unwrap();
        map.into_object(conventions)
    };
    let name = ConfigRef {
        kind: own.kind,
        name: own.name,
    };
    (name, Seen::There(object, problem))
}
