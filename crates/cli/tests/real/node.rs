//! Pods that run: what they see of a change, and whether they are still the same pods.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use afresh_testbed::{Cluster, Mark, eventually};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::in_pod::{self, replicas};
use crate::manifests::{config_map, files, projected, secret, sub_path, variables, workload};
use crate::program::LONG;
use crate::world::World;

/// Between two changes whose way is measured.
pub(crate) const APART: Duration = Duration::from_millis(1200);

/// `None`, and recorded as skipped, where no node can run.
pub(crate) async fn world(prefix: &str) -> Result<Option<World<'static>>> {
    in_pod::world(Cluster::shared_with_node().await?, prefix).await
}

pub(crate) fn hot() -> Value {
    json!({ "afresh.dev/hot": "true" })
}

pub(crate) fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

pub(crate) fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

pub(crate) async fn pod_uids(world: &World<'_>, app: &str) -> Result<Vec<String>> {
    let mut uids: Vec<_> = world.pods(app).await?.iter().map(uid).collect();
    uids.sort();
    Ok(uids)
}

/// Waits until a file, as its containers see it, says `expected`; how long it took since `written`. The testbed's kubelet
/// looks at a volume by itself every ten minutes only, so this is not its doing.
pub(crate) async fn says(file: &PathBuf, expected: &str, written: Instant) -> Result<Duration> {
    let look = async || {
        let seen = fs::read_to_string(file).map_err(|error| error.to_string());
        let is_there = seen.as_deref() == Ok(expected);
        anyhow::Ok(is_there.then(|| written.elapsed()).ok_or(format!("{seen:?}")))
    };
    eventually(&format!("{expected} in {}", file.display()), LONG, look).await
}

/// Past the capture of output: everyone who runs the tests may see how long things took.
pub(crate) fn report(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let seconds = |at: usize| took.get(at).map_or(0.0, Duration::as_secs_f64);
    let (count, last) = (took.len(), took.len().saturating_sub(1));
    let line = format!(
        "{what}: min {:.3} p50 {:.3} max {:.3} s ({count} times)\n",
        seconds(0),
        seconds(last / 2),
        seconds(last)
    );
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
}

#[tokio::test]
async fn changed_files_are_there_at_once_while_the_pod_stays() -> Result<()> {
    let Some(world) = world("hot").await? else {
        return Ok(());
    };
    world.config_map("settings", json!({ "level": "0" })).await?;
    world.secret("password", json!({ "value": "0" })).await?;
    world.config_map("part", json!({ "part": "0" })).await?;
    world.secret("other-part", json!({ "other": "0" })).await?;
    let volumes = [
        ("settings", config_map("settings")),
        ("password", secret("password")),
        ("both", projected("part", "other-part")),
    ];
    world
        .apply(&[workload("Deployment", "web", 1, files(&volumes), &hot())])
        .await?;
    world.cluster.rolled_out(&world.namespace, "deployment/web").await?;
    world.adopted("Deployment", "web").await?;
    let pods = pod_uids(&world, "web").await?;
    let pod = pods.first().context("no pod")?;
    let file = |plugin: &str, volume: &str, key: &str| anyhow::Ok(world.cluster.volume(pod, plugin, volume)?.join(key));

    let settings = file("configmap", "settings", "level")?;
    let password = file("secret", "password", "value")?;
    let (part, other) = (file("projected", "both", "part")?, file("projected", "both", "other")?);
    let mut took = Vec::new();
    for round in 1..=4 {
        let value = round.to_string();
        // The kubelet syncs a pod once a second at most; apart from each other, each change is measured for itself.
        sleep(APART).await;
        world.config_map("settings", json!({ "level": value })).await?;
        took.push(says(&settings, &value, Instant::now()).await?);
        sleep(APART).await;
        world.secret("password", json!({ "value": value })).await?;
        took.push(says(&password, &value, Instant::now()).await?);
        sleep(APART).await;
        world.config_map("part", json!({ "part": value })).await?;
        took.push(says(&part, &value, Instant::now()).await?);
        sleep(APART).await;
        world.secret("other-part", json!({ "other": value })).await?;
        took.push(says(&other, &value, Instant::now()).await?);
    }
    report("a changed object to the file in one pod", took);

    assert_eq!(pod_uids(&world, "web").await?, pods, "the same pod");
    assert_eq!(world.rolls("Deployment", "web").await?, 0);
    let pod = name(&world.pods("web").await?[0]);
    let inside = world.cluster.read_file(&world.namespace, &pod, "/etc/password/value");
    assert_eq!(inside.await?, "4");
    world.tells("Touched", "web").await
}

#[tokio::test]
async fn twenty_pods_see_a_changed_file_at_once() -> Result<()> {
    let Some(world) = world("twenty").await? else {
        return Ok(());
    };
    world.config_map("settings", json!({ "level": "0" })).await?;
    let uses = files(&[("settings", config_map("settings"))]);
    world.apply(&[workload("Deployment", "web", 20, uses, &hot())]).await?;
    world.cluster.rolled_out(&world.namespace, "deployment/web").await?;
    world.adopted("Deployment", "web").await?;
    let pods = pod_uids(&world, "web").await?;
    assert_eq!(pods.len(), 20);

    for round in 1..=2 {
        let value = round.to_string();
        sleep(APART).await;
        world.config_map("settings", json!({ "level": value })).await?;
        let written = Instant::now();
        let mut took = Vec::new();
        let mut left: Vec<_> = pods
            .iter()
            .map(|pod| Ok(world.cluster.volume(pod, "configmap", "settings")?.join("level")))
            .collect::<Result<_>>()?;
        let all = async || {
            left.retain(|file| {
                let fresh = fs::read_to_string(file).is_ok_and(|text| text == value);
                took.extend(fresh.then(|| written.elapsed()));
                !fresh
            });
            let seen = format!("{} are left: {left:?}", left.len());
            anyhow::Ok(left.is_empty().then_some(()).ok_or(seen))
        };
        eventually("twenty fresh files", LONG, all).await?;
        report("a changed object to the files in twenty pods", took);
    }

    assert_eq!(pod_uids(&world, "web").await?, pods, "the same pods");
    assert_eq!(world.rolls("Deployment", "web").await?, 0);
    Ok(())
}

#[tokio::test]
async fn changed_variables_roll_each_kind_of_workload_once_and_new_pods_have_them() -> Result<()> {
    let Some(world) = world("variables").await? else {
        return Ok(());
    };
    world.config_map("settings", json!({ "LEVEL": "info" })).await?;
    let kinds = [("Deployment", "web"), ("StatefulSet", "store"), ("DaemonSet", "agent")];
    let workloads: Vec<_> = kinds
        .iter()
        .map(|(kind, name)| workload(kind, name, 2, variables("settings"), &json!({})))
        .collect();
    world.apply(&workloads).await?;
    let mut before = Vec::new();
    for (kind, app) in kinds {
        world
            .cluster
            .rolled_out(&world.namespace, &format!("{kind}/{app}"))
            .await?;
        world.adopted(kind, app).await?;
        before.extend(pod_uids(&world, app).await?);
    }

    world.config_map("settings", json!({ "LEVEL": "debug" })).await?;
    let written = Instant::now();
    let mut took = Vec::new();
    for (kind, app) in kinds {
        world.rolled(kind, app, 1).await?;
        took.push(written.elapsed());
    }
    report("a changed variable to the roll", took);
    for (kind, app) in kinds {
        world
            .cluster
            .rolled_out(&world.namespace, &format!("{kind}/{app}"))
            .await?;
    }
    in_pod::rest(&world).await?;

    for (kind, app) in kinds {
        assert_eq!(world.rolls(kind, app).await?, 1, "{kind}");
        for pod in world.pods(app).await? {
            assert!(!before.contains(&uid(&pod)), "{kind}: {} is an old pod", name(&pod));
            let level = world
                .cluster
                .exec(&world.namespace, &name(&pod), &["sh", "-c", "echo $LEVEL"])
                .await?;
            assert_eq!(level, "debug\n", "{kind}");
        }
    }
    Ok(())
}

/// The handbook's way: mount a ConfigMap, change it, and then patch `version/config` of the template by hand, because
/// neither the running application nor a `subPath` would see the change. Nobody patches anything here.
#[tokio::test]
async fn nobody_has_to_patch_the_template_by_hand_with_sub_path_or_without() -> Result<()> {
    let Some(world) = world("handbook").await? else {
        return Ok(());
    };
    world.config_map("settings", json!({ "level": "info" })).await?;
    let whole = files(&[("settings", config_map("settings"))]);
    let workloads = [
        workload("Deployment", "whole", 1, whole, &json!({})),
        workload("Deployment", "single", 1, sub_path("settings", "level"), &json!({})),
        // What is bound by subPath is pinned, whether or not the application would reread it.
        workload("Deployment", "single-hot", 1, sub_path("settings", "level"), &hot()),
    ];
    let files = [
        ("whole", "/etc/settings/level"),
        ("single", "/etc/single"),
        ("single-hot", "/etc/single"),
    ];
    world.apply(&workloads).await?;
    for (app, _) in files {
        world
            .cluster
            .rolled_out(&world.namespace, &format!("deployment/{app}"))
            .await?;
        world.adopted("Deployment", app).await?;
    }

    world.config_map("settings", json!({ "level": "debug" })).await?;
    for (app, _) in files {
        world.rolled("Deployment", app, 1).await?;
        world
            .cluster
            .rolled_out(&world.namespace, &format!("deployment/{app}"))
            .await?;
    }
    in_pod::rest(&world).await?;

    for (app, file) in files {
        assert_eq!(world.rolls("Deployment", app).await?, 1, "{app}");
        let pods = world.pods(app).await?;
        assert_eq!(pods.len(), 1, "{app}");
        assert_eq!(
            world.cluster.read_file(&world.namespace, &name(&pods[0]), file).await?,
            "debug",
            "{app}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_pod_of_its_own_that_opts_in_is_touched() -> Result<()> {
    let Some(world) = world("bare").await? else {
        return Ok(());
    };
    world.config_map("settings", json!({ "level": "0" })).await?;
    let uses = files(&[("settings", config_map("settings"))]);
    let metadata =
        json!({ "name": "bare", "labels": { "app": "bare" }, "annotations": { "afresh.dev/reload": "auto" } });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": uses.pod_spec() });
    world.apply(&[pod]).await?;
    world.cluster.pod_ready(&world.namespace, "bare").await?;
    in_pod::rest(&world).await?;
    let before = world.cluster.pod_uid(&world.namespace, "bare").await?;
    let file = world.cluster.volume(&before, "configmap", "settings")?.join("level");

    let mut took = Vec::new();
    for round in 1..=3 {
        let value = round.to_string();
        sleep(APART).await;
        world.config_map("settings", json!({ "level": value })).await?;
        took.push(says(&file, &value, Instant::now()).await?);
    }
    report("a changed object to the file in a pod of its own", took);

    let pod = world.get(&world.core("pods", "bare")).await?;
    assert_eq!(uid(&pod), before, "the same pod");
    assert!(
        pod["metadata"]["annotations"]["afresh.dev/touched"].is_string(),
        "{pod}"
    );
    Ok(())
}

#[tokio::test]
async fn the_manifests_run_as_they_are_and_as_nobody_else() -> Result<()> {
    let Some(world) = world("itself").await? else {
        return Ok(());
    };
    world.config_map("settings", json!({ "LEVEL": "info" })).await?;
    world
        .apply(&[workload("Deployment", "web", 1, variables("settings"), &json!({}))])
        .await?;
    world.adopted("Deployment", "web").await?;

    let names: Vec<_> = replicas(&world).await?.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let leader = world.leader().await?;
    assert!(names.contains(&leader), "{leader} is none of {names:?}");
    let requests = world.cluster.requests(Mark::default())?;
    // Agents in pods of other tests are the ServiceAccounts of those pods.
    let elsewhere = |user: &str| {
        let account = user.strip_prefix("system:serviceaccount:");
        account.is_some_and(|account| !account.starts_with("afresh:"))
    };
    let by_afresh: Vec<_> = requests
        .iter()
        .filter(|request| request.user_agent.starts_with("afresh/") && !elsewhere(&request.user))
        .collect();
    assert!(!by_afresh.is_empty(), "{} requests, none of them ours", requests.len());
    for request in by_afresh {
        assert_eq!(request.user, "system:serviceaccount:afresh:afresh", "{request:?}");
        // Before its Role was bound there was no pod, and nothing is asked for in vain after.
        assert_ne!(request.code, 403, "{request:?}");
    }
    Ok(())
}
