//! Argo Rollouts and OpenShift DeploymentConfigs.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Defined, applied, world};
use crate::manifests::{variables, workload};
use crate::program::until;

#[tokio::test]
async fn rollouts_deployment_configs_and_kinds_of_ones_own_roll_once_and_keep_everything_else() -> Result<()> {
    let world = world("kinds").await?;
    let own = Defined::own();
    let kinds = [Defined::argo(), Defined::openshift(), own];
    for kind in &kinds {
        kind.define(world.cluster).await?;
    }
    kinds[2].grant(&world).await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    for kind in &kinds {
        let mut object = kind.object("web", "settings");
        if kind.kind == "DeploymentConfig" {
            object["spec"]["selector"] = json!({ "app": "web" });
        }
        object["spec"]["strategy"] = json!({ "canary": { "steps": [{ "setWeight": 20 }] } });
        object["spec"]["unknownToEverybody"] = json!({ "kept": [1, 2] });
        world.apply(&[object]).await?;
    }
    let controller = world.only_controller(&["--workload", &kinds[2].flag()]).await?;
    let mut before = Vec::new();
    for kind in &kinds {
        before.push(kind.adopted(&world, "web").await?);
    }
    world.rest(&controller).await?;

    world.config_map("settings", json!({ "level": "debug" })).await?;
    for (kind, before) in kinds.iter().zip(&before) {
        let after = kind.rolled(&world, "web", before).await?;
        let mut spec = after["spec"].clone();
        spec["template"]["metadata"]
            .as_object_mut()
            .context("no metadata")?
            .remove("annotations");
        assert_eq!(spec, before["spec"], "{}: nothing but one annotation", kind.kind);
    }
    world.rest(&controller).await?;
    for (kind, before) in kinds.iter().zip(&before) {
        let generation = |object: &Value| object["metadata"]["generation"].as_u64();
        let after = kind.get(&world, "web").await?;
        assert_eq!(
            generation(&after),
            generation(before).map(|old| old + 1),
            "{}",
            kind.kind
        );
    }
    assert_eq!(world.refused()?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_rollout_with_a_borrowed_template_is_restarted_once_and_follows_that_template() -> Result<()> {
    let world = world("borrowed").await?;
    let argo = Defined::argo();
    argo.define(world.cluster).await?;
    world.config_map("one", json!({ "level": "info" })).await?;
    world.config_map("two", json!({ "level": "info" })).await?;
    let mut lender = workload(
        "Deployment",
        "lender",
        0,
        variables("one"),
        &json!({ "afresh.dev/reload": "off" }),
    );
    world.apply(&[lender.clone()]).await?;
    let rollout = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": { "name": "web", "annotations": { "afresh.dev/reload": "auto" } },
        "spec": { "workloadRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "lender" } },
    });
    world.apply(&[rollout]).await?;
    let controller = world.only_controller(&[]).await?;
    let before = argo.adopted(&world, "web").await?;
    // Two changes within one second are one restart, so it is the record that tells them apart.
    let restarted = async |last: &Value| {
        let look = async || argo.get(&world, "web").await;
        let is_new = |object: &Value| applied(object) != applied(last) && object["spec"]["restartAt"].is_string();
        until("a restart", look, is_new).await
    };

    world.config_map("one", json!({ "level": "debug" })).await?;
    let first = restarted(&before).await?;
    world.rest(&controller).await?;
    let now = argo.get(&world, "web").await?;
    assert_eq!(now["spec"]["restartAt"], first["spec"]["restartAt"], "once");
    assert_eq!(now["spec"]["template"], Value::Null, "it still has none of its own");

    lender["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{ "configMapRef": { "name": "two" } }]);
    world.apply(&[lender]).await?;
    let record = async || Ok(applied(&argo.get(&world, "web").await?).clone());
    let follows = |record: &Value| record.as_str().is_some_and(|record| record.contains("configmap/two"));
    until("a record of what the new template uses", record, follows).await?;
    world.rest(&controller).await?;
    let last = argo.get(&world, "web").await?;
    world.config_map("two", json!({ "level": "debug" })).await?;
    let at = |object: &Value| object["spec"]["restartAt"].as_str().unwrap_or_default().to_owned();
    let next = restarted(&last).await?;
    assert!(at(&next) >= at(&last), "{} and then {}", at(&last), at(&next));
    Ok(())
}
