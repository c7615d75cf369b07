//! How many requests are sent, by verb and resource.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use tower::{Layer, Service};

/// The verbs of the API, as in RBAC rules.
const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "other"];

/// Shared counters; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RequestCounts(Arc<Mutex<BTreeMap<String, [Tally; VERBS.len()]>>>);

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    sent: u64,
    failed: u64,
}

/// The requests of one verb and resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestCount {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, or `other`.
    pub verb: &'static str,
    /// `configmaps`, `pods/status`; `other` for paths that are no resource.
    pub resource: String,
    /// Requests sent.
    pub sent: u64,
    /// Those that got no answer, or one with an error status.
    pub failed: u64,
}

impl RequestCounts {
    /// All counters that are not zero, by resource and verb.
    #[must_use]
    pub fn snapshot(&self) -> Vec<RequestCount> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let each = counts.iter().flat_map(|(resource, tallies)| {
            VERBS.iter().zip(tallies).map(move |(&verb, tally)| RequestCount {
                verb,
                resource: resource.clone(),
                sent: tally.sent,
                failed: tally.failed,
            })
        });
        each.filter(|count| count.sent > 0).collect()
    }

    /// Requests sent of one verb and resource.
    #[must_use]
    pub fn sent(&self, verb: &str, resource: &str) -> u64 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = VERBS.iter().position(|&known| known == verb);
        let tally = counts.get(resource).zip(place).map(|(tallies, place)| tallies[place]);
        tally.map_or(0, |tally| tally.sent)
    }

    fn count(&self, request: &RequestKind, tell: impl FnOnce(&mut Tally)) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !counts.contains_key(&request.resource) {
            counts.insert(request.resource.clone(), Default::default());
        }
        if let Some(tallies) = counts.get_mut(&request.resource) {
            tell(&mut tallies[request.verb]);
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct RequestKind {
    /// Index in [`VERBS`].
    verb: usize,
    resource: String,
}

impl RequestKind {
    /// Reads a request as the API server's own request info does: `/api/v1/namespaces/NS/RESOURCE/NAME/SUBRESOURCE`.
    fn of(method: &Method, path: &str, query: Option<&str>) -> Self {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let rest = match parts.as_slice() {
            ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
            _ => &[],
        };
        let rest = match rest {
            ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
            rest => rest,
        };
        let (resource, named) = match rest {
            [] => ("other".to_owned(), false),
            [resource] => ((*resource).to_owned(), false),
            [resource, _] => ((*resource).to_owned(), true),
            [resource, _, subresource, ..] => (format!("{resource}/{subresource}"), true),
        };
        let watch = query.is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
        let verb = match (method.as_str(), named) {
            ("GET", _) if watch => "watch",
            ("GET", true) => "get",
            ("GET", false) if resource == "other" => "get",
            ("GET", false) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", _) => "delete",
            _ => "other",
        };
        let verb = VERBS.iter().position(|&known| known == verb).unwrap_or(VERBS.len() - 1);
        Self { verb, resource }
    }
}

/// Counts the requests that pass; put it around any service, a test's too.
#[derive(Debug, Clone)]
pub struct CountLayer(RequestCounts);

impl CountLayer {
    /// Counts into `counts`.
    #[must_use]
    pub const fn new(counts: RequestCounts) -> Self {
        Self(counts)
    }
}

impl<S> Layer<S> for CountLayer {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted {
            inner,
            counts: self.0.clone(),
        }
    }
}

/// See [`CountLayer`].
#[derive(Debug, Clone)]
pub struct Counted<S> {
    inner: S,
    counts: RequestCounts,
}

impl<S, I, O> Service<Request<I>> for Counted<S>
where
    S: Service<Request<I>, Response = Response<O>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<I>) -> Self::Future {
        let kind = RequestKind::of(request.method(), request.uri().path(), request.uri().query());
        let counts = self.counts.clone();
        counts.count(&kind, |tally| tally.sent += 1);
        let answer = self.inner.call(request);
        let counted = answer.inspect(move |answer| {
            if !answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
                counts.count(&kind, |tally| tally.failed += 1);
            }
        });
        Box::pin(counted)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("GET", "/api/v1/configmaps", Some("limit=5"), "list", "configmaps")]
    #[case("GET", "/api/v1/configmaps", Some("a=b&watch=true"), "watch", "configmaps")]
    #[case("GET", "/api/v1/namespaces/prod/secrets/web", None, "get", "secrets")]
    #[case("GET", "/api/v1/namespaces", None, "list", "namespaces")]
    #[case("GET", "/api/v1/namespaces/prod", None, "get", "namespaces")]
    #[case("GET", "/version", None, "get", "other")]
    #[case(
        "PATCH",
        "/apis/apps/v1/namespaces/prod/deployments/web",
        None,
        "patch",
        "deployments"
    )]
    #[case(
        "PATCH",
        "/api/v1/namespaces/prod/pods/web/status",
        Some("fieldManager=a"),
        "patch",
        "pods/status"
    )]
    #[case("POST", "/apis/events.k8s.io/v1/namespaces/prod/events", None, "create", "events")]
    #[case(
        "PUT",
        "/apis/coordination.k8s.io/v1/namespaces/a/leases/b",
        None,
        "update",
        "leases"
    )]
    #[case("DELETE", "/api/v1/namespaces/a/pods/b", None, "delete", "pods")]
    #[case("OPTIONS", "/", None, "other", "other")]
    fn a_request_is_counted_as_what_it_is(
        #[case] method: &str,
        #[case] path: &str,
        #[case] query: Option<&str>,
        #[case] verb: &str,
        #[case] resource: &str,
    ) {
        let seen = RequestKind::of(&method.parse().unwrap(), path, query);
        assert_eq!((VERBS[seen.verb], seen.resource.as_str()), (verb, resource));
    }

    #[tokio::test]
    async fn what_is_sent_and_what_fails_is_counted() {
        let counts = RequestCounts::default();
        let answer = |request: Request<()>| async move {
            let code = if request.method() == Method::GET { 200 } else { 500 };
            Ok::<_, std::convert::Infallible>(Response::builder().status(code).body(()).unwrap())
        };
        let mut service = CountLayer::new(counts.clone()).layer(tower::service_fn(answer));
        for method in ["GET", "GET", "POST"] {
            let request = Request::builder().method(method).uri("/api/v1/pods").body(()).unwrap();
            service.call(request).await.unwrap();
        }
        let seen: Vec<_> = counts
            .snapshot()
            .iter()
            .map(|count| (count.verb, count.sent, count.failed))
            .collect();
        assert_eq!(seen, [("list", 2, 0), ("create", 1, 1)]);
        assert_eq!(
            (
                counts.sent("list", "pods"),
                counts.sent("get", "pods"),
                counts.sent("list", "nodes")
            ),
            (2, 0, 0)
        );
    }
}
