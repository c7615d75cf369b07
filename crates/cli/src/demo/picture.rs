//! What is there at one moment: objects, workloads, pods, as the API server has them.

use std::collections::{BTreeMap, BTreeSet};

use afresh_model::annotation;
use afresh_sandbox::Sandbox;
use serde_json::Value;

use super::reads::{self, Configs, Content, Kind, Object, Place, text};

/// A namespace at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Picture {
    pub(super) configs: Configs,
    pub(super) workloads: BTreeMap<String, Workload>,
    pub(super) warnings: BTreeSet<Warning>,
}

/// A Deployment.
#[derive(Debug, Clone, Default)]
pub(super) struct Workload {
    /// Whether it says that it wants to be kept current.
    pub(super) opted_in: bool,
    /// Whether Afresh has written down what it was brought up to.
    pub(super) adopted: bool,
    /// Every change of it replaces the pods.
    pub(super) template: Value,
    /// Whether no rollout is under way: every pod is of the template, and ready.
    pub(super) settled: bool,
    /// Without those that are going away.
    pub(super) pods: BTreeMap<String, Pod>,
    /// What its processes should see.
    pub(super) reads: BTreeMap<Place, Content>,
}

/// A pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) uid: String,
    /// The digest of the files that it was last touched for.
    pub(super) touched: Option<String>,
}

/// A Kubernetes Event of type Warning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Warning {
    pub(super) about: String,
    pub(super) reason: String,
    pub(super) note: String,
}

impl Workload {
    /// The digest that Afresh wrote into the template, if it ever rolled it.
    pub(super) fn digest(&self) -> Option<&str> {
        self.template["metadata"]["annotations"][annotation::CONFIG].as_str()
    }

    pub(super) fn uids(&self) -> BTreeSet<&str> {
        self.pods.values().map(|pod| pod.uid.as_str()).collect()
    }
}

/// Takes a picture of a namespace.
pub(super) fn take(sandbox: &Sandbox, namespace: &str) -> Picture {
    let mut configs = Configs::new();
    for kind in Kind::ALL {
        for object in sandbox.list(kind.plural(), namespace) {
            let name = text(&object["metadata"]["name"]);
            configs.insert(Object { kind, name }, reads::contents(kind, &object));
        }
    }
    let pods = sandbox.list("pods", namespace);
    let deployments = sandbox.list("deployments", namespace);
    let workloads = deployments.iter().map(|deployment| {
        let workload = workload(deployment, &pods, &configs);
        (text(&deployment["metadata"]["name"]), workload)
    });
    let workloads = workloads.collect();
    let warnings = sandbox.list("events", namespace).iter().filter_map(warning).collect();
    Picture {
        configs,
        workloads,
        warnings,
    }
}

fn workload(deployment: &Value, pods: &[Value], configs: &Configs) -> Workload {
    let annotations = &deployment["metadata"]["annotations"];
    let template = deployment["spec"]["template"].clone();
    let own = |pod: &&Value| belongs(pod, &deployment["spec"]["selector"]["matchLabels"]);
    let (going, staying): (Vec<&Value>, Vec<&Value>) = pods
        .iter()
        .filter(own)
        .partition(|pod| pod["metadata"]["deletionTimestamp"].is_string());
    Workload {
        opted_in: annotations[annotation::RELOAD]
            .as_str()
            .is_some_and(|word| word != "off"),
        adopted: annotations[annotation::APPLIED].is_string(),
        settled: going.is_empty() && is_rolled_out(deployment),
        pods: staying.into_iter().map(pod).collect(),
        reads: reads::reads(&template, configs),
        template,
    }
}

fn belongs(pod: &Value, selector: &Value) -> bool {
    let labels = selector.as_object().filter(|labels| !labels.is_empty());
    labels.is_some_and(|labels| {
        labels
            .iter()
            .all(|(key, value)| &pod["metadata"]["labels"][key] == value)
    })
}

/// As `kubectl rollout status` sees it.
fn is_rolled_out(deployment: &Value) -> bool {
    let status = &deployment["status"];
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let wanted = number(&deployment["spec"]["replicas"]);
    number(&status["observedGeneration"]) >= number(&deployment["metadata"]["generation"])
        && ["replicas", "updatedReplicas", "readyReplicas"]
            .iter()
            .all(|field| number(&status[*field]) == wanted)
}

fn pod(pod: &Value) -> (String, Pod) {
    let metadata = &pod["metadata"];
    let touched = metadata["annotations"][annotation::TOUCHED].as_str();
    let touched = touched.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let pod = Pod {
        uid: text(&metadata["uid"]),
        touched: touched.map(|touched| text(&touched["config"])),
    };
    (text(&metadata["name"]), pod)
}

fn warning(event: &Value) -> Option<Warning> {
    // Both APIs of Events are one store, with a name of its own for each field.
    let either = |one: &str, other: &str| {
        if event[one].is_null() {
            &event[other]
        } else {
            &event[one]
        }
    };
    let regarding = either("involvedObject", "regarding");
    (event["type"] == "Warning").then(|| Warning {
        about: text(&regarding["name"]),
        reason: text(&event["reason"]),
        note: text(either("message", "note")),
    })
}

/// What the processes of a pod see at a place now: the file on disk, or the variable of the running process.
pub(super) fn sees(sandbox: &Sandbox, namespace: &str, pod: &str, place: &Place) -> Option<Vec<u8>> {
    match place {
        Place::Variable { container, name } => {
            let process = sandbox.node().process(namespace, pod, container)?;
            process.env.get(name).map(|value| value.as_bytes().to_vec())
        }
        Place::File { volume, path } => {
            let directory = sandbox.node().volume_path(namespace, pod, volume)?;
            std::fs::read(directory.join(path)).ok()
        }
    }
}
