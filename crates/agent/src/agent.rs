//! `afresh agent`: beside an application that runs by itself.

use std::process::ExitCode;

use crate::AgentArgs;

/// Why the agent could not run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The runtime could not be made.
    #[error("cannot start: {source}")]
    Runtime {
        /// What the system said.
        source: std::io::Error,
    },
}

/// Runs until it is asked to end.
///
/// # Errors
/// If it cannot start.
pub fn main(args: &AgentArgs) -> Result<ExitCode, AgentError> {
    args.log.begin();
    tracing::info!(paths = ?args.watch.watch, "watching");
    Ok(ExitCode::SUCCESS)
}
