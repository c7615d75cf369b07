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
    details: Option<Map<String, Value>>,
    /// Where a list can go on, at the price of consistency.
    continue_token: Option<String>,
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

    /// A value that is none of those allowed.
    pub(crate) fn unsupported(field: &str, value: &str, allowed: &[&str]) -> Self {
        let allowed: Vec<_> = allowed.iter().map(|value| format!("{value:?}")).collect();
        let message = format!("Unsupported value: {value:?}: supported values: {}", allowed.join(", "));
        Self::new("FieldValueNotSupported", message, field)
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

/// How an error names what it is about.
#[derive(Clone, Copy)]
struct Subject<'a> {
    group: &'a str,
    kind: &'a str,
}

impl<'a> Subject<'a> {
    fn plural(resource: &'a Resource) -> Self {
        Self {
            group: &resource.group,
            kind: &resource.plural,
        }
    }

    fn kind(resource: &'a Resource) -> Self {
        Self {
            group: &resource.group,
            kind: &resource.kind,
        }
    }

    fn qualified(self) -> String {
        if self.group.is_empty() {
            self.kind.to_owned()
        } else {
            format!("{}.{}", self.kind, self.group)
        }
    }
}

impl ApiError {
    fn plain(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            code,
            reason,
            message,
            details: None,
            continue_token: None,
        }
    }

    /// The real server writes empty details where a request never reached a resource.
    fn generic(code: u16, reason: &'static str, message: &str) -> Self {
        Self {
            details: Some(Map::new()),
            ..Self::plain(code, reason, message)
        }
    }

    fn about(code: u16, reason: &'static str, subject: Subject<'_>, name: &str, message: String) -> Self {
        let mut error = Self::plain(code, reason, message);
        if !name.is_empty() {
            error.detail("name", json!(name));
        }
        if !subject.group.is_empty() {
            error.detail("group", json!(subject.group));
        }
        error.detail("kind", json!(subject.kind));
        error
    }

    fn detail(&mut self, key: &str, value: Value) {
        self.details.get_or_insert_default().insert(key.to_owned(), value);
    }

    fn because(&mut self, causes: &[Cause]) {
        let cause = |cause: &Cause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field});
        self.detail("causes", causes.iter().map(cause).collect());
    }

    pub(crate) fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} {name:?} not found", resource.qualified());
        Self::about(404, "NotFound", Subject::plural(resource), name, message)
    }

    pub(crate) fn already_exists(resource: &Resource, name: &str, is_going: bool) -> Self {
        let why = if is_going { "object is being deleted: " } else { "" };
        let message = format!("{why}{} {name:?} already exists", resource.qualified());
        Self::about(409, "AlreadyExists", Subject::plural(resource), name, message)
    }

    /// The optimistic lock failed.
    pub(crate) fn modified(resource: &Resource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(Subject::plural(resource), name, why)
    }

    /// A replacement that names another incarnation: the storage layer's own words.
    pub(crate) fn other_incarnation(
        resource: &Resource,
        namespace: &str,
        name: &str,
        asked: &str,
        found: &str,
    ) -> Self {
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{}/{namespace}/{name}, ResourceVersion: 0, \
             AdditionalErrorMsg: Precondition failed: UID in precondition: {asked}, UID in object meta: {found}",
            resource.plural
        );
        Self::conflict(Subject::plural(resource), name, &why)
    }

    /// A precondition of a deletion failed; here the real server names the kind instead of the resource.
    pub(crate) fn precondition(resource: &Resource, name: &str, why: &str) -> Self {
        Self::conflict(Subject::kind(resource), name, why)
    }

    fn conflict(subject: Subject<'_>, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            subject.qualified()
        );
        Self::about(409, "Conflict", subject, name, message)
    }

    /// The namespace is being deleted.
    pub(crate) fn terminating(resource: &Resource, name: &str, namespace: &str) -> Self {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let message = format!("{} {name:?} is forbidden: {why}", resource.qualified());
        let mut error = Self::about(403, "Forbidden", Subject::plural(resource), name, message);
        let message = format!("namespace {namespace} is being terminated");
        error.because(&[Cause::new("NamespaceTerminating", message, "metadata.namespace")]);
        error
    }

    pub(crate) fn invalid(resource: &Resource, name: &str, causes: &[Cause]) -> Self {
        Self::invalid_as(Subject::kind(resource), name, causes)
    }

    /// A replacement without the version it must bear; here the real server names the resource instead of the kind.
    pub(crate) fn version_required(resource: &Resource, name: &str) -> Self {
        let cause = Cause::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
        Self::invalid_as(Subject::plural(resource), name, &[cause])
    }

    /// Parameters of a list or watch that contradict each other.
    pub(crate) fn list_options(cause: Cause) -> Self {
        Self::invalid_as(
            Subject {
                group: "meta.k8s.io",
                kind: "ListOptions",
            },
            "",
            &[cause],
        )
    }

    fn invalid_as(subject: Subject<'_>, name: &str, causes: &[Cause]) -> Self {
        let sentences: Vec<_> = causes.iter().map(Cause::sentence).collect();
        let list = match sentences.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} {name:?} is invalid: {list}", subject.qualified());
        let mut error = Self::about(422, "Invalid", subject, name, message);
        error.because(causes);
        error
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(400, "BadRequest", message)
    }

    /// A patch that parses but cannot be applied.
    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        let what = "the server rejected our request due to an error in our request";
        Self::plain(422, "Invalid", format!("{what}: {}", message.into()))
    }

    /// The watch or continue position is older than what is kept.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::plain(410, "Expired", message)
    }

    /// The same for a page; the token leads to the rest as it is now.
    pub(crate) fn page_expired(token: String) -> Self {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a \
            new list without the continue parameter, or use the continue token in this response to retrieve the \
            remainder of the results. Continuing with the provided token results in an inconsistent list - objects \
            that were created, modified, or deleted between the time the first chunk was returned and now may show up \
            in the list.";
        Self {
            continue_token: Some(token),
            ..Self::expired(message)
        }
    }

    pub(crate) fn too_large_version(asked: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let mut error = Self::plain(504, "Timeout", message);
        let cause = json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]);
        error.detail("causes", cause);
        error.detail("retryAfterSeconds", json!(1));
        error
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::generic(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    pub(crate) fn no_such_path() -> Self {
        Self::generic(404, "NotFound", "the server could not find the requested resource")
    }

    pub(crate) fn unsupported_media(message: impl Into<String>) -> Self {
        Self::plain(415, "UnsupportedMediaType", message)
    }

    pub(crate) fn not_acceptable() -> Self {
        Self::generic(
            406,
            "NotAcceptable",
            "406: Not Acceptable\n\nAvailable representations: application/json",
        )
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
        self.details.as_ref()?.get("retryAfterSeconds").and_then(Value::as_u64)
    }

    /// The `Status` object of this failure.
    #[must_use]
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(token) = &self.continue_token {
            status["metadata"]["continue"] = json!(token);
        }
        if let Some(details) = &self.details {
            status["details"] = Value::Object(details.clone());
        }
        status
    }
}
