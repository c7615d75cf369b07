//! Single steps, each bounded in time.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::news::News;
use crate::action::Action;
use crate::command::{self, CommandError};
use crate::command_line::CommandLine;
use crate::http::HttpError;
use crate::output::OutputError;
use crate::staged::StageError;
use crate::target::{Target, TargetError};

/// The first pause between two tries of a verification, and the longest.
const VERIFY_FIRST: Duration = Duration::from_millis(100);
const VERIFY_LONGEST: Duration = Duration::from_secs(2);

/// How long a step may go on once there is newer content: what works is not broken off halfway, what hangs is in nobody's
/// way.
const OVERTAKEN: Duration = Duration::from_secs(1);

/// Why a step did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    /// New content could not be staged.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The output could not be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A signal or a restart.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A request.
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// Does one action.
pub(super) async fn perform(action: &Action, target: &Target, patience: Duration) -> Result<(), StepError> {
    match action {
        Action::Signal(signal) => target.signal(*signal).await?,
        // Bounded by the grace it gives the program.
        Action::Restart => target.restart().await?,
        Action::Exec(line) => command::run(line, None, patience).await?,
        Action::Http(request) => drop(request.send(patience).await?),
    }
    Ok(())
}

/// Runs the command until it succeeds, at most for `patience` in all: an application takes its time to reload.
pub(super) async fn verify(line: &CommandLine, patience: Duration) -> Result<(), StepError> {
    let deadline = Instant::now() + patience;
    let mut pause = VERIFY_FIRST;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let error = match command::run(line, None, left).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if Instant::now() + pause >= deadline {
            return Err(error.into());
        }
        sleep(pause).await;
        pause = (pause * 2).min(VERIFY_LONGEST);
    }
}

/// What the work comes to, or `None` if there is newer content and it did not end soon after that. A command that is
/// then dropped is killed.
pub(super) async fn unless_overtaken<T>(work: impl Future<Output = T>, news: &mut News) -> Option<T> {
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => return Some(done),
        () = news.come() => {}
    }
    timeout(OVERTAKEN, work).await.ok()
}
