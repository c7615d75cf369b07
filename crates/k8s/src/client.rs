//! The connection to the API server.

mod count;

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use thiserror::Error;
use tower::{BoxError, ServiceBuilder};

pub use count::{CountLayer, Counted, RequestCount, RequestCounts};

/// Sent with every request.
pub const USER_AGENT_TEXT: &str = concat!("afresh/", env!("CARGO_PKG_VERSION"));

/// How long a TCP connection may take to come about. What follows is bounded by the deadline of each call.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A dead peer is noticed after about this and three probes, also by a watch that waits for its next line.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Largest read buffer of a connection: one TLS record. hyper would let it grow to 400 KB, for each watch, and keep it.
const READ_BUFFER: usize = 16 * 1024;

/// Idle connections that are kept: as many as actions run at once by default. With fewer, each call of a busy time would
/// begin with a TLS handshake.
const IDLE_CONNECTIONS: usize = 16;

/// Which cluster, and who for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// This kubeconfig; otherwise `KUBECONFIG`, `~/.kube/config`, or the ServiceAccount of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// This context of it, instead of the current one.
    pub context: Option<String>,
    /// The API server at this URL, without a kubeconfig and without credentials: `kubectl proxy`, a sandbox.
    pub server: Option<String>,
}

/// A client and what its configuration says.
#[derive(Clone)]
pub struct Connection {
    /// The client.
    pub client: Client,
    /// The namespace of the context, or of the pod.
    pub namespace: String,
    /// Where the API server is.
    pub server: String,
}

/// There is no usable configuration. The connection itself is made by the first request.
///
/// None has a source: kube's own messages quote theirs already, and a chain would say everything three times.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a ServiceAccount.
    #[error("{0}; give --kubeconfig FILE, or run in a pod with a ServiceAccount")]
    Nowhere(Box<InferConfigError>),
    /// The kubeconfig or its context.
    #[error("kubeconfig: {0}")]
    Kubeconfig(Box<KubeconfigError>),
    /// The URL of the server.
    #[error("{0:?} is not the URL of an API server: write http://HOST:PORT")]
    Server(String),
    /// Certificates, keys or credentials.
    #[error("the credentials cannot be used: {0}")]
    Credentials(Box<kube::Error>),
    /// `proxy-url` in the kubeconfig.
    #[error("the kubeconfig asks for the proxy {0}; proxies are not supported")]
    Proxy(String),
}

/// Reads the configuration and makes a client; `counts` counts what it sends.
///
/// Nothing is compressed (kube cannot read a compressed watch of Kubernetes 1.37), and nothing is retried: kube's own
/// policy would repeat a call up to 15 times and wait up to 1000 s in between, unseen by the caller.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(options: &ConnectOptions, counts: &RequestCounts) -> Result<Connection, ConnectError> {
    let config = configuration(options).await?;
    if let Some(proxy) = &config.proxy_url {
        return Err(ConnectError::Proxy(proxy.to_string()));
    }
    build(config, counts).map_err(|error| ConnectError::Credentials(Box::new(error)))
}

async fn configuration(options: &ConnectOptions) -> Result<Config, ConnectError> {
    if let Some(server) = &options.server {
        return address(server).ok_or_else(|| ConnectError::Server(server.clone()));
    }
    let bad_file = |error| ConnectError::Kubeconfig(Box::new(error));
    let selected = KubeConfigOptions {
        context: options.context.clone(),
        ..KubeConfigOptions::default()
    };
    match (&options.kubeconfig, &options.context) {
        (Some(path), _) => {
            let file = Kubeconfig::read_from(path).map_err(bad_file)?;
            Config::from_custom_kubeconfig(file, &selected).await.map_err(bad_file)
        }
        (None, Some(_)) => Config::from_kubeconfig(&selected).await.map_err(bad_file),
        (None, None) => Config::infer()
            .await
            .map_err(|error| ConnectError::Nowhere(Box::new(error))),
    }
}

fn address(server: &str) -> Option<Config> {
    let url: http::Uri = server.parse().ok()?;
    (url.scheme().is_some() && url.host().is_some()).then(|| Config::new(url))
}

/// kube's own stack without compression, retries and tracing, and with what it does not let one set: no delay for
/// small writes, keepalive, small buffers.
fn build(mut config: Config, counts: &RequestCounts) -> kube::Result<Connection> {
    config
        .headers
        .push((USER_AGENT, HeaderValue::from_static(USER_AGENT_TEXT)));
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE / 3));
    tcp.set_keepalive_retries(Some(3));
    tcp.set_connect_timeout(Some(CONNECT_LIMIT));
    let connector = config.rustls_https_connector_with_connector(tcp)?;
    let http: hyper_util::client::legacy::Client<_, Body> =
        hyper_util::client::legacy::Builder::new(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http1_max_buf_size(READ_BUFFER)
            .build(connector);
    let service = ServiceBuilder::new()
        .layer(CountLayer::new(counts.clone()))
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Connection {
        client: ClientBuilder::new(service, config.default_namespace.clone()).build(),
        namespace: config.default_namespace,
        server: config.cluster_url.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KUBECONFIG: &str = r#"
apiVersion: v1
kind: Config
current-context: one
clusters:
- {name: one, cluster: {server: "http://127.0.0.1:1"}}
- {name: two, cluster: {server: "http://127.0.0.1:2", proxy-url: "http://proxy:3128"}}
users: [{name: me, user: {token: abc}}]
contexts:
- {name: one, context: {cluster: one, user: me, namespace: team}}
- {name: two, context: {cluster: two, user: me}}
"#;

    async fn connected(context: Option<&str>) -> Result<Connection, ConnectError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), KUBECONFIG).unwrap();
        let options = ConnectOptions {
            kubeconfig: Some(file.path().to_owned()),
            context: context.map(str::to_owned),
            server: None,
        };
        connect(&options, &RequestCounts::default()).await
    }

    #[tokio::test]
    async fn the_current_context_says_where_and_which_namespace() {
        let connection = connected(None).await.unwrap();
        assert_eq!(
            (connection.namespace.as_str(), connection.server.as_str()),
            ("team", "http://127.0.0.1:1/")
        );
    }

    #[tokio::test]
    async fn a_context_that_is_not_there_is_named() {
        let error = connected(Some("three")).await.err().unwrap();
        assert!(error.to_string().contains("three"), "{error}");
    }

    #[tokio::test]
    async fn a_proxy_is_refused_rather_than_passed_by() {
        let error = connected(Some("two")).await.err().unwrap();
        assert_eq!(
            error.to_string(),
            "the kubeconfig asks for the proxy http://proxy:3128/; proxies are not supported"
        );
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_there_is_an_error() {
        let options = ConnectOptions {
            kubeconfig: Some("/nowhere/at/all".into()),
            ..ConnectOptions::default()
        };
        let error = connect(&options, &RequestCounts::default()).await.err().unwrap();
        assert!(error.to_string().starts_with("kubeconfig: "), "{error}");
        assert!(
            std::error::Error::source(&error).is_none(),
            "a chain would say it again"
        );
    }

    #[tokio::test]
    async fn a_server_needs_no_kubeconfig() {
        let connected = |url: &str| {
            let server = Some(url.to_owned());
            let options = ConnectOptions {
                server,
                ..ConnectOptions::default()
            };
            async move { connect(&options, &RequestCounts::default()).await }
        };
        let connection = connected("http://127.0.0.1:8001").await.unwrap();
        assert_eq!(
            (connection.namespace.as_str(), connection.server.as_str()),
            ("default", "http://127.0.0.1:8001/")
        );
        for url in ["127.0.0.1:8001", "/api", ""] {
            let error = connected(url).await.err().unwrap();
            assert!(error.to_string().contains("write http://HOST:PORT"), "{error}");
        }
    }
}
