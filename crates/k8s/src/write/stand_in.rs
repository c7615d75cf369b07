//! What stands in for a Job between its deletion and its being made again: the same Job under another name and
//! suspended, so that it does nothing. Whoever finds it can make the Job from it; so none is lost, whatever ends in between.

use afresh_model::annotation::{REPLACES, STANDS_IN_FOR};
use afresh_model::name::{Name, WorkloadKey, WorkloadKind};
use kube::api::ListParams;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::job::forget_generated;
use super::{WriteError, Writer};
use crate::lean::{DecodeError, Watched};

/// By this label they are found.
const LABEL: &str = "afresh.dev/stand-in";

/// What a stand-in keeps of the Job, in an annotation, as it must not have it itself: labels by which others would run
/// it, owners that would delete it.
#[derive(Serialize, Deserialize)]
struct Kept {
    metadata: Value,
    suspend: Value,
}

/// A stand-in that somebody left behind.
#[derive(Debug, Clone, PartialEq)]
pub struct StandIn {
    /// Its own name.
    pub name: Box<str>,
    /// Its own UID.
    pub uid: Box<str>,
    /// The Job that it stands in for.
    pub key: WorkloadKey,
    /// The UID of the Job that was deleted, or was to be.
    pub replaces: Box<str>,
    /// The Job to be made.
    pub job: Value,
    version: Box<str>,
}

/// The stand-in of a Job that is to be made, under a name of its own.
#[must_use]
pub fn of(next: &Value, name: &str) -> Value {
    let kept = Kept {
        metadata: next["metadata"].clone(),
        suspend: next["spec"]["suspend"].clone(),
    };
    let mut stand_in = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": next["metadata"]["namespace"],
            "labels": { LABEL: "true" },
            "annotations": { STANDS_IN_FOR: json!(kept).to_string() },
        },
        "spec": next["spec"],
    });
    stand_in["spec"]["suspend"] = json!(true);
    stand_in
}

/// The Job that a stand-in is of.
fn job_of(stand_in: &Value, kept: Kept) -> Value {
    let mut spec = stand_in["spec"].clone();
    forget_generated(&mut spec);
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("suspend");
    }
    if !kept.suspend.is_null() {
        spec["suspend"] = kept.suspend;
    }
    json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": kept.metadata, "spec": spec })
}

impl Watched for StandIn {
    const KIND: &'static str = "Job";
    const GROUP: &'static str = "apis/batch/v1";
    const PLURAL: &'static str = "jobs";

    fn decode(json: &str) -> Result<Self, DecodeError> {
        let bad = |error: serde_json::Error| DecodeError::json(&error);
        let stand_in: Value = serde_json::from_str(json).map_err(bad)?;
        let about = &stand_in["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().into();
        let kept: Kept =
            serde_json::from_str(about["annotations"][STANDS_IN_FOR].as_str().unwrap_or_default()).map_err(bad)?;
        let key = WorkloadKey {
            kind: WorkloadKind::Job,
            namespace: about["namespace"].as_str().unwrap_or_default().parse()?,
            name: kept.metadata["name"].as_str().unwrap_or_default().parse()?,
        };
        Ok(Self {
            name: text(&about["name"]),
            uid: text(&about["uid"]),
            replaces: text(&kept.metadata["annotations"][REPLACES]),
            version: text(&about["resourceVersion"]),
            key,
            job: job_of(&stand_in, kept),
        })
    }

    fn resource_version(&self) -> &str {
        &self.version
    }
}

impl Writer {
    /// The stand-ins of a namespace or of all; what does not say what it stands in for is left out.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn list_stand_ins(&self, namespace: Option<&Name>) -> Result<Vec<StandIn>, WriteError> {
        let params = ListParams::default().labels(LABEL);
        self.list(namespace, params).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next() -> Value {
        json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {
                "name": "work", "namespace": "prod", "labels": {"queue": "q"}, "finalizers": ["example.org/mine"],
                "annotations": {"afresh.dev/applied": "{}", "afresh.dev/replaces": "u1"},
                "ownerReferences": [{"kind": "Thing", "name": "boss", "uid": "b"}],
            },
            "spec": {"template": {"metadata": {"labels": {"app": "work"}}, "spec": {"containers": [{"name": "app"}]}}},
        })
    }

    /// As the API server answers it.
    fn served(mut stand_in: Value) -> Value {
        stand_in["metadata"]["uid"] = json!("s1");
        stand_in["metadata"]["resourceVersion"] = json!("7");
        if stand_in["spec"]["manualSelector"] != true {
            stand_in["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "s1"}});
            stand_in["spec"]["template"]["metadata"]["labels"]["job-name"] = json!("work-1");
        }
        stand_in["status"] = json!({"conditions": [{"type": "Suspended", "status": "True"}]});
        stand_in
    }

    fn read(stand_in: &Value) -> StandIn {
        StandIn::decode(&stand_in.to_string()).unwrap()
    }

    #[test]
    fn a_stand_in_does_nothing_and_nobody_else_takes_it_for_the_job() {
        let stand_in = of(&next(), "work-1");
        assert_eq!(stand_in["spec"]["suspend"], true);
        let metadata = stand_in["metadata"].as_object().unwrap();
        assert_eq!(
            metadata.keys().collect::<Vec<_>>(),
            ["annotations", "labels", "name", "namespace"]
        );
        assert_eq!(metadata["labels"], json!({"afresh.dev/stand-in": "true"}));
        assert_eq!(metadata["annotations"].as_object().unwrap().len(), 1);
    }

    #[test]
    fn the_job_is_made_from_its_stand_in_as_it_was_to_be_made() {
        let mut suspended = next();
        suspended["spec"]["suspend"] = json!(true);
        let mut own_selector = next();
        own_selector["spec"]["manualSelector"] = json!(true);
        own_selector["spec"]["selector"] = json!({"matchLabels": {"app": "work"}});
        for next in [next(), suspended, own_selector] {
            let found = read(&served(of(&next, "work-1")));
            assert_eq!(found.job, next);
            assert_eq!((&*found.name, &*found.uid, &*found.replaces), ("work-1", "s1", "u1"));
            assert_eq!(found.key.to_string(), "job/prod/work");
        }
    }

    #[test]
    fn what_does_not_say_what_it_stands_in_for_is_none() {
        let mut stranger = served(of(&next(), "work-1"));
        for text in ["", "{}", r#"{"metadata":{"name":"A"},"suspend":null}"#] {
            stranger["metadata"]["annotations"] = json!({ STANDS_IN_FOR: text });
            assert!(StandIn::decode(&stranger.to_string()).is_err(), "{text}");
        }
    }
}
