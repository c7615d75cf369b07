//! Measures the controller, and the agent's `--source`, against a real API server. `cargo xtask bench` builds and runs it; `docs/benchmarks.md` says
//! what is measured and how.

mod api;
mod bare;
mod changes;
mod compare;
mod load;
mod loads;
mod objects;
mod process;
mod report;
mod requests;
mod run;
mod scenario;
mod sight;
mod sources;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "afresh-bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start clusters, fill them, measure, print a table
    Run(run::Args),
    /// What a cluster does to a controller: fan-out, many at once, bursts, large values, changes of nothing
    Loads(loads::Args),
    /// What following objects straight from the API takes of memory in a pod
    Sources(sources::Args),
    /// Several builds on one cluster, in turn: what a change of the program brings
    Compare(compare::Args),
    /// The yardstick: one watch, one patch, nothing else
    Bare(bare::Args),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Run(args) => run::run(args).await,
        Command::Loads(args) => loads::run(args).await,
        Command::Sources(args) => sources::run(args).await,
        Command::Compare(args) => compare::run(args).await,
        Command::Bare(args) => bare::run(args).await,
    }
}
