//! What `afresh controller` and `afresh reloader` have in common: they run until they are asked to end.

use std::process::ExitCode;

use afresh_controller::{Config, run};
use anyhow::Context as _;

use crate::cluster::ClusterArgs;
use crate::signals;

/// Runs a controller until it is asked to end; a configuration that is wrong ends the program as wrong usage.
///
/// # Errors
/// If the cluster cannot be told, signals cannot be caught, or the controller cannot begin.
pub(crate) fn start(cluster: &ClusterArgs, config: Result<Config, String>) -> anyhow::Result<ExitCode> {
    let config = config.unwrap_or_else(|message| crate::usage(&message));
    // One thread: the work is waiting, and memory counts.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    runtime.block_on(async {
        let client = cluster.connect(&config.requests).await?.client;
        let end = signals::asked_to_end().context("cannot catch signals")?;
        run(client, config, end).await?;
        Ok(ExitCode::SUCCESS)
    })
}
