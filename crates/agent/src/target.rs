//! Whom `signal` and `restart` are for.

use crate::process::{self, ProcessError, ProcessName};
use crate::signal::SignalName;
use crate::supervise::{ChildError, ChildHandle};

/// Whom `signal` and `restart` are for.
#[derive(Debug, Clone)]
pub enum Target {
    /// Nobody was named.
    Nobody,
    /// A process that somebody else has started, for `signal`.
    Process(ProcessName),
    /// The program that this process has started.
    Child(ChildHandle),
}

/// Why the target did not get it.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No process was named.
    #[error("no process was named: give --process NAME")]
    Nobody,
    /// Only its starter can start it again.
    #[error("only a program started by `afresh run` can be restarted")]
    NotOurs,
    /// It was not found, or may not be signalled.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The program's supervisor said so.
    #[error(transparent)]
    Child(#[from] ChildError),
}

impl Target {
    /// Sends it a signal.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub async fn signal(&self, signal: SignalName) -> Result<(), TargetError> {
        match self {
            Self::Nobody => Err(TargetError::Nobody),
            Self::Process(name) => {
                let pid = process::send(name, signal)?;
                tracing::debug!(process = %name, pid, %signal, "sent");
                Ok(())
            }
            Self::Child(child) => Ok(child.signal(signal.signal()).await?),
        }
    }

    /// Starts it again.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub async fn restart(&self) -> Result<(), TargetError> {
        match self {
            Self::Child(child) => Ok(child.restart().await?),
            Self::Nobody | Self::Process(_) => Err(TargetError::NotOurs),
        }
    }
}
