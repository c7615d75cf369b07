//! Workloads, pods and namespaces.

use afresh_model::name::{CustomKind, WorkloadKind};
use afresh_model::reference::references;
use afresh_model::workload::Rollout;
use rstest::rstest;
use serde_json::{Value, json};

use crate::lean::{
    LeanDaemonSet, LeanDeployment, LeanNamespace, LeanPod, LeanPodMeta, LeanReplica, LeanStatefulSet, LeanWorkload,
    Owner, Phase, Watched,
};

fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

fn base(patch: &Value) -> String {
    let mut object = json!({
        "metadata": {
            "namespace": "prod", "name": "web", "uid": "u-1", "resourceVersion": "42", "generation": 3,
            "creationTimestamp": "2026-11-21T10:00:00Z",
            "annotations": {"afresh.dev/reload": "auto", "deployment.kubernetes.io/revision": "1",
                "kubectl.kubernetes.io/last-applied-configuration": "{}"},
            "managedFields": [{"fieldsV1": {"f:spec": {}}}]
        },
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}, "annotations": {"afresh.dev/hot": "true", "prometheus.io/scrape": "true"}},
                "spec": {"containers": [{"name": "web", "envFrom": [{"configMapRef": {"name": "web"}}]}]}
            }
        },
        "status": {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
    });
    merge(&mut object, patch);
    object.to_string()
}

fn deployment(patch: &Value) -> LeanWorkload {
    LeanDeployment::decode(&base(patch)).unwrap().0
}

#[test]
fn a_deployment_is_its_references_policy_and_rollout() {
    let seen = deployment(&json!({}));
    assert_eq!(seen.key.to_string(), "deployment/prod/web");
    assert_eq!(
        (seen.generation, &*seen.resource_version, &*seen.observed.uid),
        (3, "42", "u-1")
    );
    assert_eq!(&*seen.observed.selector, "app=web");
    assert_eq!(seen.observed.rollout, Rollout::Complete);
    assert_eq!(
        seen.observed.annotations.keys().collect::<Vec<_>>(),
        ["afresh.dev/reload", "deployment.kubernetes.io/revision"],
        "any key may be one of Reloader's, but what kubectl keeps of the object is forgotten"
    );
    let template = &seen.observed.template;
    assert_eq!(
        template.metadata.annotations.keys().collect::<Vec<_>>(),
        ["afresh.dev/hot", "prometheus.io/scrape"]
    );
    assert_eq!(references(&template.spec).len(), 1);
}

#[test]
fn the_template_hash_tells_changes_by_others_from_our_own() {
    let hash = |patch: &Value| deployment(patch).observed.template_hash;
    let ours = json!({"spec": {"template": {"metadata": {"annotations": {"afresh.dev/config": "x"}}}}});
    let theirs = json!({"spec": {"template": {"metadata": {"annotations": {"prometheus.io/scrape": "false"}}}}});
    assert_eq!(hash(&json!({})), hash(&ours));
    assert_ne!(hash(&json!({})), hash(&theirs));
}

#[rstest]
#[case::labels_in_order(json!({"matchLabels": {"b": "2", "a": "1"}}), "a=1,b=2")]
#[case::none(json!({}), "")]
#[case::null(json!({"matchLabels": null, "matchExpressions": null}), "")]
#[case::expressions(
    json!({"matchLabels": {"a": "1"}, "matchExpressions": [
        {"key": "b", "operator": "In", "values": ["x", "y"]},
        {"key": "c", "operator": "NotIn", "values": ["z"]},
        {"key": "d", "operator": "Exists"},
        {"key": "e", "operator": "DoesNotExist", "values": null}
    ]}),
    "a=1,b in (x,y),c notin (z),d,!e"
)]
fn a_selector_becomes_a_query(#[case] selector: Value, #[case] query: &str) {
    let mut object: Value = serde_json::from_str(&base(&json!({}))).unwrap();
    object["spec"]["selector"] = selector;
    let seen = LeanStatefulSet::decode(&object.to_string()).unwrap().0;
    assert_eq!(&*seen.observed.selector, query);
}

#[rstest]
#[case(json!({"key": "a", "operator": "Near", "values": ["x"]}))]
#[case(json!({"key": "a", "operator": "In"}))]
#[case(json!({"key": "a", "operator": "Exists", "values": ["x"]}))]
fn a_selector_that_cannot_be_a_query_is_refused(#[case] expression: Value) {
    let object = base(&json!({"spec": {"selector": {"matchExpressions": [expression]}}}));
    let error = LeanDeployment::decode(&object).unwrap_err();
    assert!(error.to_string().starts_with("spec.selector: operator"), "{error}");
}

#[rstest]
#[case::done(json!({}), Rollout::Complete)]
#[case::not_yet_seen(json!({"metadata": {"generation": 4}}), Rollout::InProgress)]
#[case::no_status(json!({"status": null}), Rollout::InProgress)]
#[case::updating(json!({"status": {"updatedReplicas": 1}}), Rollout::InProgress)]
#[case::old_pods_left(json!({"status": {"replicas": 3}}), Rollout::InProgress)]
#[case::not_available(json!({"status": {"availableReplicas": 1}}), Rollout::InProgress)]
#[case::one_replica_by_default(
    json!({"spec": {"replicas": null}, "status": {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}}),
    Rollout::Complete
)]
#[case::scaled_to_zero(
    json!({"spec": {"replicas": 0}, "status": {"replicas": null, "updatedReplicas": null, "availableReplicas": null}}),
    Rollout::Idle
)]
#[case::its_last_pod_is_still_there(json!({"spec": {"replicas": 0}}), Rollout::InProgress)]
#[case::paused(json!({"metadata": {"generation": 4}, "spec": {"paused": true}}), Rollout::Complete)]
#[case::gave_up(
    json!({"status": {"updatedReplicas": 1, "conditions": [
        {"type": "Available", "status": "True"},
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    ]}}),
    Rollout::Failed
)]
#[case::gave_up_on_the_template_before(
    json!({"metadata": {"generation": 4}, "status": {"conditions": [
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    ]}}),
    Rollout::InProgress
)]
#[case::progressing_for_another_reason(
    json!({"status": {"updatedReplicas": 1, "conditions": [{"type": "Progressing", "status": "False", "reason": "ReplicaSetCreateError"}]}}),
    Rollout::InProgress
)]
fn a_deployment_rollout_is_read(#[case] patch: Value, #[case] expected: Rollout) {
    assert_eq!(deployment(&patch).observed.rollout, expected);
}

#[rstest]
#[case::done(json!({"status": {"currentRevision": "a", "updateRevision": "a", "updatedReplicas": null}}), Rollout::Complete)]
#[case::all_updated(json!({"status": {"currentRevision": "a", "updateRevision": "b"}}), Rollout::Complete)]
#[case::updating(
    json!({"status": {"currentRevision": "a", "updateRevision": "b", "updatedReplicas": 1}}),
    Rollout::InProgress
)]
#[case::not_yet_seen(json!({"metadata": {"generation": 4}}), Rollout::InProgress)]
#[case::not_available(json!({"status": {"availableReplicas": 1}}), Rollout::InProgress)]
#[case::on_delete(
    json!({"metadata": {"generation": 4}, "spec": {"updateStrategy": {"type": "OnDelete"}}}),
    Rollout::Complete
)]
#[case::partition(
    json!({
        "spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}},
        "status": {"currentRevision": "a", "updateRevision": "b", "updatedReplicas": 1}
    }),
    Rollout::Complete
)]
fn a_stateful_set_rollout_is_read(#[case] patch: Value, #[case] expected: Rollout) {
    let seen = LeanStatefulSet::decode(&base(&patch)).unwrap().0;
    assert_eq!(seen.observed.rollout, expected);
}

#[rstest]
#[case::done(json!({"updatedNumberScheduled": 3, "numberAvailable": 3}), json!({}), Rollout::Complete)]
#[case::updating(json!({"updatedNumberScheduled": 2, "numberAvailable": 3}), json!({}), Rollout::InProgress)]
#[case::not_available(json!({"updatedNumberScheduled": 3, "numberAvailable": 2}), json!({}), Rollout::InProgress)]
#[case::not_yet_seen(
    json!({"observedGeneration": 2, "updatedNumberScheduled": 3, "numberAvailable": 3}), json!({}), Rollout::InProgress
)]
#[case::on_delete(json!({}), json!({"updateStrategy": {"type": "OnDelete"}}), Rollout::Complete)]
#[case::without_a_node(
    json!({"desiredNumberScheduled": 0, "updatedNumberScheduled": 0, "numberAvailable": 0}), json!({"replicas": null}),
    Rollout::Complete
)]
fn a_daemon_set_rollout_is_read(#[case] status: Value, #[case] spec: Value, #[case] expected: Rollout) {
    let mut patch = json!({"spec": spec, "status": {"desiredNumberScheduled": 3}});
    merge(&mut patch["status"], &status);
    let seen = LeanDaemonSet::decode(&base(&patch)).unwrap().0;
    assert_eq!(seen.observed.rollout, expected);
}

#[test]
fn a_workload_without_a_template_is_refused() {
    let object = base(&json!({"spec": {"template": null}}));
    assert_eq!(
        LeanDeployment::decode(&object).unwrap_err().to_string(),
        "spec.template is missing"
    );
}

fn pod(patch: &Value) -> String {
    let mut object = json!({
        "metadata": {
            "namespace": "prod", "name": "web-1", "uid": "u-2", "resourceVersion": "43",
            "creationTimestamp": "2026-11-21T10:00:00Z",
            "annotations": {"afresh.dev/touched": "x", "other": "y"},
            "ownerReferences": [
                {"kind": "Thing", "name": "t", "uid": "o-0"},
                {"kind": "ReplicaSet", "name": "web", "uid": "o-1", "controller": true}
            ]
        },
        "spec": {"containers": [{"name": "web", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
                 "volumes": [{"name": "v", "configMap": {"name": "web"}}]},
        "status": {"phase": "Running"}
    });
    merge(&mut object, patch);
    object.to_string()
}

fn replica_set() -> Owner {
    Owner {
        kind: "ReplicaSet".into(),
        name: "web".into(),
        uid: "o-1".into(),
    }
}

#[test]
fn a_pod_is_read_as_its_own_template() {
    let seen = LeanPod::decode(&pod(&json!({}))).unwrap();
    assert_eq!(seen.key.to_string(), "pod/prod/web-1");
    assert_eq!(seen.owner, Some(replica_set()));
    assert_eq!((seen.phase, seen.deleting), (Phase::Running, false));
    assert_eq!(references(&seen.observed.template.spec).len(), 1);
    assert_eq!(
        (
            &*seen.observed.selector,
            seen.observed.rollout,
            seen.observed.owner.as_deref()
        ),
        ("", Rollout::InProgress, Some(&*replica_set().uid)),
        "it is not ready"
    );
    assert_eq!(
        seen.observed.annotations.keys().collect::<Vec<_>>(),
        ["afresh.dev/touched", "other"]
    );
}

#[test]
fn what_happens_to_a_pod_is_no_change_of_its_template() {
    let hash = |patch: &Value| LeanPod::decode(&pod(patch)).unwrap().observed.template_hash;
    let touched = json!({"metadata": {"annotations": {"afresh.dev/touched": "z"}}, "status": {"phase": "Failed"}});
    assert_eq!(hash(&json!({})), hash(&touched));
}

#[test]
fn a_pod_that_goes_away_says_so() {
    let object = pod(&json!({"metadata": {"deletionTimestamp": "2026-11-21T10:01:00Z", "ownerReferences": null}}));
    let seen = LeanPod::decode(&object).unwrap();
    assert_eq!((seen.deleting, seen.owner), (true, None));
}

#[rstest]
#[case(json!("Succeeded"), Phase::Succeeded)]
#[case(json!("Failed"), Phase::Failed)]
#[case(json!("Pending"), Phase::Pending)]
#[case(json!("Odd"), Phase::Unknown)]
#[case(json!(null), Phase::Unknown)]
fn a_phase_is_read(#[case] phase: Value, #[case] expected: Phase) {
    assert_eq!(
        LeanPod::decode(&pod(&json!({"status": {"phase": phase}})))
            .unwrap()
            .phase,
        expected
    );
}

#[test]
fn a_pod_by_metadata_is_the_target_of_a_touch() {
    let seen = LeanPodMeta::decode(&pod(&json!({"spec": null}))).unwrap();
    assert_eq!((seen.key.to_string().as_str(), &*seen.uid), ("pod/prod/web-1", "u-2"));
    assert_eq!((seen.touched.as_deref(), seen.deleting), (Some("x"), false));
    assert_eq!((seen.owner, &*seen.resource_version), (Some(replica_set()), "43"));
}

#[rstest]
#[case(json!([{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True"}]), true)]
#[case(json!([{"type": "Ready", "status": "False"}]), false)]
#[case(json!([{"type": "ContainersReady", "status": "True"}]), false)]
#[case(json!([]), false)]
#[case(json!(null), false)]
fn a_pod_is_ready_by_its_condition(#[case] conditions: Value, #[case] ready: bool) {
    let object = pod(&json!({"status": {"conditions": conditions}}));
    let seen = LeanReplica::decode(&object).unwrap();
    assert_eq!(
        (seen.ready, seen.pod.key.to_string().as_str()),
        (ready, "pod/prod/web-1")
    );
    let complete = LeanPod::decode(&object).unwrap().observed.rollout == Rollout::Complete;
    assert_eq!(complete, ready);
}

#[rstest]
#[case(json!([{"state": {"running": {"startedAt": "2026-11-21T10:00:05Z"}}}, {"state": {"running": {"startedAt": "2026-11-21T10:00:02Z"}}}]), Some("2026-11-21T10:00:05Z"))]
#[case(json!([{"state": {"running": {"startedAt": "2026-11-21T10:00:05Z"}}}, {"state": {"waiting": {"reason": "CreateContainerConfigError"}}}]), None)]
#[case(json!([{"state": null}]), None)]
#[case(json!([]), None)]
#[case(json!(null), None)]
fn a_pod_has_started_when_the_last_of_its_containers_has(#[case] containers: Value, #[case] started: Option<&str>) {
    let object = pod(&json!({"status": {"containerStatuses": containers}}));
    let seen = LeanReplica::decode(&object).unwrap();
    assert_eq!(seen.started, started.map(|text| text.parse().unwrap()));
}

#[test]
fn how_many_pods_there_should_be_is_what_the_workload_says() {
    let replicas = |kind: WorkloadKind, patch: &Value| LeanWorkload::decode(kind, &base(patch)).unwrap().replicas;
    assert_eq!(replicas(WorkloadKind::Deployment, &json!({})), Some(2));
    assert_eq!(
        replicas(WorkloadKind::StatefulSet, &json!({"spec": {"replicas": null}})),
        Some(1)
    );
    let nodes = json!({"spec": {"replicas": null}, "status": {"desiredNumberScheduled": 3}});
    assert_eq!(replicas(WorkloadKind::DaemonSet, &nodes), Some(3));
    let custom = WorkloadKind::Custom("a.b/v1/Web=spec.template".parse::<CustomKind>().unwrap().intern());
    let silent = json!({"spec": {"replicas": null, "selector": null}});
    for (kind, unsaid) in [
        (WorkloadKind::Rollout, Some(1)),
        (WorkloadKind::DeploymentConfig, Some(1)),
        (custom, None),
    ] {
        let patch = json!({"spec": {"replicas": 3, "selector": null}});
        assert_eq!(replicas(kind, &patch), Some(3), "{kind:?}");
        assert_eq!(replicas(kind, &silent), unsaid, "{kind:?}");
    }
}

#[test]
fn a_namespace_is_its_name_and_labels() {
    let object = json!({"metadata": {"name": "prod", "resourceVersion": "5", "labels": {"team": "a", "odd": null}}});
    let seen = LeanNamespace::decode(&object.to_string()).unwrap();
    assert_eq!(seen.name.as_str(), "prod");
    let labels: Vec<_> = seen
        .labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(labels, [("odd", ""), ("team", "a")]);
}
