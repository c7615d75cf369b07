//! What rolls a workload, what does not, and how often.

use std::time::Duration;

use afresh_sandbox::{Filter, Verb};
use serde_json::json;
use tokio::time::sleep;

use crate::world::{World, annotated, configmap, deployment, env_from, env_key, mounted};

/// A Deployment `web` that takes all of ConfigMap `web` as environment, adopted.
async fn web() -> World {
    let world = World::start().await;
    world.configmap("web", json!({"message": "Hello World"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_changed_variable_rolls_the_workload_exactly_once_and_new_pods_have_the_new_value() {
    let world = web().await;
    assert_eq!(world.revision("web"), 1, "adopting does not restart");

    world.configmap("web", json!({"message": "Hello Grandma"}));
    world.settle().await;

    assert_eq!(world.revision("web"), 2);
    assert_eq!(world.env("web", "message"), ["Hello Grandma", "Hello Grandma"]);
    world.settle_for(Duration::from_secs(3600)).await;
    assert_eq!(world.revision("web"), 2, "never again for the same content");
}

#[tokio::test(start_paused = true)]
async fn a_change_made_while_no_controller_runs_is_found_by_the_next() {
    let mut world = web().await;

    world.kill();
    world.configmap("web", json!({"message": "2"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 1);

    world.restart();
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_controller_rolls_nothing() {
    let mut world = web().await;
    world.configmap("web", json!({"message": "2"}));
    world.settle().await;
    for _ in 0..3 {
        world.restart();
        world.settle().await;
    }
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn ten_objects_applied_together_are_one_roll() {
    let world = World::start().await;
    let sources: Vec<_> = (0..10)
        .map(|n| json!({"configMapRef": {"name": format!("c{n}")}}))
        .collect();
    for n in 0..10 {
        world.configmap(&format!("c{n}"), json!({format!("KEY_{n}"): "old"}));
    }
    let spec = json!({"containers": [{"name": "app", "image": "app", "envFrom": sources}]});
    world.create(deployment("web", spec));
    world.settle().await;

    for n in 0..10 {
        world.configmap(&format!("c{n}"), json!({format!("KEY_{n}"): "new"}));
        sleep(Duration::from_millis(90)).await;
    }
    world.settle().await;

    assert_eq!(world.revision("web"), 2);
    for n in 0..10 {
        assert_eq!(world.env("web", &format!("KEY_{n}")), ["new", "new"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_without_end_is_acted_on_after_two_seconds() {
    let world = web().await;
    for n in 0..21 {
        world.configmap("web", json!({"message": n.to_string()}));
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(world.revision("web"), 2);
    world.settle().await;
    assert_eq!(world.env("web", "message"), ["20", "20"], "and the last state lands");
}

#[tokio::test(start_paused = true)]
async fn with_settle_zero_it_acts_at_once_and_with_its_own_settle_a_workload_waits_for_that() {
    let world = World::with(|config| config.settle = Duration::ZERO).await;
    world.configmap("web", json!({"message": "1"}));
    world.create(deployment("web", env_from("web")));
    world.create(annotated(
        deployment("slow", env_from("web")),
        &[("afresh.dev/settle", "3s")],
    ));
    world.settle().await;

    world.configmap("web", json!({"message": "2"}));
    sleep(Duration::from_millis(1)).await;
    assert_eq!((world.revision("web"), world.revision("slow")), (2, 1));
    sleep(Duration::from_millis(2_990)).await;
    assert_eq!(world.revision("slow"), 1);
    sleep(Duration::from_millis(20)).await;
    assert_eq!(world.revision("slow"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_change_and_its_undoing_within_the_settle_time_are_nothing() {
    let world = web().await;
    world.configmap("web", json!({"message": "other"}));
    sleep(Duration::from_millis(100)).await;
    world.configmap("web", json!({"message": "Hello World"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_that_nobody_uses_labels_and_equal_content_do_nothing() {
    let world = World::start().await;
    world.configmap("web", json!({"used": "1", "unused": "1"}));
    world.create(deployment("web", env_key("web", "used")));
    world.settle().await;
    let tries = world.tries("web");

    world.configmap("web", json!({"unused": "2"}));
    world.settle().await;
    world.patch(
        "configmaps",
        "web",
        json!({"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}}),
    );
    world.settle().await;
    world.configmap("web", json!({"used": "1"}));
    world.settle().await;

    assert_eq!(
        (world.revision("web"), world.tries("web")),
        (1, tries),
        "not even a patch"
    );
}

#[tokio::test(start_paused = true)]
async fn an_object_deleted_and_made_again_rolls_only_if_its_content_differs() {
    let world = web().await;
    for (content, rolls) in [("Hello World", 1), ("Hello Grandma", 2)] {
        world.delete("configmaps", "web");
        world.settle().await;
        assert_eq!(world.env("web", "message").len(), 2, "nothing is done while it is gone");
        world.configmap("web", json!({"message": content}));
        world.settle().await;
        assert_eq!(world.revision("web"), rolls);
        assert_eq!(world.env("web", "message"), [content, content]);
    }
    assert_eq!(
        world.told("Missing", "web").len(),
        1,
        "told as one Event, again as its count"
    );
}

#[tokio::test(start_paused = true)]
async fn a_workload_deleted_and_made_again_is_another_one() {
    let world = web().await;
    world.configmap("web", json!({"message": "2"}));
    world.settle().await;
    let copy = world.get("deployments", "web");
    world.delete("deployments", "web");
    world.settle().await;

    // As restored from a backup: its record speaks of another workload's pods.
    world.configmap("web", json!({"message": "3"}));
    world.settle().await;
    let mut restored = deployment("web", env_from("web"));
    restored["metadata"]["annotations"] = copy["metadata"]["annotations"].clone();
    world.create(restored);
    world.settle().await;

    assert_eq!(world.env("web", "message"), ["3", "3"]);
    let controlled = world.sandbox.list("replicasets", "prod");
    assert_eq!(controlled.len(), 1, "adopted as it is: {controlled:?}");
}

#[tokio::test(start_paused = true)]
async fn a_chart_that_changes_the_object_and_the_template_together_is_one_rollout() {
    let world = web().await;
    for (n, order) in ["object first", "template first"].into_iter().enumerate() {
        let checksum = json!({"spec": {"template": {"metadata": {"annotations": {"checksum/config": order}}}}});
        let before = world.revision("web");
        if order == "object first" {
            world.configmap("web", json!({"message": order}));
            sleep(Duration::from_millis(20)).await;
            world.patch("deployments", "web", checksum);
        } else {
            world.patch("deployments", "web", checksum);
            world.configmap("web", json!({"message": order}));
        }
        world.settle().await;
        assert_eq!(world.env("web", "message"), [order, order]);
        // Templates go last in a chart. If they go first nobody can know that its pods will be late enough.
        let most = if n == 0 { 1 } else { 2 };
        let rollouts = world.revision("web") - before;
        assert!((1..=most).contains(&rollouts), "{order}: {rollouts} rollouts");
        world.settle_for(Duration::from_secs(700)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_template_that_turns_to_another_object_is_only_its_owners_rollout() {
    let world = web().await;
    world.create(configmap("web-2", json!({"message": "from the other"})));
    world.settle().await;

    world.patch(
        "deployments",
        "web",
        json!({"spec": {"template": {"spec": env_from("web-2")}}}),
    );
    world.settle().await;
    assert_eq!(world.revision("web"), 2, "the owner's rollout");
    assert_eq!(world.env("web", "message"), ["from the other", "from the other"]);

    world.configmap("web", json!({"message": "nobody reads this any more"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
    world.configmap("web-2", json!({"message": "new"}));
    world.settle().await;
    assert_eq!(
        (world.revision("web"), world.env("web", "message")),
        (3, vec!["new".to_owned(); 2])
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_costs_one_patch_and_one_event_and_lists_nothing() {
    let world = web().await;
    world.configmap("web", json!({"message": "first"})); // the first roll begins a series of Events
    world.settle().await;
    world.sandbox.log().clear();

    world.configmap("web", json!({"message": "second"}));
    world.settle().await;

    let log = world.sandbox.log();
    assert_eq!(log.count(&Filter::verb(Verb::List)), 0);
    assert_eq!(log.count(&Filter::verb(Verb::Get)), 0);
    assert_eq!(log.count(&Filter::verb(Verb::Patch).resource("deployments")), 1);
    let events = log.find(&Filter::any().resource("events"));
    assert_eq!(events.len(), 1, "{events:?}");
    // Kinds that are absent are looked for now and then, whether something changes or not.
    let looks = |resource| log.count(&Filter::verb(Verb::Watch).resource(resource));
    let looks = looks("rollouts") + looks("deploymentconfigs");
    let watches = log.find(&Filter::verb(Verb::Watch));
    assert_eq!(watches.len(), looks, "{watches:?}");
    let all = log.count(&Filter::any());
    assert_eq!(all, 2 + looks, "nothing else was asked");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_nobody_rereads_and_a_file_through_sub_path_are_frozen() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    world.create(deployment("cold", mounted("web")));
    let mut spec = mounted("web");
    spec["containers"][0]["volumeMounts"] = json!([{"name": "c", "mountPath": "/etc/web/a", "subPath": "a"}]);
    world.create(annotated(deployment("sub", spec), &[("afresh.dev/hot", "true")]));
    world.settle().await;

    world.configmap("web", json!({"a": "2"}));
    world.settle().await;

    assert_eq!((world.revision("cold"), world.revision("sub")), (2, 2));
    assert_eq!(world.file("sub", "/etc/web/a"), ["2", "2"]);
}

#[tokio::test(start_paused = true)]
async fn content_that_goes_back_during_a_rollout_reaches_the_pods_that_began_in_between() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "0"}));
    let mut web = deployment("web", env_from("web"));
    web["kind"] = json!("StatefulSet");
    web["spec"]["serviceName"] = json!("web");
    world.create(web);
    world.settle().await;
    // The pod made for the first change starts after the second, and is not yet replaced when the first comes back.
    for (value, pause) in [("1", 1_000), ("2", 450), ("1", 0)] {
        world.configmap("web", json!({"a": value}));
        sleep(Duration::from_millis(pause)).await;
    }
    world.settle_for(Duration::from_secs(300)).await;
    assert_eq!(world.env("web", "a"), ["1", "1"]);
}
