//! The flags of the programs in the pod.

use std::path::PathBuf;
use std::time::Duration;

use crate::LogArgs;

/// The flags of `afresh agent`.
#[derive(Debug, clap::Args)]
pub struct AgentArgs {
    /// What is watched and done.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// The process that `signal` is sent to, by its name
    #[arg(long, env = "AFRESH_PROCESS", value_name = "NAME")]
    pub process: Option<String>,
    /// How it logs.
    #[command(flatten)]
    pub log: LogArgs,
}

/// The flags that `afresh agent` and `afresh run` share: what is watched, and what follows from a change.
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// A mounted directory or a file (repeatable; one per line in the variable)
    #[arg(long, env = "AFRESH_WATCH", value_name = "PATH", value_delimiter = '\n')]
    pub watch: Vec<PathBuf>,
    /// The quiet time that ends a burst of changes
    #[arg(long, env = "AFRESH_SETTLE", default_value = "100ms", value_parser = duration)]
    pub settle: Duration,
}

/// A duration as everywhere in Afresh.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    afresh_model::duration::parse(text).map_err(|error| error.to_string())
}
