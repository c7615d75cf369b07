//! What happens to a cluster at large: its API server restarts, its store forgets. Installed for all namespaces.

use afresh_testbed::Cluster;
use anyhow::Result;
use serde_json::{Value, json};

use crate::manifests::{deployment, variables};
use crate::program::{Controller, until};
use crate::world::World;

/// What the watch of ConfigMaps counts.
async fn config_maps(controller: &Controller, counter: &str) -> Result<u64> {
    let state = controller.state().await?;
    let watches = state["watches"].as_array().cloned().unwrap_or_default();
    let watch = watches.into_iter().find(|watch| watch["kind"] == "configmap");
    Ok(watch
        .as_ref()
        .and_then(|watch| watch[counter].as_u64())
        .unwrap_or_default())
}

async fn prepared<'a>(cluster: &'a Cluster, prefix: &str) -> Result<(World<'a>, Controller)> {
    let world = World::cluster_wide(cluster, prefix).await?;
    world.config_map("settings", json!({ "level": "0" })).await?;
    world.apply(&[deployment("web", variables("settings"))]).await?;
    let controller = world.only_controller(&[]).await?;
    world.adopted("Deployment", "web").await?;
    Ok((world, controller))
}

#[tokio::test]
async fn an_api_server_that_restarts_loses_no_change() -> Result<()> {
    let cluster = Cluster::with_controllers().await?;
    let (mut world, controller) = prepared(&cluster, "restart").await?;

    for round in 1..=2_u64 {
        if round == 1 {
            cluster.kill_api_server().await?;
        } else {
            cluster.stop_api_server().await?;
        }
        cluster.start_api_server().await?;
        world.reconnect().await?;
        world
            .config_map("settings", json!({ "level": round.to_string() }))
            .await?;
        world.rolled("Deployment", "web", round).await?;
        world.rest(&controller).await?;
        assert_eq!(world.rolls("Deployment", "web").await?, round);
    }
    let restarts = config_maps(&controller, "restarts").await?;
    assert!(restarts >= 2, "{restarts}");
    drop(controller);
    cluster.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_watch_from_before_a_compaction_starts_anew_and_loses_no_change() -> Result<()> {
    let cluster = Cluster::with_controllers().await?;
    let (mut world, controller) = prepared(&cluster, "compacted").await?;
    let lists = config_maps(&controller, "lists").await?;

    controller.pause()?;
    cluster.kill_api_server().await?;
    cluster.start_api_server().await?;
    world.reconnect().await?;
    world.config_map("settings", json!({ "level": "1" })).await?;
    let doomed = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "doomed" } });
    world.apply(&[doomed]).await?;
    cluster
        .kubectl(&["delete", "configmap", "doomed", "-n", &world.namespace])
        .await?;
    cluster.stop_api_server().await?;
    cluster.compact().await?;
    cluster.start_api_server().await?;
    world.reconnect().await?;
    controller.resume()?;

    world.rolled("Deployment", "web", 1).await?;
    world.rest(&controller).await?;
    assert_eq!(world.rolls("Deployment", "web").await?, 1);
    let now = async || config_maps(&controller, "lists").await;
    until("a new list", now, |now| *now > lists).await?;
    let leader: Value = controller.state().await?["engine"]["leading"].clone();
    assert_eq!(leader, true);
    drop(controller);
    cluster.stop().await?;
    Ok(())
}
