//! The sandbox as the real client sees it: `kube` over the in-process service.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::time::Duration;

use afresh_sandbox::{Filter, Options, Resource, Sandbox, Verb};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::core::{ApiResource, GroupVersionKind, PartialObjectMeta};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource as _, ResourceExt as _};
use serde_json::{Value, json};

fn start() -> (Sandbox, Client) {
    let options = Options {
        base_time: Some("2030-01-01T00:00:00Z".parse().unwrap()),
        ..Options::api_server_only()
    };
    let sandbox = Sandbox::start(&options);
    let client = Client::new(sandbox.service(), "default");
    (sandbox, client)
}

fn map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": name}}, "data": {"k": value}})
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("not an API error: {other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_creates_reads_changes_and_deletes() {
    let (sandbox, client) = start();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let made = maps
        .create(&PostParams::default(), &typed(map("a", "1")))
        .await
        .unwrap();
    assert_eq!(made.creation_timestamp().unwrap().0.to_string(), "2030-01-01T00:00:00Z");
    assert_eq!(
        code(
            &maps
                .create(&PostParams::default(), &typed(map("a", "1")))
                .await
                .unwrap_err()
        ),
        409
    );
    let patch = Patch::Merge(json!({"data": {"k": "2"}}));
    let patched = maps.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.data.unwrap()["k"], "2");
    let mut stale = made;
    stale.data.as_mut().unwrap().insert("x".into(), "y".into());
    assert_eq!(
        code(&maps.replace("a", &PostParams::default(), &stale).await.unwrap_err()),
        409
    );
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(code(&maps.get("a").await.unwrap_err()), 404);
    assert_eq!(
        sandbox.log().count(&Filter::verb(Verb::Create).resource("configmaps")),
        2
    );
    assert_eq!(
        sandbox
            .log()
            .succeeded(&Filter::verb(Verb::Create).resource("configmaps")),
        1
    );
    let patches = sandbox.log().find(&Filter::verb(Verb::Patch).name("a"));
    assert_eq!(patches[0].patch, Some(json!({"data": {"k": "2"}})));
}

#[tokio::test(start_paused = true)]
async fn a_list_is_paged_and_selected() {
    let (sandbox, client) = start();
    for name in ["a", "b", "c"] {
        sandbox.create(map(name, "1")).unwrap();
    }
    let maps: Api<ConfigMap> = Api::all(client.clone());
    let first = maps.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(first.items.len(), 2);
    let token = first.metadata.continue_.unwrap();
    let second = maps
        .list(&ListParams::default().limit(2).continue_token(&token))
        .await
        .unwrap();
    assert_eq!(
        second.items.iter().map(kube::ResourceExt::name_any).collect::<Vec<_>>(),
        ["c"]
    );
    let selected = maps
        .list(&ListParams::default().labels("app in (a,b)").fields("metadata.name!=a"))
        .await
        .unwrap();
    assert_eq!(
        selected
            .items
            .iter()
            .map(kube::ResourceExt::name_any)
            .collect::<Vec<_>>(),
        ["b"]
    );
    let partial: Api<PartialObjectMeta<ConfigMap>> = Api::all(client);
    let listed = partial.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(listed.items.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_every_change_from_its_position_on() {
    let (sandbox, client) = start();
    sandbox.create(map("a", "1")).unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let from = sandbox.revision().to_string();
    sandbox.apply(map("a", "2")).unwrap();
    let watch = WatchParams::default().labels("app=a").timeout(60);
    let mut events = maps.watch(&watch, &from).await.unwrap().boxed();
    sandbox.apply(map("b", "1")).unwrap();
    sandbox
        .apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"app": "z"}}}))
        .unwrap();
    sandbox.apply(map("a", "3")).unwrap();
    sandbox.delete("configmaps", "default", "a").unwrap();
    let mut seen = Vec::new();
    while let Some(event) = events.try_next().await.unwrap() {
        seen.push(match event {
            WatchEvent::Added(map) => format!("added {}", map.data.unwrap()["k"]),
            WatchEvent::Modified(map) => format!("modified {}", map.data.unwrap()["k"]),
            WatchEvent::Deleted(map) => format!("deleted {}", map.data.unwrap()["k"]),
            WatchEvent::Bookmark(_) => continue,
            WatchEvent::Error(status) => format!("error {}", status.code),
        });
    }
    // Leaving the selection shows the last content within it.
    assert_eq!(seen, ["modified 2", "deleted 2", "added 3", "deleted 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_position_that_was_compacted_ends_with_an_error_event() {
    let (sandbox, client) = start();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let old = sandbox.revision().to_string();
    sandbox.create(map("a", "1")).unwrap();
    sandbox.compact();
    let mut events = maps.watch(&WatchParams::default(), &old).await.unwrap().boxed();
    match events.try_next().await.unwrap() {
        Some(WatchEvent::Error(status)) => assert_eq!((status.code, status.reason.as_str()), (410, "Expired")),
        other => panic!("{other:?}"),
    }
    assert!(events.try_next().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn both_strategies_of_the_watcher_see_the_present_and_then_the_changes() {
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let (sandbox, client) = start();
        sandbox.create(map("a", "1")).unwrap();
        let stream = watcher(Api::<ConfigMap>::all(client), config).applied_objects();
        let mut stream = Box::pin(stream);
        assert_eq!(stream.try_next().await.unwrap().unwrap().name_any(), "a");
        sandbox.create(map("b", "1")).unwrap();
        assert_eq!(stream.try_next().await.unwrap().unwrap().name_any(), "b");
        // Two quiet hours bring re-opened watches and bookmarks, but no object twice.
        let more = tokio::time::timeout(Duration::from_secs(7_200), stream.try_next()).await;
        assert!(more.is_err(), "{more:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn pods_are_touched_through_their_status_and_secrets_leases_and_custom_kinds_work() {
    let (sandbox, client) = start();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    sandbox.create(pod).unwrap();
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let touch =
        Patch::Merge(json!({"metadata": {"annotations": {"afresh.dev/touched": "1"}}, "spec": {"nodeName": "x"}}));
    let touched = pods.patch_status("p", &PatchParams::default(), &touch).await.unwrap();
    assert_eq!(touched.annotations()["afresh.dev/touched"], "1");
    assert_eq!(touched.spec.unwrap().node_name, None);

    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let secret = typed(json!({"metadata": {"name": "s"}, "stringData": {"k": "v"}}));
    let made = secrets.create(&PostParams::default(), &secret).await.unwrap();
    assert_eq!(made.data.unwrap()["k"].0, b"v");

    let leases: Api<Lease> = Api::default_namespaced(client.clone());
    let lease = typed(
        json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "me", "renewTime": "2030-01-01T00:00:00.000000Z"}}),
    );
    let made = leases.create(&PostParams::default(), &lease).await.unwrap();
    let mut next = made.clone();
    next.spec.as_mut().unwrap().holder_identity = Some("you".into());
    leases.replace("l", &PostParams::default(), &next).await.unwrap();
    assert_eq!(
        code(&leases.replace("l", &PostParams::default(), &next).await.unwrap_err()),
        409
    );

    sandbox.register(Resource::custom("argoproj.io", "v1alpha1", "rollouts", "Rollout"));
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Rollout"));
    let rollouts: Api<DynamicObject> = Api::default_namespaced_with(client, &kind);
    let rollout = DynamicObject::new("r", &kind).data(json!({"spec": {"replicas": 1}}));
    let made = rollouts.create(&PostParams::default(), &rollout).await.unwrap();
    assert_eq!(made.metadata.generation, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_deployment_patch_records_its_manager_and_grows_the_generation() {
    let (sandbox, client) = start();
    let body = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    sandbox.create(body).unwrap();
    tokio::time::advance(Duration::from_secs(100)).await;
    let deployments: Api<Deployment> = Api::default_namespaced(client);
    let patch =
        Patch::Strategic(json!({"spec": {"template": {"metadata": {"annotations": {"afresh.dev/config": "d"}}}}}));
    let patched = deployments
        .patch("web", &PatchParams::apply("afresh"), &patch)
        .await
        .unwrap();
    assert_eq!(patched.metadata.generation, Some(2));
    let fields = patched.meta().managed_fields.as_ref().unwrap();
    let ours = fields
        .iter()
        .find(|entry| entry.manager.as_deref() == Some("afresh"))
        .unwrap();
    assert_eq!(ours.time.as_ref().unwrap().0.to_string(), "2030-01-01T00:01:40Z");
    let owned = &ours.fields_v1.as_ref().unwrap().0;
    assert!(
        owned["f:spec"]["f:template"]["f:metadata"]["f:annotations"].is_object(),
        "{owned}"
    );
}
