//! Rotations as the secrets-store CSI driver tells of them, with its CRDs on a real API server and the test as the driver.

use std::time::Duration;

use afresh_model::reloader::sha1::Sha1;
use afresh_testbed::Cluster;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::manifests::{files, workload};
use crate::world::World;

const GROUP: &str = "secrets-store.csi.x-k8s.io";

/// The definitions as the driver's own, less their schemas: like there, `status` is no subresource.
async fn install_driver(cluster: &Cluster) -> Result<()> {
    for (plural, singular, kind) in [
        ("secretproviderclasses", "secretproviderclass", "SecretProviderClass"),
        (
            "secretproviderclasspodstatuses",
            "secretproviderclasspodstatus",
            "SecretProviderClassPodStatus",
        ),
    ] {
        let schema = json!({ "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } });
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("{plural}.{GROUP}") },
            "spec": { "group": GROUP, "scope": "Namespaced", "names": { "plural": plural, "singular": singular, "kind": kind },
                "versions": [{ "name": "v1", "served": true, "storage": true, "schema": schema }] },
        });
        cluster.define(&crd).await?;
    }
    Ok(())
}

fn mounting(name: &str, class: &str, replicas: u32) -> Value {
    let attributes = json!({ "secretProviderClass": class });
    let volume =
        json!({ "csi": { "driver": "secrets-store.csi.k8s.io", "readOnly": true, "volumeAttributes": attributes } });
    workload("Deployment", name, replicas, files(&[("secrets", volume)]), &json!({}))
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// The driver mounts the volume of a pod, or gives it other versions.
async fn says(world: &World<'_>, pod: &Value, class: &str, version: &str) -> Result<()> {
    let owner = json!({ "apiVersion": "v1", "kind": "Pod", "name": name(pod), "uid": pod["metadata"]["uid"] });
    let status = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "SecretProviderClassPodStatus",
        "metadata": { "name": format!("{}-{class}", name(pod)), "ownerReferences": [owner] },
        "status": { "podName": name(pod), "secretProviderClassName": class, "mounted": true,
            "objects": [{ "id": "secret/password", "version": version }] },
    });
    world.apply(&[status]).await
}

#[tokio::test]
async fn a_rotation_rolls_once_however_many_pods_follow() -> Result<()> {
    let cluster = Cluster::shared_with_controllers().await?;
    install_driver(cluster).await?;
    let world = World::namespaced(cluster, "csi").await?;
    let class = json!({ "apiVersion": format!("{GROUP}/v1"), "kind": "SecretProviderClass",
        "metadata": { "name": "vault" }, "spec": { "provider": "vault" } });
    world.apply(&[class, mounting("web", "vault", 2)]).await?;
    let first = world.pods_made("web", 2).await?;
    for pod in &first {
        says(&world, pod, "vault", "1").await?;
    }
    let controller = world.only_controller(&["--csi"]).await?;
    world.adopted("Deployment", "web").await?;
    let annotations = world.workload("Deployment", "web").await?["metadata"]["annotations"].clone();
    let record = annotations["afresh.dev/applied"].as_str().context("no record")?;
    assert!(record.contains("secretproviderclass/vault"), "{record}");
    world.rest(&controller).await?;
    assert_eq!(world.rolls("Deployment", "web").await?, 0);

    says(&world, &first[0], "vault", "2").await?;
    world.rolled("Deployment", "web", 1).await?;
    says(&world, &first[1], "vault", "2").await?;
    for pod in world.pods("web").await? {
        if !first.iter().any(|old| old["metadata"]["uid"] == pod["metadata"]["uid"]) {
            says(&world, &pod, "vault", "2").await?;
        }
    }
    world.rest(&controller).await?;
    controller.kill().await?;
    let second = world.only_controller(&["--csi"]).await?;
    world.rest(&second).await?;
    assert_eq!(world.rolls("Deployment", "web").await?, 1);
    assert_eq!(world.refused()?, Vec::<String>::new());
    Ok(())
}

/// Reloader's hash of what a pod's volume of the class holds.
fn hash(class: &str, version: &str) -> String {
    let lines = [
        format!("secret/password={version}"),
        format!("SecretProviderClassName={class}"),
    ];
    Sha1::of_lines(lines.into()).to_string()
}

#[tokio::test]
async fn the_swap_rolls_a_rotation_that_reloader_missed_and_only_that_once() -> Result<()> {
    let cluster = Cluster::shared_with_controllers().await?;
    install_driver(cluster).await?;
    let world = World::namespaced(cluster, "csiswap").await?;
    let names = ["current", "missed"];
    let variable = |name: &str| format!("STAKATER_{}_SECRETPROVIDERCLASS", name.to_uppercase());
    for name in names {
        let mut left = mounting(name, name, 1);
        let env = json!([{ "name": variable(name), "value": hash(name, "1") }]);
        left["spec"]["template"]["spec"]["containers"][0]["env"] = env;
        world.apply(&[left]).await?;
    }
    for name in names {
        says(&world, &world.pods_made(name, 1).await?[0], name, "1").await?;
    }
    // The API has whole seconds, and a rotation within the second of the mount cannot be told from it.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let old = world.pods_made("missed", 1).await?;
    says(&world, &old[0], "missed", "2").await?;

    for _ in 0..3 {
        let reloader = world.reloader(&["--enable-csi-integration"]).await?;
        for name in names {
            world.adopted("Deployment", name).await?;
        }
        world.rest(&reloader).await?;
        for pod in world.pods("missed").await? {
            if pod["metadata"]["uid"] != old[0]["metadata"]["uid"] {
                says(&world, &pod, "missed", "2").await?;
            }
        }
        world.rest(&reloader).await?;
        reloader.kill().await?;
        for (name, rolls) in [("current", 0), ("missed", 1)] {
            assert_eq!(world.rolls("Deployment", name).await?, rolls, "{name}");
        }
    }
    let missed = world.workload("Deployment", "missed").await?;
    let env = &missed["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(
        *env,
        json!([{ "name": variable("missed"), "value": hash("missed", "2") }])
    );
    assert_eq!(world.refused()?, Vec::<String>::new());
    Ok(())
}
