//! One cluster of one size, and everything that is measured on it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use afresh_testbed::Cluster;
use anyhow::{Context as _, Result, ensure};
use kube::Client;
use tokio::time::sleep;

use crate::changes::{Changer, Latencies};
use crate::objects::{BARE, Size};
use crate::process::{Memory, Program, bare_loop, cpu};
use crate::requests::Requests;
use crate::sight::Sight;
use crate::{api, load};

/// Deployments of the bare loop, which it patches over and over.
const BARE_DEPLOYMENTS: usize = 50;
/// Flags of the measured controller, beside those that the harness needs.
pub(crate) const AT_ONCE: [&str; 4] = ["--settle", "0", "--leader-elect", "false"];
/// What comes after a change, an Event say, comes within this.
const QUIET: Duration = Duration::from_secs(1);
/// For what must come about some time.
const LIMIT: Duration = Duration::from_secs(300);

/// What is measured, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) size: Size,
    pub(crate) changes: usize,
    /// Whether to measure once more with the controller's defaults.
    pub(crate) defaults: bool,
    pub(crate) program: PathBuf,
}

/// What the controller did from its start until every Deployment bore a record.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) ready: Duration,
    pub(crate) adopted: Duration,
    pub(crate) cpu: Duration,
    pub(crate) memory: Memory,
}

/// Per change.
#[derive(Debug)]
pub(crate) struct Cost {
    pub(crate) cpu: Duration,
    pub(crate) requests: Requests,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) size: Size,
    pub(crate) changes: usize,
    /// The bare loop, where nothing else runs.
    pub(crate) bare_alone: Latencies,
    /// What the bare loop takes per change then.
    pub(crate) bare_cpu: Duration,
    pub(crate) beginning: Beginning,
    /// The bare loop, in turn with the controller.
    pub(crate) bare: Latencies,
    pub(crate) afresh: Latencies,
    pub(crate) cost: Cost,
    pub(crate) after_changes: Memory,
    pub(crate) after_relist: Memory,
    pub(crate) defaults: Option<Defaults>,
}

/// With leader election and the settle time.
#[derive(Debug)]
pub(crate) struct Defaults {
    pub(crate) ready: Duration,
    pub(crate) afresh: Latencies,
    pub(crate) cost: Cost,
    pub(crate) memory: Memory,
}

/// Runs everything on a cluster of its own.
pub(crate) async fn measure(plan: &Plan) -> Result<Figures> {
    let cluster = Cluster::builder().without_audit().start().await?;
    let started = Instant::now();
    load::fill(&cluster.client().await?, plan.size, BARE_DEPLOYMENTS).await?;
    eprintln!("  filled in {:.1} s", started.elapsed().as_secs_f64());
    let figures = Bench {
        plan,
        cluster: &cluster,
        client: api::client(cluster.admin().kubeconfig()).await?,
    }
    .measure()
    .await;
    cluster.stop().await?;
    figures
}

pub(crate) struct Bench<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) cluster: &'a Cluster,
    pub(crate) client: Client,
}

impl Bench<'_> {
    async fn measure(&self) -> Result<Figures> {
        let bare_process = bare_loop(self.kubeconfig()).await?;
        let mut changer = Changer::new(self.client.clone()).await?;
        let before = cpu(&bare_process)?;
        let bare_alone = self.bare_alone(&mut changer).await?;
        let bare_cpu = (cpu(&bare_process)? - before) / u32::try_from(self.plan.changes)?;
        eprintln!("  bare loop alone: median {:.2} ms", bare_alone.median());
        let (controller, beginning) = self.begin(&AT_ONCE).await?;
        let memory = beginning.memory;
        eprintln!(
            "  ready {:.2} s, adopted {:.2} s, {:.1} MiB, peak {:.1} MiB",
            beginning.ready.as_secs_f64(),
            beginning.adopted.as_secs_f64(),
            memory.resident,
            memory.peak
        );
        let (bare, afresh) = self.in_turn(&mut changer).await?;
        eprintln!(
            "  in turn: bare loop {:.2} ms, afresh {:.2} ms",
            bare.median(),
            afresh.median()
        );
        drop(bare_process);
        let (cost, _) = self.cost(&mut changer, &controller, self.plan.changes).await?;
        let after_changes = controller.memory()?;
        eprintln!(
            "  {:.3} ms of CPU per change, {:.1} MiB",
            cost.cpu.as_secs_f64() * 1e3,
            after_changes.resident
        );
        drop(changer);
        let after_relist = self.relist(&controller).await?;
        eprintln!(
            "  after a relist {:.1} MiB, peak {:.1} MiB",
            after_relist.resident, after_relist.peak
        );
        controller.stop().await?;
        let defaults = if self.plan.defaults {
            Some(self.defaults().await?)
        } else {
            None
        };
        Ok(Figures {
            size: self.plan.size,
            changes: self.plan.changes,
            bare_alone,
            bare_cpu,
            beginning,
            bare,
            afresh,
            cost,
            after_changes,
            after_relist,
            defaults,
        })
    }

    fn kubeconfig(&self) -> &Path {
        self.cluster.admin().kubeconfig()
    }

    async fn bare_alone(&self, changer: &mut Changer) -> Result<Latencies> {
        let mut alone = Latencies::default();
        for number in 0..self.plan.changes {
            alone.add(changer.change(BARE, number % BARE_DEPLOYMENTS).await?);
        }
        Ok(alone)
    }

    /// Starts a controller and waits until it is ready and has adopted every Deployment.
    pub(crate) async fn begin(&self, flags: &[&str]) -> Result<(Program, Beginning)> {
        let mut sight = Sight::open(&self.client, api::METADATA_ONLY).await?;
        let started = Instant::now();
        let mut controller = self.controller(flags).await?;
        let ready = async {
            while !matches!(controller.ask("/readyz").await, Ok((true, _))) {
                controller.check()?;
                ensure!(started.elapsed() < LIMIT, "the controller is not ready after {LIMIT:?}");
                sleep(Duration::from_millis(10)).await;
            }
            anyhow::Ok(started.elapsed())
        };
        let adopted = async {
            let mut adopted = BTreeSet::new();
            while adopted.len() < self.plan.size.deployments {
                let seen = sight
                    .next()
                    .await
                    .with_context(|| format!("{} are adopted", adopted.len()))?;
                if seen.adopted {
                    adopted.insert((seen.namespace, seen.name));
                }
            }
            anyhow::Ok(started.elapsed())
        };
        let (ready, adopted) = tokio::try_join!(ready, adopted)?;
        sleep(QUIET).await;
        let beginning = Beginning {
            ready,
            adopted,
            cpu: controller.cpu()?,
            memory: controller.memory()?,
        };
        Ok((controller, beginning))
    }

    async fn controller(&self, flags: &[&str]) -> Result<Program> {
        let log = self.cluster.log("afresh");
        Program::controller(&self.plan.program, self.kubeconfig(), flags, &log).await
    }

    /// One change for the bare loop, one for the controller, and so on: what the machine does meanwhile hits both alike.
    async fn in_turn(&self, changer: &mut Changer) -> Result<(Latencies, Latencies)> {
        let (mut bare, mut afresh) = (Latencies::default(), Latencies::default());
        for number in 0..self.plan.changes {
            bare.add(changer.change(BARE, number % BARE_DEPLOYMENTS).await?);
            afresh.add(changer.change(&self.plan.size.namespace(number), number).await?);
        }
        Ok((bare, afresh))
    }

    /// Changes with nobody else about: what they cost. No Deployment is changed twice, or the flap breaker would step in.
    pub(crate) async fn cost(
        &self,
        changer: &mut Changer,
        controller: &Program,
        first: usize,
    ) -> Result<(Cost, Latencies)> {
        let mut latencies = Latencies::default();
        let before = (controller.cpu()?, self.cluster.request_counters().await?);
        for number in first..first + self.plan.changes {
            latencies.add(changer.change(&self.plan.size.namespace(number), number).await?);
        }
        sleep(QUIET).await;
        let after = (controller.cpu()?, self.cluster.request_counters().await?);
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let requests = Requests::between(&before.1, &after.1) / self.plan.changes as f64;
        let cost = Cost {
            cpu: (after.0 - before.0) / u32::try_from(self.plan.changes)?,
            requests,
        };
        Ok((cost, latencies))
    }

    /// Makes every watch of the controller stale, so that it must list everything again.
    async fn relist(&self, controller: &Program) -> Result<Memory> {
        let lists = controller.metric("afresh_watch_lists_total").await?;
        self.cluster.stop_api_server().await?;
        self.cluster.compact_past_all().await?;
        self.cluster.start_api_server().await?;
        let (started, mut listed) = (Instant::now(), 0.0);
        // Each of its watches: ConfigMaps, Secrets, Deployments, StatefulSets, DaemonSets, Pods.
        while listed < lists {
            ensure!(
                started.elapsed() < LIMIT,
                "only {listed} of {lists} watches have listed again"
            );
            sleep(Duration::from_millis(200)).await;
            listed = controller.metric("afresh_watch_lists_total").await? - lists;
        }
        while !controller.ask("/readyz").await?.0 {
            ensure!(started.elapsed() < LIMIT, "the controller does not become ready again");
            sleep(Duration::from_millis(100)).await;
        }
        sleep(QUIET * 2).await;
        controller.memory()
    }

    async fn defaults(&self) -> Result<Defaults> {
        let started = Instant::now();
        let controller = self.controller(&[]).await?;
        while !matches!(controller.ask("/readyz").await, Ok((true, _)))
            || controller.metric("afresh_leader").await? < 1.0
        {
            ensure!(started.elapsed() < LIMIT, "the controller does not lead");
            sleep(Duration::from_millis(10)).await;
        }
        let ready = started.elapsed();
        let mut changer = Changer::new(self.client.clone()).await?;
        let (cost, afresh) = self.cost(&mut changer, &controller, self.plan.changes * 2).await?;
        let memory = controller.memory()?;
        controller.stop().await?;
        Ok(Defaults {
            ready,
            afresh,
            cost,
            memory,
        })
    }
}
