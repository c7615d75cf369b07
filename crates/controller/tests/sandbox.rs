//! The controller against the in-process API server and node, by a paused clock: no timing decides anything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/world.rs"]
mod support;

use std::time::Duration;

use serde_json::json;
use support::{World, deployment, env_from, mounted};

#[tokio::test(start_paused = true)]
async fn a_changed_variable_rolls_the_workload_exactly_once_and_new_pods_have_the_new_value() {
    let world = World::start().await;
    world.configmap("web", json!({"message": "Hello World"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    assert_eq!(world.revision("web"), "1", "adopting does not restart");

    world.configmap("web", json!({"message": "Hello Grandma"}));
    world.settle().await;

    assert_eq!(world.revision("web"), "2");
    for pod in world.pods("web") {
        let process = world.sandbox.node().process("prod", &pod, "app").unwrap();
        assert_eq!(process.env["message"], "Hello Grandma");
    }
    world.settle_for(Duration::from_secs(3600)).await;
    assert_eq!(world.revision("web"), "2", "never again for the same content");
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_of_a_hot_workload_is_refreshed_while_the_pod_stays() {
    let world = World::start().await;
    world.configmap("web", json!({"message": "Hello World"}));
    let mut web = deployment("web", mounted("web"));
    web["metadata"]["annotations"]["afresh.dev/hot"] = json!("true");
    world.create(web);
    world.settle().await;
    let before = world.pods("web");

    world.configmap("web", json!({"message": "Hello Grandma"}));
    tokio::time::sleep(Duration::from_secs(2)).await;

    assert_eq!(world.pods("web"), before);
    for pod in &before {
        assert_eq!(
            world
                .sandbox
                .node()
                .file("prod", pod, "app", "/etc/web/message")
                .unwrap(),
            "Hello Grandma"
        );
    }
    world.settle_for(Duration::from_secs(120)).await;
    assert_eq!(world.revision("web"), "1");
    assert_eq!(
        world.touches(),
        3 * before.len(),
        "once, and by the schedule after 2 and 65 seconds"
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_made_while_no_controller_runs_is_found_by_the_next() {
    let mut world = World::start().await;
    world.configmap("web", json!({"message": "1"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;

    world.kill();
    world.configmap("web", json!({"message": "2"}));
    world.settle().await;
    assert_eq!(world.revision("web"), "1");

    world.restart();
    world.settle().await;
    assert_eq!(world.revision("web"), "2");
}
