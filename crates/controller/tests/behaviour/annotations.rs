//! The annotations of the contract, right and wrong.

use serde_json::json;

use crate::world::{World, annotated, configmap, deployment, env_from, hot};

/// Wrong values, and whether the workload is kept current all the same.
const WRONG: &[(&str, &str, bool)] = &[
    ("afresh.dev/reload", "yes", false),
    ("afresh.dev/reload", "true", false),
    ("afresh.dev/reload", "Auto", false),
    ("afresh.dev/reload", "", false),
    ("afresh.dev/reload", "auto,roll", false),
    ("afresh.dev/hot", "app,", true),
    ("afresh.dev/hot", "no-such-container", true),
    ("afresh.dev/hot", "NOT A NAME", true),
    ("afresh.dev/hot", "", true),
    ("afresh.dev/include", "web", true),
    ("afresh.dev/include", "pod/web", true),
    ("afresh.dev/include", "configmap/", true),
    ("afresh.dev/include", "configmap/web/extra", true),
    ("afresh.dev/include", "configmap/UPPER", true),
    ("afresh.dev/exclude", "web", true),
    ("afresh.dev/exclude", "configmap/[a-z]", true),
    ("afresh.dev/exclude", "secret/a b", true),
    ("afresh.dev/settle", "soon", true),
    ("afresh.dev/settle", "5", true),
    ("afresh.dev/settle", "-1s", true),
    ("afresh.dev/settle", "1.5s", true),
    ("afresh.dev/settle", "999999999h", true),
    ("afresh.dev/settle", "", true),
    ("afresh.dev/applied", "not json", true),
    ("afresh.dev/applied", "{}", true),
    (
        "afresh.dev/applied",
        r#"{"version":99,"uid":"u","at":"2030-01-01T00:00:00Z","objects":{}}"#,
        true,
    ),
    (
        "afresh.dev/applied",
        r#"{"version":1,"uid":"u","at":"yesterday","objects":{"x":["y"]}}"#,
        true,
    ),
];

#[tokio::test(start_paused = true)]
async fn a_wrong_annotation_is_told_as_an_event_and_the_rest_applies() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    for (n, (key, value, _)) in WRONG.iter().enumerate() {
        world.create(annotated(
            deployment(&format!("w{n}"), env_from("web")),
            &[(key, value)],
        ));
    }
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;

    for (n, (key, value, kept)) in WRONG.iter().enumerate() {
        let name = format!("w{n}");
        let told = world.told("InvalidAnnotation", &name);
        assert_eq!(told.len(), 1, "{key}={value:?} is told once: {told:?}");
        assert!(told[0].contains(key), "{told:?}");
        let rolled = world.revision(&name) == 2;
        assert_eq!(rolled, *kept, "{key}={value:?}: the rest of the policy applies");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_annotation_that_is_put_right_counts() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    world.create(annotated(
        deployment("web", env_from("web")),
        &[("afresh.dev/reload", "yes")],
    ));
    world.settle().await;
    world.patch(
        "deployments",
        "web",
        json!({"metadata": {"annotations": {"afresh.dev/reload": "auto"}}}),
    );
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_ignored_object_triggers_nothing_until_it_is_no_longer_ignored() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    world.create(deployment("web", env_from("web")));
    world.settle().await;

    world.patch(
        "configmaps",
        "web",
        json!({"metadata": {"annotations": {"afresh.dev/ignore": "true"}}}),
    );
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(world.revision("web"), 1);

    world.patch(
        "configmaps",
        "web",
        json!({"metadata": {"annotations": {"afresh.dev/ignore": null}}}),
    );
    world.settle().await;
    assert_eq!(
        (world.revision("web"), world.env("web", "a")),
        (2, vec!["2".to_owned(); 2])
    );
}

#[tokio::test(start_paused = true)]
async fn a_wrong_ignore_is_told_about_the_object_which_still_counts() {
    let world = World::start().await;
    let mut object = configmap("web", json!({"a": "1"}));
    object["metadata"]["annotations"] = json!({"afresh.dev/ignore": "maybe"});
    world.create(object);
    world.create(deployment("user", env_from("web")));
    world.settle().await;
    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    assert_eq!(world.revision("user"), 2);
    assert_eq!(world.told("InvalidAnnotation", "web").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn included_objects_count_by_name_and_by_glob_and_excluded_ones_never() {
    let world = World::start().await;
    for name in ["web", "extra", "team-a", "team-b", "other"] {
        world.configmap(name, json!({"a": "1"}));
    }
    world.secret("web", &[("a", "1")]);
    let policy = [
        ("afresh.dev/include", "configmap/extra, configmap/team-*, secret/w?b"),
        ("afresh.dev/exclude", "configmap/team-b, configmap/web"),
    ];
    world.create(annotated(deployment("web", env_from("web")), &policy));
    world.settle().await;
    assert_eq!(world.revision("web"), 1);

    let mut expected = 1;
    for (name, counts) in [
        ("web", false),
        ("extra", true),
        ("team-a", true),
        ("team-b", false),
        ("other", false),
    ] {
        world.configmap(name, json!({"a": "2"}));
        world.settle_for(std::time::Duration::from_secs(620)).await;
        expected += u64::from(counts);
        assert_eq!(world.revision("web"), expected, "{name}");
    }
    world.secret("web", &[("a", "2")]);
    world.settle().await;
    assert_eq!(world.revision("web"), expected + 1);
}

#[tokio::test(start_paused = true)]
async fn hot_can_name_containers_and_those_that_are_not_named_are_frozen() {
    let world = World::start().await;
    world.configmap("web", json!({"a": "1"}));
    let mut both = hot("both", "web");
    both["metadata"]["annotations"]["afresh.dev/hot"] = json!("app");
    let mut cold = both.clone();
    cold["metadata"]["name"] = json!("cold");
    let sidecar = json!({"name": "side", "image": "side", "volumeMounts": [{"name": "c", "mountPath": "/c"}]});
    cold["spec"]["template"]["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(sidecar);
    cold["spec"]["selector"] = json!({"matchLabels": {"app": "cold"}});
    cold["spec"]["template"]["metadata"]["labels"] = json!({"app": "cold"});
    world.create(both);
    world.create(cold);
    world.settle().await;

    world.configmap("web", json!({"a": "2"}));
    world.settle().await;
    assert_eq!((world.revision("both"), world.revision("cold")), (1, 2));
}
