//! Several builds on one cluster, in turn, so that whatever else the machine does hits all of them alike.

use std::path::PathBuf;
use std::time::Duration;

use afresh_testbed::Cluster;
use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;

use crate::changes::Changer;
use crate::objects::{APPLIED, Size, name, workload_path};
use crate::process::Memory;
use crate::run::SIZES;
use crate::scenario::{AT_ONCE, Bench, Plan};
use crate::{api, load};

/// Records taken out at once.
const REQUESTS: usize = 16;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A build and what to call it
    #[arg(required = true, value_name = "NAME=FILE", value_parser = named)]
    builds: Vec<(String, PathBuf)>,
    /// The size of the cluster: small, large or one-namespace
    #[arg(long, default_value = "large", value_name = "NAME")]
    size: String,
    /// Changes per round and build
    #[arg(long, default_value_t = 100)]
    changes: usize,
    /// How often each build has its turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Afterwards leave the cluster there until the input ends, to look at it by other means
    #[arg(long)]
    hold: bool,
}

fn named(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text
        .split_once('=')
        .ok_or("write NAME=FILE, such as before=/tmp/afresh")?;
    Ok((name.to_owned(), file.into()))
}

/// What one build took in one round.
struct Turn {
    begin: Memory,
    begin_cpu: Duration,
    after: Memory,
    cpu: Duration,
    median: f64,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let size = SIZES.into_iter().find(|size| size.name == args.size);
    let size = size.with_context(|| format!("no size is called {:?}", args.size))?;
    ensure!(
        args.changes <= size.deployments,
        "{} Deployments are too few for {} changes",
        size.deployments,
        args.changes
    );
    let cluster = Cluster::builder().without_audit().start().await?;
    let done = measure(&args, size, &cluster).await;
    if args.hold {
        eprintln!(
            "the cluster stays until the input ends: {}",
            cluster.admin().kubeconfig().display()
        );
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    }
    cluster.stop().await?;
    done
}

async fn measure(args: &Args, size: Size, cluster: &Cluster) -> Result<()> {
    load::fill(&cluster.client().await?, size, 0).await?;
    println!(
        "| build | resident, own, peak MiB | CPU of the start, s | after changes, MiB | CPU per change, ms | median, ms |"
    );
    println!("|---|--:|--:|--:|--:|--:|");
    let builds = (0..args.rounds).flat_map(|_| &args.builds);
    for (name, program) in builds {
        let plan = Plan {
            size,
            changes: args.changes,
            defaults: false,
            program: program.clone(),
        };
        let bench = Bench {
            plan: &plan,
            cluster,
            client: api::client(cluster.admin().kubeconfig()).await?,
        };
        forget(&bench).await?;
        let turn = turn(&bench).await.with_context(|| format!("build {name}"))?;
        let Turn { begin, after, .. } = turn;
        println!(
            "| {name} | {:.2}, {:.2}, {:.2} | {:.2} | {:.2}, {:.2}, {:.2} | {:.3} | {:.2} |",
            begin.resident,
            begin.anonymous,
            begin.peak,
            turn.begin_cpu.as_secs_f64(),
            after.resident,
            after.anonymous,
            after.peak,
            turn.cpu.as_secs_f64() * 1e3,
            turn.median
        );
    }
    Ok(())
}

async fn turn(bench: &Bench<'_>) -> Result<Turn> {
    let (controller, beginning) = bench.begin(&AT_ONCE).await?;
    let mut changer = Changer::new(bench.client.clone()).await?;
    let (cost, latencies) = bench.cost(&mut changer, &controller, 0).await?;
    let after = controller.memory()?;
    controller.stop().await?;
    Ok(Turn {
        begin: beginning.memory,
        begin_cpu: beginning.cpu,
        after,
        cpu: cost.cpu,
        median: latencies.median(),
    })
}

/// Takes the record out of every Deployment, so that each build adopts all of them.
async fn forget(bench: &Bench<'_>) -> Result<()> {
    let size = bench.plan.size;
    let patches = (0..size.deployments).map(|number| async move {
        let body = json!({"metadata": {"annotations": {APPLIED: null}}});
        let path = workload_path(&size.namespace(number), &name(number));
        api::merge_patch(&bench.client, &path, &body).await
    });
    stream::iter(patches).buffer_unordered(REQUESTS).try_collect().await
}
