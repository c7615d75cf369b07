//! Programs below `afresh run` in pods: they take the new configuration, and the pod stays.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use afresh_testbed::{Image, eventually};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::manifests::{Uses, config_map, files, secret, workload};
use crate::node::{APART, hot, name, pod_uids, report, world};
use crate::program::LONG;
use crate::world::World;

const IMAGE: &str = "afresh.test/supervised:1";

/// A Deployment whose only container runs `command`, with `afresh` and a shell in its image.
fn supervised(app: &str, uses: Uses, command: &[&str]) -> Value {
    let mut workload = workload("Deployment", app, 1, uses, &hot());
    let container = &mut workload["spec"]["template"]["spec"]["containers"][0];
    container["image"] = json!(IMAGE);
    container["command"] = json!(command);
    workload
}

/// Waits for the nth line of a file, from 1.
async fn line(file: &Path, nth: usize) -> Result<String> {
    let look = async || {
        let text = fs::read_to_string(file).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        anyhow::Ok(whole.lines().nth(nth - 1).map(str::to_owned))
    };
    eventually(&format!("line {nth} of {}", file.display()), LONG, look).await
}

/// What the kubelet says of the only container of the only pod: how often it restarted it, and which one it is.
async fn container(world: &World<'_>, app: &str) -> Result<(u64, String)> {
    let pods = world.pods(app).await?;
    let status = &pods.first().context("no pod")?["status"]["containerStatuses"][0];
    let restarts = status["restartCount"].as_u64().context("no restartCount")?;
    Ok((
        restarts,
        status["containerID"].as_str().context("no containerID")?.to_owned(),
    ))
}

#[tokio::test]
async fn a_program_that_only_knows_its_environment_gets_a_new_one_in_the_same_container() -> Result<()> {
    let Some(world) = world("supervised").await? else {
        return Ok(());
    };
    let image = Image::new(IMAGE)
        .busybox()
        .program("/bin/afresh", env!("CARGO_BIN_EXE_afresh"));
    world.cluster.load_image(&image).await?;
    world.config_map("settings", json!({ "LEVEL": "0" })).await?;
    world.secret("password", json!({ "PASSWORD": "p0" })).await?;
    let uses = files(&[
        ("settings", config_map("settings")),
        ("password", secret("password")),
        ("out", json!({ "emptyDir": {} })),
    ]);
    // A pod writes $$ for a dollar sign.
    let program = "echo $LEVEL $PASSWORD $$$$ >> /etc/out/starts; exec sleep 1000000";
    let run = [
        "afresh",
        "run",
        "--env-from",
        "/etc/settings",
        "--env-from",
        "/etc/password",
        "--",
        "sh",
        "-c",
        program,
    ];
    world.apply(&[supervised("web", uses, &run)]).await?;
    world.cluster.rolled_out(&world.namespace, "deployment/web").await?;
    world.adopted("Deployment", "web").await?;
    let pods = pod_uids(&world, "web").await?;
    let before = container(&world, "web").await?;
    let starts = world.cluster.volume(&pods[0], "empty-dir", "out")?.join("starts");
    assert!(line(&starts, 1).await?.starts_with("0 p0 "));

    let mut took = Vec::new();
    for round in 1..=4 {
        sleep(APART).await;
        world
            .config_map("settings", json!({ "LEVEL": round.to_string() }))
            .await?;
        let written = Instant::now();
        let start = line(&starts, 1 + round).await?;
        took.push(written.elapsed());
        assert!(start.starts_with(&format!("{round} p0 ")), "{start}");
    }
    report("a changed object to a program restarted with it", took);
    sleep(APART).await;
    world.secret("password", json!({ "PASSWORD": "p1" })).await?;
    assert!(line(&starts, 6).await?.starts_with("4 p1 "));

    let text = fs::read_to_string(&starts)?;
    let processes: BTreeSet<_> = text.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    assert_eq!(
        (text.lines().count(), processes.len()),
        (6, 6),
        "a start per change: {text}"
    );
    assert_eq!(pod_uids(&world, "web").await?, pods, "the same pod");
    assert_eq!(container(&world, "web").await?, before, "the same container");
    assert_eq!(before.0, 0, "no restart that the kubelet counts");
    assert_eq!(world.rolls("Deployment", "web").await?, 0);
    let pod = name(&world.pods("web").await?[0]);
    let last = text
        .lines()
        .last()
        .and_then(|line| line.split(' ').nth(2))
        .context("no start")?;
    let look = ["cat", &format!("/proc/{last}/environ")];
    let environ = world.cluster.exec(&world.namespace, &pod, &look).await?;
    assert!(environ.split('\0').any(|variable| variable == "LEVEL=4"), "{environ:?}");
    let first = world
        .cluster
        .exec(&world.namespace, &pod, &["cat", "/proc/1/comm"])
        .await?;
    assert_eq!(first, "afresh\n", "process 1 is the supervisor");
    Ok(())
}
