//! `/metrics`, `/livez`, `/readyz` and `/state` over plain HTTP: one short answer per connection.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::status::Status;

/// Connections served at once; more wait.
const CONNECTIONS: usize = 8;
/// How long a connection may last.
const PATIENCE: Duration = Duration::from_secs(5);
/// A question is a line and some headers.
const MAX_QUESTION: usize = 8 << 10;

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct AdminError {
    address: SocketAddr,
    source: io::Error,
}

/// Listens, and returns what serves until dropped. Without an address nothing is served.
///
/// # Errors
/// If the address is taken or not ours.
pub async fn serve(
    address: Option<SocketAddr>,
    status: Arc<Status>,
) -> Result<impl Future<Output = Infallible>, AdminError> {
    let listener = match address {
        Some(address) => {
            let bound = TcpListener::bind(address).await;
            let listener = bound.map_err(|source| AdminError { address, source })?;
            tracing::info!(address = %listener.local_addr().unwrap_or(address), "serving metrics and state");
            Some(listener)
        }
        None => None,
    };
    Ok(async move {
        match listener {
            Some(listener) => accept(listener, status).await,
            None => std::future::pending().await,
        }
    })
}

async fn accept(listener: TcpListener, status: Arc<Status>) -> Infallible {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            continue;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let status = Arc::clone(&status);
                connections.spawn(async move {
                    // Who hangs up early gets no answer.
                    let _ = timeout(PATIENCE, answer(stream, &status)).await;
                    drop(permit);
                });
            }
            // Too many open files, say: wait, do not spin.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(mut stream: TcpStream, status: &Status) -> io::Result<()> {
    let mut question = Vec::new();
    while !question.windows(4).any(|four| four == b"\r\n\r\n") {
        if question.len() >= MAX_QUESTION || stream.read_buf(&mut question).await? == 0 {
            return Ok(());
        }
    }
    let line = question.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let (code, kind, body) = respond(&String::from_utf8_lossy(line), status);
    let is_head = line.starts_with(b"HEAD ");
    let head = format!(
        "HTTP/1.1 {code}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if !is_head {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}

/// The status, the type and the body that answer a request's first line.
fn respond(line: &str, status: &Status) -> (&'static str, &'static str, String) {
    const TEXT: &str = "text/plain; charset=utf-8";
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !matches!(method, "GET" | "HEAD") {
        return ("405 Method Not Allowed", TEXT, "only GET\n".to_owned());
    }
    match target.split('?').next().unwrap_or_default() {
        "/livez" => ("200 OK", TEXT, "ok\n".to_owned()),
        "/readyz" => match status.not_ready() {
            None => ("200 OK", TEXT, "ok\n".to_owned()),
            Some(reason) => ("503 Service Unavailable", TEXT, format!("{reason}\n")),
        },
        "/metrics" => (
            "200 OK",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            status.metrics(),
        ),
        "/state" => ("200 OK", "application/json", status.state()),
        _ => (
            "404 Not Found",
            TEXT,
            "there is /metrics, /livez, /readyz and /state\n".to_owned(),
        ),
    }
}
