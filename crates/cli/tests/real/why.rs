//! `afresh why` before and after the swap: what it says is what `afresh reloader` then does.

use std::process::Stdio;

use afresh_testbed::Cluster;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::manifests::{deployment, secret_variables, variables};
use crate::program::LONG;
use crate::swap::{by_variable, hash};
use crate::world::World;

const AUTO: &str = "team.example.org/auto";

/// A Deployment without pods that runs `afresh reloader` as a swapped Reloader does.
fn reloader() -> Value {
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "reloader" }, "spec": {
        "replicas": 0, "selector": { "matchLabels": { "app": "reloader" } },
        "template": { "metadata": { "labels": { "app": "reloader" } }, "spec": { "containers": [{
            "name": "reloader", "image": "reloader", "command": ["/afresh", "reloader"],
            "args": [format!("--auto-annotation={AUTO}"), "--namespaces=$(HERE)"],
            "env": [{ "name": "HERE", "valueFrom": { "fieldRef": { "fieldPath": "metadata.namespace" } } }],
        }] } },
    } })
}

async fn why(world: &World<'_>, name: &str) -> Result<Value> {
    let controller = format!("{}/reloader", world.namespace);
    let command = Command::new(env!("CARGO_BIN_EXE_afresh"))
        .args([
            "why",
            &format!("deployment/{name}"),
            "-n",
            &world.namespace,
            "-o",
            "json",
        ])
        .args(["--controller", &controller, "--kubeconfig"])
        .arg(world.cluster.admin().kubeconfig())
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let answer = timeout(LONG, command).await.context("no answer")??;
    ensure!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    Ok(serde_json::from_slice(&answer.stdout)?)
}

#[tokio::test]
async fn before_the_swap_and_after_it_why_says_what_the_reloader_does() -> Result<()> {
    let world = World::with_reloaders_rights(Cluster::shared_with_controllers().await?, "whyswap").await?;
    for name in ["current", "missed"] {
        world.config_map(name, json!({ "level": "1" })).await?;
    }
    world.secret("key", json!({ "level": "1" })).await?;
    let mut all = ["current", "missed"]
        .map(|name| by_variable("Deployment", name, "1"))
        .to_vec();
    all.push(deployment("key", secret_variables("key")));
    all.push(deployment("silent", variables("current")));
    for (object, auto) in all.iter_mut().zip(["true", "true", "1", "no"]) {
        object["metadata"]["annotations"] = json!({ AUTO: auto });
    }
    all.push(reloader());
    world.apply(&all).await?;
    for name in ["current", "missed", "key"] {
        world.pods_made(name, 1).await?;
    }
    world.config_map("missed", json!({ "level": "2" })).await?;

    let missed = why(&world, "missed").await?;
    assert_eq!(missed["verdict"], "roll", "{missed}");
    let mark = &missed["objects"][0]["mark"];
    assert_eq!(
        (&mark["state"], &mark["applied"], &mark["current"]),
        (&json!("older"), &json!(hash("1")), &json!(hash("2")))
    );
    let current = why(&world, "current").await?;
    assert_eq!(
        (&current["verdict"], &current["objects"][0]["mark"]["state"]),
        (&json!("adopt"), &json!("current"))
    );
    assert_eq!(why(&world, "silent").await?["verdict"], "leftAlone");

    let controller = world.reloader(&[&format!("--auto-annotation={AUTO}")]).await?;
    for name in ["current", "missed", "key"] {
        world.adopted("Deployment", name).await?;
    }
    world.rolled("Deployment", "missed", 1).await?;
    world.rest(&controller).await?;
    assert_eq!(world.rolls("Deployment", "current").await?, 0);
    for name in ["current", "missed", "key"] {
        let told = why(&world, name).await?;
        // Where no Secret may be written the digest key is in a ConfigMap, and Secrets are compared all the same.
        assert_eq!(
            (&told["verdict"], &told["summary"]),
            (&json!("current"), &json!("is current")),
            "{told}"
        );
        assert!(told["objects"][0]["mark"].is_null(), "its own record tells");
    }
    world.secret("key", json!({ "level": "2" })).await?;
    world.rolled("Deployment", "key", 1).await?;
    Ok(())
}
