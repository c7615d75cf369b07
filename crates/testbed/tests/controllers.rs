//! The control plane with its controllers, but no node.

use std::time::Duration;

use afresh_testbed::{BUSYBOX, Cluster, eventually};
use anyhow::Result;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};

const LONG: Duration = Duration::from_secs(300);

#[tokio::test]
async fn a_deployment_makes_a_replica_set_per_template_and_its_pods_wait_for_a_node() -> Result<()> {
    let cluster = Cluster::shared_with_controllers().await?;
    let namespace = cluster.namespace("rollout").await?;
    let client = cluster.client().await?;
    let sets = Api::<ReplicaSet>::namespaced(client.clone(), &namespace);
    let pods = Api::<Pod>::namespaced(client, &namespace);
    let image = format!("--image={BUSYBOX}");
    cluster
        .kubectl(&["create", "deployment", "web", &image, "--replicas=3", "-n", &namespace])
        .await?;
    let three = async || {
        let count = pods.list(&ListParams::default()).await?.items.len();
        anyhow::Ok((count == 3).then_some(()).ok_or(count))
    };
    eventually("three pods", LONG, three).await?;

    cluster
        .kubectl(&["rollout", "restart", "deployment/web", "-n", &namespace])
        .await?;

    let two = eventually("two ReplicaSets", LONG, async || {
        let sets = sets.list(&ListParams::default()).await?.items;
        let count = sets.len();
        anyhow::Ok((count == 2).then_some(sets).ok_or(count))
    });
    let owners: Vec<_> = two
        .await?
        .into_iter()
        .filter_map(|set| set.metadata.owner_references)
        .flatten()
        .collect();
    assert!(
        owners
            .iter()
            .all(|owner| owner.name == "web" && owner.kind == "Deployment"),
        "{owners:?}"
    );
    let unscheduled = eventually("the scheduler's answer", LONG, async || {
        let pods = pods.list(&ListParams::default()).await?.items;
        let conditions = pods.into_iter().filter_map(|pod| pod.status?.conditions).flatten();
        let (scheduled, others): (Vec<_>, Vec<_>) = conditions.partition(|condition| condition.type_ == "PodScheduled");
        anyhow::Ok(scheduled.into_iter().next().ok_or(format!("{others:?}")))
    });
    assert_eq!(unscheduled.await?.reason.as_deref(), Some("Unschedulable"));
    Ok(())
}

#[tokio::test]
async fn an_api_server_that_restarts_finds_its_controllers_at_work() -> Result<()> {
    let cluster = Cluster::with_controllers().await?;

    cluster.kill_api_server().await?;
    cluster.start_api_server().await?;

    // A namespace is complete only when a controller has given it its ServiceAccount.
    cluster.namespace("after").await?;
    let pids = cluster.pids().await;
    let names: Vec<_> = pids.keys().copied().collect();
    assert_eq!(
        names,
        ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
    );
    cluster.stop().await?;
    Ok(())
}
