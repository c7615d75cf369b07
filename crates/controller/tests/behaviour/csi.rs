//! What the secrets-store CSI driver mounts, with the driver played by the test.

use std::time::Duration;

use afresh_sandbox::{Filter, Options, Patch, RequestFault, Resource};
use serde_json::{Value, json};

use crate::world::{PROD, World, annotated, deployment};

const GROUP: &str = "secrets-store.csi.x-k8s.io";
const STATUSES: &str = "secretproviderclasspodstatuses";

pub(crate) fn install_driver(world: &World) {
    for (plural, kind) in [
        ("secretproviderclasses", "SecretProviderClass"),
        (STATUSES, "SecretProviderClassPodStatus"),
    ] {
        world.sandbox.register(Resource::custom(GROUP, "v1", plural, kind));
    }
}

pub(crate) async fn world(choose: impl FnOnce(&mut afresh_controller::Config)) -> World {
    let mut world = World::empty(&Options::default(), |config| {
        config.csi = true;
        choose(config);
    });
    install_driver(&world);
    world.restart();
    world.settle().await;
    world
}

fn class(name: &str) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": "SecretProviderClass",
        "metadata": {"namespace": PROD, "name": name}, "spec": {"provider": "vault"}})
}

pub(crate) fn mounts(classes: &[&str]) -> Value {
    let mounts: Vec<Value> = classes
        .iter()
        .map(|class| json!({"name": class, "mountPath": format!("/{class}")}))
        .collect();
    let volumes: Vec<Value> = classes
        .iter()
        .map(|class| {
            let attributes = json!({"secretProviderClass": class});
            json!({"name": class, "csi": {"driver": "secrets-store.csi.k8s.io", "volumeAttributes": attributes}})
        })
        .collect();
    json!({"containers": [{"name": "app", "image": "app", "volumeMounts": mounts}], "volumes": volumes})
}

/// What the driver says of one pod's volume.
pub(crate) fn says(world: &World, pod: &str, class: &str, version: &str) {
    let name = format!("{pod}-{PROD}-{class}");
    if world.sandbox.get(STATUSES, PROD, &name).is_none() {
        let uid = world.get("pods", pod)["metadata"]["uid"].clone();
        world.create(
            json!({"apiVersion": format!("{GROUP}/v1"), "kind": "SecretProviderClassPodStatus",
            "metadata": {"namespace": PROD, "name": name,
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}]}}),
        );
    }
    let status = json!({"podName": pod, "secretProviderClassName": class, "mounted": true,
        "objects": [{"id": "password", "version": version}]});
    let patch = Patch::Merge(json!({ "status": status }));
    world.sandbox.patch_status(STATUSES, PROD, &name, &patch).unwrap();
}

/// The driver gives every pod that has no volume yet the newest versions.
fn mount_new(world: &World, app: &str, class: &str, version: &str) {
    for pod in world.pods(app) {
        if world
            .sandbox
            .get(STATUSES, PROD, &format!("{pod}-{PROD}-{class}"))
            .is_none()
        {
            says(world, &pod, class, version);
        }
    }
}

/// Time passes, and whoever is new is mounted.
async fn pass(world: &World, seconds: u64, given: &[(&str, &str)]) {
    let given: Vec<_> = given.iter().map(|&(class, version)| ("web", class, version)).collect();
    pass_for(world, seconds, &given).await;
}

/// The same for workloads by name.
pub(crate) async fn pass_for(world: &World, seconds: u64, given: &[(&str, &str, &str)]) {
    for _ in 0..seconds * 4 {
        world.settle_for(Duration::from_millis(250)).await;
        for (app, class, version) in given {
            mount_new(world, app, class, version);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_b7_two_classes_that_rotate_pod_by_pod_roll_once_each() {
    let world = world(|_| {}).await;
    world.create(deployment("web", mounts(&["db", "mq"])));
    pass(&world, 30, &[("db", "1"), ("mq", "1")]).await;
    assert_eq!(
        world.revision("web"),
        1,
        "what is mounted for the first time is no change"
    );

    let old = world.pods("web");
    for (class, pod) in [("db", 0), ("mq", 0), ("db", 1), ("mq", 1)] {
        if world.pods("web").contains(&old[pod]) {
            says(&world, &old[pod], class, "2");
        }
        pass(&world, 1, &[("db", "2"), ("mq", "2")]).await;
    }
    pass(&world, 600, &[("db", "2"), ("mq", "2")]).await;
    let revision = world.revision("web");
    assert!(
        (2..=3).contains(&revision),
        "one roll for both, or one for each: {revision}"
    );
    pass(&world, 600, &[]).await;
    assert_eq!(world.revision("web"), revision, "and then it is quiet");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_is_found_that_came_while_nobody_ran() {
    let mut world = world(|_| {}).await;
    world.create(class("db"));
    world.create(deployment("web", mounts(&["db"])));
    pass(&world, 30, &[("db", "1")]).await;
    world.kill();
    pass(&world, 100, &[]).await;
    for pod in world.pods("web") {
        says(&world, &pod, "db", "2");
    }
    pass(&world, 10, &[]).await;
    world.restart();
    pass(&world, 60, &[("db", "2")]).await;
    assert_eq!(world.revision("web"), 2);
    world.restart();
    pass(&world, 60, &[("db", "2")]).await;
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_a10_the_selector_for_config_objects_is_not_for_the_drivers_own() {
    let world = world(|config| config.selector = Some("watched=yes".to_owned())).await;
    world.create(deployment("web", mounts(&["db"])));
    pass(&world, 30, &[("db", "1")]).await;
    for pod in world.pods("web") {
        says(&world, &pod, "db", "2");
    }
    pass(&world, 60, &[("db", "2")]).await;
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_a11_a_driver_that_is_installed_later_is_found_without_a_restart() {
    let mut world = World::empty(&Options::default(), |config| config.csi = true);
    world.restart();
    world.settle().await;
    world.configmap("other", json!({"a": "1"}));
    world.create(deployment("other", crate::world::env_from("other")));
    world.create(deployment("web", mounts(&["db"])));
    world.settle().await;
    world.configmap("other", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(world.revision("other"), 2, "nothing waits for what is not there");

    install_driver(&world);
    pass(&world, 120, &[("db", "1")]).await;
    for pod in world.pods("web") {
        says(&world, &pod, "db", "2");
    }
    pass(&world, 60, &[("db", "2")]).await;
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_for_what_may_not_be_read_of_the_driver() {
    let mut world = World::empty(&Options::default(), |config| config.csi = true);
    install_driver(&world);
    let forbidden = RequestFault::Status {
        code: 403,
        retry_after: None,
    };
    let lists = Filter::any().resource(STATUSES);
    world.sandbox.faults().next_requests(usize::MAX, lists, forbidden);
    world.restart();
    world.configmap("other", json!({"a": "1"}));
    world.create(deployment("other", crate::world::env_from("other")));
    world.settle().await;
    world.configmap("other", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(world.revision("other"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_class_that_is_ignored_and_an_application_that_rereads_are_left_alone() {
    let world = world(|_| {}).await;
    let mut ignored = class("db");
    ignored["metadata"]["annotations"] = json!({"afresh.dev/ignore": "true"});
    world.create(ignored);
    world.create(deployment("web", mounts(&["db"])));
    pass(&world, 30, &[("db", "1")]).await;
    for pod in world.pods("web") {
        says(&world, &pod, "db", "2");
    }
    pass(&world, 60, &[("db", "2")]).await;
    assert_eq!(world.revision("web"), 1);
}

#[tokio::test(start_paused = true)]
async fn without_the_flag_nothing_is_asked_of_the_driver() {
    let world = World::start().await;
    install_driver(&world);
    world.create(annotated(deployment("web", mounts(&["db"])), &[]));
    pass(&world, 30, &[("db", "1")]).await;
    for pod in world.pods("web") {
        says(&world, &pod, "db", "2");
    }
    pass(&world, 60, &[("db", "2")]).await;
    assert_eq!(world.revision("web"), 1);
    let asked = world.sandbox.log().find(&Filter::any());
    let by_us = asked
        .iter()
        .filter(|record| record.request.resource.starts_with("secretproviderclass"));
    assert_eq!(by_us.count(), 0);
}
