//! `afresh why KIND/NAME`: what would happen to a workload now, and why.
//!
//! [`gather`] reads, [`explain`] decides by the controller's own rule and puts it into words, [`text`] lays it out.

mod dialect;
mod explain;
mod explanation;
mod facts;
mod gather;
mod marked;
mod objects;
mod setup;
mod text;
mod verdict;
mod words;

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use afresh_controller::Config;
use afresh_k8s::client::RequestCounts;
use afresh_model::name::{CustomKind, Name, WorkloadKey, WorkloadKind};
use afresh_model::policy::Reload;
use afresh_model::time::UnixSeconds;
use anyhow::Context as _;

use crate::cluster::ClusterArgs;
use crate::controller::Honor;
use crate::parse;
use explanation::Explanation;
use gather::{Question, Target};
use setup::command_line::{self, Variables};
use setup::{Setup, Source, find};

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
Nothing is changed. The decision is the controller's own, from what the cluster says now and from how the controller \
runs: its Deployment is looked for by the label app.kubernetes.io/name=afresh, that of Reloader or afresh reloader by the \
ConfigMap reloader-meta-info. Say which with --controller, or ask what any other would do by its command line:
  afresh why deployment/web -- controller --default-reload auto
  afresh why deployment/web -- reloader --reload-strategy=annotations --auto-annotation=example.com/auto
What only a running controller knows (that it saw a change happen, --max-rolling) is not part of the answer.

Exit status: 0 whatever the answer is, also where an action is due; 1 if the workload cannot be read; 2 for wrong usage.")]
pub(crate) struct Args {
    /// The workload: deployment/web or deployment web; also statefulset, daemonset, rollout, deploymentconfig, job, cronjob,
    /// pod, and kinds of --workload
    #[arg(required = true, num_args = 1..=2, value_name = "KIND/NAME")]
    target: Vec<String>,
    /// Its namespace; otherwise that of the kubeconfig's context
    // No variable: AFRESH_NAMESPACE is the controller's, and may hold several.
    #[arg(short, long, value_parser = parse::namespace, value_name = "NAME")]
    namespace: Option<Name>,
    /// How the answer looks
    #[arg(short, long, env = "AFRESH_OUTPUT", default_value = "text", value_enum)]
    output: Output,
    #[command(flatten)]
    controller: ControllerArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The controller's command line: controller or reloader, and its flags
    #[arg(last = true, value_name = "CONTROLLER'S COMMAND LINE", conflicts_with = "controller")]
    command_line: Vec<String>,
}

/// How the controller runs, where that is not to be found out, or not as it is.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Whose decision")]
struct ControllerArgs {
    /// The Deployment that runs the controller; otherwise it is looked for
    #[arg(long, env = "AFRESH_CONTROLLER", value_parser = place, value_name = "NAMESPACE/NAME")]
    controller: Option<(Name, Name)>,
    /// As if the controller was given this --default-reload: auto, roll, touch, evict or off
    #[arg(long, env = "AFRESH_DEFAULT_RELOAD", value_parser = parse::reload, value_name = "MODE")]
    default_reload: Option<Reload>,
    /// As if it was given this --honor: reloader, wave, or none
    #[arg(long, env = "AFRESH_HONOR", value_delimiter = ',', value_enum, value_name = "WHOSE")]
    honor: Vec<Honor>,
    /// As if it was given this --workload too (repeatable)
    #[arg(long, env = "AFRESH_WORKLOAD", value_delimiter = ',', value_parser = parse::custom_kind, value_name = "KIND=PATH")]
    workload: Vec<&'static CustomKind>,
    /// The controller's own namespace, where the digest key is
    #[arg(long, env = "AFRESH_OWN_NAMESPACE", value_parser = parse::namespace, value_name = "NAME")]
    own_namespace: Option<Name>,
    /// The controller's --digest-key-secret
    #[arg(long, env = "AFRESH_DIGEST_KEY_SECRET", value_parser = parse::name, value_name = "NAME")]
    digest_key_secret: Option<Name>,
}

fn place(text: &str) -> Result<(Name, Name), String> {
    let (namespace, name) = text
        .split_once('/')
        .ok_or_else(|| format!("{text:?} has no namespace: write NAMESPACE/NAME, such as afresh/afresh"))?;
    Ok((parse::namespace(namespace)?, parse::name(name)?))
}

impl ControllerArgs {
    /// Lays the flags over how the controller runs.
    fn lay_over(&self, config: &mut Config) {
        if let Some(default) = self.default_reload {
            config.conventions.default = default;
        }
        if !self.honor.is_empty() {
            let keys = config.conventions.reloader.take().unwrap_or_default();
            config.conventions.reloader = self.honor.contains(&Honor::Reloader).then_some(keys);
            config.conventions.wave = self.honor.contains(&Honor::Wave);
        }
        config
            .kinds
            .extend(self.workload.iter().copied().map(WorkloadKind::Custom));
        if let Some(namespace) = &self.own_namespace {
            config.digest_key.namespace = namespace.clone();
        }
        if let Some(name) = &self.digest_key_secret {
            config.digest_key.name = name.clone();
        }
    }

    fn defaults(&self) -> Result<Setup, String> {
        Ok(Setup::default_in(
            parse::namespace("afresh")?,
            parse::name("afresh-digest-key")?,
        ))
    }
}

/// Answers once.
pub(crate) fn main(args: &Args) -> anyhow::Result<ExitCode> {
    let (target, given) = match args.asked() {
        Ok(asked) => asked,
        Err(error) => {
            afresh_agent::complain(format_args!("afresh: {error:#}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let Some(explanation) = runtime.block_on(args.explanation(target, given))? else {
        return Ok(ExitCode::from(USAGE));
    };
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

impl Args {
    /// What is asked, and how the controller runs if that is said: all that can be wrong without a cluster.
    fn asked(&self) -> anyhow::Result<(Target, Option<Setup>)> {
        let target = gather::target(&self.target)?;
        let given = self.given().map_err(anyhow::Error::msg)?;
        Ok((target, given))
    }

    fn given(&self) -> Result<Option<Setup>, String> {
        if self.command_line.is_empty() {
            return Ok(None);
        }
        let own = self.controller.own_namespace.as_ref().map_or("afresh", Name::as_str);
        let variables = Variables::from([
            ("POD_NAMESPACE".to_owned(), own.to_owned()),
            ("POD_NAME".to_owned(), "afresh".to_owned()),
        ]);
        let (program, config) =
            command_line::parse(&self.command_line, None, &variables).map_err(|error| format!("after --: {error}"))?;
        Ok(Some(Setup {
            program,
            source: Source::Given,
            config,
            notes: Vec::new(),
        }))
    }

    /// The answer; `None` if the kind turned out to be none, and that is told.
    async fn explanation(&self, target: Target, given: Option<Setup>) -> anyhow::Result<Option<Explanation>> {
        let connected = self.cluster.connect(&RequestCounts::default()).await;
        let connection = match connected {
            Ok(connection) => connection,
            Err(_) if target.kind(&[]).is_err() => return Ok(told(target.kind(&self.controller.workload))),
            Err(error) => return Err(error),
        };
        let namespace = match &self.namespace {
            Some(namespace) => namespace.clone(),
            None => parse::namespace(&connection.namespace).map_err(anyhow::Error::msg)?,
        };
        let mut setup = match (given, &self.controller.controller) {
            (Some(given), _) => given,
            (None, Some((namespace, name))) => find::at(&connection.client, namespace, name)
                .await
                .map_err(anyhow::Error::msg)?,
            (None, None) => {
                let defaults = self.controller.defaults().map_err(anyhow::Error::msg)?;
                find::anywhere(
                    &connection.client,
                    self.controller.own_namespace.as_ref(),
                    &namespace,
                    defaults,
                )
                .await
            }
        };
        self.controller.lay_over(&mut setup.config);
        let kind = match target.kind(&setup.custom_kinds()) {
            Ok(kind) => kind,
            wrong => return Ok(told(wrong)),
        };
        let name = target.name;
        let question = Question {
            key: WorkloadKey { kind, namespace, name },
            setup,
        };
        let facts = gather::gather(&connection.client, &question, now()).await?;
        Ok(Some(explain::explain(&facts)))
    }
}

/// Tells what is wrong with the kind.
fn told(kind: anyhow::Result<WorkloadKind>) -> Option<Explanation> {
    if let Err(error) = kind {
        afresh_agent::complain(format_args!("afresh: {error:#}"));
    }
    None
}

fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixSeconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
