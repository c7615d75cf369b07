//! Changes that land where nobody seems to look: before adoption, between decision and patch.

use std::time::Duration;

use afresh_sandbox::{Delivery, Filter, RequestFault, Verb};
use serde_json::json;
use tokio::time::sleep;

use crate::world::{World, deployment, env_from};

#[tokio::test(start_paused = true)]
async fn a_change_between_a_workloads_creation_and_its_adoption_is_not_lost() {
    // At every moment around the start of its pods (500 ms), with the adoption held back.
    for delay in [0, 1, 300, 499, 500, 501, 700, 1_200, 2_500, 5_000] {
        let world = World::start().await;
        world.configmap("web", json!({"a": "old"}));
        world.settle().await;
        let record = Filter::verb(Verb::Patch).resource("deployments");
        let refused = RequestFault::Status {
            code: 503,
            retry_after: Some(3),
        };
        world.sandbox.faults().next_requests(1, record, refused);
        world.create(deployment("web", env_from("web")));
        sleep(Duration::from_millis(delay)).await;
        world.configmap("web", json!({"a": "new"}));
        world.settle().await;

        assert_eq!(world.env("web", "a"), ["new", "new"], "{delay} ms after the creation");
        assert!(world.revision("web") <= 2, "{delay} ms: rolled more than once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_before_adoption_while_no_controller_runs_is_not_lost_either() {
    for delay in [0, 600, 2_500, 100_000] {
        let mut world = World::start().await;
        world.configmap("web", json!({"a": "old"}));
        world.settle().await;
        world.kill();
        world.create(deployment("web", env_from("web")));
        sleep(Duration::from_millis(delay)).await;
        world.configmap("web", json!({"a": "new"}));
        world.settle().await;
        world.restart();
        world.settle().await;
        assert_eq!(world.env("web", "a"), ["new", "new"], "{delay} ms after the creation");
        assert!(world.revision("web") <= 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_deleted_and_made_anew_before_adoption_is_a_change() {
    let mut world = World::start().await;
    world.configmap("web", json!({"a": "old"}));
    world.configmap("plain", json!({"a": "old"}));
    world.settle().await;
    world.kill();
    world.create(deployment("web", env_from("web")));
    world.create(deployment("plain", env_from("plain")));
    world.settle().await;
    world.delete("configmaps", "web");
    world.configmap("web", json!({"a": "new"}));
    world.settle().await;
    world.restart();
    world.settle().await;
    assert_eq!(
        (world.revision("web"), world.env("web", "a")),
        (2, vec!["new".to_owned(); 2])
    );
    assert_eq!(world.revision("plain"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_workload_deployed_before_its_object_is_adopted_without_a_roll() {
    let world = World::start().await;
    world.create(deployment("web", env_from("web")));
    sleep(Duration::from_secs(2)).await;
    world.configmap("web", json!({"a": "1"}));
    world.settle_for(Duration::from_secs(120)).await;
    assert_eq!(
        (world.revision("web"), world.env("web", "a")),
        (1, vec!["1".to_owned(); 2])
    );
}

#[tokio::test(start_paused = true)]
async fn installing_into_a_running_cluster_rolls_nothing() {
    let mut world = World::start().await;
    world.kill();
    world.sandbox.delete("secrets", "afresh", "afresh-digest-key").unwrap();
    world.configmap("web", json!({"a": "1"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    world.restart();
    world.settle().await;
    assert_eq!(
        (world.revision("web"), world.env("web", "a")),
        (1, vec!["1".to_owned(); 2]),
        "adopted as it is"
    );
    world.configmap("web", json!({"a": "3"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lost_digest_key_rolls_nothing_and_later_changes_count() {
    let mut world = World::start().await;
    world.secret("web", &[("a", "1")]);
    let spec = json!({"containers": [{"name": "app", "image": "app", "envFrom": [{"secretRef": {"name": "web"}}]}]});
    world.create(deployment("web", spec));
    world.settle().await;
    world.sandbox.delete("secrets", "afresh", "afresh-digest-key").unwrap();
    world.restart();
    world.settle().await;
    assert_eq!(world.revision("web"), 1);
    world.secret("web", &[("a", "2")]);
    world.settle().await;
    assert_eq!(
        (world.revision("web"), world.env("web", "a")),
        (2, vec!["2".to_owned(); 2])
    );
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_goes_or_is_replaced_between_decision_and_patch_is_left_alone() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    let slow = RequestFault::Delay(Duration::from_secs(2));
    world
        .sandbox
        .faults()
        .next_requests(1, Filter::verb(Verb::Patch).resource("deployments"), slow);
    world.configmap("web", json!({"a": "2"}));
    sleep(Duration::from_secs(1)).await;
    world.delete("deployments", "web");
    sleep(Duration::from_millis(500)).await;
    world.create(deployment("web", env_from("web")));
    world.settle().await;

    assert_eq!(world.env("web", "a"), ["2", "2"]);
    assert_eq!(world.revision("web"), 1, "the patch was meant for another UID");
    world.configmap("web", json!({"a": "3"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_patch_whose_answer_is_lost_is_not_a_second_roll() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    let faults = world.sandbox.faults();
    let patch = Filter::verb(Verb::Patch).resource("deployments");
    faults.next_requests(3, patch, RequestFault::ReplyLost);
    // And what was written is seen only after further tries.
    let delivery = Delivery {
        delay: Duration::from_secs(20),
        ..Delivery::default()
    };
    faults.deliver(Filter::verb(Verb::Watch).resource("deployments"), delivery);
    let before = world.tries("web");
    world.configmap("web", json!({"a": "2"}));
    world.settle_for(Duration::from_secs(120)).await;
    assert!(world.tries("web") - before >= 4);
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_removed_while_nobody_watched_is_found_whoever_rolled_out_before() {
    let mut world = World::start().await;
    world.configmap("web", json!({"a": "1", "b": "1"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    let edit = json!({"spec": {"template": {"metadata": {"annotations": {"edition": "2"}}}}});
    world.patch("deployments", "web", edit);
    world.settle().await;
    world.kill();
    // No time in managedFields tells of this.
    world.configmap("web", json!({"b": null}));
    world.settle().await;
    world.restart();
    world.settle().await;
    assert_eq!(
        (world.revision("web"), world.env("web", "b")),
        (3, vec![String::new(); 2])
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_during_a_slow_patch_is_the_next_roll() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    let slow = RequestFault::Delay(Duration::from_secs(5));
    world
        .sandbox
        .faults()
        .next_requests(1, Filter::verb(Verb::Patch).resource("deployments"), slow);
    world.configmap("web", json!({"a": "2"}));
    sleep(Duration::from_secs(2)).await;
    world.configmap("web", json!({"a": "3"}));
    world.settle().await;
    assert_eq!(
        (world.revision("web"), world.env("web", "a")),
        (3, vec!["3".to_owned(); 2])
    );
}
