//! A cluster to play with: starts it, then a shell in which kubectl talks to it, and ends it with that shell.
//! `cargo xtask cluster [--node]` runs this.

use std::env;
use std::process::Command;

use afresh_testbed::{Cluster, Flavour};
use afresh_testbed_host::{Program, find};
use anyhow::{Context, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let with_node = env::args().any(|argument| argument == "--node");
    let flavour = if with_node { Flavour::Node } else { Flavour::Controllers };
    let cluster = Cluster::builder().flavour(flavour).start().await?;
    let kubectl = find(Program::Kubectl).context("kubectl is gone")?;
    let binaries = kubectl.parent().context("kubectl has no directory")?.to_owned();
    let path = env::join_paths(
        [binaries]
            .into_iter()
            .chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())),
    )?;
    println!("KUBECONFIG={}", cluster.admin().kubeconfig().display());
    println!("logs: {}", cluster.directory().join("logs").display());
    println!("`exit` ends the cluster.");
    let shell = env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    let mut command = Command::new(shell);
    command
        .env("KUBECONFIG", cluster.admin().kubeconfig())
        .env("PATH", path);
    tokio::task::spawn_blocking(move || command.status())
        .await?
        .context("could not start a shell")?;
    cluster.stop().await?;
    Ok(())
}
