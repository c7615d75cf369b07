//! `/metrics`, `/livez`, `/readyz` and `/state`.

use std::time::Duration;

use afresh_controller::config::LeaderConfig;
use afresh_engine::lease::Terms;
use afresh_sandbox::{Filter, Options, RequestFault, Verb};
use serde_json::json;
use tokio::time::sleep;

use crate::world::{World, ask, deployment, env_from, free_address, state};

/// The value of a sample, by its whole name with labels.
fn sample(text: &str, name: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// OpenMetrics: every sample belongs to a family that was declared, every value is a number, and the end is marked.
fn assert_open_metrics(text: &str) {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let families: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let base = name.split('{').next().unwrap();
        assert!(base.starts_with("afresh_"), "{line}");
        assert!(
            families.iter().any(|family| base.starts_with(family)),
            "{line} belongs to no family"
        );
        assert_eq!(name.contains('{'), name.ends_with('}'), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_parse_and_count_what_happened() {
    let address = free_address();
    let world = World::with(|config| config.metrics_addr = Some(address)).await;
    world.configmap("web", json!({"a": "1"}));
    world.settle().await;
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;

    let (code, text) = ask(address, "/metrics").await;
    assert_eq!(code, 200);
    assert_open_metrics(&text);
    let rolls = r#"afresh_actions_total{action="roll",kind="deployment",result="ok"}"#;
    assert_eq!(sample(&text, rolls), Some(1.0), "{text}");
    assert_eq!(sample(&text, "afresh_leader"), Some(1.0));
    assert_eq!(sample(&text, "afresh_synced"), Some(1.0));
    assert_eq!(sample(&text, r#"afresh_objects{kind="configmap"}"#), Some(1.0));
    assert_eq!(sample(&text, r#"afresh_workloads{kind="deployment"}"#), Some(1.0));
    assert_eq!(sample(&text, "afresh_latency_seconds_count"), Some(1.0));
    assert_eq!(sample(&text, "afresh_waiting"), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_annotation_is_counted() {
    let address = free_address();
    let world = World::with(|config| config.metrics_addr = Some(address)).await;
    let wrong = [("afresh.dev/settle", "soon")];
    world.create(crate::world::annotated(deployment("web", env_from("web")), &wrong));
    world.settle().await;
    let (_, text) = ask(address, "/metrics").await;
    assert_eq!(
        sample(&text, r#"afresh_notices_total{reason="InvalidAnnotation"}"#),
        Some(1.0),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_e5_it_is_alive_at_once_and_ready_when_every_watch_has_listed() {
    let address = free_address();
    let mut world = World::empty(&Options::default(), |config| config.metrics_addr = Some(address));
    let secrets = Filter::verb(Verb::Watch).resource("secrets");
    let down = RequestFault::Status {
        code: 503,
        retry_after: None,
    };
    world.sandbox.faults().next_requests(usize::MAX, secrets, down);
    world.restart();
    world.settle().await;

    assert_eq!(ask(address, "/livez").await.0, 200);
    let (code, body) = ask(address, "/readyz").await;
    assert_eq!((code, body.contains("secret")), (503, true), "{body}");
    world.sandbox.faults().quiet();
    world.settle().await;
    assert_eq!(ask(address, "/readyz").await, (200, "ok\n".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn it_is_alive_but_not_ready_while_the_server_does_not_answer_at_all() {
    let address = free_address();
    let mut world = World::empty(&Options::default(), |config| config.metrics_addr = Some(address));
    world
        .sandbox
        .faults()
        .next_requests(usize::MAX, Filter::any(), RequestFault::Hang);
    world.restart();
    world.settle().await;
    assert_eq!(
        (ask(address, "/livez").await.0, ask(address, "/readyz").await.0),
        (200, 503)
    );
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_could_neither_lead_nor_take_over_is_not_ready() {
    let address = free_address();
    let leader = LeaderConfig {
        namespace: "afresh".parse().unwrap(),
        name: "afresh".parse().unwrap(),
        terms: Terms::default(),
    };
    let world = World::with(|config| {
        config.metrics_addr = Some(address);
        config.leader = Some(leader);
    })
    .await;
    assert_eq!(ask(address, "/readyz").await.0, 200);
    let leases = Filter::any().resource("leases");
    let forbidden = RequestFault::Status {
        code: 403,
        retry_after: None,
    };
    world.sandbox.faults().next_requests(usize::MAX, leases, forbidden);
    sleep(Duration::from_secs(20)).await;
    let (code, body) = ask(address, "/readyz").await;
    assert_eq!((code, body.contains("lead")), (503, true), "{body}");
    world.sandbox.faults().quiet();
    world.settle().await;
    assert_eq!(ask(address, "/readyz").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn the_state_tells_what_is_watched_and_what_waits_and_for_what() {
    let address = free_address();
    let world = World::with(|config| config.metrics_addr = Some(address)).await;
    world.configmap("web", json!({"a": "1"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    let before = state(address).await;
    assert_eq!(before["engine"]["waiting"], json!([]));
    let kinds: Vec<&str> = before["watches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|watch| watch["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds.len(), 8, "{kinds:?}");
    assert!(before["watches"].as_array().unwrap().iter().all(|watch| {
        // The sandbox has neither Argo nor OpenShift.
        let absent = watch["kind"] == "rollout" || watch["kind"] == "deploymentconfig";
        watch["synced"] == true && watch["phase"] == if absent { "absent" } else { "watching" }
    }));

    world.configmap("web", json!({"a": "2"}));
    sleep(Duration::from_millis(100)).await;
    let settling = state(address).await;
    assert_eq!(
        settling["engine"]["waiting"][0]["workload"], "deployment/prod/web",
        "{settling:#}"
    );
    assert_eq!(settling["engine"]["waiting"][0]["state"], "settle");
    let changed: Vec<&str> = kinds
        .iter()
        .enumerate()
        .filter(|(n, _)| settling["watches"][n]["checksum"] != before["watches"][n]["checksum"])
        .map(|(_, kind)| *kind)
        .collect();
    assert_eq!(changed, ["configmap"], "a checksum for each watch");
}

#[tokio::test(start_paused = true)]
async fn other_paths_and_methods_are_refused() {
    let address = free_address();
    let _world = World::with(|config| config.metrics_addr = Some(address)).await;
    assert_eq!(ask(address, "/").await.0, 404);
    assert_eq!(ask(address, "/state/../metrics").await.0, 404);
}
