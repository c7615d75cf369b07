//! A table of pod specs and what they refer to.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::template::PodTemplate;

fn found(spec: &Value) -> Vec<String> {
    let template: PodTemplate = serde_json::from_value(json!({ "spec": spec })).unwrap();
    let describe = |reference: &Reference| {
        let optional = if reference.optional { " optional" } else { "" };
        let (object, user, via, keys) = (&reference.object, &reference.user, &reference.via, &reference.keys);
        format!("{object} {user} {via} {keys} {:?}{optional}", reference.freshness)
    };
    references(&template.spec).iter().map(describe).collect()
}

#[rstest]
#[case::env(
    json!({"containers": [{"name": "app", "env": [
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "web", "key": "a"}}},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "db", "key": "b", "optional": true}}},
        {"name": "C", "value": "plain"},
        {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}]}),
    &["configmap/web container app env A key a Frozen", "secret/db container app env B key b Frozen optional"]
)]
#[case::env_from(
    json!({"containers": [{"name": "app", "envFrom": [
        {"configMapRef": {"name": "web"}}, {"secretRef": {"name": "db", "optional": true}, "prefix": "X_"}]}]}),
    &["configmap/web container app envFrom all keys Frozen", "secret/db container app envFrom all keys Frozen optional"]
)]
#[case::whole_volumes(
    json!({"containers": [{"name": "app", "volumeMounts": [
            {"name": "c", "mountPath": "/c"}, {"name": "s", "mountPath": "/s", "subPath": ""}]}],
        "volumes": [{"name": "c", "configMap": {"name": "web"}}, {"name": "s", "secret": {"secretName": "db", "optional": true}}]}),
    &["configmap/web container app mount /c all keys Live", "secret/db container app mount /s all keys Live optional"]
)]
#[case::items(
    json!({"containers": [{"name": "app", "volumeMounts": [{"name": "c", "mountPath": "/c"}]}],
        "volumes": [{"name": "c", "configMap": {"name": "web", "items": [{"key": "a", "path": "x"}, {"key": "b", "path": "y"}]}}]}),
    &["configmap/web container app mount /c keys a, b Live"]
)]
#[case::empty_items_are_all_keys(
    json!({"containers": [{"name": "app", "volumeMounts": [{"name": "c", "mountPath": "/c"}]}],
        "volumes": [{"name": "c", "configMap": {"name": "web", "items": []}}]}),
    &["configmap/web container app mount /c all keys Live"]
)]
#[case::sub_path_is_its_key(
    json!({"containers": [{"name": "app", "volumeMounts": [{"name": "c", "mountPath": "/c/nginx.conf", "subPath": "nginx.conf"}]}],
        "volumes": [{"name": "c", "configMap": {"name": "web"}}]}),
    &["configmap/web container app subPath mount /c/nginx.conf key nginx.conf Frozen"]
)]
#[case::sub_path_through_items(
    json!({"containers": [{"name": "app", "volumeMounts": [{"name": "c", "mountPath": "/c", "subPath": "dir"}]}],
        "volumes": [{"name": "c", "configMap": {"name": "web", "items": [
            {"key": "a", "path": "dir/x"}, {"key": "b", "path": "dir2/y"}, {"key": "c", "path": "dir"}]}}]}),
    &["configmap/web container app subPath mount /c keys a, c Frozen"]
)]
#[case::sub_path_expr_may_be_any_key(
    json!({"containers": [{"name": "app", "volumeMounts": [{"name": "c", "mountPath": "/c", "subPathExpr": "$(POD)"}]}],
        "volumes": [{"name": "c", "configMap": {"name": "web"}}]}),
    &["configmap/web container app subPath mount /c all keys Frozen"]
)]
#[case::projected(
    json!({"containers": [{"name": "app", "volumeMounts": [{"name": "p", "mountPath": "/p"}]}],
        "volumes": [{"name": "p", "projected": {"sources": [
            {"configMap": {"name": "web"}}, {"secret": {"name": "db", "items": [{"key": "k", "path": "k"}]}},
            {"serviceAccountToken": {"path": "token"}}, {"downwardAPI": {"items": []}}]}}]}),
    &["configmap/web container app projected mount /p all keys Live", "secret/db container app projected mount /p key k Live"]
)]
#[case::sub_path_of_a_projected_volume_is_of_one_source(
    json!({"containers": [{"name": "app", "volumeMounts": [{"name": "p", "mountPath": "/p", "subPath": "k"}]}],
        "volumes": [{"name": "p", "projected": {"sources": [
            {"configMap": {"name": "web", "items": [{"key": "a", "path": "a"}]}},
            {"secret": {"name": "db", "items": [{"key": "x", "path": "k"}]}}]}}]}),
    &["secret/db container app subPath mount /p key x Frozen"]
)]
#[case::init_only_is_frozen(
    json!({"containers": [{"name": "app"}], "initContainers": [{"name": "setup", "volumeMounts": [{"name": "c", "mountPath": "/c"}]}],
        "volumes": [{"name": "c", "configMap": {"name": "web"}}]}),
    &["configmap/web init container setup mount /c all keys Frozen"]
)]
#[case::init_beside_a_container_is_live(
    json!({"containers": [{"name": "app", "volumeMounts": [{"name": "c", "mountPath": "/c"}]}],
        "initContainers": [{"name": "setup", "volumeMounts": [{"name": "c", "mountPath": "/i"}]}],
        "volumes": [{"name": "c", "configMap": {"name": "web"}}]}),
    &["configmap/web container app mount /c all keys Live", "configmap/web init container setup mount /i all keys Live"]
)]
#[case::native_sidecar_is_a_container(
    json!({"containers": [{"name": "app"}],
        "initContainers": [{"name": "proxy", "restartPolicy": "Always", "volumeMounts": [{"name": "c", "mountPath": "/c"}]}],
        "volumes": [{"name": "c", "configMap": {"name": "web"}}]}),
    &["configmap/web container proxy mount /c all keys Live"]
)]
#[case::unmounted_volume_matters_for_starting_only(
    json!({"containers": [{"name": "app"}], "volumes": [{"name": "c", "configMap": {"name": "web"}}]}),
    &["configmap/web pod volume c, mounted by no container no key Frozen"]
)]
#[case::other_volumes_and_dangling_mounts_are_nothing(
    json!({"containers": [{"name": "app", "volumeMounts": [{"name": "e", "mountPath": "/e"}, {"name": "gone", "mountPath": "/g"}]}],
        "volumes": [{"name": "e", "emptyDir": {}}]}),
    &[]
)]
#[case::impossible_names_are_nothing(
    json!({"containers": [{"name": "app", "envFrom": [{"configMapRef": {"name": ""}}, {"configMapRef": {"name": "No Such"}}, {"configMapRef": {}}]}]}),
    &[]
)]
fn a_pod_spec_refers_to(#[case] spec: Value, #[case] expected: &[&str]) {
    assert_eq!(found(&spec), expected);
}

#[test]
fn a_volume_of_the_secrets_store_driver_uses_its_class_whole() {
    let csi = |driver: &str| json!({"name": "c", "csi": {"driver": driver, "volumeAttributes": {"secretProviderClass": "vault", "usePodIdentity": "false"}}});
    let of = |driver: &str, mount: Value| {
        let spec = json!({"containers": [{"name": "app", "volumeMounts": [mount]}], "volumes": [csi(driver)]});
        references(&serde_json::from_value(spec).unwrap())
    };
    let mount = json!({"name": "c", "mountPath": "/c"});
    let sub_path = json!({"name": "c", "mountPath": "/c/file", "subPath": "file"});
    for (mount, freshness) in [(mount.clone(), Freshness::Live), (sub_path, Freshness::Frozen)] {
        let found = of("secrets-store.csi.k8s.io", mount);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].object.to_string(), "secretproviderclass/vault");
        assert_eq!((&found[0].keys, found[0].freshness), (&Keys::All, freshness));
    }
    assert!(of("other.csi.example", mount).is_empty());
}

/// Two ConfigMaps, `web` mounted by `app` and `side`, `other` by `app` alone; the containers' own words are given.
fn with_agents(app: &Value, side: &Value, more: &Value) -> Value {
    let mount = |name: &str| json!({"name": name, "mountPath": format!("/{name}")});
    let mut app = app.clone();
    app["name"] = json!("app");
    app["volumeMounts"] = json!([mount("web"), mount("other"), {"name": "web", "mountPath": "/one", "subPath": "one"}]);
    let mut side = side.clone();
    side["name"] = json!("side");
    side["volumeMounts"] = json!([mount("web")]);
    let mut spec = json!({"containers": [app], "volumes": [
        {"name": "web", "configMap": {"name": "web"}}, {"name": "other", "configMap": {"name": "other"}}]});
    spec[more["as"].as_str().unwrap()] = if more["as"] == "initContainers" {
        side["restartPolicy"] = more["restartPolicy"].clone();
        json!([side])
    } else {
        json!([spec["containers"][0], side])
    };
    spec
}

/// Who is hot by whom, where nothing is said.
fn hot(spec: &Value) -> Vec<String> {
    let found = references(&serde_json::from_value(spec.clone()).unwrap());
    let hot = found.iter().filter(|reference| reference.is_hot(&Hot::Unsaid));
    hot.map(|reference| {
        let by = reference.reread_by.as_deref().unwrap();
        format!("{} of {} by {by}", reference.object, reference.user)
    })
    .collect()
}

#[rstest]
#[case::beside_it(json!({}), json!({"command": ["afresh", "agent", "--watch=/web"]}), json!({"as": "containers"}),
    &["configmap/web of container app by side", "configmap/web of container side by side"])]
#[case::as_a_native_sidecar(json!({}), json!({"command": ["afresh", "agent", "--watch=/web/"]}),
    json!({"as": "initContainers", "restartPolicy": "Always"}),
    &["configmap/web of container app by side", "configmap/web of container side by side"])]
#[case::in_an_init_container_that_ends(json!({}), json!({"command": ["afresh", "agent", "--watch=/web"]}),
    json!({"as": "initContainers"}), &[])]
#[case::as_the_parent_for_its_own_container(json!({"command": ["afresh", "run", "--watch=/web", "--", "x"]}), json!({}),
    json!({"as": "containers"}), &["configmap/web of container app by app"])]
#[case::for_all_that_it_watches(json!({"command": ["afresh", "run", "--env-from=/other", "--watch=/web", "--", "x"]}), json!({}),
    json!({"as": "containers"}), &["configmap/web of container app by app", "configmap/other of container app by app"])]
#[case::watching_one_file_of_many(json!({"command": ["afresh", "run", "--env-file=/web/a.env", "--", "x"]}), json!({}),
    json!({"as": "containers"}), &[])]
#[case::watching_what_it_does_not_mount(json!({}), json!({"command": ["afresh", "agent", "--watch=/other"]}),
    json!({"as": "containers"}), &[])]
#[case::by_a_shell(json!({}), json!({"command": ["sh", "-c", "exec afresh agent --watch=/web"]}), json!({"as": "containers"}), &[])]
fn an_afresh_agent_makes_hot_what_it_watches(
    #[case] app: Value,
    #[case] side: Value,
    #[case] more: Value,
    #[case] expected: &[&str],
) {
    assert_eq!(hot(&with_agents(&app, &side, &more)), expected);
}

#[test]
fn a_watched_file_is_enough_where_its_volume_holds_no_other() {
    let spec = |items: Value| {
        json!({"containers": [{"name": "app", "command": ["afresh", "run", "--env-file=/web/a.env", "--", "x"],
            "volumeMounts": [{"name": "web", "mountPath": "/web/"}]}],
            "volumes": [{"name": "web", "configMap": {"name": "web", "items": items}}]})
    };
    let one = json!([{"key": "a", "path": "a.env"}]);
    assert_eq!(hot(&spec(one)), ["configmap/web of container app by app"]);
    let two = json!([{"key": "a", "path": "a.env"}, {"key": "b", "path": "b.env"}]);
    assert!(hot(&spec(two)).is_empty());
}

#[test]
fn what_is_said_of_containers_counts_instead_of_an_agent() {
    let spec = with_agents(
        &json!({}),
        &json!({"command": ["afresh", "agent", "--watch=/web"]}),
        &json!({"as": "containers"}),
    );
    let found = references(&serde_json::from_value(spec).unwrap());
    let hot = |said: &Hot| found.iter().filter(|reference| reference.is_hot(said)).count();
    assert_eq!((hot(&Hot::Unsaid), hot(&Hot::None)), (2, 0));
    assert_eq!(hot(&Hot::All), 3, "each whole mount, and no subPath");
    assert_eq!(hot(&Hot::Containers(vec!["side".parse().unwrap()])), 1);
}
