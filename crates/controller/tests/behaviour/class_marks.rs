//! `afresh reloader` and SecretProviderClasses: Reloader's marks of them, what they say after a swap, and what counts.

use afresh_controller::Config;
use afresh_controller::config::Reloader;
use afresh_model::reloader::marks::Strategy;
use afresh_model::reloader::sha1::Sha1;
use afresh_sandbox::Options;
use rstest::rstest;
use serde_json::{Value, json};

use crate::csi::{install_driver, mounts, pass_for, says, world as csi_world};
use crate::world::{World, deployment};

const LAST: &str = "reloader.stakater.com/last-reloaded-from";
const DB: &str = "STAKATER_DB_SECRETPROVIDERCLASS";

fn like(reloader: Reloader) -> impl FnOnce(&mut Config) {
    move |config| {
        config.csi = true;
        config.reloader = Some(reloader);
    }
}

fn by(strategy: Strategy) -> impl FnOnce(&mut Config) {
    like(Reloader {
        strategy,
        ..Reloader::default()
    })
}

/// Reloader's hash of what a pod's volume of the class holds.
fn hash(class: &str, version: &str) -> String {
    let lines = [
        ("password", version.as_bytes()),
        ("SecretProviderClassName", class.as_bytes()),
    ];
    Sha1::of(lines).to_string()
}

fn asking_reloader(mut object: Value) -> Value {
    object["metadata"]["annotations"] = json!({"reloader.stakater.com/auto": "true"});
    object
}

/// A Deployment that mounts the class of its own name, as Reloader left it when that held version 1.
fn left_by_reloader(name: &str, strategy: Strategy, at: i64) -> Value {
    let mut object = asking_reloader(deployment(name, mounts(&[name])));
    let template = &mut object["spec"]["template"];
    let hash = hash(name, "1");
    match strategy {
        Strategy::EnvVars => {
            let variable = format!("STAKATER_{}_SECRETPROVIDERCLASS", name.to_ascii_uppercase());
            template["spec"]["containers"][0]["env"] = json!([{"name": variable, "value": hash}]);
        }
        Strategy::Annotations => {
            let last = json!({"type": "SECRETPROVIDERCLASS", "name": name, "namespace": "prod", "hash": hash,
                "containerRefs": ["app"], "observedAt": at});
            template["metadata"]["annotations"] = json!({LAST: last.to_string()});
        }
    }
    object
}

fn variable(world: &World, name: &str, variable: &str) -> Value {
    let template = &world.get("deployments", name)["spec"]["template"];
    let env = template["spec"]["containers"][0]["env"]
        .as_array()
        .into_iter()
        .flatten();
    let mut found = env.filter(|entry| entry["name"] == variable);
    found.next().map_or(Value::Null, |entry| entry["value"].clone())
}

fn last(world: &World, name: &str) -> Value {
    let template = &world.get("deployments", name)["spec"]["template"];
    let text = template["metadata"]["annotations"][LAST].as_str().unwrap_or("null");
    serde_json::from_str(text).unwrap()
}

fn rotate(world: &World, app: &str, version: &str) {
    for pod in world.pods(app) {
        says(world, &pod, app, version);
    }
}

#[rstest]
#[case(Strategy::EnvVars)]
#[case(Strategy::Annotations)]
#[tokio::test(start_paused = true)]
async fn a_rotation_writes_the_mark_that_reloader_would_write(#[case] strategy: Strategy) {
    let world = csi_world(by(strategy)).await;
    world.create(asking_reloader(deployment("db", mounts(&["db"]))));
    pass_for(&world, 30, &[("db", "db", "1")]).await;
    assert_eq!(
        (variable(&world, "db", DB), last(&world, "db")),
        (Value::Null, Value::Null)
    );

    rotate(&world, "db", "2");
    pass_for(&world, 60, &[("db", "db", "2")]).await;
    assert_eq!(world.revision("db"), 2);
    match strategy {
        Strategy::EnvVars => {
            assert_eq!(variable(&world, "db", DB), hash("db", "2"));
            assert_eq!(last(&world, "db"), Value::Null);
        }
        Strategy::Annotations => {
            assert_eq!(variable(&world, "db", DB), Value::Null);
            let last = last(&world, "db");
            let told = json!([last["type"], last["name"], last["hash"], last["containerRefs"]]);
            assert_eq!(told, json!(["SECRETPROVIDERCLASS", "db", hash("db", "2"), ["app"]]));
        }
    }
}

#[rstest]
#[case(Strategy::EnvVars)]
#[case(Strategy::Annotations)]
#[tokio::test(start_paused = true)]
async fn reloader_defect_a1_after_a_swap_a_rotation_that_was_missed_rolls_once_and_nothing_else(
    #[case] strategy: Strategy,
) {
    let mut world = World::empty(&Options::default(), by(strategy));
    install_driver(&world);
    let now = world.sandbox.now().as_second();
    let names = ["current", "missed", "renewed"];
    for name in names {
        world.create(left_by_reloader(name, strategy, now));
    }
    pass_for(&world, 120, &names.map(|name| (name, name, "1"))).await;
    for name in ["missed", "renewed"] {
        rotate(&world, name, "2");
    }
    pass_for(&world, 60, &[]).await;
    // Somebody else rolls this one out after the rotation: its pods were mounted with the new versions.
    let renewal = json!({"spec": {"template": {"metadata": {"annotations": {"renewed": "yes"}}}}});
    world.patch("deployments", "renewed", renewal);
    let given = [
        ("current", "current", "1"),
        ("missed", "missed", "2"),
        ("renewed", "renewed", "2"),
    ];
    pass_for(&world, 60, &given).await;

    for _ in 0..3 {
        world.restart();
        pass_for(&world, 60, &given).await;
        assert_eq!(names.map(|name| world.revision(name)), [1, 2, 2]);
    }
    match strategy {
        Strategy::EnvVars => {
            let mark = variable(&world, "missed", "STAKATER_MISSED_SECRETPROVIDERCLASS");
            assert_eq!(mark, hash("missed", "2"));
        }
        Strategy::Annotations => assert_eq!(last(&world, "missed")["hash"], hash("missed", "2")),
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_swap_a_new_pod_that_was_the_first_to_mount_other_versions_tells_of_a_missed_rotation() {
    let mut world = World::empty(&Options::default(), by(Strategy::EnvVars));
    install_driver(&world);
    let now = world.sandbox.now().as_second();
    world.create(left_by_reloader("db", Strategy::EnvVars, now));
    pass_for(&world, 120, &[("db", "db", "1")]).await;
    world.patch("deployments", "db", json!({"spec": {"replicas": 3}}));
    pass_for(&world, 60, &[("db", "db", "2")]).await;

    for _ in 0..2 {
        world.restart();
        pass_for(&world, 60, &[("db", "db", "2")]).await;
        assert_eq!(world.revision("db"), 2);
    }
}

#[rstest]
#[case(Strategy::EnvVars)]
#[case(Strategy::Annotations)]
#[tokio::test(start_paused = true)]
async fn reloader_defect_b7_classes_that_share_the_annotation_do_not_roll_by_turns(#[case] strategy: Strategy) {
    let world = csi_world(by(strategy)).await;
    world.create(asking_reloader(deployment("db", mounts(&["db", "mq"]))));
    pass_for(&world, 30, &[("db", "db", "1"), ("db", "mq", "1")]).await;
    let (old, given) = (world.pods("db"), [("db", "db", "2"), ("db", "mq", "2")]);
    for (class, pod) in [("db", 0), ("mq", 0), ("db", 1), ("mq", 1)] {
        if world.pods("db").contains(&old[pod]) {
            says(&world, &old[pod], class, "2");
        }
        pass_for(&world, 1, &given).await;
    }
    pass_for(&world, 600, &given).await;
    let revision = world.revision("db");
    assert!(
        (2..=3).contains(&revision),
        "one roll for both, or one for each: {revision}"
    );
    if strategy == Strategy::EnvVars {
        let marks = [("db", DB), ("mq", "STAKATER_MQ_SECRETPROVIDERCLASS")];
        for (class, name) in marks {
            assert_eq!(variable(&world, "db", name), hash(class, "2"));
        }
    }
}

/// Section 5.2: that mounts come and go says nothing of the class, whatever the flags.
#[tokio::test(start_paused = true)]
async fn with_reload_on_create_and_on_delete_mounts_that_come_and_go_roll_nothing() {
    let reloader = Reloader {
        on_create: true,
        on_delete: true,
        ..Reloader::default()
    };
    let world = csi_world(like(reloader)).await;
    world.create(asking_reloader(deployment("db", mounts(&["db"]))));
    pass_for(&world, 30, &[("db", "db", "1")]).await;
    for replicas in [0, 2, 0, 2] {
        world.patch("deployments", "db", json!({"spec": {"replicas": replicas}}));
        pass_for(&world, 60, &[("db", "db", "1")]).await;
        assert_eq!(world.revision("db"), 1);
    }
    rotate(&world, "db", "2");
    pass_for(&world, 60, &[("db", "db", "2")]).await;
    assert_eq!(world.revision("db"), 2);
}
