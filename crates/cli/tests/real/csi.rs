//! Rotations as the secrets-store CSI driver tells of them, with its CRDs on a real API server and the test as the driver.

use afresh_testbed::{Cluster, eventually};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::manifests::{files, workload};
use crate::program::LONG;
use crate::world::World;

const GROUP: &str = "secrets-store.csi.x-k8s.io";

/// As the driver's own, less their schemas: like there, `status` is no subresource.
async fn install_crds(cluster: &Cluster) -> Result<()> {
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
        cluster.apply(&crd.to_string()).await?;
        let established = format!("crd/{plural}.{GROUP}");
        cluster
            .kubectl(&["wait", "--for=condition=Established", &established, "--timeout=60s"])
            .await?;
    }
    Ok(())
}

fn web() -> Value {
    let attributes = json!({ "secretProviderClass": "vault" });
    let volume =
        json!({ "csi": { "driver": "secrets-store.csi.k8s.io", "readOnly": true, "volumeAttributes": attributes } });
    workload("Deployment", "web", 2, files(&[("secrets", volume)]), &json!({}))
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

async fn pods(world: &World<'_>) -> Result<Vec<Value>> {
    let look = async || anyhow::Ok(Some(world.pods("web").await?).filter(|pods| pods.len() == 2));
    eventually("two pods", LONG, look).await
}

/// The driver mounts the volume of a pod, or gives it other versions.
async fn says(world: &World<'_>, pod: &Value, version: &str) -> Result<()> {
    let owner = json!({ "apiVersion": "v1", "kind": "Pod", "name": name(pod), "uid": pod["metadata"]["uid"] });
    let status = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "SecretProviderClassPodStatus",
        "metadata": { "name": format!("{}-vault", name(pod)), "ownerReferences": [owner] },
        "status": { "podName": name(pod), "secretProviderClassName": "vault", "mounted": true,
            "objects": [{ "id": "secret/password", "version": version }] },
    });
    world.apply(&[status]).await
}

#[tokio::test]
async fn a_rotation_rolls_once_however_many_pods_follow() -> Result<()> {
    let cluster = Cluster::shared_with_controllers().await?;
    install_crds(cluster).await?;
    let world = World::namespaced(cluster, "csi").await?;
    let class = json!({ "apiVersion": format!("{GROUP}/v1"), "kind": "SecretProviderClass",
        "metadata": { "name": "vault" }, "spec": { "provider": "vault" } });
    world.apply(&[class, web()]).await?;
    let first = pods(&world).await?;
    for pod in &first {
        says(&world, pod, "1").await?;
    }
    let controller = world.only_controller(&["--csi"]).await?;
    world.adopted("Deployment", "web").await?;
    let annotations = world.workload("Deployment", "web").await?["metadata"]["annotations"].clone();
    let record = annotations["afresh.dev/applied"].as_str().context("no record")?;
    assert!(record.contains("secretproviderclass/vault"), "{record}");
    world.rest(&controller).await?;
    assert_eq!(world.rolls("Deployment", "web").await?, 0);

    says(&world, &first[0], "2").await?;
    world.rolled("Deployment", "web", 1).await?;
    says(&world, &first[1], "2").await?;
    for pod in world.pods("web").await? {
        if !first.iter().any(|old| old["metadata"]["uid"] == pod["metadata"]["uid"]) {
            says(&world, &pod, "2").await?;
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
