//! `afresh reloader` in Reloader's place: with its rights, its limits and its marks on every kind.

use std::time::Duration;

use afresh_controller::Config;
use afresh_controller::config::Reloader;
use afresh_model::name::ConfigKind;
use afresh_model::reloader::marks::Strategy;
use afresh_model::reloader::sha1::Sha1;
use afresh_sandbox::{Filter, Options, RequestFault, Verb};
use rstest::rstest;
use serde_json::{Value, json};

use crate::kinds::{Means, of_all_kinds};
use crate::world::{World, annotated, deployment, env_from, mounted};

const LAST: &str = "reloader.stakater.com/last-reloaded-from";
const FORBIDDEN: RequestFault = RequestFault::Status {
    code: 403,
    retry_after: None,
};

fn by(strategy: Strategy) -> Reloader {
    Reloader {
        strategy,
        ..Reloader::default()
    }
}

fn reloader(config: &mut Config) {
    config.reloader = Some(Reloader::default());
}

fn hash(text: &str) -> String {
    Sha1::of([("a", text.as_bytes())]).to_string()
}

fn from_secret(secret: &str) -> Value {
    json!({"containers": [{"name": "app", "image": "app", "envFrom": [{"secretRef": {"name": secret}}]}]})
}

/// A Deployment for each kind of object, both of the same name.
async fn both(world: &World) {
    world.configmap("web", json!({"a": "1"}));
    world.secret("web", &[("a", "1")]);
    world.create(deployment("map", env_from("web")));
    world.create(deployment("secret", from_secret("web")));
    world.settle().await;
}

fn change_both(world: &World, text: &str) {
    world.configmap("web", json!({ "a": text }));
    world.secret("web", &[("a", text)]);
}

fn revisions(world: &World) -> [u64; 2] {
    ["map", "secret"].map(|name| world.revision(name))
}

#[rstest]
#[case::configmaps(ConfigKind::ConfigMap, "configmaps", [1, 2])]
#[case::secrets(ConfigKind::Secret, "secrets", [2, 1])]
#[tokio::test(start_paused = true)]
async fn resources_to_ignore_never_count_and_are_not_even_asked_for(
    #[case] ignored: ConfigKind,
    #[case] resource: &str,
    #[case] expected: [u64; 2],
) {
    let world = World::with(|config| {
        reloader(config);
        config.conventions.objects.remove(&ignored);
    })
    .await;
    both(&world).await;
    change_both(&world, "2");
    world.settle().await;
    assert_eq!(revisions(&world), expected);
    let asked = [Verb::List, Verb::Watch].map(|verb| world.sandbox.log().count(&Filter::verb(verb).resource(resource)));
    assert_eq!(asked, [0, 0], "Reloader's chart gives no right to");
}

/// Reloader's chart lets nobody write a Secret, and ConfigMaps only beside itself.
#[rstest]
#[case::in_a_configmap(false)]
#[case::nowhere(true)]
#[tokio::test(start_paused = true)]
async fn without_a_right_to_write_secrets_it_works_all_the_same(#[case] nor_config_maps: bool) {
    let mut world = World::empty(&Options::default(), reloader);
    let faults = world.sandbox.faults();
    faults.next_requests(usize::MAX, Filter::verb(Verb::Create).resource("secrets"), FORBIDDEN);
    if nor_config_maps {
        faults.next_requests(usize::MAX, Filter::verb(Verb::Create).resource("configmaps"), FORBIDDEN);
    }
    world.restart();
    world.settle().await;
    both(&world).await;
    world.restart();
    world.settle().await;
    assert_eq!(
        revisions(&world),
        [1, 1],
        "another key, or none: nothing rolls for that"
    );

    // While nobody runs: found by the record where its key outlived the process, else by the ages of pods.
    world.kill();
    change_both(&world, "2");
    world.settle().await;
    world.restart();
    world.settle().await;
    assert_eq!(revisions(&world), [2, 2]);
    change_both(&world, "3");
    world.settle().await;
    assert_eq!(revisions(&world), [3, 3]);
    let kept = world.sandbox.get("configmaps", "afresh", "afresh-digest-key");
    assert_eq!(kept.is_some(), !nor_config_maps);
}

#[tokio::test(start_paused = true)]
async fn without_a_right_to_list_pods_what_was_missed_rolls_once() {
    let mut world = World::empty(&Options::default(), reloader);
    world.configmap("web", json!({"a": "1"}));
    let mut web = deployment("web", env_from("web"));
    web["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{"name": "STAKATER_WEB_CONFIGMAP", "value": hash("1")}]);
    world.create(web);
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    let lists = Filter::verb(Verb::List).resource("pods");
    world
        .sandbox
        .faults()
        .next_requests(usize::MAX, lists.clone(), FORBIDDEN);
    for _ in 0..3 {
        world.restart();
        world.settle().await;
        assert_eq!(
            (world.revision("web"), world.env("web", "a")),
            (2, vec!["2".to_owned(); 2])
        );
    }
    assert!(world.sandbox.log().count(&lists) > 0, "it was in doubt, and asked");
    assert!(world.told("ReloadFail", "web").is_empty());
}

/// Reloader's mark of `configmap/web`, as it stands in a template.
fn mark(template: &Value, strategy: Strategy) -> Value {
    match strategy {
        Strategy::EnvVars => {
            let env = template["spec"]["containers"][0]["env"]
                .as_array()
                .into_iter()
                .flatten();
            let marks = env.filter(|entry| entry["name"] == "STAKATER_WEB_CONFIGMAP");
            let values: Vec<&Value> = marks.map(|entry| &entry["value"]).collect();
            json!(values)
        }
        Strategy::Annotations => {
            let text = template["metadata"]["annotations"][LAST].as_str().unwrap_or("null");
            let last: Value = serde_json::from_str(text).unwrap();
            json!([last["hash"]])
        }
    }
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn the_marks_of_every_kind_stand_beside_everything_else(
    #[values(
        Means::Deployment,
        Means::StatefulSet,
        Means::DaemonSet,
        Means::Rollout,
        Means::Custom,
        Means::Job,
        Means::CronJob
    )]
    means: Means,
    #[values(Strategy::EnvVars, Strategy::Annotations)] strategy: Strategy,
) {
    let world = of_all_kinds(Some(by(strategy))).await;
    world.configmap("web", json!({"a": "1"}));
    let mut web = means.object("web", "web");
    let own = json!([{"name": "OWN", "value": "1"}]);
    let spec = if means == Means::CronJob {
        "/spec/jobTemplate/spec/template/spec"
    } else {
        "/spec/template/spec"
    };
    let spec = web.pointer_mut(spec).unwrap();
    spec["containers"][0]["env"] = own.clone();
    spec["containers"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "side", "image": "side"}));
    spec["initContainers"] = json!([{"name": "init", "image": "init", "env": own.clone()}]);
    world.create(web);
    world.settle().await;
    let adopted = means.replaced_by(&world, "web");

    for text in ["2", "3"] {
        let before = means.replaced_by(&world, "web");
        world.configmap("web", json!({ "a": text }));
        world.settle_for(Duration::from_secs(120)).await;
        assert_ne!(means.replaced_by(&world, "web"), before);
        let jobs = world.sandbox.list("jobs", "prod");
        let marked = jobs.iter().map(|job| &job["spec"]["template"]);
        let marked: Vec<Value> = match means {
            Means::CronJob => marked.map(|template| mark(template, strategy)).collect(),
            _ => vec![mark(&means.template(&world, "web"), strategy)],
        };
        assert!(
            marked.contains(&json!([hash(text)])),
            "one mark, of what it is now: {marked:?}"
        );
    }
    let spec = means.template(&world, "web")["spec"].clone();
    assert_eq!(spec["containers"][0]["env"][0], own[0]);
    assert_eq!(
        (&spec["containers"][1]["name"], &spec["containers"][1]["env"]),
        (&json!("side"), &Value::Null)
    );
    assert_eq!(spec["initContainers"][0]["env"], own);
    assert_ne!(means.replaced_by(&world, "web"), adopted);
    let rest = means.replaced_by(&world, "web");
    world.settle_for(Duration::from_secs(3_600)).await;
    assert_eq!(means.replaced_by(&world, "web"), rest, "and then it is quiet");
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_is_to_be_restarted_keeps_the_template_that_it_has() {
    let mut world = of_all_kinds(Some(Reloader::default())).await;
    world.configmap("web", json!({"a": "1"}));
    world.create(Means::RestartedRollout.object("web", "web"));
    world.settle().await;
    let look = |world: &World| world.get("rollouts", "web")["spec"].clone();
    let first = look(&world);
    assert_eq!(first["restartAt"], Value::Null);
    let mut seen = vec![Value::Null];
    for text in ["2", "3"] {
        world.configmap("web", json!({ "a": text }));
        world.settle_for(Duration::from_secs(120)).await;
        world.restart();
        world.settle().await;
        let now = look(&world);
        assert_eq!(now["template"], first["template"], "neither a mark nor a digest in it");
        assert!(!seen.contains(&now["restartAt"]), "{now}");
        seen.push(now["restartAt"].clone());
    }
    let restarts = world
        .sandbox
        .log()
        .find(&Filter::verb(Verb::Patch).resource("rollouts"));
    let restarts = restarts.iter().filter(|record| {
        let patch = record.patch.clone().unwrap_or_default();
        patch["spec"]["restartAt"].is_string()
    });
    assert_eq!(restarts.count(), 2, "once for each change");
}

/// Their own controllers are not here: the test makes a pod as they would.
#[rstest]
#[tokio::test(start_paused = true)]
async fn the_pods_of_other_kinds_are_found_by_their_selector_and_touched(
    #[values(Means::Rollout, Means::DeploymentConfig, Means::Custom)] means: Means,
) {
    let world = of_all_kinds(None).await;
    world.configmap("web", json!({"a": "1"}));
    let mut web = annotated(means.object("web", "web"), &[("afresh.dev/hot", "true")]);
    web["spec"]["template"]["spec"] = mounted("web");
    world.create(web);
    for app in ["web", "other"] {
        let metadata = json!({"namespace": "prod", "name": app, "labels": {"app": app}});
        world.create(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": mounted("web")}));
    }
    world.settle().await;
    let before = means.replaced_by(&world, "web");
    world.configmap("web", json!({"a": "2"}));
    world.settle_for(Duration::from_secs(2)).await;
    assert_eq!(
        (world.file("web", "/etc/web/a"), world.file("other", "/etc/web/a")),
        (vec!["2".to_owned()], vec!["1".to_owned()])
    );
    world.settle_for(Duration::from_secs(120)).await;
    assert_eq!(means.replaced_by(&world, "web"), before);
    assert!(world.touches() > 0);
}
