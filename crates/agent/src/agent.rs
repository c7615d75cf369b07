//! `afresh agent`: beside an application that runs by itself.

use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::{self, AdminError};
use crate::pipeline::Pipeline;
use crate::plan::{Plan, PlanError};
use crate::source::{Follow, NoCluster, Objects, SourcePlan};
use crate::status::Status;
use crate::supervise::orphans;
use crate::{AgentArgs, Target, complain};

/// The exit status of wrong flags, as everywhere in Afresh.
pub(crate) const USAGE: u8 = 2;

/// Why the agent could not run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The runtime could not be made, or signals not be caught.
    #[error("cannot start: {source}")]
    Runtime {
        /// What the system said.
        source: std::io::Error,
    },
    /// The address of `--listen` cannot be used.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Objects cannot be followed.
    #[error(transparent)]
    Source(#[from] NoCluster),
}

/// Runs until it is asked to end. `objects` says whether the program can follow `--source`.
///
/// # Errors
/// If it cannot start. Trouble with files, objects, checks and actions never ends it.
pub fn main(args: &AgentArgs, objects: Objects) -> Result<ExitCode, AgentError> {
    let (plan, sources) = match plans(args, objects) {
        Ok(plans) => plans,
        Err(error) => {
            complain(format_args!("error: {error}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    args.log.begin();
    let failed = |source| AgentError::Runtime { source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    runtime.block_on(async {
        let mut asked = EndSignals::catch().map_err(failed)?;
        let status = Arc::new(Status::new(Some(&plan), None));
        let serving = admin::serve(args.watch.listen, Arc::clone(&status)).await?;
        let (following, mut opened) = SourcePlan::begin(sources, &status);
        let target = args.process.clone().map_or(Target::Nobody, Target::Process);
        let watching = async {
            opened.wait().await;
            let mut pipeline = Pipeline::new(plan, status);
            pipeline.begin().await;
            pipeline.run(&target).await
        };
        tokio::select! {
            never = watching => match never {},
            never = serving => match never {},
            error = following => return Err(error.into()),
            never = orphans() => match never {},
            _ = asked.next() => {}
        }
        tracing::info!("ending, as asked");
        Ok(ExitCode::SUCCESS)
    })
}

impl AgentArgs {
    /// Looks at the flags as a whole, as [`main`] does first.
    ///
    /// # Errors
    /// What does not go together.
    pub fn validate(&self, objects: Objects) -> Result<(), PlanError> {
        plans(self, objects).map(drop)
    }
}

/// What is watched and followed.
fn plans(args: &AgentArgs, objects: Objects) -> Result<(Plan, Option<(SourcePlan, Follow)>), PlanError> {
    let sources = SourcePlan::of(&args.watch, objects)?;
    let plan = Plan::of(&args.watch)?.for_a_neighbour(args.process.is_some())?;
    Ok((plan, sources))
}

/// SIGTERM and SIGINT, caught: as the first process of a container we would otherwise not get them.
#[derive(Debug)]
pub(crate) struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl EndSignals {
    pub(crate) fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The number of the next one.
    pub(crate) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.terminate.recv() => 15,
            _ = self.interrupt.recv() => 2,
        }
    }
}
