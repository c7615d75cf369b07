//! The API server as a `tower::Service`: requests in, answers and watch streams out. No sockets are needed.

mod body;
mod discovery;
mod handler;
mod negotiate;
mod protobuf;
mod serve;
mod table;
pub(crate) mod uri;
mod watch;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body as HttpBody;

pub use body::Body;
pub(crate) use serve::serve;
pub use serve::{ServeError, Serving};

use crate::sandbox::Sandbox;

/// The API server's own limit (MaxRequestBodyBytes), in bytes.
const MAX_BODY: usize = 3 * 1024 * 1024;

/// The client gets no answer: what a broken connection looks like from inside the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The connection failed; whether the request was done is unknown to the client.
    #[error("connection reset by the sandbox, as a test asked")]
    Reset,
}

impl From<Infallible> for TransportError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// The sandbox's API server. Give it to `kube::Client::new`, or call it.
///
/// Clones share the sandbox, and keep its controllers and nodes running.
#[derive(Clone, Debug)]
pub struct Service(Sandbox);

impl Service {
    pub(crate) fn new(sandbox: Sandbox) -> Self {
        Self(sandbox)
    }
}

impl<B> tower::Service<Request<B>> for Service
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, TransportError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let sandbox = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = Limited::new(body, MAX_BODY)
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes);
            handler::handle(&sandbox, &parts, body.ok()).await
        })
    }
}
