//! What an error of a call means to a watch.

use std::time::Duration;

use super::FailureKind;
use crate::request::CallError;

/// The server does not know the path: the kind is not served.
pub(super) const NOT_FOUND: u16 = 404;

/// HTTP 410 Gone: the resource version, or the token of a page, is too old.
pub(super) const EXPIRED: u16 = 410;

/// Longest wait that a server can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

pub(super) fn retry_after(error: &CallError) -> Duration {
    match error {
        CallError::Refused(refusal) => refusal.retry_after.unwrap_or_default().min(MAX_RETRY_AFTER),
        _ => Duration::ZERO,
    }
}

/// Invalid, bad or unknown: how servers answer `sendInitialEvents` that do not have it, or have it switched off.
pub(super) fn refuses_streaming(error: &CallError) -> bool {
    matches!(error, CallError::Refused(refusal) if matches!(refusal.code, 400 | 405 | 422 | 501))
}

pub(super) fn is_denied(error: &CallError) -> bool {
    kind_of(error) == FailureKind::Denied
}

pub(super) fn kind_of(error: &CallError) -> FailureKind {
    match error {
        CallError::Refused(refusal) => match refusal.code {
            401 | 403 => FailureKind::Denied,
            EXPIRED => FailureKind::Expired,
            429 => FailureKind::Throttled,
            _ => FailureKind::Refused,
        },
        CallError::Connection(_) => FailureKind::Connection,
        CallError::Timeout(_) => FailureKind::Timeout,
        CallError::TooLarge | CallError::Malformed(_) | CallError::Request(_) => FailureKind::Malformed,
    }
}

/// Where a list could not be read; the message itself could quote a value.
pub(super) fn place(error: &serde_json::Error) -> String {
    format!("the list is broken at line {} column {}", error.line(), error.column())
}
