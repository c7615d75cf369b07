//! The flags of the programs in the pod.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use afresh_volume::WatchOptions;

use crate::LogArgs;
use crate::action::Action;
use crate::command_line::CommandLine;
use crate::process::ProcessName;
use crate::size::Size;
use crate::source::Source;

const FILES: &str = "Files and what follows from their change";

/// The flags of `afresh agent`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Beside an application that runs by itself, in its pod. Durations are written 500ms, 2s, 1m or 1h30m. Commands are words \
with the shell's quotes, but run without a shell. docs/agent.md has examples.")]
pub struct AgentArgs {
    /// What is watched and done.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// The process that signal: is sent to, by its name; of another container with shareProcessNamespace
    #[arg(long, env = "AFRESH_PROCESS", value_name = "NAME", help_heading = FILES)]
    pub process: Option<ProcessName>,
    /// How it logs.
    #[command(flatten)]
    pub log: LogArgs,
}

/// The flags that `afresh agent` and `afresh run` share: what is watched, and what follows from a change.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = FILES)]
pub struct WatchArgs {
    /// A mounted directory or a file (repeatable; one per line in the variable); together they are one set of files
    #[arg(long, env = "AFRESH_WATCH", value_name = "PATH", value_delimiter = '\n')]
    pub watch: Vec<PathBuf>,
    /// The quiet time that ends a burst of changes
    #[arg(long, env = "AFRESH_SETTLE", value_name = "DURATION", default_value = "100ms", value_parser = duration)]
    pub settle: Duration,
    /// The pause between two looks beside the kernel's events, for mounts that send none; 0 for no such looks
    #[arg(long, env = "AFRESH_POLL", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub poll: Duration,
    /// The most that one watched path, or one --source, may hold; with more its last content stays
    #[arg(long, env = "AFRESH_MAX_SIZE", value_name = "SIZE", default_value = "16Mi")]
    pub max_size: Size,
    /// Run this on new content before anything sees it: {} and $AFRESH_STAGED are the directory that holds it. If it
    /// fails, the last good content stays
    #[arg(long, env = "AFRESH_CHECK", value_name = "COMMAND")]
    pub check: Option<CommandLine>,
    /// Where the directory for the check is made; the system's for temporary files unless given
    #[arg(long, env = "AFRESH_STAGING", value_name = "DIR")]
    pub staging: Option<PathBuf>,
    /// Write accepted content to this directory, at one moment, for the application to read instead of the mount
    #[arg(long, env = "AFRESH_OUTPUT", value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// What is done after a change: signal:HUP, exec:COMMAND, http:POST URL or restart (repeatable, in order; one per
    /// line in the variable)
    #[arg(long, env = "AFRESH_ON_CHANGE", value_name = "ACTION", value_delimiter = '\n')]
    pub on_change: Vec<Action>,
    /// Run this after the actions, again and again within --timeout; if it does not succeed they are done again
    #[arg(long, env = "AFRESH_VERIFY", value_name = "COMMAND")]
    pub verify: Option<CommandLine>,
    /// How long a check, an action or the verification may take
    #[arg(long, env = "AFRESH_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = positive)]
    pub timeout: Duration,
    /// Act so often even though nothing changed
    #[arg(long, env = "AFRESH_EVERY", value_name = "DURATION", value_parser = positive)]
    pub every: Option<Duration>,
    /// Act on what is there at the start, too
    #[arg(long, env = "AFRESH_ACT_AT_START")]
    pub act_at_start: bool,
    /// Where /metrics, /livez, /readyz and /state are served, such as :9091; nowhere unless given
    #[arg(long, env = "AFRESH_LISTEN", value_name = "ADDRESS", value_parser = address)]
    pub listen: Option<SocketAddr>,
    /// Objects that are followed by the API.
    #[command(flatten)]
    pub source: SourceArgs,
}

impl WatchArgs {
    /// How paths are watched.
    pub(crate) fn options(&self) -> WatchOptions {
        WatchOptions {
            poll: Some(self.poll).filter(|poll| !poll.is_zero()),
            limits: self.max_size.limits(),
            ..WatchOptions::default()
        }
    }
}

/// The flags of objects that are followed by the API instead of being mounted.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Objects straight from the API, as files")]
pub struct SourceArgs {
    /// A ConfigMap or a Secret, or all with some labels (repeatable; one per line in the variable): configmap/NAME,
    /// secret/NAMESPACE/NAME, configmap:LABEL=VALUE, secret/NAMESPACE:LABEL=VALUE, configmap/*:LABEL=VALUE. Of two that
    /// hold the same key the later one wins
    #[arg(long, env = "AFRESH_SOURCE", value_name = "OBJECT", value_delimiter = '\n')]
    pub source: Vec<Source>,
    /// The directory that their keys are written to, at one moment; it is watched as by --watch
    #[arg(long, env = "AFRESH_SOURCE_DIR", value_name = "DIR")]
    pub source_dir: Option<PathBuf>,
    /// This kubeconfig; otherwise $KUBECONFIG, ~/.kube/config, or the pod's own ServiceAccount
    #[arg(long, env = "AFRESH_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// This context of the kubeconfig instead of the current one
    #[arg(long, env = "AFRESH_CONTEXT", value_name = "NAME")]
    pub context: Option<String>,
    /// The API server at this URL, without kubeconfig and credentials: kubectl proxy
    #[arg(long, env = "AFRESH_SERVER", value_name = "URL", conflicts_with_all = ["kubeconfig", "context"])]
    pub server: Option<String>,
}

/// A duration as everywhere in Afresh.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    afresh_model::duration::parse(text).map_err(|error| error.to_string())
}

fn positive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("0 leaves no time at all: write a duration such as 10s".to_owned()),
        other => Ok(other),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') {
        format!("[::]{text}")
    } else {
        text.to_owned()
    };
    full.parse()
        .map_err(|_| format!("{text:?} is no address: write :9091 or 127.0.0.1:9091"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        watch: WatchArgs,
    }

    fn options(flags: &[&str]) -> WatchOptions {
        let flags = Flags::try_parse_from([&["afresh"], flags].concat()).unwrap();
        flags.watch.options()
    }

    #[test]
    fn looks_beside_the_events_can_be_rarer_or_left_out_and_readings_are_bounded() {
        assert_eq!(options(&[]).poll, Some(Duration::from_secs(10)));
        assert_eq!(options(&["--poll", "1m"]).poll, Some(Duration::from_secs(60)));
        assert_eq!(options(&["--poll", "0"]).poll, None, "an idle one never wakes up");
        assert_eq!(options(&["--max-size", "1Ki"]).limits.max_bytes, 1024);
    }
}
