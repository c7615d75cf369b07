//! Changes and the replicas that find them, on a real control plane: pods are made, but no node runs them.

use afresh_testbed::Cluster;
use anyhow::Result;
use serde_json::{Value, json};

use crate::manifests::{deployment, secret_variables, variables, workload};
use crate::world::World;

const KINDS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

async fn world(prefix: &str) -> Result<World<'static>> {
    World::namespaced(Cluster::shared_with_controllers().await?, prefix).await
}

/// A workload of each kind that uses `settings`.
fn one_of_each() -> Vec<Value> {
    KINDS
        .iter()
        .map(|kind| workload(kind, "web", 1, variables("settings"), &json!({})))
        .collect()
}

async fn assert_rolls(world: &World<'_>, times: u64) -> Result<()> {
    for kind in KINDS {
        assert_eq!(world.rolls(kind, "web").await?, times, "{kind}");
    }
    Ok(())
}

#[tokio::test]
async fn a_change_made_while_the_controller_was_killed_is_found_once() -> Result<()> {
    let world = world("killed").await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    world.apply(&one_of_each()).await?;
    let controller = world.only_controller(&[]).await?;
    for kind in KINDS {
        world.adopted(kind, "web").await?;
    }

    controller.kill().await?;
    world.config_map("settings", json!({ "level": "debug" })).await?;
    world.config_map("settings", json!({ "level": "trace" })).await?;
    let second = world.only_controller(&[]).await?;
    for kind in KINDS {
        world.rolled(kind, "web", 1).await?;
    }
    world.rest(&second).await?;
    second.kill().await?;
    let third = world.only_controller(&[]).await?;
    world.rest(&third).await?;

    assert_rolls(&world, 1).await?;
    assert_eq!(world.refused()?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn installing_restarting_and_upgrading_restart_nothing() -> Result<()> {
    let world = world("install").await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    world.secret("password", json!({ "value": "1" })).await?;
    let mut workloads = one_of_each();
    workloads.push(deployment("secretive", secret_variables("password")));
    world.apply(&workloads).await?;
    for kind in KINDS {
        world.observed(kind, "web").await?;
    }
    let flags: [&[&str]; 4] = [
        &["--default-reload", "auto"],
        &["--default-reload", "auto"],
        &["--default-reload", "roll", "--settle", "0", "--max-rolling", "1"],
        &["--paged-lists", "--touch-again", "1s", "--concurrency", "1"],
    ];

    for flags in flags {
        let controller = world.only_controller(flags).await?;
        for kind in KINDS {
            world.adopted(kind, "web").await?;
        }
        world.adopted("Deployment", "secretive").await?;
        world.rest(&controller).await?;
        controller.stop().await?;
    }
    let no_key = r#"[{"op": "remove", "path": "/data"}]"#;
    let forget = [
        "patch",
        "secret",
        "afresh-digest-key",
        "--type=json",
        "-p",
        no_key,
        "-n",
        &world.namespace,
    ];
    world.cluster.kubectl(&forget).await?;
    let controller = world.only_controller(&[]).await?;
    world.rest(&controller).await?;

    assert_rolls(&world, 0).await?;
    assert_eq!(
        world.rolls("Deployment", "secretive").await?,
        0,
        "even without the old digest key"
    );
    for kind in KINDS {
        let template = &world.workload(kind, "web").await?["spec"]["template"];
        assert_eq!(template["metadata"]["annotations"], Value::Null, "{kind}");
    }
    world.secret("password", json!({ "value": "2" })).await?;
    world.rolled("Deployment", "secretive", 1).await
}

#[tokio::test]
async fn when_the_leader_is_killed_the_other_replica_finds_what_it_left() -> Result<()> {
    let world = world("leaders").await?;
    world.config_map("settings", json!({ "round": "none" })).await?;
    world.apply(&one_of_each()).await?;
    let terms = [
        "--lease-duration",
        "3s",
        "--renew-deadline",
        "2s",
        "--retry-period",
        "500ms",
        "--identity",
    ];
    let replica = async |name: &str| world.controller(&[&terms[..], &[name]].concat()).await;
    let mut leader = replica("replica-0").await?;
    world.leads("replica-0").await?;
    for kind in KINDS {
        world.adopted(kind, "web").await?;
    }

    for round in 1..=3_u64 {
        let name = format!("replica-{round}");
        let standby = replica(&name).await?;
        // Before, and after: the dying leader may have seen the first, or not, or be half-way through.
        world
            .config_map("settings", json!({ "round": format!("{round} before") }))
            .await?;
        leader.kill().await?;
        world.leads(&name).await?;
        for kind in KINDS {
            world.rolled(kind, "web", round).await?;
        }
        world.rest(&standby).await?;
        assert_rolls(&world, round).await?;
        leader = standby;
    }
    assert_eq!(world.refused()?, Vec::<String>::new());
    Ok(())
}

/// As when a leader is cut off, and its last write lands after the next one has begun.
#[tokio::test]
async fn two_that_both_act_roll_once_for_one_content() -> Result<()> {
    let world = world("both").await?;
    world.config_map("settings", json!({ "round": "0" })).await?;
    world.apply(&one_of_each()).await?;
    let one = world.only_controller(&[]).await?;
    let other = world.only_controller(&[]).await?;
    for kind in KINDS {
        world.adopted(kind, "web").await?;
    }

    for round in 1..=3_u64 {
        world
            .config_map("settings", json!({ "round": round.to_string() }))
            .await?;
        for kind in KINDS {
            world.rolled(kind, "web", round).await?;
        }
        world.rest(&one).await?;
        world.rest(&other).await?;
        assert_rolls(&world, round).await?;
    }
    Ok(())
}

#[tokio::test]
async fn objects_deleted_and_made_anew_count_by_what_they_say() -> Result<()> {
    let world = world("anew").await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    world.apply(&one_of_each()).await?;
    let controller = world.only_controller(&[]).await?;
    for kind in KINDS {
        world.adopted(kind, "web").await?;
    }
    let delete = ["delete", "configmap", "settings", "--namespace", &world.namespace];

    world.cluster.kubectl(&delete).await?;
    world.rest(&controller).await?;
    assert_rolls(&world, 0).await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    world.rest(&controller).await?;
    assert_rolls(&world, 0).await?;

    world.cluster.kubectl(&delete).await?;
    world.rest(&controller).await?;
    world.config_map("settings", json!({ "level": "debug" })).await?;
    world.rest(&controller).await?;
    assert_rolls(&world, 1).await?;

    world.tells("Missing", "web").await
}

#[tokio::test]
async fn an_object_under_a_new_name_is_the_rollout_that_its_user_made() -> Result<()> {
    let world = world("renamed").await?;
    world.config_map("settings-1", json!({ "level": "info" })).await?;
    world.apply(&[deployment("web", variables("settings-1"))]).await?;
    let controller = world.only_controller(&[]).await?;
    world.adopted("Deployment", "web").await?;

    world.config_map("settings-2", json!({ "level": "debug" })).await?;
    world.apply(&[deployment("web", variables("settings-2"))]).await?;
    world.rolled("Deployment", "web", 1).await?;
    world.rest(&controller).await?;
    assert_eq!(world.rolls("Deployment", "web").await?, 1, "the user's own");

    world
        .config_map("settings-1", json!({ "level": "nobody uses this any more" }))
        .await?;
    world.rest(&controller).await?;
    assert_eq!(world.rolls("Deployment", "web").await?, 1);
    world.config_map("settings-2", json!({ "level": "trace" })).await?;
    world.rolled("Deployment", "web", 2).await
}

#[tokio::test]
async fn ten_objects_applied_together_are_one_roll() -> Result<()> {
    let world = world("burst").await?;
    let names: Vec<_> = (0..10).map(|number| format!("settings-{number}")).collect();
    let objects = |value: &str| -> Vec<_> {
        let object = |name| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "value": value } });
        names.iter().map(object).collect()
    };
    let sources: Vec<_> = names
        .iter()
        .map(|name| json!({ "configMapRef": { "name": name } }))
        .collect();
    let mut web = deployment("web", variables("settings-0"));
    web["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!(sources);
    world.apply(&objects("1")).await?;
    world.apply(&[web]).await?;
    let controller = world.only_controller(&["--settle", "3s"]).await?;
    world.adopted("Deployment", "web").await?;

    // It looks away meanwhile: how long they take to be written is not what is tested.
    controller.pause()?;
    world.apply(&objects("2")).await?;
    controller.resume()?;
    world.rolled("Deployment", "web", 1).await?;
    world.rest(&controller).await?;

    assert_eq!(world.rolls("Deployment", "web").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_change_between_creation_and_adoption_is_not_lost() -> Result<()> {
    let world = world("race").await?;
    // Installed, and looking away.
    let controller = world.only_controller(&[]).await?;
    controller.pause()?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    world.config_map("others", json!({ "level": "info" })).await?;
    world
        .apply(&[
            deployment("web", variables("settings")),
            deployment("same", variables("others")),
        ])
        .await?;
    for name in ["web", "same"] {
        world.pods_made(name, 1).await?;
    }

    world.config_map("settings", json!({ "level": "debug" })).await?;
    controller.resume()?;
    world.rolled("Deployment", "web", 1).await?;
    world.adopted("Deployment", "same").await?;
    world.rest(&controller).await?;

    assert_eq!(world.rolls("Deployment", "web").await?, 1);
    Ok(())
}

#[tokio::test]
async fn kubectl_describe_tells_why_and_no_secret_is_told_anywhere() -> Result<()> {
    let world = world("told").await?;
    world.secret("password", json!({ "value": "canary-one-5d41" })).await?;
    world.apply(&[deployment("web", secret_variables("password"))]).await?;
    let controller = world.only_controller(&[]).await?;
    world.adopted("Deployment", "web").await?;

    world.secret("password", json!({ "value": "canary-two-5d41" })).await?;
    world.rolled("Deployment", "web", 1).await?;
    world.tells("Rolled", "web").await?;
    let described = world.describe("deployment/web").await?;

    assert!(described.contains("Rolled"), "{described}");
    assert!(described.contains("secret/password"), "{described}");
    world.rest(&controller).await?;
    let everything = [
        described,
        controller.logged(),
        controller.state().await?.to_string(),
        world.workload("Deployment", "web").await?.to_string(),
        world
            .cluster
            .kubectl(&["get", "events", "-o", "json", "--namespace", &world.namespace])
            .await?,
    ];
    for text in everything {
        assert!(!text.is_empty());
        for canary in ["canary-one", "canary-two", "Y2FuYXJ5"] {
            assert!(!text.contains(canary), "{canary} in {text}");
        }
    }
    assert_eq!(world.refused()?, Vec::<String>::new());
    Ok(())
}
