//! Which namespaces, which objects, which workloads; and `--dry-run`.

use std::time::Duration;

use afresh_model::policy::Reload;
use afresh_sandbox::{Filter, Options, Patch, RequestFault, Verb};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::world::{World, configmap, deployment, env_from};

fn in_namespace(mut object: Value, namespace: &str) -> Value {
    object["metadata"]["namespace"] = json!(namespace);
    object
}

/// A ConfigMap and a Deployment that uses it in each of these namespaces.
fn populate(world: &World, namespaces: &[&str]) {
    for namespace in namespaces {
        world.create(in_namespace(configmap("web", json!({"a": "1"})), namespace));
        world.create(in_namespace(deployment("web", env_from("web")), namespace));
    }
}

fn change(world: &World, namespaces: &[&str], value: &str) {
    for namespace in namespaces {
        let changed = in_namespace(configmap("web", json!({"a": value})), namespace);
        world.sandbox.apply(changed).unwrap();
    }
}

fn revisions(world: &World, namespaces: &[&str]) -> Vec<String> {
    let one = |namespace: &&str| {
        let web = world.sandbox.get("deployments", namespace, "web").unwrap();
        let revision = &web["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
        revision.as_str().unwrap().to_owned()
    };
    namespaces.iter().map(one).collect()
}

#[tokio::test(start_paused = true)]
async fn with_named_namespaces_nothing_is_asked_outside_of_them() {
    let all = ["one", "two", "three"];
    let mut world = World::empty(&Options::default(), |config| {
        config.namespaces = ["one", "two"].map(|name| name.parse().unwrap()).into();
    });
    populate(&world, &all);
    world.restart();
    world.settle().await;
    change(&world, &all, "2");
    world.settle().await;

    assert_eq!(revisions(&world, &all), ["2", "2", "1"]);
    let asked = world.sandbox.log().find(&Filter::any());
    for record in &asked {
        let request = &record.request;
        let own = request.namespace == "afresh" && request.resource == "secrets";
        assert!(
            own || ["one", "two"].contains(&request.namespace.as_str()),
            "{request:?}"
        );
    }
    assert!(asked.len() > 10);
}

#[tokio::test(start_paused = true)]
async fn excluded_namespaces_are_left_alone() {
    let all = ["one", "two"];
    let world = World::with(|config| config.exclude_namespaces = ["two".parse().unwrap()].into()).await;
    populate(&world, &all);
    world.settle().await;
    change(&world, &all, "2");
    world.settle().await;
    assert_eq!(revisions(&world, &all), ["2", "1"]);
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_a9_a_namespace_is_in_scope_while_its_labels_match() {
    let all = ["one", "two"];
    let world = World::with(|config| config.namespace_selector = Some("afresh=yes".to_owned())).await;
    populate(&world, &all);
    let label = |namespace: &str, value: Value| {
        let body = Patch::Merge(json!({"metadata": {"labels": {"afresh": value}}}));
        world.sandbox.patch("namespaces", "", namespace, &body).unwrap();
    };
    label("one", json!("yes"));
    world.settle().await;
    change(&world, &all, "2");
    world.settle().await;
    assert_eq!(revisions(&world, &all), ["2", "1"]);

    label("two", json!("yes"));
    label("one", json!("no"));
    world.settle().await;
    let adopted = revisions(&world, &all);
    change(&world, &all, "3");
    world.settle().await;
    assert_eq!(revisions(&world, &["one"]), ["2"], "it left the scope");
    assert_ne!(revisions(&world, &["two"]), adopted[1..], "it entered the scope");

    label("one", json!("yes"));
    world.settle().await;
    assert_eq!(
        revisions(&world, &["one"]),
        ["3"],
        "what changed outside of the scope is found on return"
    );
}

/// In Reloader a namespace that goes while the watch is broken stays selected.
#[tokio::test(start_paused = true)]
async fn reloader_defect_a6_a_namespace_that_only_a_new_list_leaves_out_is_out_of_scope() {
    let world = World::with(|config| config.namespace_selector = Some("afresh=yes".to_owned())).await;
    let label = |value: &str| {
        let body = Patch::Merge(json!({"metadata": {"labels": {"afresh": value}}}));
        world.sandbox.patch("namespaces", "", "one", &body).unwrap();
    };
    populate(&world, &["one"]);
    label("yes");
    world.settle().await;
    let faults = world.sandbox.faults();
    for verb in [Verb::List, Verb::Watch] {
        let asks = Filter::verb(verb).resource("namespaces");
        faults.next_requests(usize::MAX, asks, RequestFault::ConnectionError);
    }
    faults.break_watches();
    world.settle().await;
    label("no");
    world.sandbox.compact();
    faults.quiet();
    world.settle_for(Duration::from_secs(120)).await;
    change(&world, &["one"], "2");
    world.settle().await;
    assert_eq!(revisions(&world, &["one"]), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn only_config_objects_that_the_selector_finds_trigger_anything() {
    let world = World::with(|config| config.selector = Some("watch=yes".to_owned())).await;
    let labelled = |name: &str, value: &str, label: &str| {
        let mut object = configmap(name, json!({"a": value}));
        object["metadata"]["labels"] = json!({"watch": label});
        world.sandbox.apply(object).unwrap();
    };
    labelled("seen", "1", "yes");
    labelled("unseen", "1", "no");
    world.create(deployment("seen", env_from("seen")));
    world.create(deployment("unseen", env_from("unseen")));
    world.settle().await;

    labelled("seen", "2", "yes");
    labelled("unseen", "2", "no");
    world.settle().await;
    assert_eq!((world.revision("seen"), world.revision("unseen")), (2, 1));

    labelled("seen", "2", "no");
    world.settle().await;
    assert_eq!(
        world.revision("seen"),
        2,
        "an object that leaves the selection is not gone"
    );
    assert!(world.told("Missing", "seen").is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_default_counts_where_no_annotation_says_anything() {
    let world = World::with(|config| config.conventions.default = Reload::Auto).await;
    world.configmap("web", json!({"a": "1"}));
    let with = |name: &str, annotations: Value| {
        let mut object = deployment(name, env_from("web"));
        object["metadata"]["annotations"] = annotations;
        world.create(object);
    };
    with("silent", json!({}));
    with("off", json!({"afresh.dev/reload": "off"}));
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    assert_eq!((world.revision("silent"), world.revision("off")), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_default_only_those_that_opted_in_are_kept_current_also_through_their_template() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    let mut silent = deployment("silent", env_from("web"));
    silent["metadata"]["annotations"] = json!({});
    let mut template = silent.clone();
    template["metadata"]["name"] = json!("template");
    template["spec"]["selector"] = json!({"matchLabels": {"app": "template"}});
    template["spec"]["template"]["metadata"] =
        json!({"labels": {"app": "template"}, "annotations": {"afresh.dev/reload": "auto"}});
    world.create(silent);
    world.create(template);
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    assert_eq!((world.revision("silent"), world.revision("template")), (1, 2));

    world.patch(
        "deployments",
        "template",
        json!({"metadata": {"annotations": {"afresh.dev/reload": "off"}}}),
    );
    world.settle().await;
    world.configmap("web", json!({"a": "3"}));
    world.settle().await;
    assert_eq!(world.revision("template"), 2, "the workload's own word wins");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_writes_nothing_at_all() {
    let mut world = World::empty(&Options::default(), |config| config.dry_run = true);
    world.configmap("web", json!({"a": "1"}));
    world.secret("web", &[("a", "1")]);
    world.create(deployment("env", env_from("web")));
    world.create(crate::world::hot("hot", "web"));
    world.create(crate::world::annotated(
        deployment("bad", env_from("web")),
        &[("afresh.dev/settle", "soon")],
    ));
    world.restart();
    world.settle().await;
    for value in ["2", "3"] {
        world.configmap("web", json!({"a": value}));
        world.delete("secrets", "web");
        world.secret("web", &[("a", value)]);
        sleep(Duration::from_secs(100)).await;
    }

    let all = world.sandbox.log().find(&Filter::any());
    let writes: Vec<_> = all.iter().filter(|record| record.request.verb.is_write()).collect();
    assert!(writes.is_empty(), "{writes:#?}");
    assert!(world.sandbox.log().count(&Filter::verb(Verb::Watch)) > 0);
}
