//! Calls that act.

use std::time::Duration;

use afresh_k8s::lean::LeanConfigMap;
use afresh_k8s::write::{WriteError, Writer};
use afresh_model::convention::Conventions;
use afresh_model::digest::DigestKey;
use afresh_model::name::{ConfigKey, ConfigKind, Name, WorkloadKey, WorkloadKind};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::script::{Answer, Script, Step, list, status};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn web(kind: WorkloadKind) -> WorkloadKey {
    WorkloadKey {
        kind,
        namespace: name("prod"),
        name: name("web"),
    }
}

fn deployment() -> Value {
    json!({
        "metadata": {"namespace": "prod", "name": "web", "uid": "u-1", "resourceVersion": "43", "generation": 4},
        "spec": {"template": {"spec": {"containers": []}}}
    })
}

fn pod() -> Value {
    json!({"metadata": {"namespace": "prod", "name": "web", "uid": "u-1", "resourceVersion": "43"}, "spec": {}})
}

#[rstest]
#[case(WorkloadKind::Deployment, "/apis/apps/v1/namespaces/prod/deployments/web")]
#[case(WorkloadKind::StatefulSet, "/apis/apps/v1/namespaces/prod/statefulsets/web")]
#[case(WorkloadKind::DaemonSet, "/apis/apps/v1/namespaces/prod/daemonsets/web")]
#[case(WorkloadKind::Pod, "/api/v1/namespaces/prod/pods/web/status")]
#[tokio::test(start_paused = true)]
async fn a_workload_is_patched_under_its_uid(#[case] kind: WorkloadKind, #[case] path: &str) {
    let script = Script::new(move |_| Answer::Json(200, if kind == WorkloadKind::Pod { pod() } else { deployment() }));
    let body = json!({"metadata": {"annotations": {"afresh.dev/applied": "{}"}}});
    let seen = Writer::new(script.client())
        .patch_workload(&web(kind), "u-1", body)
        .await
        .unwrap();
    assert_eq!((seen.key, &*seen.resource_version), (web(kind), "43"));
    assert_eq!(seen.generation, if kind == WorkloadKind::Pod { 0 } else { 4 });

    let asked = &script.seen()[0];
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("PATCH", path));
    assert_eq!(asked.headers["content-type"], "application/merge-patch+json");
    assert_eq!(asked.query("fieldManager"), "afresh");
    assert_eq!(
        asked.body,
        json!({"metadata": {"uid": "u-1", "annotations": {"afresh.dev/applied": "{}"}}})
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_touched_through_its_status_and_only_metadata_comes_back() {
    let script = Script::new(|_| Answer::Json(200, pod()));
    let seen = Writer::new(script.client())
        .touch_pod(&name("prod"), &name("web"), "u-1", "v1")
        .await
        .unwrap();
    assert_eq!(&*seen.uid, "u-1");
    let asked = &script.seen()[0];
    assert_eq!(asked.path, "/api/v1/namespaces/prod/pods/web/status");
    assert!(
        asked.headers["accept"]
            .to_str()
            .unwrap()
            .contains("as=PartialObjectMetadata;")
    );
    assert_eq!(
        asked.body,
        json!({"metadata": {"uid": "u-1", "annotations": {"afresh.dev/touched": "v1"}}})
    );
}

#[tokio::test(start_paused = true)]
async fn an_eviction_names_the_uid() {
    let script = Script::new(|_| Answer::Json(201, status(200, "")));
    Writer::new(script.client())
        .evict_pod(&name("prod"), &name("web"), "u-1")
        .await
        .unwrap();
    let asked = &script.seen()[0];
    assert_eq!(
        (asked.method.as_str(), asked.path.as_str()),
        ("POST", "/api/v1/namespaces/prod/pods/web/eviction")
    );
    assert_eq!(asked.body["deleteOptions"]["preconditions"]["uid"], "u-1");
}

#[tokio::test(start_paused = true)]
async fn pods_are_listed_page_by_page_by_metadata() {
    let script = Script::new(|seen| match seen.query("continue") {
        "" => list(&["a", "b"], 5, "two"),
        _ => list(&["c"], 5, ""),
    });
    let pods = Writer::new(script.client())
        .list_pods(&name("prod"), "app=web")
        .await
        .unwrap();
    let names: Vec<_> = pods.iter().map(|pod| pod.key.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let asked = &script.seen()[0];
    assert_eq!(asked.path, "/api/v1/namespaces/prod/pods");
    assert_eq!(
        (asked.query("labelSelector"), asked.query("limit")),
        ("app%3Dweb", "500")
    );
    assert!(asked.query("fieldSelector").contains("Succeeded"));
    assert!(
        asked.headers["accept"]
            .to_str()
            .unwrap()
            .contains("PartialObjectMetadataList")
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_selector_no_pod_is_asked_for() {
    let script = Script::new(|_| list(&["a"], 5, ""));
    let error = Writer::new(script.client())
        .list_pods(&name("prod"), "")
        .await
        .unwrap_err();
    assert!(matches!(error, WriteError::Denied(_)));
    assert!(script.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_does_not_end_is_given_up() {
    let script = Script::new(|_| list(&["a"], 5, "more"));
    let error = Writer::new(script.client())
        .list_all::<LeanConfigMap>(None)
        .await
        .unwrap_err();
    assert!(matches!(error, WriteError::Unreadable(_)));
    assert_eq!(script.seen().len(), 200);
}

#[rstest]
#[case(404, "NotFound", "", "gone")]
#[case(
    409,
    "Conflict",
    "Precondition failed: UID in precondition: a, UID in object meta: b",
    "gone"
)]
#[case(422, "Invalid", "metadata.uid: Invalid value: \"a\": field is immutable", "gone")]
#[case(409, "Conflict", "the object has been modified", "conflict")]
#[case(422, "Invalid", "spec: Invalid value", "denied")]
#[case(403, "Forbidden", "no", "denied")]
#[case(401, "Unauthorized", "no", "denied")]
#[case(400, "", "admission webhook denied the request", "denied")]
#[case(429, "TooManyRequests", "", "throttled")]
#[case(500, "InternalError", "etcdserver: leader changed", "unavailable")]
#[case(503, "ServiceUnavailable", "", "unavailable")]
#[case(504, "Timeout", "", "unavailable")]
#[tokio::test(start_paused = true)]
async fn an_error_says_what_to_do(#[case] code: u16, #[case] reason: &str, #[case] message: &str, #[case] word: &str) {
    let mut body = status(code, reason);
    body["message"] = message.into();
    let script = Script::new(move |_| Answer::Json(code, body.clone()));
    let writer = Writer::new(script.client());
    let error = writer
        .patch_workload(&web(WorkloadKind::Deployment), "u-1", json!({}))
        .await
        .unwrap_err();
    assert_eq!(error.word(), word, "{error}");
    assert_eq!(script.seen().len(), 1, "nothing is retried behind the caller's back");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_says_for_how_long() {
    let script = Script::new(|_| Answer::RetryAfter(429, 7));
    let error = Writer::new(script.client())
        .get_workload(&web(WorkloadKind::Pod))
        .await
        .unwrap_err();
    assert!(matches!(error, WriteError::Throttled { retry_after, .. } if retry_after == Duration::from_secs(7)));
}

#[rstest]
#[case::no_answer(|| Answer::Hang)]
#[case::no_end(|| Answer::Stream(vec![Step::Raw(b"{".to_vec()), Step::Open]))]
#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends_in_time(#[case] answer: fn() -> Answer) {
    let script = Script::new(move |_| answer());
    let writer = Writer::new(script.client()).with_limit(Duration::from_secs(3));
    let begun = Instant::now();
    let error = writer.get_workload(&web(WorkloadKind::Deployment)).await.unwrap_err();
    assert_eq!(error, WriteError::Timeout(Duration::from_secs(3)));
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_fails_or_breaks_is_unavailable() {
    for answer in [
        || Answer::Refuse,
        || Answer::Stream(vec![Step::Raw(b"{".to_vec()), Step::Break]),
    ] {
        let script = Script::new(move |_| answer());
        let error = Writer::new(script.client())
            .get_workload(&web(WorkloadKind::Deployment))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, WriteError::Unavailable(text) if text.contains("refused by the script")),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_is_told_from_a_refusal() {
    let script = Script::new(|_| Answer::Json(200, json!({"metadata": {}})));
    let error = Writer::new(script.client())
        .get_workload(&web(WorkloadKind::Deployment))
        .await
        .unwrap_err();
    assert!(matches!(error, WriteError::Unreadable(_)), "{error}");
}

#[rstest]
#[case(ConfigKind::ConfigMap, "/api/v1/namespaces/prod/configmaps/web")]
#[case(ConfigKind::Secret, "/api/v1/namespaces/prod/secrets/web")]
#[tokio::test(start_paused = true)]
async fn an_object_is_read_as_digests(#[case] kind: ConfigKind, #[case] path: &str) {
    let script = Script::new(|_| {
        Answer::Json(
            200,
            json!({"metadata": {"namespace": "prod", "name": "web"}, "data": {"a": "QQ==", "b": "Qg=="}}),
        )
    });
    let key = ConfigKey {
        kind,
        namespace: name("prod"),
        name: name("web"),
    };
    let digest_key = DigestKey::new(&[7; 32]).unwrap();
    let (object, problem) = Writer::new(script.client())
        .get_object(&key, &digest_key, &Conventions::default())
        .await
        .unwrap();
    assert_eq!((object.content.len(), problem), (2, None));
    assert_eq!(script.seen()[0].path, path);
}
