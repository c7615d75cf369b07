//! `/metrics`, `/livez` (also as `/live`), `/readyz` and `/state` over plain HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections served at once; more wait.
const CONNECTIONS: usize = 32;
/// The controller must answer a question within this, or it is not alive.
const ANSWER: Duration = Duration::from_secs(5);

/// What somebody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Is the controller's task alive?
    Live,
    /// Are the caches synced, and does it lead or could it take over?
    Ready,
    /// The metrics.
    Metrics,
    /// The state.
    State,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200, or 503 where something is wrong.
    pub healthy: bool,
    /// The text.
    pub body: String,
}

/// A question on its way to the controller.
pub type Asked = (Question, oneshot::Sender<Answer>);

/// Listens on the address.
///
/// # Errors
/// If it is taken or not ours.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until dropped.
pub async fn serve(listener: TcpListener, ask: mpsc::Sender<Asked>) -> Infallible {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            continue;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let ask = ask.clone();
                connections.spawn(async move {
                    connection(stream, ask).await;
                    drop(permit);
                });
            }
            // Too many open files, say: wait, do not spin.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, ask: mpsc::Sender<Asked>) {
    let service = service_fn(move |request| {
        let ask = ask.clone();
        async move { Ok::<_, Infallible>(respond(&request, &ask).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10))
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the metrics address ended early");
    }
}

async fn respond(request: &Request<Incoming>, ask: &mpsc::Sender<Asked>) -> Response<Full<Bytes>> {
    let (question, content_type) = match request.uri().path() {
        // `/live` is what probes of Reloader ask for.
        "/livez" | "/live" => (Question::Live, "text/plain"),
        "/readyz" => (Question::Ready, "text/plain"),
        "/metrics" => (
            Question::Metrics,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        "/state" => (Question::State, "application/json"),
        _ => return text(StatusCode::NOT_FOUND, "there is /metrics, /livez, /readyz and /state\n"),
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    let (sender, receiver) = oneshot::channel();
    let answer = async {
        ask.send((question, sender)).await.ok()?;
        receiver.await.ok()
    };
    match timeout(ANSWER, answer).await {
        Ok(Some(answer)) => {
            let status = if answer.healthy {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            let mut response = Response::new(Full::new(Bytes::from(answer.body)));
            *response.status_mut() = status;
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
            response
        }
        _ => text(StatusCode::SERVICE_UNAVAILABLE, "the controller does not answer\n"),
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response
}
