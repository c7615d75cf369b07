//! What people and their tools do to workloads: they undo, pause, scale, replace and edit, and they choose strategies
//! that replace no pods.

use std::time::Duration;

use afresh_sandbox::{Filter, Verb};
use serde_json::{Value, json};

use crate::world::{World, deployment, env_from};

const HOUR: Duration = Duration::from_secs(3600);

async fn web() -> World {
    let world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    world
}

fn patches(world: &World, resource: &str) -> usize {
    world
        .sandbox
        .log()
        .count(&Filter::verb(Verb::Patch).resource(resource).name("web"))
}

fn annotate_template(world: &World, value: &Value) {
    let metadata = json!({"annotations": {"afresh.dev/config": value}});
    world.patch(
        "deployments",
        "web",
        json!({"spec": {"template": {"metadata": metadata}}}),
    );
}

#[tokio::test(start_paused = true)]
async fn a_roll_that_somebody_undoes_is_not_done_again_before_the_next_change() {
    let world = web().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    let first =
        world.get("deployments", "web")["spec"]["template"]["metadata"]["annotations"]["afresh.dev/config"].clone();
    world.configmap("web", json!({"a": "3"}));
    world.settle().await;
    let tries = world.tries("web");
    for before in [first, Value::Null] {
        annotate_template(&world, &before); // as kubectl rollout undo does
        world.settle_for(HOUR).await;
        assert_eq!(world.tries("web"), tries);
        assert_eq!(world.env("web", "a"), ["3", "3"]);
    }
    world.configmap("web", json!({"a": "4"}));
    world.settle().await;
    assert_eq!(
        (world.tries("web"), world.env("web", "a")),
        (tries + 1, vec!["4".to_owned(); 2])
    );
}

#[tokio::test(start_paused = true)]
async fn what_changes_while_a_person_has_paused_a_deployment_comes_when_it_is_resumed() {
    let world = web().await;
    world.patch("deployments", "web", json!({"spec": {"paused": true}}));
    for value in ["2", "3"] {
        world.configmap("web", json!({"a": value}));
        world.settle().await;
        assert_eq!(world.get("deployments", "web")["spec"]["paused"], true);
        assert_eq!(world.env("web", "a"), ["1", "1"]);
    }
    world.patch("deployments", "web", json!({"spec": {"paused": null}}));
    world.settle().await;
    assert_eq!(
        (world.revision("web"), world.env("web", "a")),
        (2, vec!["3".to_owned(); 2])
    );
    world.settle_for(HOUR).await;
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_is_no_reason_to_write_anything() {
    let world = web().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    let tries = world.tries("web");
    for replicas in [5, 1, 0, 3] {
        world.patch("deployments", "web", json!({"spec": {"replicas": replicas}}));
        world.settle().await;
        assert_eq!(world.env("web", "a"), vec!["2"; replicas]);
    }
    assert_eq!((world.tries("web"), world.revision("web")), (tries, 2));
}

/// `kubectl replace`, Argo CD's `Replace=true`: what is not in the manifest is gone.
#[tokio::test(start_paused = true)]
async fn a_manifest_that_takes_every_trace_away_again_and_again_is_only_its_owners_rollout() {
    let world = web().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    for revision in 3..6 {
        world.patch("deployments", "web", json!({
            "metadata": {"annotations": {"afresh.dev/applied": null}},
            "spec": {"template": {"metadata": {"annotations": {"afresh.dev/config": null, "release": revision.to_string()}}}},
        }));
        world.settle_for(HOUR).await;
        assert_eq!(world.revision("web"), revision);
        let annotations = &world.get("deployments", "web")["metadata"]["annotations"];
        assert!(annotations["afresh.dev/applied"].is_string(), "adopted anew");
    }
    world.configmap("web", json!({"a": "3"}));
    world.settle().await;
    assert_eq!(
        (world.revision("web"), world.env("web", "a")),
        (6, vec!["3".to_owned(); 2])
    );
}

#[tokio::test(start_paused = true)]
async fn a_record_that_somebody_broke_is_told_and_written_anew_and_costs_no_restart() {
    let huge = "x".repeat(200_000);
    let ahead = json!({"version": 1, "uid": "?", "at": "2999-01-01T00:00:00Z", "objects": {}}).to_string();
    for (broken, told) in [
        ("", 1),
        ("{", 1),
        ("[1]", 1),
        (&*huge, 1),
        (r#"{"version":9,"uid":"","at":"","objects":{}}"#, 1),
        (&*ahead, 0),
    ] {
        let world = web().await;
        world.patch(
            "deployments",
            "web",
            json!({"metadata": {"annotations": {"afresh.dev/applied": broken}}}),
        );
        world.settle().await;
        assert_eq!(world.revision("web"), 1, "{broken:.40}");
        assert_eq!(world.told("InvalidAnnotation", "web").len(), told, "{broken:.40}");
        world.configmap("web", json!({"a": "2"}));
        world.settle().await;
        assert_eq!(
            (world.revision("web"), world.env("web", "a")),
            (2, vec!["2".to_owned(); 2]),
            "{broken:.40}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn times_from_the_future_in_a_record_hold_nothing_back() {
    let world = web().await;
    let text = world.get("deployments", "web")["metadata"]["annotations"]["afresh.dev/applied"].clone();
    let mut record: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    record["at"] = json!("2999-01-01T00:00:00Z");
    record["rolledAt"] = json!("2999-01-01T00:00:00Z");
    record["streak"] = json!(9);
    world.patch(
        "deployments",
        "web",
        json!({"metadata": {"annotations": {"afresh.dev/applied": record.to_string()}}}),
    );
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(
        (world.revision("web"), world.env("web", "a")),
        (2, vec!["2".to_owned(); 2])
    );
}

/// `OnDelete`, or a partition above every ordinal: the template is changed once, and the rest is the owner's.
#[tokio::test(start_paused = true)]
async fn a_strategy_that_replaces_no_pods_is_written_to_once_and_left() {
    let on_delete = json!({"type": "OnDelete"});
    let partition = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 5}});
    for (kind, strategy) in [
        ("StatefulSet", on_delete.clone()),
        ("StatefulSet", partition),
        ("DaemonSet", on_delete),
    ] {
        let world = World::with(|config| config.max_rolling = 1).await;
        world.configmap("web", json!({"a": "1"}));
        let mut workload = deployment("web", env_from("web"));
        workload["kind"] = json!(kind);
        workload["spec"]["updateStrategy"] = strategy.clone();
        if kind == "StatefulSet" {
            workload["spec"]["serviceName"] = json!("web");
        } else {
            workload["spec"].as_object_mut().unwrap().remove("replicas");
        }
        world.create(workload);
        world.create(deployment("other", env_from("web")));
        world.settle().await;
        let resource = kind.to_lowercase() + "s";
        let before = patches(&world, &resource);
        world.configmap("web", json!({"a": "2"}));
        world.settle_for(HOUR).await;
        assert_eq!(patches(&world, &resource), before + 1, "{kind} {strategy}");
        assert!(
            world.env("web", "a").iter().all(|value| value == "1"),
            "{kind} {strategy}"
        );
        assert_eq!(world.env("other", "a"), ["2", "2"], "nobody waits for it");
        if strategy["type"] == "OnDelete" {
            world.pods("web").iter().for_each(|pod| world.delete("pods", pod));
            world.settle().await;
            assert!(
                world.env("web", "a").iter().all(|value| value == "2"),
                "{kind} {strategy}"
            );
            assert_eq!(patches(&world, &resource), before + 1, "{kind} {strategy}");
        }
    }
}

/// Volumes have other sources beside it, and variables a prefix.
#[tokio::test(start_paused = true)]
async fn what_stands_beside_an_object_in_a_pod_makes_no_difference() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    let sources = json!([
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"configMap": {"name": "web", "items": [{"key": "a", "path": "a"}]}},
    ]);
    let container = json!({"name": "app", "image": "app",
        "envFrom": [{"prefix": "WEB_", "configMapRef": {"name": "web"}}],
        "volumeMounts": [{"name": "all", "mountPath": "/etc/web"}]});
    let spec = json!({"containers": [container], "volumes": [{"name": "all", "projected": {"sources": sources}}]});
    world.create(deployment("web", spec));
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle_for(HOUR).await;
    assert_eq!(
        (world.revision("web"), world.env("web", "WEB_a")),
        (2, vec!["2".to_owned(); 2])
    );
}
