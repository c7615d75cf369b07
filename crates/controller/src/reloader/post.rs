//! Posting to other people's servers: bounded in time, without redirects, through a proxy where one is set.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::legacy::{Builder, Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::RootCertStore;
use thiserror::Error as ThisError;
use tokio::net::TcpStream;
use tower::Service;

use super::endpoint::Endpoint;

/// From dialling to the answer's head. Reloader has no limit here, and one hanging receiver stops all its reloads.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// Why a post did not arrive. Names the host, never the path or the body.
#[derive(Debug, ThisError)]
pub(crate) enum PostError {
    #[error("{0} cannot be reached")]
    Connection(Endpoint, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("{0} did not answer within {LIMIT:?}")]
    Timeout(Endpoint),
    #[error("{0} answered {1}")]
    Status(Endpoint, StatusCode),
}

/// Posts; cheap to clone. Holds no connection between two posts.
#[derive(Clone)]
pub(crate) struct Poster {
    client: Transport,
}

#[derive(Clone)]
enum Transport {
    Direct(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
    Proxied(Box<Proxies>),
}

#[derive(Clone)]
struct Proxies {
    plain: Client<ThroughProxy, Full<Bytes>>,
    tls: Client<HttpsConnector<Tunnel<HttpConnector>>, Full<Bytes>>,
}

impl Poster {
    /// Through `proxy` if there is one: an `https` endpoint by a tunnel (CONNECT), an `http` one by asking the proxy.
    pub(crate) fn new(proxy: Option<&Endpoint>) -> Self {
        Self::trusting(roots(), proxy)
    }

    fn trusting(roots: RootCertStore, proxy: Option<&Endpoint>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let client = match proxy.map(Endpoint::uri) {
            None => Transport::Direct(builder().build(secured(tcp, roots))),
            Some(proxy) => Transport::Proxied(Box::new(Proxies {
                plain: builder().build(ThroughProxy {
                    proxy: proxy.clone(),
                    tcp: tcp.clone(),
                }),
                tls: builder().build(secured(Tunnel::new(proxy.clone(), tcp), roots)),
            })),
        };
        Self { client }
    }

    /// Posts once. Any status from 200 to 299 is success; a redirect is none.
    pub(crate) async fn post(&self, to: &Endpoint, content_type: &'static str, body: String) -> Result<(), PostError> {
        let request = Request::post(to.uri())
            .header(CONTENT_TYPE, content_type)
            .header(USER_AGENT, concat!("afresh/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| PostError::Connection(to.clone(), Box::new(error)))?;
        let answer = tokio::time::timeout(LIMIT, self.send(to.uri(), request))
            .await
            .map_err(|_| PostError::Timeout(to.clone()))?
            .map_err(|error| PostError::Connection(to.clone(), Box::new(error)))?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(PostError::Status(to.clone(), answer.status()))
        }
    }

    async fn send(&self, to: &Uri, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Error> {
        match &self.client {
            Transport::Direct(client) => client.request(request).await,
            Transport::Proxied(proxies) if to.scheme_str() == Some("https") => proxies.tls.request(request).await,
            Transport::Proxied(proxies) => proxies.plain.request(request).await,
        }
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.pool_max_idle_per_host(0);
    builder
}

fn secured<C>(tcp: C, roots: RootCertStore) -> HttpsConnector<C> {
    HttpsConnectorBuilder::new()
        .with_tls_config(tls(roots))
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp)
}

/// The system's certificate authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured); an image without any, as ours
/// is, has Mozilla's.
fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn tls(roots: RootCertStore) -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        // Only a provider without cipher suites of these versions fails, and ring has them.
        .unwrap_or_else(|_| rustls::ClientConfig::builder_with_protocol_versions(rustls::ALL_VERSIONS));
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// Dials the proxy whatever the destination, and says so, so that the request names the whole URL (RFC 9112, 3.2.2).
#[derive(Clone)]
struct ThroughProxy {
    proxy: Uri,
    tcp: HttpConnector,
}

impl Service<Uri> for ThroughProxy {
    type Response = Proxied;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Proxied, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(context)
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dial = self.tcp.call(self.proxy.clone());
        Box::pin(async move { dial.await.map(Proxied) })
    }
}

/// A connection to a proxy.
struct Proxied(TokioIo<TcpStream>);

impl Connection for Proxied {
    fn connected(&self) -> Connected {
        self.0.connected().proxy(true)
    }
}

impl hyper::rt::Read for Proxied {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for Proxied {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
