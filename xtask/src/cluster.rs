//! A cluster to play with, and its kubectl.

use std::process::{Command, ExitCode};

use afresh_testbed_host::{self as host, Program};
use anyhow::{Context, Result, bail};

use crate::{command, namespaces, setup, tests};

/// `cargo xtask kubectl ARGS..`.
pub(crate) fn kubectl(arguments: &[String]) -> Result<ExitCode> {
    let kubectl = host::find(Program::Kubectl).context("kubectl is not there: run `cargo xtask setup`")?;
    let status = Command::new(kubectl)
        .args(arguments)
        .status()
        .context("could not start kubectl")?;
    Ok(namespaces::exit_code(status))
}

/// `cargo xtask cluster [--node]`: the testbed's example starts it and a shell.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let with_node = match arguments {
        [] => false,
        [flag] if flag == "--node" => true,
        other => bail!("cluster takes --node or nothing, not {other:?}"),
    };
    setup::run()?;
    let mut build = command::cargo(&["build", "--package", "afresh-testbed", "--example", "cluster"])?;
    command::run(&mut build)?;
    let example = tests::target_directory()?.join("debug/examples/cluster");
    let outside = namespaces::Outside::make();
    let mut run = if with_node {
        outside.command(example)
    } else {
        Command::new(example)
    };
    // Not where others look: process ids inside are none outside, so nobody could tell whether the owner still runs.
    run.env(host::ENV_STATE, tests::fresh_state(&tests::state_base()?, "cluster")?);
    Ok(namespaces::exit_code(
        run.args(arguments).status().context("could not start the cluster")?,
    ))
}
