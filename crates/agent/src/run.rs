//! `afresh run`: starts the application and is its init.

mod watch;

use std::ffi::OsString;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;

use crate::admin::{self, AdminError};
use crate::agent::{EndSignals, USAGE};
use crate::args::duration;
use crate::environment::{EnvironmentError, Skipped, Sources};
use crate::pipeline::Pipeline;
use crate::plan::{Plan, PlanError};
use crate::signal::SignalName;
use crate::size::Size;
use crate::source::{Follow, NoCluster, Objects, Opened, SourcePlan};
use crate::status::Status;
use crate::supervise::{self, BadStart, ChildHandle, Policy, Program, Restart, SuperviseError};
use crate::{LogArgs, Target, WatchArgs, complain};

/// The flags of `afresh run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Signals, terminal and standard input go to COMMAND, and its exit status is afresh's (128+N for signal N; 127 if it is \
not found, 126 if it cannot be executed). Durations are written 500ms, 2s, 1m or 1h30m.")]
pub struct RunArgs {
    #[command(flatten)]
    environment: EnvironmentArgs,
    #[command(flatten)]
    process: ProcessArgs,
    #[command(flatten)]
    watch: WatchArgs,
    /// How it logs.
    #[command(flatten)]
    log: LogArgs,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Its environment")]
struct EnvironmentArgs {
    /// A mounted directory whose keys are variables, as with envFrom (repeatable; one per line in the variable)
    #[arg(long, env = "AFRESH_ENV_FROM", value_name = "DIR", value_delimiter = '\n')]
    env_from: Vec<PathBuf>,
    /// What is put before each key of --env-from
    #[arg(long, env = "AFRESH_ENV_PREFIX", value_name = "PREFIX", default_value = "")]
    env_prefix: String,
    /// A file of lines NAME=value (repeatable; one per line in the variable)
    #[arg(long, env = "AFRESH_ENV_FILE", value_name = "FILE", value_delimiter = '\n')]
    env_file: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Its process")]
struct ProcessArgs {
    /// What asks it to end before a restart
    #[arg(long, env = "AFRESH_STOP_SIGNAL", value_name = "SIGNAL", default_value_t = SignalName::TERM)]
    stop_signal: SignalName,
    /// How long it may take to end before it is killed
    #[arg(long, env = "AFRESH_GRACE", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    grace: Duration,
    /// Whether it is started again when it ends by itself; otherwise afresh ends with it
    #[arg(long, env = "AFRESH_RESTART", value_name = "WHEN", value_enum, default_value_t = RestartWord::Never)]
    restart: RestartWord,
    /// How long it must live after a restart for its new environment to count as good
    #[arg(long, env = "AFRESH_TRIAL", value_name = "DURATION", default_value = "10s", value_parser = duration)]
    trial: Duration,
    /// What follows when it does not: the last good environment until the next change, or its end
    #[arg(long, env = "AFRESH_BAD_START", value_name = "WHAT", value_enum, default_value_t = BadStartWord::LastGood)]
    bad_start: BadStartWord,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RestartWord {
    Never,
    OnFailure,
    Always,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BadStartWord {
    LastGood,
    End,
}

/// Why the program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The runtime could not be made.
    #[error("cannot start: {source}")]
    Runtime {
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no environment to start it with.
    #[error("cannot make the environment of --env-from and --env-file: {0}")]
    Environment(#[from] EnvironmentError),
    /// The address of `--listen` cannot be used.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Objects cannot be followed.
    #[error(transparent)]
    Source(#[from] NoCluster),
    /// See there.
    #[error(transparent)]
    Supervise(#[from] SuperviseError),
}

/// Runs the program until it has ended for good, and returns its exit status. `objects` says whether `--source` can be
/// followed.
///
/// # Errors
/// If it could not be started at all.
pub fn main(args: &RunArgs, objects: Objects) -> Result<ExitCode, RunError> {
    let plans = match args.plans(objects) {
        Ok(plans) => plans,
        Err(error) => {
            complain(format_args!("error: {error}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    args.log.begin();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| RunError::Runtime { source })?;
    runtime.block_on(run(args, plans)).map(ExitCode::from)
}

/// What is watched besides the environment, and which objects are followed.
type Plans = (Option<Plan>, Option<(SourcePlan, Follow)>);

async fn run(args: &RunArgs, (plan, sources): Plans) -> Result<u8, RunError> {
    let (child, end) = ChildHandle::new();
    let status = Arc::new(Status::new(plan.as_ref(), Some(child.clone())));
    let mut answering = pin!(admin::serve(args.watch.listen, Arc::clone(&status)).await?);
    let is_to_wait = plan.is_some() || sources.is_some();
    let (mut following, opened) = SourcePlan::begin(sources, &status);
    let mut pipeline = plan.map(|plan| Pipeline::new(plan, status));
    if is_to_wait {
        // As an init it gets no signal that it does not ask for.
        let mut asked = EndSignals::catch().map_err(|source| RunError::Runtime { source })?;
        tokio::select! {
            () = content(opened, pipeline.as_mut()) => {}
            never = &mut answering => match never {},
            error = &mut following => return Err(error.into()),
            signal = asked.next() => {
                tracing::info!("ending, as asked, before there was content to start the program with");
                return Ok(128 + signal);
            }
        }
    }
    let sources = args.environment.sources(args.watch.max_size);
    // Whatever changes from here on is a change.
    let environment_watch = watch::Watch::begin(sources.clone(), &args.watch);
    let (environment, skipped) = sources.read()?;
    name_skipped(&skipped);
    let environment = Arc::new(environment);
    let supervised = supervise::supervise(args.program(), Arc::clone(&environment), args.process.policy(), end);
    let acting = async {
        match pipeline {
            Some(pipeline) => pipeline.run(&Target::Child(child.clone())).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        code = supervised => Ok(code?),
        never = environment_watch.run(environment, child.clone()) => match never {},
        never = acting => match never {},
        never = &mut answering => match never {},
        error = following => Err(error.into()),
    }
}

/// Returns when there is content to start the program with.
async fn content(mut opened: Opened, pipeline: Option<&mut Pipeline>) {
    opened.wait().await;
    if let Some(pipeline) = pipeline {
        pipeline.begin().await;
        pipeline.application_starts();
    }
}

/// One line per key that makes no variable, as the kubelet has an Event for them.
fn name_skipped(skipped: &[Skipped]) {
    for Skipped { path, reason } in skipped {
        tracing::warn!(path = %path.display(), reason, "a key makes no variable");
    }
}

impl RunArgs {
    /// Looks at the flags as a whole, as [`main`] does first.
    ///
    /// # Errors
    /// What does not go together.
    pub fn validate(&self, objects: Objects) -> Result<(), PlanError> {
        self.plans(objects).map(drop)
    }

    fn plans(&self, objects: Objects) -> Result<Plans, PlanError> {
        let sources = SourcePlan::of(&self.watch, objects)?;
        Ok((self.plan()?, sources))
    }

    /// What is watched besides the environment; nothing if nothing is to follow from it.
    fn plan(&self) -> Result<Option<Plan>, PlanError> {
        let WatchArgs {
            watch,
            output,
            on_change,
            check,
            verify,
            every,
            act_at_start,
            ..
        } = &self.watch;
        let is_asked_for = !watch.is_empty()
            || output.is_some()
            || !on_change.is_empty()
            || check.is_some()
            || verify.is_some()
            || every.is_some()
            || *act_at_start;
        is_asked_for.then(|| Plan::of(&self.watch)).transpose()
    }

    fn program(&self) -> Program {
        let mut words = self.command.iter().cloned();
        Program {
            name: words.next().unwrap_or_default(),
            arguments: words.collect(),
        }
    }
}

impl EnvironmentArgs {
    fn sources(&self, max_size: Size) -> Sources {
        Sources {
            directories: self.env_from.clone(),
            prefix: self.env_prefix.clone(),
            files: self.env_file.clone(),
            max_size,
        }
    }
}

impl ProcessArgs {
    fn policy(&self) -> Policy {
        Policy {
            stop_signal: self.stop_signal.signal(),
            grace: self.grace,
            restart: match self.restart {
                RestartWord::Never => Restart::Never,
                RestartWord::OnFailure => Restart::OnFailure,
                RestartWord::Always => Restart::Always,
            },
            trial: self.trial,
            bad_start: match self.bad_start {
                BadStartWord::LastGood => BadStart::LastGood,
                BadStartWord::End => BadStart::End,
            },
        }
    }
}
