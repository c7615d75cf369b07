//! The flags of the programs in the pod.

use std::path::PathBuf;
use std::time::Duration;

use crate::LogArgs;
use crate::action::Action;
use crate::command_line::CommandLine;
use crate::pipeline::Plan;

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
#[command(next_help_heading = "Files and what follows from their change")]
pub struct WatchArgs {
    /// A mounted directory or a file (repeatable; one per line in the variable); together they are one content
    #[arg(long, env = "AFRESH_WATCH", value_name = "PATH", value_delimiter = '\n')]
    pub watch: Vec<PathBuf>,
    /// The quiet time that ends a burst of changes
    #[arg(long, env = "AFRESH_SETTLE", value_name = "DURATION", default_value = "100ms", value_parser = duration)]
    pub settle: Duration,
    /// Run this against new content before anything sees it: {} and $AFRESH_STAGED are its directory. If it fails, the
    /// last good content stays
    #[arg(long, env = "AFRESH_CHECK", value_name = "COMMAND", requires = "watch")]
    pub check: Option<CommandLine>,
    /// Write checked content to this directory, at one moment, so that the application sees nothing else
    #[arg(long, env = "AFRESH_OUTPUT", value_name = "DIR", requires = "watch")]
    pub output: Option<PathBuf>,
    /// What is done after a change: signal:HUP, exec:COMMAND, http:POST URL or restart (repeatable, in order; one per
    /// line in the variable)
    #[arg(long, env = "AFRESH_ON_CHANGE", value_name = "ACTION", value_delimiter = '\n')]
    pub on_change: Vec<Action>,
    /// Run this after the actions; if it fails they are done again
    #[arg(long, env = "AFRESH_VERIFY", value_name = "COMMAND", requires = "on_change")]
    pub verify: Option<CommandLine>,
    /// How long a check, an action or a verification may take before it counts as failed
    #[arg(long, env = "AFRESH_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
    /// Act so often even though nothing changed
    #[arg(long, env = "AFRESH_EVERY", value_name = "DURATION", value_parser = positive, requires = "on_change")]
    pub every: Option<Duration>,
}

impl WatchArgs {
    /// The same as a plan.
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan {
            watch: self.watch.clone(),
            settle: self.settle,
            check: self.check.clone(),
            output: self.output.clone(),
            actions: self.on_change.clone(),
            verify: self.verify.clone(),
            timeout: self.timeout,
            every: self.every,
        }
    }
}

/// A duration as everywhere in Afresh.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    afresh_model::duration::parse(text).map_err(|error| error.to_string())
}

fn positive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("0 would be all the time: write a duration such as 10m".to_owned()),
        other => Ok(other),
    }
}
