//! `afresh why KIND/NAME`: what would happen to a workload now, and why.
//!
//! [`gather`] reads, [`explain`] decides by the controller's own rule and puts it into words, [`text`] lays it out.

mod dialect;
mod explain;
mod explanation;
mod facts;
mod gather;
mod objects;
mod text;
mod verdict;
mod words;

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use afresh_k8s::client::RequestCounts;
use afresh_model::convention::Conventions;
use afresh_model::name::{CustomKind, Name, WorkloadKey};
use afresh_model::policy::Reload;
use afresh_model::time::UnixSeconds;
use anyhow::Context as _;

use crate::cluster::ClusterArgs;
use crate::parse;
use gather::Question;

/// Exit status for wrong usage, as clap has it.
const USAGE: u8 = 2;

/// How the answer looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

/// The flags of `afresh why`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing is changed. The decision is the controller's own, from what the cluster says now; what only a running \
controller knows (that it saw a change happen, its --selector, its namespaces, --max-rolling) is not part of it.

Exit status: 0 whatever the answer is, also where an action is due; 1 if the workload cannot be read; 2 for wrong usage.")]
pub(crate) struct Args {
    /// The workload: deployment/web or deployment web; also statefulset, daemonset, rollout, deploymentconfig, job, pod
    #[arg(required = true, num_args = 1..=2, value_name = "KIND/NAME")]
    target: Vec<String>,
    /// The controller's --workload, to ask about a workload of that kind (repeatable)
    #[arg(long, env = "AFRESH_WORKLOAD", value_delimiter = ',', value_parser = parse::custom_kind, value_name = "KIND=PATH")]
    workload: Vec<&'static CustomKind>,
    /// Its namespace; otherwise that of the kubeconfig's context
    // No variable: AFRESH_NAMESPACE is the controller's, and may hold several.
    #[arg(short, long, value_parser = parse::namespace, value_name = "NAME")]
    namespace: Option<Name>,
    /// How the answer looks
    #[arg(short, long, env = "AFRESH_OUTPUT", default_value = "text", value_enum)]
    output: Output,
    /// The controller's --default-reload: auto, roll, touch, evict or off
    #[arg(long, env = "AFRESH_DEFAULT_RELOAD", default_value = "off", value_parser = parse::reload, value_name = "MODE")]
    default_reload: Reload,
    /// The controller's --own-namespace, where the digest key is
    #[arg(long, env = "AFRESH_OWN_NAMESPACE", default_value = "afresh", value_parser = parse::namespace, value_name = "NAME")]
    own_namespace: Name,
    /// The controller's --digest-key-secret
    #[arg(long, env = "AFRESH_DIGEST_KEY_SECRET", default_value = "afresh-digest-key", value_parser = parse::name, value_name = "NAME")]
    digest_key_secret: Name,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Answers once.
pub(crate) fn main(args: &Args) -> anyhow::Result<ExitCode> {
    let (kind, name) = match gather::target(&args.target, &args.workload) {
        Ok(target) => target,
        Err(error) => {
            eprintln!("afresh: {error:#}");
            return Ok(ExitCode::from(USAGE));
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let explanation = runtime.block_on(async {
        let connection = args.cluster.connect(&RequestCounts::default()).await?;
        let namespace = match &args.namespace {
            Some(namespace) => namespace.clone(),
            None => parse::namespace(&connection.namespace).map_err(anyhow::Error::msg)?,
        };
        let question = Question {
            key: WorkloadKey { kind, namespace, name },
            conventions: Conventions {
                default: args.default_reload,
                ..Conventions::default()
            },
            own_namespace: args.own_namespace.clone(),
            digest_key_secret: args.digest_key_secret.clone(),
        };
        let facts = gather::gather(&connection.client, &question, now()).await?;
        Ok::<_, anyhow::Error>(explain::explain(&facts))
    })?;
    let answer = match args.output {
        Output::Text => text::text(&explanation),
        Output::Json => serde_json::to_string_pretty(&explanation).context("cannot write JSON")? + "\n",
    };
    // Takes the colours out where nobody would see them: no terminal, or NO_COLOR.
    anstream::stdout()
        .write_all(answer.as_bytes())
        .context("cannot write the answer")?;
    Ok(ExitCode::SUCCESS)
}

fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixSeconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
