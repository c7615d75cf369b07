//! Files refreshed in place: which pods are touched, how often, and until when.

use std::time::Duration;

use afresh_sandbox::{Filter, NodeOptions, Options, Verb};
use serde_json::json;
use tokio::time::sleep;

use crate::world::{PROD, World, annotated, deployment, hot, mounted};

/// Nodes that refresh volumes only when they are made to.
fn never_by_themselves(cache_lag: Duration) -> Options {
    let node = NodeOptions {
        sync_min: Duration::from_secs(100_000),
        sync_max: Duration::from_secs(100_001),
        cache_lag,
        ..NodeOptions::default()
    };
    Options {
        node,
        ..Options::default()
    }
}

async fn world_with_lag(cache_lag: Duration) -> World {
    let world = World::of(&never_by_themselves(cache_lag), |_| {}).await;
    world.configmap("web", json!({"message": "old"}));
    world.create(hot("web", "web"));
    world.settle().await;
    world
}

const FILE: &str = "/etc/web/message";

#[tokio::test(start_paused = true)]
async fn a_changed_file_of_a_hot_workload_is_refreshed_within_a_second_while_the_pods_stay() {
    let world = world_with_lag(Duration::from_millis(20)).await;
    let before = world.pods("web");

    world.configmap("web", json!({"message": "new"}));
    sleep(Duration::from_secs(1)).await;

    assert_eq!(world.pods("web"), before);
    assert_eq!(world.file("web", FILE), ["new", "new"]);
    world.settle_for(Duration::from_secs(120)).await;
    assert_eq!((world.revision("web"), world.pods("web")), (1, before));
    assert_eq!(
        world.touches(),
        3 * 2,
        "once, and by the schedule after 2 and 65 seconds"
    );
    let patched = world.sandbox.log().find(&Filter::verb(Verb::Patch).resource("pods"));
    assert!(patched.iter().all(|record| record.request.subresource == "status"));
    assert_eq!(world.told("Touched", "web").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_touch_that_comes_before_the_node_knows_is_healed_by_the_second() {
    let world = world_with_lag(Duration::from_millis(900)).await;
    world.configmap("web", json!({"message": "new"}));
    sleep(Duration::from_millis(800)).await;
    assert_eq!(
        (world.touches(), world.file("web", FILE)),
        (2, vec!["old".to_owned(); 2]),
        "too early"
    );
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.file("web", FILE), ["new", "new"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_cache_lives_a_minute_is_healed_by_the_third_touch() {
    let world = world_with_lag(Duration::from_secs(60)).await;
    world.configmap("web", json!({"message": "new"}));
    sleep(Duration::from_secs(62)).await;
    assert_eq!(world.file("web", FILE), ["old", "old"]);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(world.file("web", FILE), ["new", "new"]);
}

#[tokio::test(start_paused = true)]
async fn the_schedule_goes_on_after_a_crash_where_it_was() {
    let mut world = world_with_lag(Duration::from_secs(60)).await;
    world.configmap("web", json!({"message": "new"}));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(world.touches(), 4);
    world.kill();
    sleep(Duration::from_secs(10)).await;
    world.restart();
    sleep(Duration::from_secs(40)).await;
    assert_eq!(world.touches(), 4, "nothing is done twice");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(
        (world.touches(), world.file("web", FILE)),
        (6, vec!["new".to_owned(); 2])
    );
}

#[tokio::test(start_paused = true)]
async fn content_that_goes_back_while_pods_are_touched_is_touched_back() {
    let world = world_with_lag(Duration::from_millis(20)).await;
    world.configmap("web", json!({"message": "new"}));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.file("web", FILE), ["new", "new"]);
    world.configmap("web", json!({"message": "old"}));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.file("web", FILE), ["old", "old"]);
}

#[tokio::test(start_paused = true)]
async fn twenty_pods_secrets_and_projected_volumes_are_refreshed_within_a_second() {
    let world = World::of(&never_by_themselves(Duration::from_millis(20)), |_| {}).await;
    world.configmap("web", json!({"message": "old"}));
    world.secret("web", &[("password", "old")]);
    let mut spec = mounted("web");
    spec["containers"][0]["volumeMounts"] =
        json!([{"name": "c", "mountPath": "/etc/web"}, {"name": "s", "mountPath": "/etc/secret"}]);
    let sources = json!([{"configMap": {"name": "web"}}]);
    spec["volumes"] = json!([
        {"name": "c", "projected": {"sources": sources}}, {"name": "s", "secret": {"secretName": "web"}}]);
    let mut web = annotated(deployment("web", spec), &[("afresh.dev/hot", "app")]);
    web["spec"]["replicas"] = json!(20);
    world.create(web);
    world.settle().await;

    world.configmap("web", json!({"message": "new"}));
    world.secret("web", &[("password", "new")]);
    sleep(Duration::from_secs(1)).await;

    assert_eq!(world.file("web", FILE), vec!["new"; 20]);
    assert_eq!(world.file("web", "/etc/secret/password"), vec!["new"; 20]);
    assert_eq!((world.revision("web"), world.touches()), (1, 20));
}

#[tokio::test(start_paused = true)]
async fn touches_keep_to_their_rate() {
    let world = World::with(|config| config.touch_qps = 2).await;
    world.configmap("web", json!({"message": "old"}));
    let mut web = hot("web", "web");
    web["spec"]["replicas"] = json!(30);
    world.create(web);
    world.settle().await;

    world.configmap("web", json!({"message": "new"}));
    sleep(Duration::from_millis(5_300)).await;
    assert_eq!(
        world.touches(),
        4 + 1 + 10,
        "a burst of two seconds' worth, then two a second"
    );
    sleep(Duration::from_secs(30)).await;
    assert_eq!(world.file("web", FILE), vec!["new"; 30]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_of_its_own_is_touched_and_never_replaced() {
    let world = World::of(&never_by_themselves(Duration::from_millis(20)), |_| {}).await;
    world.configmap("web", json!({"message": "old"}));
    let metadata = json!({"namespace": PROD, "name": "alone", "labels": {"app": "alone"},
        "annotations": {"afresh.dev/reload": "auto"}});
    let mut spec = mounted("web");
    spec["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "web"}}]);
    world.create(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}));
    world.settle().await;
    let uid = world.get("pods", "alone")["metadata"]["uid"].clone();

    world.configmap("web", json!({"message": "new"}));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.file("alone", FILE), ["new"]);
    world.settle_for(Duration::from_secs(100)).await;

    assert_eq!(world.get("pods", "alone")["metadata"]["uid"], uid);
    assert_eq!(world.env("alone", "message"), ["old"], "only a new pod would see this");
    assert_eq!(world.told("Unreachable", "alone").len(), 1);
    let requests = world.sandbox.log().count(&Filter::any().resource("pods"));
    assert!(requests < 40, "it comes to rest: {requests} requests");
}

#[tokio::test(start_paused = true)]
async fn the_modes_touch_and_roll_overrule_what_would_be_enough() {
    let world = World::of(&never_by_themselves(Duration::from_millis(20)), |_| {}).await;
    world.configmap("web", json!({"message": "old"}));
    let mode = |name: &str, mode: &str| annotated(hot(name, "web"), &[("afresh.dev/reload", mode)]);
    for name in ["touch", "roll", "off"] {
        world.create(mode(name, name));
    }
    world.create(annotated(
        deployment("cold", mounted("web")),
        &[("afresh.dev/reload", "touch")],
    ));
    world.settle().await;

    world.configmap("web", json!({"message": "new"}));
    world.settle().await;

    let revisions = ["touch", "roll", "off", "cold"].map(|name| world.revision(name));
    assert_eq!(revisions, [1, 2, 1, 1]);
    let files = ["touch", "roll", "off", "cold"].map(|name| world.file(name, FILE)[0].clone());
    assert_eq!(files, ["new", "new", "old", "new"]);
}
