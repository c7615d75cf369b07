//! Loads as clusters make them, each against a fresh controller on its defaults, and beside each the same PATCHes alone.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use afresh_testbed::Cluster;
use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::Client;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::objects::{OWN, config_map, deployment, maps_path, name, secret, workload_path};
use crate::process::{Memory, Program};
use crate::requests::Requests;
use crate::sight::Sight;
use crate::{api, load, report};

/// Requests sent at once, by the bench as by the controller's default.
const AT_ONCE: usize = 16;
/// What comes after a change comes within this; the settle time is well within it.
const QUIET: Duration = Duration::from_secs(4);
/// For what must come about some time.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program that is measured
    #[arg(long, value_name = "FILE")]
    afresh: PathBuf,
    /// Replaces the table in this page
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// What came of one load.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) load: &'static str,
    pub(crate) writes: usize,
    pub(crate) requests: Requests,
    /// From the first write's answer to the first patch that is visible.
    pub(crate) first: Option<Duration>,
    /// The same to the last.
    pub(crate) last: Option<Duration>,
    /// How long as many patches of the same Deployments take when nobody decides anything.
    pub(crate) alone: Option<Duration>,
    /// Per write.
    pub(crate) cpu: Duration,
    pub(crate) memory: Memory,
}

/// Who uses which ConfigMap.
#[derive(Clone, Copy)]
enum Use {
    /// The one of the same number.
    Own,
    /// All of them the first one.
    First,
}

/// Deployments and ConfigMaps, by number, in namespaces of this load alone.
#[derive(Clone, Copy)]
struct Stage {
    prefix: &'static str,
    namespaces: usize,
    deployments: usize,
    uses: Use,
    value_bytes: usize,
}

impl Stage {
    fn namespace(&self, number: usize) -> String {
        format!("{}-{:02}", self.prefix, number % self.namespaces)
    }

    fn maps(&self) -> usize {
        match self.uses {
            Use::Own => self.deployments,
            Use::First => 1,
        }
    }

    fn value(&self, round: usize) -> String {
        format!("round {round}: ")
            .chars()
            .cycle()
            .take(self.value_bytes)
            .collect()
    }

    async fn fill(&self, client: &Client) -> Result<()> {
        let spaces = (0..self.namespaces).map(|number| {
            let metadata = json!({"name": self.namespace(number)});
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
            ("/api/v1/namespaces".to_owned(), object)
        });
        load::post(client, spaces).await?;
        let core = |plural: &str, number: usize| format!("/api/v1/namespaces/{}/{plural}", self.namespace(number));
        load::post(
            client,
            (0..self.maps()).map(|number| {
                let mut object = config_map(number);
                object["data"]["key1.properties"] = self.value(0).into();
                (core("configmaps", number), object)
            }),
        )
        .await?;
        load::post(
            client,
            (0..self.deployments).map(|number| (core("secrets", number), secret(number))),
        )
        .await?;
        let workloads = (0..self.deployments).map(|number| {
            let files = matches!(self.uses, Use::First).then_some(0);
            let path = format!("/apis/apps/v1/namespaces/{}/deployments", self.namespace(number));
            (path, self.workload(number, files))
        });
        load::post(client, workloads).await
    }

    fn workload(&self, number: usize, files: Option<usize>) -> Value {
        let mut object = deployment(number, files, true);
        if files.is_some() {
            // The volume is all that it uses: there is no ConfigMap of its own.
            for container in object["spec"]["template"]["spec"]["containers"]
                .as_array_mut()
                .into_iter()
                .flatten()
            {
                container["envFrom"] = json!([]);
            }
        }
        object
    }

    async fn write(&self, client: &Client, number: usize, body: Value) -> Result<()> {
        let path = format!("{}/{}", maps_path(&self.namespace(number)), name(number));
        api::merge_patch(client, &path, &body).await
    }

    fn data(&self, round: usize) -> Value {
        json!({"data": {"key1.properties": self.value(round)}})
    }
}

/// Runs every load on one cluster, one after the other.
pub(crate) async fn run(args: Args) -> Result<()> {
    let cluster = Cluster::builder().without_audit().start().await?;
    let client = api::client(cluster.admin().kubeconfig()).await?;
    let own = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OWN}});
    api::create(&client, "/api/v1/namespaces", &own).await?;
    let bench = Loads {
        cluster: &cluster,
        client,
        program: args.afresh,
    };
    let rows = bench.all().await;
    cluster.stop().await?;
    report::publish(&report::loads_table(&rows?), report::LOADS, args.write.as_deref())
}

struct Loads<'a> {
    cluster: &'a Cluster,
    client: Client,
    program: PathBuf,
}

const FEW: usize = 512;

impl Loads<'_> {
    async fn all(&self) -> Result<Vec<Row>> {
        Ok(vec![
            self.fan_out().await?,
            self.wide().await?,
            self.burst().await?,
            self.large().await?,
            self.metadata_only().await?,
        ])
    }

    async fn fan_out(&self) -> Result<Row> {
        let stage = stage("fan-out", 1, 50, Use::First, FEW);
        self.measure("50 Deployments on one ConfigMap, one write", stage, 1, async |sight| {
            self.each_once(&stage, sight).await
        })
        .await
    }

    async fn wide(&self) -> Result<Row> {
        let stage = stage("wide", 11, 220, Use::Own, FEW);
        let title = "220 ConfigMaps and Deployments in 11 namespaces, all written at once";
        self.measure(title, stage, 220, async |sight| self.each_once(&stage, sight).await)
            .await
    }

    async fn burst(&self) -> Result<Row> {
        const WRITES: usize = 50;
        let stage = stage("burst", 1, 1, Use::Own, FEW);
        let title = "one ConfigMap written every 100 ms for 5 s";
        self.measure(title, stage, WRITES, async |_| {
            for round in 1..=WRITES {
                stage.write(&self.client, 0, stage.data(round)).await?;
                sleep(Duration::from_millis(100)).await;
            }
            Ok(Times::default())
        })
        .await
    }

    async fn large(&self) -> Result<Row> {
        let stage = stage("large", 1, 28, Use::Own, 100 * 1024);
        let title = "28 ConfigMaps with a value of 100 KiB, all written at once";
        self.measure(title, stage, 28, async |sight| self.each_once(&stage, sight).await)
            .await
    }

    async fn metadata_only(&self) -> Result<Row> {
        const WRITES: usize = 500;
        let stage = stage("metadata", 1, 50, Use::Own, FEW);
        let title = "500 writes of labels and annotations only";
        self.measure(title, stage, WRITES, async |_| {
            for write in 0..WRITES {
                let metadata =
                    json!({"labels": {"round": write.to_string()}, "annotations": {"note": write.to_string()}});
                stage
                    .write(&self.client, write % 50, json!({"metadata": metadata}))
                    .await?;
            }
            Ok(Times::default())
        })
        .await
    }

    /// Writes every ConfigMap once and waits until every Deployment is patched; then the same PATCHes alone.
    async fn each_once(&self, stage: &Stage, sight: &mut Sight) -> Result<Times> {
        let writes = (0..stage.maps()).map(|number| stage.write(&self.client, number, stage.data(1)));
        let mut writes = stream::iter(writes).buffer_unordered(AT_ONCE);
        let mut accepted = None;
        while let Some(written) = writes.next().await {
            written?;
            accepted.get_or_insert_with(Instant::now);
        }
        let accepted = accepted.context("nothing was written")?;
        let (mut patched, mut first, mut last) = (BTreeSet::new(), None, accepted);
        while patched.len() < stage.deployments {
            let seen = sight
                .next()
                .await
                .with_context(|| format!("{} are patched", patched.len()))?;
            if seen.config.is_some() && seen.namespace.starts_with(stage.prefix) {
                first.get_or_insert(seen.at);
                last = last.max(seen.at);
                patched.insert((seen.namespace, seen.name));
            }
        }
        Ok(Times {
            first: first.map(|at| at.saturating_duration_since(accepted)),
            last: Some(last.saturating_duration_since(accepted)),
        })
    }

    /// The yardstick: a merge patch of each Deployment's template, as many at once.
    async fn alone(&self, stage: &Stage) -> Result<Duration> {
        let started = Instant::now();
        let patches = (0..stage.deployments).map(|number| async move {
            let template = json!({"metadata": {"annotations": {"bench.example.com/round": "1"}}});
            let path = workload_path(&stage.namespace(number), &name(number));
            api::merge_patch(&self.client, &path, &json!({"spec": {"template": template}})).await
        });
        let patches = stream::iter(patches).buffer_unordered(AT_ONCE);
        patches.try_collect::<()>().await?;
        Ok(started.elapsed())
    }

    async fn measure(
        &self,
        load: &'static str,
        stage: Stage,
        writes: usize,
        run: impl AsyncFnOnce(&mut Sight) -> Result<Times>,
    ) -> Result<Row> {
        eprintln!("{load}");
        stage.fill(&self.client).await?;
        let log = self.cluster.log(stage.prefix);
        let kubeconfig = self.cluster.admin().kubeconfig();
        let flags = ["--leader-elect", "false", "--default-reload", "auto"];
        let controller = Program::controller(&self.program, kubeconfig, &flags, &log).await?;
        at_rest(&controller).await?;
        let mut sight = Sight::open(&self.client, "application/json").await?;
        let before = (controller.cpu()?, self.cluster.request_counters().await?);
        let times = run(&mut sight).await?;
        sleep(QUIET).await;
        let after = (controller.cpu()?, self.cluster.request_counters().await?);
        let memory = controller.memory()?;
        controller.stop().await?;
        let alone = if times.last.is_some() {
            Some(self.alone(&stage).await?)
        } else {
            None
        };
        Ok(Row {
            load,
            writes,
            requests: Requests::between(&before.1, &after.1),
            first: times.first,
            last: times.last,
            alone,
            cpu: (after.0 - before.0) / u32::try_from(writes)?,
            memory,
        })
    }
}

/// When patches were visible, where a load waits for them.
#[derive(Default)]
struct Times {
    first: Option<Duration>,
    last: Option<Duration>,
}

const fn stage(prefix: &'static str, namespaces: usize, deployments: usize, uses: Use, value_bytes: usize) -> Stage {
    Stage {
        prefix,
        namespaces,
        deployments,
        uses,
        value_bytes,
    }
}

/// Ready, and everything adopted.
async fn at_rest(controller: &Program) -> Result<()> {
    let started = Instant::now();
    while !matches!(controller.ask("/readyz").await, Ok((true, _))) || controller.metric("afresh_waiting").await? > 0.0
    {
        ensure!(started.elapsed() < LIMIT, "the controller does not come to rest");
        sleep(Duration::from_millis(50)).await;
    }
    sleep(QUIET).await;
    Ok(())
}
