//! `afresh agent`: beside an application that runs by itself.

use std::process::ExitCode;

use afresh_volume::Written;
use tokio::signal::unix::{SignalKind, signal};

use crate::AgentArgs;
use crate::pipeline::{BeginError, Pipeline, Target};

/// Why the agent could not run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The runtime could not be made, or signals not be caught.
    #[error("cannot start: {source}")]
    Runtime {
        /// What the system said.
        source: std::io::Error,
    },
    /// Nothing to watch.
    #[error("nothing is watched: give --watch PATH")]
    Nothing,
    /// See there.
    #[error(transparent)]
    Begin(#[from] BeginError),
}

/// Runs until it is asked to end.
///
/// # Errors
/// If it cannot start.
pub fn main(args: &AgentArgs) -> Result<ExitCode, AgentError> {
    args.log.begin();
    if args.watch.watch.is_empty() {
        return Err(AgentError::Nothing);
    }
    let failed = |source| AgentError::Runtime { source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let (pipeline, written) = Pipeline::begin(args.watch.plan()).await?;
        tracing::info!(paths = ?args.watch.watch, "watching");
        let target = args.process.clone().map_or(Target::Nobody, Target::Named);
        tokio::select! {
            // What is written anew the application may have begun without.
            never = pipeline.run(target, written == Written::Changed) => match never {},
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}
