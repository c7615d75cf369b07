//! The flap breaker and `--max-rolling`: who has to wait, and that nothing is lost by it.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::world::{World, deployment, env_from, free_address, state};

#[tokio::test(start_paused = true)]
async fn a_workload_that_keeps_changing_is_rolled_at_growing_intervals_and_the_last_state_lands() {
    let world = World::start().await;
    world.configmap("web", json!({"message": "0"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;

    for n in 1..=120 {
        world.configmap("web", json!({"message": n.to_string()}));
        sleep(Duration::from_secs(5)).await;
    }
    let rolls = world.revision("web") - 1;
    // 3 at once, then after 15, 30, 60, 120 and 240 seconds.
    assert!((7..=9).contains(&rolls), "{rolls} rolls for 120 changes in ten minutes");
    let told = world.told("Flapping", "web");
    assert!(told.iter().any(|note| note.contains("keeps changing")), "{told:?}");

    world.settle_for(Duration::from_secs(600)).await;
    assert_eq!(world.env("web", "message"), ["120", "120"]);
    let rolls = world.revision("web");
    world.settle_for(Duration::from_secs(3_600)).await;
    assert_eq!(world.revision("web"), rolls);

    // After a quiet time it is a workload like any other.
    for n in 200..203 {
        world.configmap("web", json!({"message": n.to_string()}));
        sleep(Duration::from_secs(5)).await;
        assert_eq!(world.env("web", "message"), [n.to_string(), n.to_string()]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_controller_goes_on_breaking_the_same_flap() {
    let mut world = World::start().await;
    world.configmap("web", json!({"message": "0"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    for n in 1..=4 {
        world.configmap("web", json!({"message": n.to_string()}));
        sleep(Duration::from_secs(1)).await;
        world.restart();
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.revision("web"), 4, "three are free, the fourth waits");
    sleep(Duration::from_secs(16)).await;
    assert_eq!(world.env("web", "message"), ["4", "4"]);
}

#[tokio::test(start_paused = true)]
async fn at_most_so_many_workloads_roll_at_once_and_the_others_are_seen_waiting_for_their_turn() {
    let address = free_address();
    let world = World::with(|config| {
        config.max_rolling = 2;
        config.metrics_addr = Some(address);
    })
    .await;
    world.configmap("web", json!({"message": "1"}));
    for n in 0..7 {
        let mut web = deployment(&format!("web-{n}"), env_from("web"));
        web["spec"]["minReadySeconds"] = json!(10);
        world.create(web);
    }
    world.settle().await;

    world.configmap("web", json!({"message": "2"}));
    let rolled = |world: &World| (0..7).filter(|n| world.revision(&format!("web-{n}")) == 2).count();
    let in_progress = |world: &World| {
        let rolling = |n: &i32| {
            let status = &world.get("deployments", &format!("web-{n}"))["status"];
            status["updatedReplicas"] != 2 || status["availableReplicas"] != 2 || status["replicas"] != 2
        };
        (0..7).filter(rolling).count()
    };
    sleep(Duration::from_secs(1)).await;
    assert_eq!(rolled(&world), 2);
    let seen = state(address).await;
    let turns = seen["engine"]["waiting"].as_array().unwrap();
    let turns = turns.iter().filter(|waiting| waiting["state"] == "turn").count();
    assert_eq!((turns, seen["engine"]["rolling"].as_u64()), (5, Some(2)), "{seen:#}");

    for _ in 0..400 {
        assert!(in_progress(&world) <= 2);
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(rolled(&world), 7);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_hangs_gives_up_its_turn_in_the_end() {
    let world = World::with(|config| {
        config.max_rolling = 1;
        config.rollout_timeout = Duration::from_secs(60);
    })
    .await;
    world.configmap("web", json!({"message": "1"}));
    for name in ["a-hangs", "b-waits"] {
        world.create(deployment(name, env_from("web")));
    }
    world.settle().await;
    // Its new pods fit on no node.
    let nowhere = json!({"spec": {"template": {"spec": {"nodeSelector": {"never": "there"}}}}});
    world.patch("deployments", "a-hangs", nowhere);
    world.settle().await;

    world.configmap("web", json!({"message": "2"}));
    sleep(Duration::from_secs(30)).await;
    let rolled = ["a-hangs", "b-waits"].map(|name| world.revision(name));
    assert!(rolled == [3, 1] || rolled == [2, 2], "one at a time: {rolled:?}");
    sleep(Duration::from_secs(120)).await;
    assert_eq!(world.env("b-waits", "message"), ["2", "2"]);
}
