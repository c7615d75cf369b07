//! How the rest of the program reaches the supervised one.

use std::sync::Arc;

use rustix::process::Signal;
use tokio::sync::{mpsc, oneshot, watch};

use super::machine::{Phase, Why};
use super::outcome::Outcome;
use crate::environment::Environment;

/// How many requests may wait.
const WAITING: usize = 16;

/// Why something could not be done to the program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChildError {
    /// There is no process now: it ended, and the next one is not started yet.
    #[error("the program is not running now")]
    NotRunning,
    /// It is about to end for good, or has ended.
    #[error("the program is ending")]
    Ending,
    /// The system refused the signal.
    #[error("cannot send signal {signal}: {reason}")]
    Send {
        /// Its number.
        signal: i32,
        /// What the system said.
        reason: String,
    },
    /// It could not be started with the newest environment.
    #[error("the program could not be started: {reason}")]
    NotStarted {
        /// What the system said.
        reason: String,
    },
}

/// What the supervisor is asked for.
#[derive(Debug)]
pub(super) enum Request {
    Signal(Signal, oneshot::Sender<Result<(), ChildError>>),
    Restart(Answer),
    Environment(Arc<Environment>, Answer),
}

pub(super) type Answer = oneshot::Sender<Result<(), ChildError>>;

/// What is known of the program; for `/state` and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChildStatus {
    /// How far it is.
    pub phase: Phase,
    /// The process, while there is one.
    pub pid: Option<i32>,
    /// How often it was started, in the order of [`Why::ALL`].
    starts: [u64; Why::ALL.len()],
    /// Why it was started last.
    pub why: Option<Why>,
    /// Whether the newest environment was bad, so that the last good one is in use.
    pub fell_back: bool,
    /// How it last ended.
    pub last: Option<Outcome>,
}

impl ChildStatus {
    /// How often it was started.
    #[must_use]
    pub fn starts(&self) -> u64 {
        self.starts.iter().sum()
    }

    /// How often it was started for this reason.
    #[must_use]
    pub fn started_by(&self, why: Why) -> u64 {
        self.starts[why as usize]
    }

    pub(super) fn started(&mut self, why: Why) {
        self.starts[why as usize] += 1;
        self.why = Some(why);
    }
}

/// Reaches the supervised program. Clones reach the same one.
#[derive(Debug, Clone)]
pub struct ChildHandle {
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<ChildStatus>,
}

/// The supervisor's end of all handles.
#[derive(Debug)]
pub struct ChildEnd {
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) status: watch::Sender<ChildStatus>,
}

impl ChildHandle {
    /// A handle, and the end that [`supervise`](super::supervise) takes.
    #[must_use]
    pub fn new() -> (Self, ChildEnd) {
        let (sender, requests) = mpsc::channel(WAITING);
        let (status, receiver) = watch::channel(ChildStatus::default());
        let handle = Self {
            requests: sender,
            status: receiver,
        };
        (handle, ChildEnd { requests, status })
    }

    /// Sends a signal to the program's process.
    ///
    /// # Errors
    /// [`ChildError`], if there is none or the system refuses.
    pub async fn signal(&self, signal: Signal) -> Result<(), ChildError> {
        self.ask(|answer| Request::Signal(signal, answer)).await
    }

    /// Restarts the program in place; returns when the new process has been started. Several at once are one.
    ///
    /// # Errors
    /// [`ChildError`], if it is ending or could not be started.
    pub async fn restart(&self) -> Result<(), ChildError> {
        self.ask(Request::Restart).await
    }

    /// Says what the environment is now. The program is restarted only if it runs with another one; returns when it
    /// has been, or at once.
    ///
    /// # Errors
    /// [`ChildError`], if it is ending or could not be started.
    pub async fn environment(&self, environment: Arc<Environment>) -> Result<(), ChildError> {
        self.ask(|answer| Request::Environment(environment, answer)).await
    }

    /// What is known now.
    #[must_use]
    pub fn status(&self) -> ChildStatus {
        self.status.borrow().clone()
    }

    async fn ask(&self, request: impl FnOnce(Answer) -> Request) -> Result<(), ChildError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.requests.send(request(answer)).await;
        sent.map_err(|_| ChildError::Ending)?;
        answered.await.unwrap_or(Err(ChildError::Ending))
    }
}
