//! `deployment.reloader.stakater.com/pause-period`: what is paused is resumed, whatever happens, and once.

use std::time::Duration;

use afresh_controller::config::Reloader;
use afresh_sandbox::{Filter, RequestFault, Verb};
use serde_json::{Value, json};

use crate::world::{World, annotated, deployment, env_from};

const PERIOD: &str = "deployment.reloader.stakater.com/pause-period";
const PAUSED_AT: &str = "deployment.reloader.stakater.com/paused-at";

async fn web(period: &str) -> World {
    let world = World::with(|config| config.reloader = Some(Reloader::default())).await;
    world.configmap("web", json!({"message": "1"}));
    world.create(annotated(deployment("web", env_from("web")), &[(PERIOD, period)]));
    world.settle().await;
    world
}

fn change(world: &World, text: &str) {
    world.configmap("web", json!({"message": text}));
}

fn paused(world: &World) -> bool {
    world.get("deployments", "web")["spec"]["paused"] == true
}

fn paused_at(world: &World) -> Value {
    world.get("deployments", "web")["metadata"]["annotations"][PAUSED_AT].clone()
}

async fn seconds(world: &World, seconds: u64) {
    world.settle_for(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn what_changes_within_the_period_is_one_rollout_and_the_window_is_not_extended() {
    let world = web("60s").await;
    for n in 2..8 {
        change(&world, &n.to_string());
        seconds(&world, 8).await;
        assert!(paused(&world), "{n}");
        assert_eq!(world.revision("web"), 1);
    }
    seconds(&world, 20).await;
    assert_eq!((paused(&world), paused_at(&world)), (false, Value::Null));
    seconds(&world, 30).await;
    assert_eq!(
        (world.revision("web"), world.env("web", "message")),
        (2, vec!["7".to_owned(), "7".to_owned()])
    );
    seconds(&world, 3600).await;
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_c2_a_paused_deployment_is_resumed_after_a_crash() {
    let mut world = web("60s").await;
    change(&world, "2");
    seconds(&world, 5).await;
    assert!(paused(&world));
    world.kill();
    seconds(&world, 600).await;
    assert!(paused(&world));
    world.restart();
    seconds(&world, 30).await;
    assert!(!paused(&world));
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_c2_a_new_controller_keeps_to_the_window_of_the_one_before() {
    let mut world = web("60s").await;
    change(&world, "2");
    seconds(&world, 20).await;
    let since = paused_at(&world);
    world.restart();
    seconds(&world, 20).await;
    assert_eq!((paused(&world), paused_at(&world)), (true, since));
    seconds(&world, 30).await;
    assert!(!paused(&world));
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_c3_a_person_who_resumes_it_does_not_make_the_next_pause_last_for_ever() {
    let world = web("60s").await;
    change(&world, "2");
    seconds(&world, 5).await;
    world.patch("deployments", "web", json!({"spec": {"paused": false}}));
    seconds(&world, 20).await;
    assert_eq!(
        (paused(&world), paused_at(&world)),
        (false, Value::Null),
        "what is left over is taken out"
    );
    assert_eq!(world.revision("web"), 2);
    change(&world, "3");
    seconds(&world, 5).await;
    assert!(paused(&world));
    seconds(&world, 90).await;
    assert_eq!((paused(&world), world.revision("web")), (false, 3));
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_c4_a_resume_that_fails_is_tried_again() {
    let world = web("60s").await;
    change(&world, "2");
    seconds(&world, 5).await;
    let patches = Filter::verb(Verb::Patch).resource("deployments");
    world
        .sandbox
        .faults()
        .next_requests(3, patches, RequestFault::ConnectionError);
    seconds(&world, 120).await;
    assert_eq!((paused(&world), world.revision("web")), (false, 2));
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_c5_a_persons_own_pause_is_respected() {
    let world = web("60s").await;
    world.patch("deployments", "web", json!({"spec": {"paused": true}}));
    change(&world, "2");
    seconds(&world, 3600).await;
    assert_eq!((paused(&world), paused_at(&world)), (true, Value::Null));
    world.patch("deployments", "web", json!({"spec": {"paused": false}}));
    seconds(&world, 30).await;
    assert_eq!(
        (world.revision("web"), world.env("web", "message")),
        (2, vec!["2".to_owned(), "2".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_is_no_longer_kept_current_is_resumed_all_the_same() {
    let world = web("60s").await;
    change(&world, "2");
    seconds(&world, 5).await;
    assert!(paused(&world));
    world.patch(
        "deployments",
        "web",
        json!({"metadata": {"annotations": {"afresh.dev/reload": null}}}),
    );
    seconds(&world, 90).await;
    assert_eq!((paused(&world), paused_at(&world)), (false, Value::Null));
}

#[tokio::test(start_paused = true)]
async fn a_period_that_is_taken_away_ends_the_pause_at_once() {
    let world = web("1h").await;
    change(&world, "2");
    seconds(&world, 5).await;
    assert!(paused(&world));
    world.patch(
        "deployments",
        "web",
        json!({"metadata": {"annotations": {PERIOD: null}}}),
    );
    seconds(&world, 5).await;
    assert!(!paused(&world));
}

#[tokio::test(start_paused = true)]
async fn a_problem_with_the_period_names_the_key_that_was_chosen_for_it() {
    let chosen = "example.org/pause";
    let world = World::with(|config| {
        config.reloader = Some(Reloader::default());
        config.conventions.reloader.as_mut().unwrap().pause_period = chosen.into();
    })
    .await;
    world.configmap("web", json!({"message": "1"}));
    world.create(annotated(deployment("web", env_from("web")), &[(chosen, "5d")]));
    let mut daemons = annotated(deployment("daemons", env_from("web")), &[(chosen, "1m")]);
    daemons["kind"] = json!("DaemonSet");
    daemons["spec"].as_object_mut().unwrap().remove("replicas");
    world.create(daemons);
    world.settle().await;
    for name in ["web", "daemons"] {
        let told = world.told("InvalidAnnotation", name);
        assert!(told.len() == 1 && told[0].contains(chosen), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_a2_a_period_that_cannot_be_read_is_told_and_nothing_else_waits() {
    let world = web("5d").await;
    change(&world, "2");
    seconds(&world, 30).await;
    assert_eq!((paused(&world), world.revision("web")), (false, 2));
    let told = world.told("InvalidAnnotation", "web");
    assert!(
        told.iter().any(|note| note.contains("\"5d\" is not a duration")),
        "{told:?}"
    );
}
