//! What `afresh agent --source` takes of memory, beside the small agent that watches the same files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use afresh_testbed::Cluster;
use anyhow::{Context as _, Result, ensure};
use kube::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::objects::{maps_path, name};
use crate::process::{Memory, Program, dying_with_us};
use crate::{api, load, report};

/// How many objects are selected, each with one value of 2 KB.
const SIZES: [usize; 3] = [1, 100, 1_000];
const VALUE_BYTES: usize = 2_048;
/// For what must come about some time.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program that is measured
    #[arg(long, value_name = "FILE")]
    afresh: PathBuf,
    /// The small agent, the yardstick
    #[arg(long, value_name = "FILE")]
    agent: PathBuf,
    /// Replaces the table in this page
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// What came of one size.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) objects: usize,
    /// Of `--source`.
    pub(crate) source: Memory,
    /// Of the small agent on the files that `--source` wrote.
    pub(crate) files: Memory,
}

/// One after the other, on one cluster.
pub(crate) async fn run(args: Args) -> Result<()> {
    let cluster = Cluster::builder().without_audit().start().await?;
    let client = api::client(cluster.admin().kubeconfig()).await?;
    let mut rows = Vec::new();
    for objects in SIZES {
        let scene = Scene {
            client: &client,
            kubeconfig: cluster.admin().kubeconfig(),
            directory: cluster.directory().join(format!("sources-{objects}")),
            namespace: format!("sources-{objects}"),
            objects,
        };
        rows.push(scene.measure(&args).await?);
    }
    cluster.stop().await?;
    report::publish(&report::sources_table(&rows), report::SOURCES, args.write.as_deref())
}

struct Scene<'a> {
    client: &'a Client,
    kubeconfig: &'a Path,
    directory: PathBuf,
    namespace: String,
    objects: usize,
}

impl Scene<'_> {
    async fn measure(&self, args: &Args) -> Result<Row> {
        let files = self.directory.join("files");
        fs::create_dir_all(&self.directory)
            .with_context(|| format!("could not create {}", self.directory.display()))?;
        let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}});
        api::create(self.client, "/api/v1/namespaces", &space).await?;
        let path = maps_path(&self.namespace);
        load::post(
            self.client,
            (0..self.objects).map(|number| (path.clone(), selected(number))),
        )
        .await?;

        let mut source = dying_with_us(&args.afresh);
        let selection = format!("configmap/{}:load=sources", self.namespace);
        source
            .args(["agent", "--source", &selection, "--source-dir"])
            .arg(&files);
        source.arg("--kubeconfig").arg(self.kubeconfig);
        let source = self.start(source, "source.log").await?;
        let mut plain = dying_with_us(&args.agent);
        plain.args(["agent", "--watch"]).arg(&files);
        let plain = self.start(plain, "plain.log").await?;
        for round in 1..=3 {
            self.change(round, &files, &[&source, &plain]).await?;
        }
        let row = Row {
            objects: self.objects,
            source: source.memory()?,
            files: plain.memory()?,
        };
        source.stop().await?;
        plain.stop().await?;
        Ok(row)
    }

    async fn start(&self, mut command: tokio::process::Command, log: &str) -> Result<Program> {
        command.args(["--poll", "0", "--on-change", "exec:true"]);
        let mut program = Program::start(command, "--listen", &self.directory.join(log)).await?;
        let begun = Instant::now();
        while !matches!(program.ask("/readyz").await, Ok((true, _))) {
            program.check()?;
            ensure!(begun.elapsed() < LIMIT, "{log}: not ready");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(program)
    }

    /// What was never used is not resident: so some changes first.
    async fn change(&self, round: u32, files: &Path, programs: &[&Program]) -> Result<()> {
        let body = json!({"data": {key(0): value(round)}});
        let path = format!("{}/{}", maps_path(&self.namespace), name(0));
        api::merge_patch(self.client, &path, &body).await?;
        let begun = Instant::now();
        loop {
            let written = fs::read_to_string(files.join(key(0))).is_ok_and(|text| text == value(round));
            let mut acted = true;
            for program in programs {
                acted &= program.metric("afresh_agent_changes_total").await? >= f64::from(round)
                    && program.metric("afresh_agent_pending").await? == 0.0;
            }
            if written && acted {
                return Ok(());
            }
            ensure!(begun.elapsed() < LIMIT, "change {round} did not arrive");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn key(number: usize) -> String {
    format!("{}.properties", name(number))
}

fn value(seed: u32) -> String {
    format!("setting = {seed}\n")
        .chars()
        .cycle()
        .take(VALUE_BYTES)
        .collect()
}

fn selected(number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name(number), "labels": {"load": "sources"}},
        "data": {key(number): value(0)},
    })
}
