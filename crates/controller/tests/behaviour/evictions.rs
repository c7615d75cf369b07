//! `afresh.dev/reload: evict`: pods replaced one by one, and nothing else of the workload touched.

use std::time::Duration;

use afresh_sandbox::{Filter, RequestFault, Verb};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::world::{PROD, World, annotated, deployment, env_from};

fn evicted() -> Filter {
    Filter::verb(Verb::Create).resource("pods").subresource("eviction")
}

fn evict(mut workload: Value, replicas: u64) -> Value {
    workload["spec"]["replicas"] = json!(replicas);
    annotated(workload, &[("afresh.dev/reload", "evict")])
}

async fn three_pods() -> World {
    let world = World::start().await;
    world.configmap("web", json!({"a": "old"}));
    world.create(evict(deployment("web", env_from("web")), 3));
    world.settle().await;
    world
}

fn ready(world: &World, app: &str) -> usize {
    let is_ready = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions
            .iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    world
        .pods(app)
        .iter()
        .filter(|pod| is_ready(&world.get("pods", pod)))
        .count()
}

fn record(world: &World, resource: &str, name: &str) -> Value {
    let text = world.get(resource, name)["metadata"]["annotations"]["afresh.dev/applied"].clone();
    serde_json::from_str(text.as_str().unwrap()).unwrap()
}

const MINUTES: Duration = Duration::from_secs(300);

#[tokio::test(start_paused = true)]
async fn pods_go_one_by_one_until_each_is_newer_than_the_change() {
    let world = three_pods().await;
    world.configmap("web", json!({"a": "new"}));
    let mut least = 3;
    for _ in 0..600 {
        sleep(Duration::from_millis(100)).await;
        least = least.min(ready(&world, "web"));
    }
    assert_eq!(world.env("web", "a"), ["new"; 3]);
    assert_eq!(
        least, 2,
        "never more than one at a time, and one is missed while it is replaced"
    );
    assert_eq!(world.sandbox.log().succeeded(&evicted()), 3);
    assert_eq!(world.revision("web"), 1, "the template belongs to somebody else");
    let record = record(&world, "deployments", "web");
    assert!(record.get("evicting").is_none() && record["streak"] == 1, "{record}");
    assert_eq!(
        (world.told("Evicting", "web").len(), world.told("Evicted", "web").len()),
        (1, 1)
    );
    world.settle_for(MINUTES).await;
    assert_eq!(world.sandbox.log().succeeded(&evicted()), 3, "once is enough");
}

#[tokio::test(start_paused = true)]
async fn stateful_sets_and_daemon_sets_too() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "old"}));
    for kind in ["StatefulSet", "DaemonSet"] {
        let mut workload = evict(deployment(&kind.to_lowercase(), env_from("web")), 2);
        workload["kind"] = json!(kind);
        if kind == "StatefulSet" {
            workload["spec"]["serviceName"] = json!("web");
        } else {
            workload["spec"].as_object_mut().unwrap().remove("replicas");
        }
        world.create(workload);
    }
    world.settle().await;
    world.configmap("web", json!({"a": "new"}));
    world.settle_for(MINUTES).await;
    assert_eq!(world.env("statefulset", "a"), ["new"; 2]);
    assert_eq!(world.env("daemonset", "a"), ["new"]);
    assert_eq!(world.sandbox.log().succeeded(&evicted()), 3);
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_refuses_is_waited_for_told_once_and_delays_nobody_else() {
    let world = three_pods().await;
    world.configmap("other", json!({"a": "old"}));
    world.create(deployment("other", env_from("other")));
    world.settle().await;
    let refused = RequestFault::Status {
        code: 429,
        retry_after: Some(10),
    };
    world.sandbox.faults().next_requests(6, evicted(), refused);
    world.configmap("web", json!({"a": "new"}));
    world.configmap("other", json!({"a": "new"}));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(
        (world.env("other", "a"), ready(&world, "web")),
        (vec!["new".to_owned(); 2], 3)
    );
    sleep(Duration::from_secs(50)).await;
    let tries = world.sandbox.log().count(&evicted());
    assert!(
        (3..=6).contains(&tries),
        "at growing pauses of at least ten seconds: {tries}"
    );
    world.settle_for(MINUTES).await;
    assert_eq!(world.env("web", "a"), ["new"; 3]);
    let told = world.told("EvictionRefused", "web");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(world.told("Failed", "web").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_moment_leaves_it_to_be_finished_and_no_pod_goes_twice() {
    for delay in (100..12_000).step_by(700) {
        let mut world = three_pods().await;
        world.configmap("web", json!({"a": "new"}));
        sleep(Duration::from_millis(delay)).await;
        world.kill();
        sleep(Duration::from_secs(3)).await;
        world.restart();
        world.settle_for(MINUTES).await;
        assert_eq!(world.env("web", "a"), ["new"; 3], "{delay} ms");
        assert_eq!(world.sandbox.log().succeeded(&evicted()), 3, "{delay} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn content_that_goes_back_meanwhile_takes_the_new_pods_along() {
    for delay in (100..12_000).step_by(700) {
        let world = three_pods().await;
        world.configmap("web", json!({"a": "new"}));
        sleep(Duration::from_millis(delay)).await;
        world.configmap("web", json!({"a": "old"}));
        world.settle_for(MINUTES).await;
        assert_eq!(world.env("web", "a"), ["old"; 3], "{delay} ms");
        let record = record(&world, "deployments", "web");
        assert!(record.get("evicting").is_none(), "{delay} ms: {record}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_while_nobody_ran_and_replaced_by_its_owner_since_is_only_recorded() {
    let mut world = three_pods().await;
    world.kill();
    world.configmap("web", json!({"a": "new"}));
    sleep(Duration::from_secs(5)).await;
    for pod in world.pods("web") {
        world.delete("pods", &pod);
    }
    world.settle().await;
    world.restart();
    world.settle_for(MINUTES).await;
    assert_eq!(
        (world.env("web", "a"), world.sandbox.log().count(&evicted())),
        (vec!["new".to_owned(); 3], 0)
    );
}

#[tokio::test(start_paused = true)]
async fn workloads_that_are_evicted_have_their_turn_under_max_rolling() {
    let world = World::with(|config| config.max_rolling = 1).await;
    world.configmap("web", json!({"a": "old"}));
    for name in ["one", "two"] {
        world.create(evict(deployment(name, env_from("web")), 2));
    }
    world.settle().await;
    world.configmap("web", json!({"a": "new"}));
    world.settle_for(MINUTES).await;
    let log = world.sandbox.log().find(&evicted());
    let of: Vec<String> = log.iter().map(|record| record.request.name[..3].to_owned()).collect();
    assert!(
        of == ["one", "one", "two", "two"] || of == ["two", "two", "one", "one"],
        "one workload after the other: {of:?}"
    );
    assert_eq!(
        (world.env("one", "a"), world.env("two", "a")),
        (vec!["new".to_owned(); 2], vec!["new".to_owned(); 2])
    );
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_evicts_nobody() {
    let world = World::with(|config| config.dry_run = true).await;
    world.configmap("web", json!({"a": "old"}));
    world.create(evict(deployment("web", env_from("web")), 3));
    world.settle().await;
    world.configmap("web", json!({"a": "new"}));
    world.settle_for(MINUTES).await;
    assert_eq!(
        (world.env("web", "a"), world.tries("web")),
        (vec!["old".to_owned(); 3], 0)
    );
}

/// A Pod as an operator makes it, without a workload that Kubernetes knows.
fn pod(name: &str, owner: Option<&Value>) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": PROD, "name": name, "labels": {"app": "db"}, "annotations": {"afresh.dev/reload": "evict"}},
        "spec": env_from("web")});
    if let Some(owner) = owner {
        pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner",
            "uid": owner["metadata"]["uid"], "controller": true}]);
    }
    pod
}

#[tokio::test(start_paused = true)]
async fn pods_of_an_unknown_controller_wait_for_each_other() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "old"}));
    world.configmap("owner", json!({}));
    let owner = world.get("configmaps", "owner");
    for name in ["db-0", "db-1"] {
        world.create(pod(name, Some(&owner)));
    }
    world.settle().await;
    world.configmap("web", json!({"a": "new"}));
    world.settle().await;
    let left = world.pods("db");
    assert_eq!(left.len(), 1, "the other one has not been replaced yet");

    world.create(pod(if left == ["db-0"] { "db-1" } else { "db-0" }, Some(&owner)));
    world.settle().await;
    assert_eq!(world.pods("db").len(), 1, "its replacement is ready");
    world.create(pod(&left[0], Some(&owner)));
    world.settle_for(MINUTES).await;
    assert_eq!(world.env("db", "a"), ["new"; 2]);
    assert_eq!(world.sandbox.log().succeeded(&evicted()), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_would_not_come_back_is_not_evicted_and_that_is_said() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "old"}));
    world.create(pod("bare", None));
    world.settle().await;
    world.configmap("web", json!({"a": "new"}));
    world.settle_for(MINUTES).await;
    assert_eq!((world.pods("db").len(), world.sandbox.log().count(&evicted())), (1, 0));
    let told = world.told("InvalidAnnotation", "bare");
    assert!(
        told.len() == 1 && told[0].contains("it would not come back"),
        "{told:?}"
    );
}
