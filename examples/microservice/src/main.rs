//! A small web service that answers with the `message` of a mounted ConfigMap, and is never restarted for a new one.
//!
//! ```sh
//! mkdir -p /tmp/web && echo "Hello World" > /tmp/web/message
//! CONFIG=/tmp/web LISTEN=127.0.0.1:8080 cargo run -p microservice &
//! curl localhost:8080                          # Hello World
//! echo "Hello Grandma" > /tmp/web/message
//! curl localhost:8080                          # Hello Grandma
//! ```

use std::convert::Infallible;
use std::env;
use std::net::SocketAddr;

use afresh::{Config, Live};
use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};

/// What the ConfigMap says, a key per field.
#[derive(Deserialize)]
struct Settings {
    message: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let directory = env::var("CONFIG").unwrap_or_else(|_| "/etc/microservice".to_owned());
    let settings = Config::directory(directory)
        .overlay_env("MICROSERVICE")
        .validate(|settings: &Settings| match settings.message.trim() {
            "" => Err("message is empty".into()),
            _ => Ok(()),
        })
        .on_error(|error| eprintln!("still on the last good configuration: {error}"))
        .load_async()
        .await?;
    settings
        .on_change(|change| eprintln!("message: {:?} -> {:?}", change.old.message, change.new.message))
        .forever();

    let address: SocketAddr = match env::var("LISTEN") {
        Ok(address) => address.parse().with_context(|| format!("LISTEN={address}"))?,
        Err(_) => SocketAddr::from(([0, 0, 0, 0], 8080)),
    };
    let listener = TcpListener::bind(address).await.with_context(|| address.to_string())?;
    eprintln!("listening on {}", listener.local_addr()?);
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                tokio::spawn(serve(accepted?.0, settings.clone()));
            }
            () = stopped() => return Ok(()),
        }
    }
}

/// As PID 1 of a container nobody else ends us.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}

async fn serve(stream: TcpStream, settings: Live<Settings>) {
    let answer = service_fn(|request| {
        let response = answer(&request, &settings);
        async move { Ok::<_, Infallible>(response) }
    });
    // A client that goes away is no trouble of ours.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}

fn answer(request: &Request<Incoming>, settings: &Live<Settings>) -> Response<Full<Bytes>> {
    let (status, text) = match request.uri().path() {
        "/" => (StatusCode::OK, settings.get().message.clone()),
        // Alive whatever the ConfigMap says: what is served is the last good version.
        "/livez" => (StatusCode::OK, "ok".to_owned()),
        "/config" => (StatusCode::OK, settings.health().to_string()),
        _ => (StatusCode::NOT_FOUND, "not found".to_owned()),
    };
    let mut response = Response::new(Full::from(text + "\n"));
    *response.status_mut() = status;
    response
}
