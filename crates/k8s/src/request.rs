//! One call to the API server: its deadline, its answer, and what went wrong, without retries behind the caller's back.

use std::error::Error as _;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use thiserror::Error;

/// Largest answer that is read: far above any object (etcd takes 1.5 MiB) or page, far below what would end the program.
pub const MAX_ANSWER: usize = 64 << 20;

/// Longest part of a foreign message that is kept.
const MAX_MESSAGE: usize = 300;

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallError {
    /// The API server, or something before it, said no.
    #[error("{0}")]
    Refused(Refusal),
    /// No answer could be had: name, network, TLS, credentials.
    #[error("cannot reach the API server: {0}")]
    Connection(Box<str>),
    /// No complete answer in time; whether a write happened is unknown.
    #[error("no answer from the API server within {0:?}")]
    Timeout(Duration),
    /// The answer is larger than [`MAX_ANSWER`].
    #[error("the API server's answer is larger than {MAX_ANSWER} bytes")]
    TooLarge,
    /// The answer is not what was asked for.
    #[error("the API server's answer cannot be read: {0}")]
    Malformed(Box<str>),
    /// The request could not be written.
    #[error("the request cannot be made: {0}")]
    Request(Box<str>),
}

/// An answer with an error status.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the API server answered {code} {reason}: {message}")]
pub struct Refusal {
    /// The HTTP status, or the code of a `Status` inside a watch.
    pub code: u16,
    /// `Status.reason`, such as `Conflict`; empty if the answer was no `Status`.
    pub reason: Box<str>,
    /// `Status.message`, or the beginning of the answer.
    pub message: Box<str>,
    /// When to come back, where the server says.
    pub retry_after: Option<Duration>,
}

/// `metav1.Status`, as much of it as is used.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    kind: Option<Box<str>>,
    code: Option<u16>,
    reason: Option<Box<str>>,
    message: Option<Box<str>>,
    details: Option<Details>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    retry_after_seconds: Option<u64>,
}

impl Refusal {
    /// Reads a `Status`; `None` if the text is none.
    #[must_use]
    pub fn parse(json: &[u8]) -> Option<Self> {
        let status: Status = serde_json::from_slice(json).ok()?;
        (status.kind.as_deref() == Some("Status")).then(|| Self {
            code: status.code.unwrap_or(0),
            reason: shortened(status.reason.as_deref().unwrap_or_default()),
            message: shortened(status.message.as_deref().unwrap_or_default()),
            retry_after: status
                .details
                .and_then(|details| details.retry_after_seconds)
                .filter(|&seconds| seconds > 0)
                .map(Duration::from_secs),
        })
    }

    fn of(code: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let header = headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let parsed = Self::parse(body).unwrap_or_else(|| Self {
            code,
            reason: Box::default(),
            message: shortened(String::from_utf8_lossy(body).trim()),
            retry_after: None,
        });
        Self {
            code,
            retry_after: header.map(Duration::from_secs).or(parsed.retry_after),
            ..parsed
        }
    }
}

fn shortened(text: &str) -> Box<str> {
    text.chars().take(MAX_MESSAGE).collect()
}

/// Sends a request and waits for the head of the answer.
///
/// # Errors
/// See [`CallError`]. There is no deadline here: the caller sets one.
pub(crate) async fn open(client: &Client, request: Request<Vec<u8>>) -> Result<Response<Body>, CallError> {
    let response = client
        .send(request.map(Body::from))
        .await
        .map_err(|error| connection(&error))?;
    if response.status().is_success() {
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    let body = read(body).await.unwrap_or_default();
    Err(CallError::Refused(Refusal::of(
        head.status.as_u16(),
        &head.headers,
        &body,
    )))
}

/// Sends a request and reads the whole answer, all within `limit`.
///
/// # Errors
/// See [`CallError`].
pub(crate) async fn fetch(client: &Client, request: Request<Vec<u8>>, limit: Duration) -> Result<Vec<u8>, CallError> {
    let call = async { read(open(client, request).await?.into_body()).await };
    tokio::time::timeout(limit, call)
        .await
        .map_err(|_| CallError::Timeout(limit))?
}

/// Reads a body to its end. Frames go straight into one buffer: collecting them first would hold the answer twice.
async fn read(mut body: Body) -> Result<Vec<u8>, CallError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| connection(&error))?.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > MAX_ANSWER {
            return Err(CallError::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// An error with its causes, shortened: hyper's own text says little.
pub(crate) fn connection(error: &kube::Error) -> CallError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    CallError::Connection(shortened(&text))
}

/// What `kube` makes of a request that cannot be built.
pub(crate) fn unbuildable(error: impl std::fmt::Display) -> CallError {
    CallError::Request(shortened(&error.to_string()))
}

/// An answer that is not of the shape that was asked for.
pub(crate) fn malformed(error: impl std::fmt::Display) -> CallError {
    CallError::Malformed(shortened(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_why_and_when_to_come_back() {
        let body = br#"{"kind":"Status","code":429,"reason":"TooManyRequests","message":"slow","details":{"retryAfterSeconds":3}}"#;
        let refusal = Refusal::of(429, &HeaderMap::new(), body);
        assert_eq!(
            (refusal.code, &*refusal.reason, refusal.retry_after),
            (429, "TooManyRequests", Some(Duration::from_secs(3)))
        );
        assert_eq!(refusal.to_string(), "the API server answered 429 TooManyRequests: slow");
    }

    #[test]
    fn the_header_wins_over_the_body() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "7".parse().unwrap())]);
        let body = br#"{"kind":"Status","details":{"retryAfterSeconds":3}}"#;
        assert_eq!(
            Refusal::of(503, &headers, body).retry_after,
            Some(Duration::from_secs(7))
        );
    }

    #[test]
    fn an_answer_that_is_no_status_is_quoted_and_cut() {
        let refusal = Refusal::of(502, &HeaderMap::new(), "<html>".repeat(1000).as_bytes());
        assert_eq!((refusal.code, refusal.message.len()), (502, MAX_MESSAGE));
        assert_eq!(Refusal::parse(b"{}"), None);
    }
}
