//! Making Jobs: again, where one runs on what is old, and from a CronJob, ahead of its time.

use afresh_model::annotation;
use afresh_model::name::Name;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use serde_json::{Map, Value, json};

use super::{JSON, Trial, WriteError, Writer};

/// Longest name of a Job that can have pods: it is one of their labels.
const MAX_NAME: usize = 63;

/// What the API server writes into the template of a Job to find its pods.
const GENERATED_LABELS: [&str; 4] = [
    "controller-uid",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "job-name",
];

/// What the API server writes into the metadata of any object.
const GENERATED_METADATA: [&str; 8] = [
    "resourceVersion",
    "uid",
    "creationTimestamp",
    "generation",
    "managedFields",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// What became of a Job to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// It is new; its UID.
    New(Box<str>),
    /// There is one of that name.
    Exists,
}

/// What Afresh writes on a Job that it makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notes {
    /// The record, of a Job made again.
    pub applied: Option<String>,
    /// The digest of the template.
    pub config: String,
}

/// The same Job to be made again. Its own selector is kept where somebody chose it (`manualSelector`).
#[must_use]
pub fn again(job: &Value, notes: &Notes) -> Value {
    let mut next = job.clone();
    let uid = next["metadata"]["uid"].clone();
    next["apiVersion"] = json!("batch/v1");
    next["kind"] = json!("Job");
    remove(&mut next, "status");
    for field in GENERATED_METADATA {
        remove(&mut next["metadata"], field);
    }
    keep_finalizers(&mut next["metadata"]);
    forget_generated(&mut next["spec"]);
    let annotations = &mut next["metadata"]["annotations"];
    set(annotations, annotation::REPLACES, uid);
    if let Some(applied) = &notes.applied {
        set(annotations, annotation::APPLIED, json!(applied));
    }
    set(
        &mut next["spec"]["template"]["metadata"]["annotations"],
        annotation::CONFIG,
        json!(notes.config),
    );
    next
}

/// Takes out of a Job's spec by what the API server lets it find its pods, unless somebody chose that.
pub(super) fn forget_generated(spec: &mut Value) {
    if spec["manualSelector"] != true {
        remove(spec, "selector");
        for label in GENERATED_LABELS {
            remove(&mut spec["template"]["metadata"]["labels"], label);
        }
    }
}

/// What a CronJob has room for, beside its schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// No Job: it is suspended.
    None,
    /// A Job, while no other one of it runs.
    One,
    /// A Job at any time.
    Any,
}

/// Reads `spec.suspend` and `spec.concurrencyPolicy`.
#[must_use]
pub fn room(cron_job: &Value) -> Room {
    let spec = &cron_job["spec"];
    match spec["concurrencyPolicy"].as_str() {
        _ if spec["suspend"] == true => Room::None,
        None | Some("Allow") => Room::Any,
        Some(_) => Room::One,
    }
}

/// A Job of that name as the CronJob would make it, marked as `kubectl create job --from` does.
#[must_use]
pub fn from_cron_job(cron_job: &Value, name: &str, notes: &Notes) -> Value {
    let template = &cron_job["spec"]["jobTemplate"];
    let about = &cron_job["metadata"];
    let mut annotations = json!({ "cronjob.kubernetes.io/instantiate": "manual" });
    for (key, value) in template["metadata"]["annotations"].as_object().into_iter().flatten() {
        set(&mut annotations, key, value.clone());
    }
    let mut job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": about["namespace"],
            "annotations": annotations,
            // Not blockOwnerDeletion: where that is guarded it takes a right on the CronJob's finalizers.
            "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "CronJob", "controller": true,
                "name": about["name"], "uid": about["uid"],
            }],
        },
        "spec": template["spec"],
    });
    if template["metadata"]["labels"].is_object() {
        job["metadata"]["labels"] = template["metadata"]["labels"].clone();
    }
    set(
        &mut job["spec"]["template"]["metadata"]["annotations"],
        annotation::CONFIG,
        json!(notes.config),
    );
    job
}

/// The name of what is made of `base` for `digest`: the same whenever it is tried again.
#[must_use]
pub fn name_for(base: &Name, digest: &str) -> String {
    let digest: String = digest.chars().take(10).collect();
    let room = MAX_NAME - 1 - digest.len();
    let base: String = base.as_str().chars().take(room).collect();
    format!("{}-{digest}", base.trim_end_matches(['-', '.']))
}

impl Writer {
    /// Makes a Job, or only tries to.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn make_job(&self, namespace: &Name, job: &Value, trial: Trial) -> Result<Made, WriteError> {
        let mut path = format!(
            "/apis/batch/v1/namespaces/{namespace}/jobs?fieldManager={}",
            self.manager
        );
        if trial == Trial::Yes {
            path.push_str("&dryRun=All");
        }
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(CONTENT_TYPE, JSON);
        match self.call(request, job.to_string().into_bytes()).await {
            Ok(answer) => {
                let made: Value = serde_json::from_slice(&answer).unwrap_or_default();
                Ok(Made::New(made["metadata"]["uid"].as_str().unwrap_or_default().into()))
            }
            Err(WriteError::Conflict(message)) if message.contains("AlreadyExists") => Ok(Made::Exists),
            Err(error) => Err(error),
        }
    }

    /// Deletes the Job that has this uid, and that is still at this version where one is given; its pods go after it.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn delete_job(
        &self,
        namespace: &Name,
        name: &str,
        uid: &str,
        version: Option<&str>,
    ) -> Result<(), WriteError> {
        let mut body = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
            "preconditions": { "uid": uid },
        });
        if let Some(version) = version {
            body["preconditions"]["resourceVersion"] = json!(version);
        }
        let request = Request::delete(format!("/apis/batch/v1/namespaces/{namespace}/jobs/{name}"));
        self.call(request.header(CONTENT_TYPE, JSON), body.to_string().into_bytes())
            .await
            .map(drop)
    }
}

fn remove(value: &mut Value, field: &str) {
    if let Some(map) = value.as_object_mut() {
        map.remove(field);
    }
}

fn set(map: &mut Value, key: &str, value: Value) {
    if !map.is_object() {
        *map = Value::Object(Map::new());
    }
    map[key] = value;
}

/// Those that say how an object is deleted are the API server's own.
fn keep_finalizers(metadata: &mut Value) {
    if let Some(finalizers) = metadata.get_mut("finalizers").and_then(Value::as_array_mut) {
        finalizers.retain(|name| name != "foregroundDeletion" && name != "orphan");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes() -> Notes {
        Notes {
            applied: Some("{}".to_owned()),
            config: "d1".to_owned(),
        }
    }

    fn job() -> Value {
        json!({
            "metadata": {
                "name": "work", "namespace": "prod", "uid": "u1", "resourceVersion": "7", "generation": 1,
                "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{}], "labels": {"own": "label"},
                "finalizers": ["example.org/mine", "foregroundDeletion"],
                "ownerReferences": [{"kind": "Thing", "name": "boss", "uid": "b"}],
            },
            "spec": {
                "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u1"}},
                "template": {
                    "metadata": {"labels": {"controller-uid": "u1", "batch.kubernetes.io/controller-uid": "u1",
                        "job-name": "work", "batch.kubernetes.io/job-name": "work", "app": "work"}},
                    "spec": {"containers": [{"name": "app"}]},
                },
            },
            "status": {"active": 1},
        })
    }

    #[test]
    fn a_job_made_again_is_the_same_without_what_the_server_wrote() {
        assert_eq!(
            again(&job(), &notes()),
            json!({
                "apiVersion": "batch/v1", "kind": "Job",
                "metadata": {
                    "name": "work", "namespace": "prod", "labels": {"own": "label"}, "finalizers": ["example.org/mine"],
                    "ownerReferences": [{"kind": "Thing", "name": "boss", "uid": "b"}],
                    "annotations": {"afresh.dev/applied": "{}", "afresh.dev/replaces": "u1"},
                },
                "spec": {"template": {
                    "metadata": {"labels": {"app": "work"}, "annotations": {"afresh.dev/config": "d1"}},
                    "spec": {"containers": [{"name": "app"}]},
                }},
            })
        );
    }

    #[test]
    fn a_selector_that_somebody_chose_stays() {
        let mut job = job();
        job["spec"]["manualSelector"] = json!(true);
        job["spec"]["selector"] = json!({"matchLabels": {"job-name": "work"}});
        let next = again(&job, &notes());
        assert_eq!(next["spec"]["selector"], job["spec"]["selector"]);
        assert_eq!(next["spec"]["template"]["metadata"]["labels"]["job-name"], "work");
    }

    #[test]
    fn a_job_from_a_cron_job_is_as_its_own_and_its_template_has_the_last_word() {
        let cron = json!({
            "metadata": {"name": "nightly", "namespace": "prod", "uid": "c1"},
            "spec": {"jobTemplate": {
                "metadata": {"labels": {"a": "b"}, "annotations": {"cronjob.kubernetes.io/instantiate": "own", "x": "y"}},
                "spec": {"backoffLimit": 1, "template": {"spec": {"containers": []}}},
            }},
        });
        let job = from_cron_job(&cron, "nightly-1", &notes());
        assert_eq!(
            job["metadata"],
            json!({
                "name": "nightly-1", "namespace": "prod", "labels": {"a": "b"},
                "annotations": {"cronjob.kubernetes.io/instantiate": "own", "x": "y"},
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "controller": true,
                    "name": "nightly", "uid": "c1"}],
            })
        );
        assert_eq!(job["spec"]["backoffLimit"], 1);
        assert_eq!(
            job["spec"]["template"]["metadata"]["annotations"]["afresh.dev/config"],
            "d1"
        );
    }

    #[test]
    fn the_longest_name_still_gives_a_name_for_pods() {
        for base in ["a", &"a-".repeat(30), &"a".repeat(253)] {
            let base: Name = base.trim_end_matches('-').parse().unwrap();
            let name = name_for(&base, "0123456789abcdef");
            assert!(name.len() <= MAX_NAME && name.parse::<Name>().is_ok(), "{name}");
            assert_eq!(name, name_for(&base, "0123456789abcdef"));
        }
    }
}
