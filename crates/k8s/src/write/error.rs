//! What to do about a call that failed.

use std::time::Duration;

use thiserror::Error;

use crate::request::{CallError, Refusal};

/// How long to wait where the server throttles and does not say for how long.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A failed call, by what is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WriteError {
    /// The object is not there, or its name belongs to another one: forget it.
    #[error("the object is gone")]
    Gone,
    /// Somebody else wrote in between: look again, then decide again.
    #[error("conflict: {0}")]
    Conflict(Box<str>),
    /// The API server, or an admission webhook, does not want this: tell somebody, try again later.
    #[error("refused: {0}")]
    Denied(Box<str>),
    /// Come back after a while; an eviction that a PodDisruptionBudget forbids is told like this too.
    #[error("throttled; to be tried again in {retry_after:?}: {message}")]
    Throttled {
        /// At least so long.
        retry_after: Duration,
        /// In words.
        message: Box<str>,
    },
    /// No connection, or the server is unwell: try again. Whether a write happened is unknown.
    #[error("{0}")]
    Unavailable(Box<str>),
    /// No answer in time: try again. Whether a write happened is unknown.
    #[error("no answer from the API server within {0:?}")]
    Timeout(Duration),
    /// The call succeeded, its answer cannot be read: wait for the watch to tell.
    #[error("done, but {0}")]
    Unreadable(Box<str>),
}

impl WriteError {
    /// As a label of a metric.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Conflict(_) => "conflict",
            Self::Denied(_) => "denied",
            Self::Throttled { .. } => "throttled",
            Self::Unavailable(_) => "unavailable",
            Self::Timeout(_) => "timeout",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

impl From<CallError> for WriteError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(refusal) => refused(&refusal),
            CallError::Timeout(limit) => Self::Timeout(limit),
            CallError::Connection(_) => Self::Unavailable(error.to_string().into()),
            CallError::Request(_) => Self::Denied(error.to_string().into()),
            CallError::TooLarge | CallError::Malformed(_) => Self::Unreadable(error.to_string().into()),
        }
    }
}

fn refused(refusal: &Refusal) -> WriteError {
    let message = || refusal.to_string().into();
    match refusal.code {
        404 | 410 => WriteError::Gone,
        409 | 422 if other_uid(refusal) => WriteError::Gone,
        409 => WriteError::Conflict(message()),
        429 => WriteError::Throttled {
            retry_after: refusal.retry_after.unwrap_or(DEFAULT_RETRY_AFTER),
            message: message(),
        },
        408 | 500.. => WriteError::Unavailable(message()),
        _ => WriteError::Denied(message()),
    }
}

/// A patch names the uid it is for: the server calls another one a conflict of the precondition, or, as the field
/// cannot be changed, invalid.
fn other_uid(refusal: &Refusal) -> bool {
    match refusal.code {
        409 => refusal.message.contains("UID in precondition"),
        _ => refusal.message.contains("metadata.uid"),
    }
}
