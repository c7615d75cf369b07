//! The example of the library in a real pod: Hello World, the ConfigMap is replaced by Hello Grandma, and the answer changes
//! without a restart; with the controller's touch, and without it. Its own binary: its kubelet looks at pods by itself,
//! which that of the others does not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![allow(dead_code, reason = "parts of the other tests with a node")]

#[path = "real/in_pod.rs"]
mod in_pod;
#[path = "real/install.rs"]
mod install;
#[path = "real/program.rs"]
mod program;
#[path = "real/rights.rs"]
mod rights;
#[path = "real/world.rs"]
mod world;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use afresh_testbed::{Cluster, Image, eventually};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use program::LONG;
use world::World;

const MANIFEST: &str = include_str!("../../../examples/microservice/deployment.yaml");
const IMAGE: &str = "afresh.test/microservice:1";

/// While a pod starts, its kubelet syncs it for many reasons, and brings a change by chance. Only decides what is measured.
const STARTED: Duration = Duration::from_secs(20);

/// The example's program, built as this test was. Cargo builds no other package's program for a test.
async fn program() -> Result<PathBuf> {
    let afresh = Path::new(env!("CARGO_BIN_EXE_afresh"));
    let profile = afresh.parent().context("no directory")?;
    let target = profile.parent().context("no target directory")?;
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--offline",
            "--quiet",
            "--package",
            "microservice",
            "--target-dir",
        ])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .await?;
    ensure!(built.success(), "the example does not build: {built}");
    Ok(target.join("debug/microservice"))
}

/// The manifest with this image and, in a second Deployment, without Afresh.
fn objects() -> Result<Vec<Value>> {
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(MANIFEST)?;
    let deployment = objects.iter_mut().find(|object| object["kind"] == "Deployment");
    let deployment = deployment.context("no Deployment")?;
    let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
    container["image"] = json!(IMAGE);
    container["imagePullPolicy"] = json!("Never");
    let mut alone = deployment.clone();
    alone["metadata"] = json!({ "name": "alone", "annotations": { "afresh.dev/reload": "off" } });
    alone["spec"]["selector"] = json!({ "matchLabels": { "app": "alone" } });
    alone["spec"]["template"]["metadata"] = json!({ "labels": { "app": "alone" } });
    objects.push(alone);
    Ok(objects)
}

/// What the service in the pod answers.
async fn answer(pod: &Value) -> Result<String> {
    let address = pod["status"]["podIP"].as_str().context("no address")?;
    let (code, body) = program::get(format!("{address}:8080").parse()?, "/").await?;
    ensure!(code == 200, "{code}: {body}");
    Ok(body.trim().to_owned())
}

async fn only_pod(world: &World<'_>, app: &str) -> Result<Value> {
    let mut pods = world.pods(app).await?;
    ensure!(pods.len() == 1, "{} pods of {app}", pods.len());
    pods.pop().context("no pod")
}

/// How long after `written` the pod answers with `expected`.
async fn answers(pod: &Value, expected: &str, written: Instant) -> Result<Duration> {
    let look = async || {
        let answer = answer(pod).await.unwrap_or_else(|error| format!("{error:#}"));
        anyhow::Ok((answer == expected).then(|| written.elapsed()).ok_or(answer))
    };
    eventually(&format!("the answer {expected}"), LONG, look).await
}

/// Past the capture of output: everyone who runs the tests may see how long it took.
fn report(how: &str, took: Duration) {
    let line = format!(
        "microservice: ConfigMap replaced to new answer, {how}: {:.3} s\n",
        took.as_secs_f64()
    );
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
}

/// Identity of what must not be restarted.
fn life(pod: &Value) -> (Value, Value) {
    let restarts = pod["status"]["containerStatuses"][0]["restartCount"].clone();
    (pod["metadata"]["uid"].clone(), restarts)
}

#[tokio::test]
async fn the_answer_changes_without_a_restart_with_a_touch_and_without() -> Result<()> {
    let cluster = Cluster::shared_with_ordinary_node().await?;
    let Some(world) = in_pod::world(cluster, "service").await? else {
        return Ok(());
    };
    let image = Image::new(IMAGE)
        .program("/microservice", program().await?)
        .command(["/microservice"]);
    world.cluster.load_image(&image).await?;
    world.apply(&objects()?).await?;
    for app in ["microservice", "alone"] {
        world
            .cluster
            .rolled_out(&world.namespace, &format!("deployment/{app}"))
            .await?;
    }
    world.adopted("Deployment", "microservice").await?;
    let (touched, alone) = (
        only_pod(&world, "microservice").await?,
        only_pod(&world, "alone").await?,
    );
    for pod in [&touched, &alone] {
        answers(pod, "Hello World", Instant::now()).await?;
    }
    tokio::time::sleep(STARTED).await;

    world
        .config_map("microservice", json!({ "message": "Hello Grandma" }))
        .await?;
    let written = Instant::now();
    let (with, without) = tokio::try_join!(
        answers(&touched, "Hello Grandma", written),
        answers(&alone, "Hello Grandma", written),
    )?;
    report("with the controller's touch", with);
    report("by the kubelet alone", without);

    let now_touched = only_pod(&world, "microservice").await?;
    let now_alone = only_pod(&world, "alone").await?;
    let is_touched = |pod: &Value| pod["metadata"]["annotations"]["afresh.dev/touched"].is_string();
    assert!(
        is_touched(&now_touched) && !is_touched(&now_alone),
        "{now_touched}, {now_alone}"
    );
    assert_eq!(life(&now_touched), life(&touched));
    assert_eq!(life(&now_alone), life(&alone));
    assert_eq!(world.rolls("Deployment", "microservice").await?, 0);
    Ok(())
}
