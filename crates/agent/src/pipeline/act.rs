//! Carrying out actions.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::time::timeout;

use super::Plan;
use super::target::{Target, TargetError};
use crate::action::Action;
use crate::children;
use crate::command_line::CommandLine;
use crate::http::HttpError;

/// The variable that names the staged content to a check.
const STAGED: &str = "AFRESH_STAGED";

/// Why an action or a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The program cannot be started.
    #[error("{command}: cannot start {program:?}: {source}")]
    Start {
        /// The command.
        command: String,
        /// Its program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It said that it failed.
    #[error("{command}: {status}")]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It did not end in time and was killed.
    #[error("{command}: not done within {after:?}, killed")]
    TimedOut {
        /// The command.
        command: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The process could not be reached.
    #[error("{action}: {source}")]
    Target {
        /// The action.
        action: String,
        /// Why.
        source: TargetError,
    },
    /// The request did not succeed.
    #[error("{action}: {source}")]
    Http {
        /// The action.
        action: String,
        /// Why.
        source: HttpError,
    },
}

/// Does all actions in order, then verifies. The first that fails ends it.
pub(super) async fn all(plan: Rc<Plan>, target: Target) -> Result<(), ActError> {
    for action in &plan.actions {
        one(action, &target, plan.timeout).await?;
        tracing::info!(%action, "done");
    }
    match &plan.verify {
        Some(verify) => command(verify, None, plan.timeout).await,
        None => Ok(()),
    }
}

async fn one(action: &Action, target: &Target, limit: Duration) -> Result<(), ActError> {
    let unreached = |source| ActError::Target {
        action: action.to_string(),
        source,
    };
    match action {
        Action::Signal(signal) => target.signal(*signal).await.map_err(unreached),
        Action::Restart => target.restart().await.map_err(unreached),
        Action::Exec(line) => command(line, None, limit).await,
        Action::Http(request) => {
            let sent = request.send(limit).await;
            sent.map(drop).map_err(|source| ActError::Http {
                action: action.to_string(),
                source,
            })
        }
    }
}

/// Runs a command to its end, in a group of its own, which is killed when it takes too long or is not wanted any more.
/// What it writes goes where our own lines go.
pub(super) async fn command(line: &CommandLine, staged: Option<&Path>, limit: Duration) -> Result<(), ActError> {
    let mut command = Command::new(line.program());
    command
        .args(line.arguments(staged))
        .process_group(0)
        .stdin(Stdio::null());
    // Standard output may be the application's.
    command.stdout(io::stderr());
    if let Some(staged) = staged {
        command.env(STAGED, staged);
    }
    let started = command.spawn();
    let mut child = started.map_err(|source| ActError::Start {
        command: line.to_string(),
        program: line.program().to_owned(),
        source,
    })?;
    let _owned = child.id().map(children::own);
    let group = Group::of(child.id());
    let ended = timeout(limit, child.wait()).await;
    let status = match ended {
        Ok(Ok(status)) => status,
        Ok(Err(source)) => {
            return Err(ActError::Start {
                command: line.to_string(),
                program: line.program().to_owned(),
                source,
            });
        }
        Err(_) => {
            drop(group);
            // Its own end follows at once.
            let _ = timeout(limit, child.wait()).await;
            return Err(ActError::TimedOut {
                command: line.to_string(),
                after: limit,
            });
        }
    };
    // It is over: what it left running on purpose may stay.
    group.forget();
    if status.success() {
        Ok(())
    } else {
        Err(ActError::Failed {
            command: line.to_string(),
            status,
        })
    }
}

/// Kills a group when it is dropped.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(leader: Option<u32>) -> Self {
        Self(leader.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw))
    }

    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // The leader was not reaped: the number is still the group's.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}
