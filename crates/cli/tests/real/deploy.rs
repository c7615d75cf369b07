//! What `deploy/` grants, and what it does not.

use std::fs;

use afresh_testbed::Cluster;
use anyhow::{Result, ensure};
use kube::Client;
use serde_json::{Value, json};

use crate::install::{self, NO_PODS, manifests};
use crate::kinds::{Defined, cron_job, job};
use crate::manifests::{deployment, variables, workload};
use crate::program::until;
use crate::rights::may;
use crate::world::World;

const GRANTED: [&str; 17] = [
    "list /configmaps",
    "watch /configmaps",
    "list /secrets",
    "watch /secrets",
    "get apps/deployments",
    "watch apps/statefulsets",
    "patch apps/deployments",
    "patch apps/statefulsets",
    "patch apps/daemonsets",
    "list /pods",
    "get /pods",
    "watch /pods",
    "patch /pods/status",
    "create /pods/eviction",
    "create events.k8s.io/events",
    "patch events.k8s.io/events",
    "get /secrets",
];

const NOT_GRANTED: [&str; 24] = [
    "create /configmaps",
    "update /configmaps",
    "patch /configmaps",
    "delete /configmaps",
    "create /secrets",
    "update /secrets",
    "patch /secrets",
    "delete /secrets",
    "patch /secrets=other",
    "create /pods",
    "patch /pods",
    "update /pods",
    "delete /pods",
    "update /pods/status",
    "create /pods/exec",
    "create apps/deployments",
    "update apps/deployments",
    "delete apps/deployments",
    "patch apps/deployments/scale",
    "create coordination.k8s.io/leases",
    "update coordination.k8s.io/leases=other",
    "create /serviceaccounts/token",
    "patch /nodes",
    "update rbac.authorization.k8s.io/roles",
];

async fn assert_rights(client: &Client, namespace: &str, own: &str) -> Result<()> {
    for right in GRANTED {
        assert!(may(client, right, Some(namespace)).await?, "{right} in {namespace}");
    }
    for right in NOT_GRANTED {
        assert!(!may(client, right, Some(namespace)).await?, "{right} in {namespace}");
    }
    for right in [
        "get /secrets=afresh-digest-key",
        "patch /secrets=afresh-digest-key",
        "update coordination.k8s.io/leases=afresh",
    ] {
        assert!(may(client, right, Some(own)).await?, "{right} in {own}");
    }
    Ok(())
}

#[tokio::test]
async fn reloader_defect_e4_the_service_account_may_do_what_it_needs_and_nothing_else() -> Result<()> {
    let cluster = Cluster::shared_with_controllers().await?;
    let world = World::cluster_wide(cluster, "rights").await?;

    let client = world.account.client().await?;
    assert_rights(&client, &world.namespace, "afresh").await?;
    assert!(may(&client, "list /secrets", None).await?, "everywhere at once");
    let own = "patch /secrets=afresh-digest-key";
    assert!(!may(&client, own, Some(&world.namespace)).await?, "only in its own");
    Ok(())
}

#[tokio::test]
async fn the_variant_for_one_namespace_has_no_right_outside_it_and_makes_nothing_outside_it() -> Result<()> {
    let cluster = Cluster::shared_with_controllers().await?;
    let world = World::namespaced(cluster, "alone").await?;

    let client = world.account.client().await?;
    assert_rights(&client, &world.namespace, &world.namespace).await?;
    for right in GRANTED {
        assert!(!may(&client, right, Some("default")).await?, "{right} in default");
        assert!(!may(&client, right, None).await?, "{right} everywhere");
    }
    let overlay = format!("namespace: {}\nresources: [deploy/namespaced]\n", world.namespace);
    let directory = install::overlay(cluster, "rendered", &overlay)?;
    let rendered = cluster.kubectl(&["kustomize", &directory.to_string_lossy()]).await?;
    for object in rendered.split("\n---\n") {
        assert!(
            object.contains(&format!("\n  namespace: {}", world.namespace)),
            "{object}"
        );
    }
    assert!(!rendered.contains("Cluster"), "{rendered}");
    Ok(())
}

#[tokio::test]
async fn applying_the_manifest_again_keeps_the_digest_key_and_the_lease() -> Result<()> {
    let cluster = Cluster::shared_with_controllers().await?;
    let world = World::namespaced(cluster, "again").await?;
    let controller = world.controller(&["--identity", "me"]).await?;
    world.leads("me").await?;
    let key = async || anyhow::Ok(world.get(&world.core("secrets", "afresh-digest-key")).await?["data"]["key"].clone());
    let made = key().await?;
    assert_eq!(made.as_str().map(str::len), Some(44), "32 bytes in base64: {made}");

    let overlay = format!(
        "namespace: {}\nresources: [deploy/namespaced]\n{NO_PODS}",
        world.namespace
    );
    install::apply(cluster, &world.namespace, &overlay).await?;
    let directory = install::overlay(cluster, &world.namespace, &overlay)?;
    let server_side = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "-k",
        &directory.to_string_lossy(),
    ];
    cluster.kubectl(&server_side).await?;

    assert_eq!(key().await?, made);
    assert_eq!(world.leader().await?, "me");
    controller.stop().await?;
    assert_eq!(world.leader().await?, "", "given up");
    assert_eq!(world.refused()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn the_manifests_name_the_image_of_this_version() -> Result<()> {
    let image = format!("image: afresh.dev/afresh:{}", env!("CARGO_PKG_VERSION"));
    let deployment = fs::read_to_string(manifests()?.join("base/deployment.yaml"))?;
    ensure!(
        deployment.contains(&image),
        "deploy/base/deployment.yaml does not say {image}"
    );
    Ok(())
}

/// A patch as the ServiceAccount, which changes nothing; whether it would be let through.
async fn would(world: &World<'_>, client: &kube::Client, path: &str, patch: &Value) -> Result<Result<(), String>> {
    let path = format!("/{path}?dryRun=All")
        .replace("/NS/", &format!("/{}/", world.namespace))
        .replacen("//", "/", 1);
    let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
    match client
        .request::<Value>(request.body(patch.to_string().into_bytes())?)
        .await
    {
        Ok(_) => Ok(Ok(())),
        Err(kube::Error::Api(status)) if status.message.contains("ValidatingAdmissionPolicy") => {
            Ok(Err(status.message.clone()))
        }
        Err(error) => Err(error.into()),
    }
}

const POD: &str = "/api/v1/namespaces/NS/pods/bare/status";
const WEB: &str = "/apis/apps/v1/namespaces/NS/deployments/web";
const STORE: &str = "/apis/apps/v1/namespaces/NS/statefulsets/web";
const AGENT: &str = "/apis/apps/v1/namespaces/NS/daemonsets/web";
const ROLLOUT: &str = "/apis/argoproj.io/v1alpha1/namespaces/NS/rollouts/web";
const CONFIG: &str = "/apis/apps.openshift.io/v1/namespaces/NS/deploymentconfigs/web";
const JOB: &str = "/apis/batch/v1/namespaces/NS/jobs/web";
const CRON: &str = "/apis/batch/v1/namespaces/NS/cronjobs/web";

fn template(metadata: &Value) -> Value {
    json!({ "spec": { "template": { "metadata": metadata } } })
}

/// What RBAC lets through and the policy must not.
fn too_much() -> Vec<(&'static str, Value)> {
    let owner = json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "settings", "uid": "1" });
    let image = json!([{ "name": "app", "image": "evil" }]);
    let pod_spec = |spec: Value| json!({ "spec": { "template": { "spec": spec } } });
    vec![
        (POD, json!({ "metadata": { "labels": { "app": "other" } } })),
        (POD, json!({ "metadata": { "annotations": { "example.com/x": "1" } } })),
        (POD, json!({ "metadata": { "finalizers": ["example.com/stuck"] } })),
        (POD, json!({ "status": { "phase": "Failed" } })),
        (
            POD,
            json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } }),
        ),
        (
            POD,
            json!({ "status": { "podIP": "192.0.2.7", "podIPs": [{ "ip": "192.0.2.7" }] } }),
        ),
        (
            WEB,
            json!({ "metadata": { "annotations": { "deployment.kubernetes.io/revision": null } } }),
        ),
        (
            WEB,
            json!({ "metadata": { "annotations": { "afresh.dev/reload": "off" } } }),
        ),
        (WEB, json!({ "metadata": { "labels": { "x": "y" } } })),
        (WEB, json!({ "metadata": { "ownerReferences": [owner] } })),
        (WEB, json!({ "spec": { "replicas": 7 } })),
        (WEB, json!({ "spec": { "paused": true } })),
        (WEB, json!({ "spec": { "minReadySeconds": 9 } })),
        (WEB, pod_spec(json!({ "containers": image }))),
        (WEB, pod_spec(json!({ "hostNetwork": true }))),
        (WEB, pod_spec(json!({ "serviceAccountName": "other" }))),
        (WEB, template(&json!({ "annotations": { "example.com/x": "1" } }))),
        (WEB, template(&json!({ "annotations": { "example.com/kept": null } }))),
        (WEB, template(&json!({ "annotations": { "example.com/kept": "2" } }))),
        (WEB, template(&json!({ "labels": { "more": "1" } }))),
        (STORE, json!({ "spec": { "replicas": 7 } })),
        (AGENT, json!({ "spec": { "updateStrategy": { "type": "OnDelete" } } })),
        (AGENT, template(&json!({ "labels": { "more": "1" } }))),
        (ROLLOUT, json!({ "spec": { "replicas": 7 } })),
        (ROLLOUT, json!({ "spec": { "workloadRef": { "name": "other" } } })),
        (ROLLOUT, pod_spec(json!({ "containers": image }))),
        (CONFIG, json!({ "spec": { "restartAt": "2026-01-01T00:00:00Z" } })),
        (CONFIG, pod_spec(json!({ "containers": image }))),
        (JOB, json!({ "spec": { "parallelism": 7 } })),
        (JOB, json!({ "metadata": { "labels": { "x": "y" } } })),
        (CRON, json!({ "spec": { "suspend": true } })),
        (
            CRON,
            json!({ "spec": { "jobTemplate": template(&json!({ "annotations": { "afresh.dev/config": "1" } })) } }),
        ),
    ]
}

/// What Afresh does.
fn its_work() -> Vec<(&'static str, Value)> {
    let touch = json!({ "metadata": { "annotations": { "afresh.dev/touched": "1", "afresh.dev/applied": "{}" } } });
    let record = json!({ "metadata": { "annotations": { "afresh.dev/applied": "{}" } } });
    let mut roll = template(&json!({ "annotations": { "afresh.dev/config": "digest" } }));
    roll["metadata"] = record["metadata"].clone();
    vec![
        (POD, touch),
        (WEB, record.clone()),
        (WEB, roll.clone()),
        (STORE, roll.clone()),
        (AGENT, roll.clone()),
        (CONFIG, roll.clone()),
        (ROLLOUT, roll),
        (ROLLOUT, json!({ "spec": { "restartAt": "2026-01-01T00:00:00Z" } })),
        (JOB, record.clone()),
        (CRON, record),
    ]
}

/// The policy, in force in this namespace only: other tests of this cluster change more than it allows (Reloader's marks,
/// pauses), and are not to notice it.
async fn bounded(world: &World<'_>) -> Result<()> {
    const OVERLAY: &str = r#"resources: [deploy/admission]
patches:
  - target: { kind: ValidatingAdmissionPolicyBinding }
    patch: '[{ "op": "add", "path": "/spec/matchResources", "value": { "namespaceSelector": { "matchLabels": { "bounded": "yes" } } } }]'
"#;
    let cluster = world.cluster;
    cluster
        .kubectl(&["label", "namespace", &world.namespace, "bounded=yes"])
        .await?;
    install::apply_for_all(cluster, &format!("{}-admission", world.namespace), OVERLAY).await?;
    // The API server takes a moment to learn of a policy.
    let client = world.account.client().await?;
    let patch = json!({ "spec": { "replicas": 7 } });
    let denied = async || Ok(would(world, &client, WEB, &patch).await?.err());
    until("the policy at work", denied, Option::is_some).await.map(drop)
}

#[tokio::test]
async fn the_policy_lets_the_service_account_change_its_own_annotations_only() -> Result<()> {
    let cluster = Cluster::shared_with_controllers().await?;
    let world = World::with_work(cluster, "policy").await?;
    let metadata = json!({ "name": "bare", "labels": { "app": "bare" } });
    let spec = variables("settings").pod_spec();
    let bare = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
    let mut web = deployment("web", variables("settings"));
    web["spec"]["template"]["metadata"]["annotations"] = json!({ "example.com/kept": "1" });
    let others = ["StatefulSet", "DaemonSet"].map(|kind| workload(kind, "web", 1, variables("settings"), &json!({})));
    let mut more = vec![job("web", "settings", &json!({})), cron_job("web", &json!({}))];
    for kind in [Defined::argo(), Defined::openshift()] {
        kind.define(cluster).await?;
        more.push(kind.object("web", "settings"));
    }
    world.apply(&[&[bare, web], &others[..], &more[..]].concat()).await?;
    world.observed("Deployment", "web").await?;
    let client = world.account.client().await?;
    let denied = async |path: &str, patch: &Value| anyhow::Ok(would(&world, &client, path, patch).await?.err());

    bounded(&world).await?;

    for (path, patch) in too_much() {
        assert!(denied(path, &patch).await?.is_some(), "let through: {path} {patch}");
    }
    for (path, patch) in its_work() {
        assert_eq!(denied(path, &patch).await?, None, "{path} {patch}");
    }
    let checked = "jsonpath={.status.typeChecking}";
    let checked = ["get", "validatingadmissionpolicy", "afresh", "-o", checked];
    let typed = async || Ok(cluster.kubectl(&checked).await?);
    let typed = until("the types checked", typed, |answer| !answer.is_empty()).await?;
    assert_eq!(typed, "{}", "no warnings");
    Ok(())
}

#[tokio::test]
async fn under_the_policy_a_change_is_rolled_out_as_without_it() -> Result<()> {
    let world = World::namespaced(Cluster::shared_with_controllers().await?, "bounded").await?;
    world.config_map("settings", json!({ "a": "1" })).await?;
    let kinds = ["Deployment", "StatefulSet", "DaemonSet"];
    let workloads = kinds.map(|kind| workload(kind, "web", 1, variables("settings"), &json!({})));
    let argo = Defined::argo();
    argo.define(world.cluster).await?;
    world
        .apply(&[&workloads[..], &[argo.object("web", "settings")]].concat())
        .await?;
    bounded(&world).await?;
    let controller = world.only_controller(&[]).await?;
    for kind in kinds {
        world.adopted(kind, "web").await?;
    }
    let before = argo.adopted(&world, "web").await?;

    world.config_map("settings", json!({ "a": "2" })).await?;
    for kind in kinds {
        world.rolled(kind, "web", 1).await?;
    }
    argo.rolled(&world, "web", &before).await?;

    world.rest(&controller).await?;
    for kind in kinds {
        assert_eq!(world.rolls(kind, "web").await?, 1, "{kind}");
    }
    assert_eq!(world.refused()?, Vec::<String>::new());
    Ok(())
}
