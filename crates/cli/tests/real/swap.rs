//! The swap: `afresh reloader` on workloads as Stakater Reloader left them, on a real control plane.

use afresh_model::reloader::sha1::Sha1;
use afresh_testbed::Cluster;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::manifests::{deployment, secret_variables, variables, workload};
use crate::program::until;
use crate::world::World;

const LAST: &str = "reloader.stakater.com/last-reloaded-from";
const PAUSED_AT: &str = "deployment.reloader.stakater.com/paused-at";

pub(crate) fn hash(level: &str) -> String {
    Sha1::of([("level", level.as_bytes())]).to_string()
}

fn level(level: &str) -> Value {
    json!({ "level": level })
}

/// As Reloader leaves a workload by `env-vars`, between variables of its owner.
pub(crate) fn by_variable(kind: &str, name: &str, text: &str) -> Value {
    let mut object = workload(kind, name, 1, variables(name), &json!({}));
    let variable = format!("STAKATER_{}_CONFIGMAP", name.to_uppercase());
    let env = [
        json!({ "name": "FIRST", "value": "1" }),
        json!({ "name": variable, "value": hash(text) }),
        json!({ "name": "LAST", "value": "2" }),
    ];
    object["spec"]["template"]["spec"]["containers"][0]["env"] = json!(env);
    object
}

/// As Reloader leaves a workload by `annotations`.
fn by_annotation(name: &str, namespace: &str, text: &str) -> Value {
    let last = json!({ "type": "CONFIGMAP", "name": name, "namespace": namespace, "hash": hash(text),
        "containerRefs": ["app"], "observedAt": 1_700_000_000 });
    let mut object = deployment(name, variables(name));
    object["spec"]["template"]["metadata"]["annotations"] = json!({ LAST: last.to_string() });
    object
}

/// Rolls of Deployments by name, after everything has come to rest, three starts in a row.
async fn settled(world: &World<'_>, flags: &[&str], names: &[&str]) -> Result<Vec<u64>> {
    let mut rolls = Vec::new();
    for _ in 0..3 {
        let reloader = world.reloader(flags).await?;
        for name in names {
            world.adopted("Deployment", name).await?;
        }
        world.rest(&reloader).await?;
        reloader.kill().await?;
        rolls.clear();
        for name in names {
            rolls.push(world.rolls("Deployment", name).await?);
        }
    }
    Ok(rolls)
}

#[tokio::test]
async fn the_swap_by_env_vars_rolls_what_reloader_missed_and_only_that_once() -> Result<()> {
    let world = World::namespaced(Cluster::shared_with_controllers().await?, "swapenv").await?;
    for map in ["current", "missed", "never"] {
        world.config_map(map, level("1")).await?;
    }
    let unmarked = deployment("never", variables("never"));
    let left = ["current", "missed"].map(|name| by_variable("Deployment", name, "1"));
    let others = [by_variable("StatefulSet", "missed", "1"), unmarked];
    world.apply(&[&left[..], &others].concat()).await?;
    for (name, pods) in [("current", 1), ("missed", 2), ("never", 1)] {
        world.pods_made(name, pods).await?;
    }
    world.config_map("missed", level("2")).await?;

    let rolls = settled(&world, &[], &["current", "missed", "never"]).await?;
    assert_eq!(rolls, [0, 1, 0]);
    for kind in ["Deployment", "StatefulSet"] {
        assert_eq!(world.rolls(kind, "missed").await?, 1, "{kind}");
        let object = world.workload(kind, "missed").await?;
        let container = &object["spec"]["template"]["spec"]["containers"][0];
        let env = json!([{ "name": "FIRST", "value": "1" }, { "name": "STAKATER_MISSED_CONFIGMAP", "value": hash("2") },
            { "name": "LAST", "value": "2" }]);
        assert_eq!(container["env"], env, "{kind}");
    }
    assert_eq!(world.refused()?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn the_swap_by_annotations_rolls_what_reloader_missed_and_only_that_once() -> Result<()> {
    let world = World::namespaced(Cluster::shared_with_controllers().await?, "swapann").await?;
    for map in ["current", "missed"] {
        world.config_map(map, level("1")).await?;
    }
    let left = ["current", "missed"].map(|name| by_annotation(name, &world.namespace, "1"));
    world.apply(&left).await?;
    for name in ["current", "missed"] {
        world.pods_made(name, 1).await?;
    }
    world.config_map("missed", level("2")).await?;

    let rolls = settled(&world, &["--reload-strategy=annotations"], &["current", "missed"]).await?;
    assert_eq!(rolls, [0, 1]);
    let missed = world.workload("Deployment", "missed").await?;
    let last = missed["spec"]["template"]["metadata"]["annotations"][LAST]
        .as_str()
        .context("no mark")?;
    let last: Value = serde_json::from_str(last)?;
    assert_eq!((&last["hash"], &last["name"]), (&json!(hash("2")), &json!("missed")));
    Ok(())
}

#[tokio::test]
async fn reloader_defect_b10_a_deletion_takes_out_one_variable_by_its_name() -> Result<()> {
    let world = World::namespaced(Cluster::shared_with_controllers().await?, "swapdel").await?;
    world.config_map("gone", level("1")).await?;
    world.apply(&[by_variable("Deployment", "gone", "1")]).await?;
    let reloader = world.reloader(&["--reload-on-delete=true"]).await?;
    world.adopted("Deployment", "gone").await?;
    world
        .cluster
        .kubectl(&["delete", "configmap", "gone", "--namespace", &world.namespace])
        .await?;
    world.rolled("Deployment", "gone", 1).await?;
    world.rest(&reloader).await?;
    let object = world.workload("Deployment", "gone").await?;
    let env = json!([{ "name": "FIRST", "value": "1" }, { "name": "LAST", "value": "2" }]);
    assert_eq!(object["spec"]["template"]["spec"]["containers"][0]["env"], env);
    assert_eq!(world.rolls("Deployment", "gone").await?, 1);
    Ok(())
}

#[tokio::test]
async fn reloader_defect_c2_a_paused_deployment_is_resumed_by_whoever_comes_next() -> Result<()> {
    let world = World::namespaced(Cluster::shared_with_controllers().await?, "swappause").await?;
    world.config_map("web", level("1")).await?;
    let period = json!({ "deployment.reloader.stakater.com/pause-period": "15s" });
    world
        .apply(&[workload("Deployment", "web", 1, variables("web"), &period)])
        .await?;
    let reloader = world.reloader(&[]).await?;
    world.adopted("Deployment", "web").await?;
    world.config_map("web", level("2")).await?;
    let web = async || world.workload("Deployment", "web").await;
    let paused = until("a pause", web, |web| web["spec"]["paused"] == true).await?;
    assert!(paused["metadata"]["annotations"][PAUSED_AT].is_string(), "{paused}");
    reloader.kill().await?;

    let next = world.reloader(&[]).await?;
    world.config_map("web", level("3")).await?;
    until("its end", web, |web| web["spec"]["paused"] != true).await?;
    world.rolled("Deployment", "web", 1).await?;
    world.rest(&next).await?;
    assert_eq!(web().await?["metadata"]["annotations"][PAUSED_AT], Value::Null);
    Ok(())
}

/// Whoever swaps the image and nothing else gives Afresh what Reloader had, and no more.
#[tokio::test]
async fn reloaders_own_rights_are_enough() -> Result<()> {
    let world = World::with_reloaders_rights(Cluster::shared_with_controllers().await?, "swaprights").await?;
    world.config_map("web", level("1")).await?;
    world.secret("key", json!({ "level": "1" })).await?;
    let auto = json!({ "reloader.stakater.com/auto": "true" });
    let both = [("web", variables("web")), ("key", secret_variables("key"))];
    let both = both.map(|(name, uses)| {
        let mut object = deployment(name, uses);
        object["metadata"]["annotations"] = auto.clone();
        object
    });
    world.apply(&both).await?;
    for name in ["web", "key"] {
        world.observed("Deployment", name).await?;
    }

    let reloader = world.reloader(&[]).await?;
    for name in ["web", "key"] {
        world.adopted("Deployment", name).await?;
    }
    world.config_map("web", level("2")).await?;
    world.secret("key", json!({ "level": "2" })).await?;
    for name in ["web", "key"] {
        world.rolled("Deployment", name, 1).await?;
    }
    reloader.kill().await?;
    // What it wrote is comparable for the next one: the key of digests outlives the process.
    let _reloader = world.reloader(&[]).await?;
    world.config_map("web", level("3")).await?;
    world.rolled("Deployment", "web", 2).await?;
    assert_eq!(world.rolls("Deployment", "key").await?, 1, "a restart rolls nothing");
    let web = world.workload("Deployment", "web").await?;
    let managers = web["metadata"]["managedFields"].as_array().context("no managers")?;
    assert!(
        managers.iter().any(|entry| entry["manager"] == "Reloader"),
        "{managers:?}"
    );
    Ok(())
}
