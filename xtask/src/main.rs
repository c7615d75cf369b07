//! Developer tasks: `cargo xtask help` lists them.

use std::env;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

mod bench;
mod checks;
mod cluster;
mod command;
mod crates;
mod footprint;
mod image;
mod leftovers;
mod namespaces;
mod setup;
mod tests;

const HELP: &str = "\
cargo xtask COMMAND

  setup             get what the tests need: Kubernetes (built once, minutes), a container runtime, cargo-deny
  test [-p PACKAGE].. [FILTER..]
                    setup, checks, then every test; with packages or filters only their tests, and no checks
  check             formatting, clippy, documentation, dependency rules
  bench [--quick]   measure the controller against a real API server, and keep the table in docs/benchmarks.md
  bench loads       measure it under loads as clusters make them
  bench sources     measure what `afresh agent --source` takes of memory
  bench library     measure what reading a configuration costs in an application
  footprint         the agent's size, memory and wake-ups, against what is promised
  cluster [--node]  start a cluster to play with, and a shell in it
  kubectl ARGS..    kubectl of the testbed's version
  isolated CMD..    run a command in process, mount and network namespaces of its own (root)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let (command, rest) = arguments
        .split_first()
        .map_or(("help", &[][..]), |(first, rest)| (first.as_str(), rest));
    match command {
        "setup" => setup::run().map(|()| ExitCode::SUCCESS),
        "test" => tests::run(rest),
        "bench" => bench::run(rest),
        "footprint" => footprint::run(),
        "check" => checks::run(),
        "cluster" => cluster::run(rest),
        "kubectl" => cluster::kubectl(rest),
        "isolated" => namespaces::isolated(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("no task is called {other:?}\n\n{HELP}"),
    }
}

/// The root of the workspace: tasks work from there, wherever they are started.
fn root() -> Result<std::path::PathBuf> {
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(manifest.parent().context("xtask has no parent directory")?.to_owned())
}
