//! Failures, in the words of the real API server: every one becomes a `Status` body.

use serde_json::{Map, Value, json};

use crate::resource::Resource;

/// A refused request: HTTP code, `Status` reason, message and details.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message} ({reason}, HTTP {code})")]
pub struct ApiError {
    /// The HTTP status code, repeated in the body.
    pub code: u16,
    /// The machine-readable reason, as in `metav1.StatusReason`.
    pub reason: &'static str,
    /// The sentence for people.
    pub message: String,
    details: Map<String, Value>,
}

/// One reason why an object is invalid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cause {
    reason: &'static str,
    message: String,
    field: String,
}

impl Cause {
    pub(crate) fn invalid(field: &str, value: &Value, why: &str) -> Self {
        let shown = match value {
            Value::String(text) => format!("{text:?}"),
            other => other.to_string(),
        };
        Self::new("FieldValueInvalid", format!("Invalid value: {shown}: {why}"), field)
    }

    pub(crate) fn forbidden(field: &str, why: &str) -> Self {
        Self::new("FieldValueForbidden", format!("Forbidden: {why}"), field)
    }

    pub(crate) fn required(field: &str, why: &str) -> Self {
        let detail = if why.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {why}")
        };
        Self::new("FieldValueRequired", detail, field)
    }

    pub(crate) fn too_long(field: &str, limit: usize) -> Self {
        Self::new(
            "FieldValueTooLong",
            format!("Too long: may not be more than {limit} bytes"),
            field,
        )
    }

    fn new(reason: &'static str, message: String, field: &str) -> Self {
        // The whole object is spelt so (k8s.io/apimachinery, field.Path of an empty name).
        let field = if field.is_empty() {
            "[]".to_owned()
        } else {
            field.to_owned()
        };
        Self { reason, message, field }
    }

    fn sentence(&self) -> String {
        format!("{}: {}", self.field, self.message)
    }
}

impl ApiError {
    fn plain(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Map::new(),
        }
    }

    fn about(code: u16, reason: &'static str, resource: &Resource, name: &str, message: String) -> Self {
        let mut error = Self::plain(code, reason, message);
        error.detail("name", json!(name));
        if !resource.group.is_empty() {
            error.detail("group", json!(resource.group));
        }
        error.detail("kind", json!(resource.plural));
        error
    }

    fn detail(&mut self, key: &str, value: Value) {
        self.details.insert(key.to_owned(), value);
    }

    pub(crate) fn not_found(resource: &Resource, name: &str) -> Self {
        Self::about(
            404,
            "NotFound",
            resource,
            name,
            format!("{} {name:?} not found", resource.qualified()),
        )
    }

    pub(crate) fn already_exists(resource: &Resource, name: &str) -> Self {
        Self::about(
            409,
            "AlreadyExists",
            resource,
            name,
            format!("{} {name:?} already exists", resource.qualified()),
        )
    }

    /// The optimistic lock failed.
    pub(crate) fn modified(resource: &Resource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    pub(crate) fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            resource.qualified()
        );
        Self::about(409, "Conflict", resource, name, message)
    }

    pub(crate) fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("{} {name:?} is forbidden: {why}", resource.qualified());
        Self::about(403, "Forbidden", resource, name, message)
    }

    pub(crate) fn invalid(resource: &Resource, name: &str, causes: &[Cause]) -> Self {
        let kind = if resource.group.is_empty() {
            resource.kind.clone()
        } else {
            format!("{}.{}", resource.kind, resource.group)
        };
        let sentences: Vec<_> = causes.iter().map(Cause::sentence).collect();
        let list = match sentences.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let mut error = Self::about(
            422,
            "Invalid",
            resource,
            name,
            format!("{kind} {name:?} is invalid: {list}"),
        );
        error.detail("kind", json!(resource.kind));
        let causes: Vec<_> = causes
            .iter()
            .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}))
            .collect();
        error.detail("causes", Value::Array(causes));
        error
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(400, "BadRequest", message)
    }

    /// A patch that parses but cannot be applied; the real server gives this one no reason-specific details.
    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        let mut error = Self::plain(
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
        );
        let message: String = message.into();
        error.detail("causes", json!([]));
        error.details.clear();
        error.message = format!("{}: {message}", error.message);
        error
    }

    /// The watch or continue position is older than what is kept.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::plain(410, "Expired", message)
    }

    pub(crate) fn too_large_version(asked: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let mut error = Self::plain(504, "Timeout", message);
        error.detail(
            "causes",
            json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]),
        );
        error.detail("retryAfterSeconds", json!(1));
        error
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::plain(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    pub(crate) fn no_such_path() -> Self {
        let mut error = Self::plain(404, "NotFound", "the server could not find the requested resource");
        error.detail(
            "causes",
            json!([{"reason": "UnexpectedServerResponse", "message": "404 page not found"}]),
        );
        error
    }

    pub(crate) fn unsupported_media(message: impl Into<String>) -> Self {
        Self::plain(415, "UnsupportedMediaType", message)
    }

    pub(crate) fn not_acceptable() -> Self {
        let message = "only the following media types are accepted: application/json";
        Self::plain(406, "NotAcceptable", message)
    }

    pub(crate) fn too_large_body(limit: usize) -> Self {
        Self::plain(
            413,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {limit}"),
        )
    }

    /// A disturbance asked for by a test, shaped like the real server's own.
    pub(crate) fn injected(code: u16, retry_after: Option<u32>) -> Self {
        let (reason, message) = match code {
            403 => ("Forbidden", "forbidden: injected"),
            404 => ("NotFound", "the server could not find the requested resource"),
            409 => ("Conflict", "Operation cannot be fulfilled: injected"),
            410 => ("Gone", "too old resource version: injected"),
            429 => (
                "TooManyRequests",
                "the server has received too many requests and has asked us to try again later",
            ),
            500 => ("InternalError", "Internal error occurred: injected"),
            503 => (
                "ServiceUnavailable",
                "the server is currently unable to handle the request",
            ),
            504 => (
                "Timeout",
                "Timeout: request did not complete within the allotted timeout",
            ),
            _ => ("Unknown", "an error on the server has been injected"),
        };
        let mut error = Self::plain(code, reason, message);
        if let Some(after) = retry_after {
            error.detail("retryAfterSeconds", json!(after));
        }
        error
    }

    /// Seconds after which the client may try again, if the error says.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        self.details.get("retryAfterSeconds").and_then(Value::as_u64)
    }

    /// The `Status` object of this failure.
    #[must_use]
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if !self.details.is_empty() {
            status["details"] = Value::Object(self.details.clone());
        }
        status
    }
}
