//! Config objects of every shape.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::world::{PROD, World, deployment, env_from, env_key, mounted};

#[tokio::test(start_paused = true)]
async fn objects_without_data_are_content_like_any_other() {
    let world = World::start().await;
    world.configmap("web", Value::Null);
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    world.configmap("web", json!({"a": "1"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
    world.configmap("web", json!({"a": null}));
    world.settle().await;
    assert_eq!(
        (world.revision("web"), world.env("web", "a")),
        (3, vec![String::new(); 2])
    );
}

#[tokio::test(start_paused = true)]
async fn a_megabyte_of_which_one_byte_changes_is_a_change() {
    let world = World::start().await;
    let mut big = "x".repeat(1024 * 1024 - 100);
    world.configmap("web", json!({"a": big}));
    world.create(deployment("web", mounted("web")));
    world.settle().await;
    big.pop();
    big.push('y');
    world.configmap("web", json!({"a": big}));
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
    assert!(world.file("web", "/etc/web/a").iter().all(|file| file.ends_with("xy")));
}

#[tokio::test(start_paused = true)]
async fn binary_data_counts_for_mounts_and_not_for_variables() {
    let world = World::start().await;
    let binary = |bytes: &[u8]| {
        let metadata = json!({"namespace": PROD, "name": "web"});
        let data = json!({"blob": STANDARD.encode(bytes)});
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"text": "t"}, "binaryData": data});
        world.sandbox.apply(object).unwrap();
    };
    binary(&[0, 159, 146, 150]);
    world.create(deployment("mounts", mounted("web")));
    world.create(deployment("variables", env_from("web")));
    world.settle().await;
    binary(&[0, 159, 146, 151]);
    world.settle().await;
    assert_eq!((world.revision("mounts"), world.revision("variables")), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_moves_from_text_to_binary_with_the_same_bytes_changes_nothing_in_a_mount() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "same"}));
    world.create(deployment("mounts", mounted("web")));
    world.settle().await;
    world.patch(
        "configmaps",
        "web",
        json!({"data": null, "binaryData": {"a": STANDARD.encode("same")}}),
    );
    world.settle().await;
    assert_eq!(world.file("mounts", "/etc/web/a"), ["same", "same"]);
    assert!(world.revision("mounts") <= 2, "at most one roll");
}

#[tokio::test(start_paused = true)]
async fn odd_names_and_keys_are_names_and_keys() {
    let world = World::start().await;
    let long = format!("{}.{}", "a".repeat(120), "b-9".repeat(40));
    for (n, object) in ["a", "0", "1.2.3", "a-b.c", &long].into_iter().enumerate() {
        let name = format!("w{n}");
        for key in ["ca.crt", "_", "-", "UPPER_lower-1.2", &"k".repeat(253)] {
            world.configmap(object, json!({key: "1"}));
        }
        world.create(deployment(&name, env_key(object, "ca.crt")));
        world.settle().await;
        world.configmap(object, json!({"-": "2"}));
        world.settle().await;
        assert_eq!(world.revision(&name), 1, "{object}: another key");
        world.configmap(object, json!({"ca.crt": "2"}));
        world.settle().await;
        assert_eq!(
            (world.revision(&name), world.env(&name, "VALUE")),
            (2, vec!["2".to_owned(); 2]),
            "{object}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_was_never_there_counts_when_it_comes() {
    let world = World::start().await;
    world.create(deployment("waits", env_from("late")));
    let mut optional = env_from("late");
    optional["containers"][0]["envFrom"][0]["configMapRef"]["optional"] = json!(true);
    world.create(deployment("optional", optional));
    world.settle().await;
    world.configmap("late", json!({"a": "1"}));
    world.settle_for(std::time::Duration::from_secs(120)).await;
    assert_eq!(
        (world.revision("waits"), world.env("waits", "a")),
        (1, vec!["1".to_owned(); 2]),
        "it starts by itself"
    );
    assert_eq!(
        (world.revision("optional"), world.env("optional", "a")),
        (2, vec!["1".to_owned(); 2])
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_name_as_secret_and_in_another_namespace_is_another_object() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    world.secret("web", &[("a", "1")]);
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    world.secret("web", &[("a", "2")]);
    let metadata = json!({"namespace": "other", "name": "web"});
    let elsewhere = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "2"}});
    world.create(elsewhere);
    world.settle().await;
    assert_eq!(world.revision("web"), 1);
}

#[tokio::test(start_paused = true)]
async fn init_containers_and_native_sidecars_count() {
    let world = World::start().await;
    world.configmap("init", json!({"a": "1"}));
    world.configmap("sidecar", json!({"a": "1"}));
    let source = |name: &str| json!([{"configMapRef": {"name": name}}]);
    let spec = json!({
        "initContainers": [
            {"name": "init", "image": "i", "envFrom": source("init")},
            {"name": "side", "image": "s", "restartPolicy": "Always", "envFrom": source("sidecar")}],
        "containers": [{"name": "app", "image": "app"}]});
    world.create(deployment("web", spec));
    world.settle().await;
    world.configmap("init", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
    world.configmap("sidecar", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 3);
}

#[tokio::test(start_paused = true)]
async fn an_immutable_object_that_is_replaced_rolls_even_a_hot_workload() {
    let world = World::start().await;
    let make = |value: &str| {
        let mut object = crate::world::configmap("web", json!({"message": value}));
        object["immutable"] = json!(true);
        world.create(object);
    };
    make("1");
    world.create(crate::world::hot("web", "web"));
    world.settle().await;
    world.delete("configmaps", "web");
    make("2");
    world.settle().await;
    assert_eq!(
        world.revision("web"),
        2,
        "the kubelet no longer watches an immutable object"
    );
}
