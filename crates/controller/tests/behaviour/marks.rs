//! `afresh reloader`: the marks in the template, what they say after a swap, and what appears or vanishes.

use std::time::Duration;

use afresh_controller::Config;
use afresh_controller::config::Reloader;
use afresh_model::reloader::marks::Strategy;
use afresh_model::reloader::sha1::{DELETED, Sha1};
use afresh_sandbox::{Filter, Options, RequestFault, Verb};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{World, annotated, deployment, env_from};

const LAST: &str = "reloader.stakater.com/last-reloaded-from";

fn like(reloader: Reloader) -> impl FnOnce(&mut Config) {
    move |config| config.reloader = Some(reloader)
}

fn by(strategy: Strategy) -> Reloader {
    Reloader {
        strategy,
        ..Reloader::default()
    }
}

fn on(create: bool, delete: bool, strategy: Strategy) -> Reloader {
    Reloader {
        strategy,
        on_create: create,
        on_delete: delete,
        ..Reloader::default()
    }
}

/// Reloader's hash of `{message: text}`.
fn hash(text: &str) -> String {
    Sha1::of([("message", text.as_bytes())]).to_string()
}

fn message(text: &str) -> Value {
    json!({"message": text})
}

/// It asks in Reloader's words, and not in ours.
fn asking_reloader(mut object: Value) -> Value {
    object["metadata"]["annotations"] = json!({"reloader.stakater.com/auto": "true"});
    object
}

/// A Deployment that takes all of a ConfigMap as environment, with the variable that Reloader left in it.
fn left_by_env_vars(name: &str, map: &str, variable: &str, value: &str) -> Value {
    let mut spec = env_from(map);
    spec["containers"][0]["env"] = json!([{"name": variable, "value": value}]);
    asking_reloader(deployment(name, spec))
}

/// The same with the annotation.
fn left_by_annotations(name: &str, map: &str, text: &str, at: i64) -> Value {
    let mut object = asking_reloader(deployment(name, env_from(map)));
    let last = format!(
        r#"{{"type":"CONFIGMAP","name":"{map}","namespace":"prod","hash":"{}","containerRefs":["app"],"observedAt":{at}}}"#,
        hash(text)
    );
    object["spec"]["template"]["metadata"]["annotations"] = json!({LAST: last});
    object
}

fn optional(map: &str) -> Value {
    let from = json!({"configMapRef": {"name": map, "optional": true}});
    json!({"containers": [{"name": "app", "image": "app", "envFrom": [from]}]})
}

/// The variable in the template.
fn mark(world: &World, name: &str, variable: &str) -> Option<String> {
    let template = &world.get("deployments", name)["spec"]["template"];
    let env = template["spec"]["containers"][0]["env"].as_array()?.clone();
    let found = env.into_iter().find(|entry| entry["name"] == variable)?;
    Some(found["value"].as_str().unwrap().to_owned())
}

fn last(world: &World, name: &str) -> Value {
    let template = &world.get("deployments", name)["spec"]["template"];
    let text = template["metadata"]["annotations"][LAST].as_str().unwrap().to_owned();
    serde_json::from_str(&text).unwrap()
}

async fn web(reloader: Reloader) -> World {
    let world = World::with(like(reloader)).await;
    world.configmap("web", message("1"));
    world.create(deployment("web", env_from("web")));
    world.settle().await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_roll_sets_the_variable_that_reloader_would_set() {
    let world = web(by(Strategy::EnvVars)).await;
    assert_eq!(
        mark(&world, "web", "STAKATER_WEB_CONFIGMAP"),
        None,
        "adopting marks nothing"
    );
    world.configmap("web", message("2"));
    world.settle().await;
    assert_eq!(mark(&world, "web", "STAKATER_WEB_CONFIGMAP"), Some(hash("2")));
    assert_eq!(
        (world.revision("web"), world.env("web", "message")),
        (2, vec!["2".to_owned(), "2".to_owned()])
    );

    world.configmap("web", message("3"));
    world.settle().await;
    assert_eq!(mark(&world, "web", "STAKATER_WEB_CONFIGMAP"), Some(hash("3")));
    let env = world.get("deployments", "web")["spec"]["template"]["spec"]["containers"][0]["env"].clone();
    assert_eq!((world.revision("web"), env.as_array().unwrap().len()), (3, 1));
    world.settle_for(Duration::from_secs(3600)).await;
    assert_eq!(
        world.revision("web"),
        3,
        "its own mark is nobody else's rollout, and nothing to act on"
    );
}

#[tokio::test(start_paused = true)]
async fn a_roll_writes_the_annotation_that_reloader_would_write() {
    let world = web(by(Strategy::Annotations)).await;
    world.configmap("web", message("2"));
    world.settle().await;
    let last = last(&world, "web");
    assert_eq!(last["hash"], hash("2"));
    let told = json!([last["type"], last["name"], last["namespace"], last["containerRefs"]]);
    assert_eq!(told, json!(["CONFIGMAP", "web", "prod", ["app"]]));
    assert_eq!(
        (world.revision("web"), mark(&world, "web", "STAKATER_WEB_CONFIGMAP")),
        (2, None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_marked_with_the_hash_of_its_bytes() {
    let world = World::with(like(by(Strategy::EnvVars))).await;
    world.secret("db", &[("password", "one")]);
    let from = json!({"secretRef": {"name": "db"}});
    let spec = json!({"containers": [{"name": "app", "image": "app", "envFrom": [from]}]});
    world.create(deployment("web", spec));
    world.settle().await;
    world.secret("db", &[("password", "two")]);
    world.settle().await;
    let expected = Sha1::of([("password", &b"two"[..])]).to_string();
    assert_eq!(mark(&world, "web", "STAKATER_DB_SECRET"), Some(expected));
}

#[rstest]
#[case(Strategy::EnvVars)]
#[case(Strategy::Annotations)]
#[tokio::test(start_paused = true)]
async fn reloader_defects_b2_b6_restarts_of_ours_roll_nothing(#[case] strategy: Strategy) {
    let mut world = web(on(true, false, strategy)).await;
    world.configmap("web", message("2"));
    world.settle().await;
    let template = world.get("deployments", "web")["spec"]["template"].clone();
    for _ in 0..3 {
        world.restart();
        world.settle().await;
    }
    assert_eq!(world.get("deployments", "web")["spec"]["template"], template);
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_a1_the_swap_by_env_vars_rolls_what_was_missed_and_only_that_once() {
    let mut world = World::empty(&Options::default(), like(by(Strategy::EnvVars)));
    for map in ["current", "missed", "never"] {
        world.configmap(map, message("1"));
    }
    world.create(left_by_env_vars(
        "current",
        "current",
        "STAKATER_CURRENT_CONFIGMAP",
        &hash("1"),
    ));
    world.create(left_by_env_vars(
        "missed",
        "missed",
        "STAKATER_MISSED_CONFIGMAP",
        &hash("1"),
    ));
    world.create(left_by_env_vars(
        "renewed",
        "missed",
        "STAKATER_MISSED_CONFIGMAP",
        &hash("1"),
    ));
    world.create(deployment("never", env_from("never")));
    world.settle().await;
    world.configmap("missed", message("2"));
    world.settle().await;
    // Somebody else rolls this one out after the change: its pods are on it.
    let renewal = json!({"spec": {"template": {"metadata": {"annotations": {"renewed": "yes"}}}}});
    world.patch("deployments", "renewed", renewal);
    world.settle().await;

    for _ in 0..3 {
        world.restart();
        world.settle().await;
        let revisions = ["current", "missed", "renewed", "never"].map(|name| world.revision(name));
        assert_eq!(revisions, [1, 2, 2, 1]);
    }
    assert_eq!(mark(&world, "missed", "STAKATER_MISSED_CONFIGMAP"), Some(hash("2")));
    assert_eq!(world.env("missed", "message"), ["2", "2"]);
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_a1_the_swap_by_annotations_rolls_what_was_missed_and_only_that_once() {
    let mut world = World::empty(&Options::default(), like(by(Strategy::Annotations)));
    for map in ["current", "missed", "other"] {
        world.configmap(map, message("1"));
    }
    let now = world.sandbox.now().as_second();
    world.create(left_by_annotations("current", "current", "1", now));
    world.create(left_by_annotations("missed", "missed", "1", now));
    // It was last reloaded for one object, and a change of another one was missed.
    let mut both = left_by_annotations("both", "current", "1", now);
    let from = json!([{"configMapRef": {"name": "current"}}, {"configMapRef": {"name": "other"}}]);
    both["spec"]["template"]["spec"]["containers"][0]["envFrom"] = from;
    world.create(both);
    world.settle_for(Duration::from_secs(300)).await;
    world.configmap("missed", message("2"));
    world.configmap("other", message("2"));
    world.settle().await;

    for _ in 0..3 {
        world.restart();
        world.settle().await;
        assert_eq!(
            ["current", "missed", "both"].map(|name| world.revision(name)),
            [1, 2, 2]
        );
    }
    assert_eq!(last(&world, "missed")["hash"], hash("2"));
    assert_eq!(
        (&last(&world, "both")["name"], &last(&world, "both")["hash"]),
        (&json!("other"), &json!(hash("2")))
    );
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_b9_a_shared_variable_misleads_nobody_after_a_swap() {
    let mut world = World::empty(&Options::default(), like(by(Strategy::EnvVars)));
    world.configmap("my-app", message("dash"));
    world.configmap("my.app", message("dot"));
    world.settle().await;
    let mut web = left_by_env_vars("web", "my-app", "STAKATER_MY_APP_CONFIGMAP", &hash("dash"));
    let from = json!([{"configMapRef": {"name": "my-app"}}, {"configMapRef": {"name": "my.app"}}]);
    web["spec"]["template"]["spec"]["containers"][0]["envFrom"] = from;
    world.create(web);
    world.settle().await;
    world.restart();
    world.settle().await;
    assert_eq!(
        world.revision("web"),
        1,
        "the variable speaks of one, and both are current"
    );

    world.kill();
    // To the very content that the variable speaks of, which is the other one's.
    world.configmap("my.app", message("dash"));
    world.settle().await;
    world.restart();
    world.settle().await;
    assert_eq!(world.revision("web"), 2, "its record is per object");
}

#[tokio::test(start_paused = true)]
async fn a_reload_by_reloader_itself_while_both_run_is_not_repeated() {
    let world = web(by(Strategy::EnvVars)).await;
    world.configmap("web", message("2"));
    let env = json!([{"name": "STAKATER_WEB_CONFIGMAP", "value": hash("2")}]);
    let container = json!({"name": "app", "image": "app", "envFrom": [{"configMapRef": {"name": "web"}}], "env": env});
    world.patch(
        "deployments",
        "web",
        json!({"spec": {"template": {"spec": {"containers": [container]}}}}),
    );
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
}

#[rstest]
#[case(Strategy::EnvVars)]
#[case(Strategy::Annotations)]
#[tokio::test(start_paused = true)]
async fn reloader_defect_b1_a_burst_on_two_objects_is_one_rollout(#[case] strategy: Strategy) {
    let world = World::with(like(by(strategy))).await;
    for map in ["one", "two"] {
        world.configmap(map, message("0"));
    }
    let from = json!([{"configMapRef": {"name": "one"}}, {"configMapRef": {"name": "two"}}]);
    world.create(deployment(
        "web",
        json!({"containers": [{"name": "app", "image": "app", "envFrom": from}]}),
    ));
    world.settle().await;
    for n in 1..5 {
        world.configmap("one", message(&n.to_string()));
        world.configmap("two", message(&n.to_string()));
    }
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
    if strategy == Strategy::EnvVars {
        assert_eq!(mark(&world, "web", "STAKATER_ONE_CONFIGMAP"), Some(hash("4")));
        assert_eq!(mark(&world, "web", "STAKATER_TWO_CONFIGMAP"), Some(hash("4")));
    }
}

/// Section 5.2 of the behaviour to match: an object appears.
#[rstest]
#[case::by_default(false, 1)]
#[case::with_reload_on_create(true, 2)]
#[tokio::test(start_paused = true)]
async fn an_object_that_appears(#[case] on_create: bool, #[case] revision: u64) {
    let world = World::with(like(on(on_create, false, Strategy::EnvVars))).await;
    world.create(deployment("web", optional("web")));
    world.settle().await;
    world.configmap("web", message("1"));
    world.settle().await;
    assert_eq!(world.revision("web"), revision);
    world.configmap("web", message("2"));
    world.settle().await;
    assert_eq!(
        world.revision("web"),
        revision + 1,
        "its next change counts in any case"
    );
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_b11_a_first_installation_with_reload_on_create_rolls_nothing() {
    let world = World::with(like(on(true, false, Strategy::EnvVars))).await;
    world.create(deployment("web", env_from("web")));
    world.configmap("web", message("1"));
    world.settle().await;
    assert_eq!(
        (world.revision("web"), world.env("web", "message")),
        (1, vec!["1".to_owned(), "1".to_owned()])
    );
}

/// Section 5.2: an object is deleted, and made again.
#[rstest]
#[case::the_same_by_default(false, "1", [1, 1])]
#[case::another_one_by_default(false, "2", [1, 2])]
#[case::with_reload_on_delete(true, "2", [2, 2])]
#[tokio::test(start_paused = true)]
async fn an_object_that_vanishes_and_is_back(#[case] on_delete: bool, #[case] back: &str, #[case] revisions: [u64; 2]) {
    let world = World::with(like(on(false, on_delete, Strategy::EnvVars))).await;
    world.configmap("web", message("1"));
    world.create(deployment("web", optional("web")));
    world.settle().await;
    world.delete("configmaps", "web");
    world.settle().await;
    assert_eq!(world.revision("web"), revisions[0]);
    world.configmap("web", message(back));
    world.settle().await;
    assert_eq!(world.revision("web"), revisions[1]);
}

#[tokio::test(start_paused = true)]
async fn reloader_defects_a8_b10_a_deletion_rolls_without_a_variable_and_takes_out_only_its_own() {
    let world = web(on(false, true, Strategy::EnvVars)).await;
    world.configmap("web", message("2"));
    world.settle().await;
    assert_eq!(mark(&world, "web", "STAKATER_WEB_CONFIGMAP"), Some(hash("2")));
    let container = json!({"name": "app", "image": "app", "envFrom": [{"configMapRef": {"name": "web"}}],
        "env": [{"name": "OWN", "value": "1"}, {"name": "STAKATER_WEB_CONFIGMAP", "value": hash("2")}, {"name": "LAST", "value": "2"}]});
    world.patch(
        "deployments",
        "web",
        json!({"spec": {"template": {"spec": {"containers": [container]}}}}),
    );
    world.configmap("fresh", message("1"));
    world.create(deployment("unmarked", env_from("fresh")));
    world.settle().await;

    world.delete("configmaps", "web");
    world.delete("configmaps", "fresh");
    world.settle().await;
    assert_eq!((world.revision("web"), world.revision("unmarked")), (4, 2));
    let env = world.get("deployments", "web")["spec"]["template"]["spec"]["containers"][0]["env"].clone();
    assert_eq!(
        env,
        json!([{"name": "OWN", "value": "1"}, {"name": "LAST", "value": "2"}])
    );
    world.settle_for(Duration::from_secs(3600)).await;
    assert_eq!((world.revision("web"), world.revision("unmarked")), (4, 2), "once");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_by_annotations_writes_the_hash_of_the_delete_marker() {
    let world = web(on(false, true, Strategy::Annotations)).await;
    world.delete("configmaps", "web");
    world.settle().await;
    assert_eq!(
        (world.revision("web"), &last(&world, "web")["hash"]),
        (2, &json!(DELETED.to_string()))
    );
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_a6_a_deletion_that_nobody_saw_counts_for_its_own_workloads_only() {
    let mut world = web(on(false, true, Strategy::Annotations)).await;
    world.configmap("other", message("1"));
    world.create(deployment("other", env_from("other")));
    world.settle().await;
    world.kill();
    world.delete("configmaps", "web");
    world.settle().await;
    world.restart();
    world.settle().await;
    assert_eq!((world.revision("web"), world.revision("other")), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_a7_creations_count_though_one_kind_alone_is_in_use() {
    let world = World::with(|config| {
        config.reloader = Some(on(true, true, Strategy::EnvVars));
        config.conventions.objects = [afresh_model::name::ConfigKind::ConfigMap].into();
    })
    .await;
    world.create(deployment("web", optional("web")));
    world.settle().await;
    world.configmap("web", message("1"));
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_a4_the_latest_content_is_what_is_marked_after_a_failure() {
    let world = web(by(Strategy::EnvVars)).await;
    let patches = Filter::verb(Verb::Patch).resource("deployments");
    world
        .sandbox
        .faults()
        .next_requests(2, patches, RequestFault::ConnectionError);
    world.configmap("web", message("2"));
    world.settle_for(Duration::from_millis(400)).await;
    world.configmap("web", message("3"));
    world.settle().await;
    assert_eq!(mark(&world, "web", "STAKATER_WEB_CONFIGMAP"), Some(hash("3")));
    assert_eq!(world.env("web", "message"), ["3", "3"]);

    world.configmap("web", message("2"));
    world.settle_for(Duration::from_secs(120)).await;
    assert_eq!(mark(&world, "web", "STAKATER_WEB_CONFIGMAP"), Some(hash("2")));
    assert_eq!(
        world.env("web", "message"),
        ["2", "2"],
        "content that was once tried in vain is a change like any other"
    );
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_a5_an_edit_that_its_hash_cannot_see_is_seen() {
    let world = World::with(like(by(Strategy::EnvVars))).await;
    world.configmap("web", json!({"a": "1;b=2"}));
    world.create(annotated(deployment("web", env_from("web")), &[]));
    world.settle().await;
    world.configmap("web", json!({"a": "1", "b": "2"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
}
