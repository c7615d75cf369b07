//! An API server that answers what a test tells it to, and remembers what it was asked.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::Instant;

/// A request, as the server saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When, from the beginning of the script.
    pub at: Duration,
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Seen {
    pub fn query(&self, key: &str) -> &str {
        self.query.get(key).map_or("", String::as_str)
    }

    pub fn is_watch(&self) -> bool {
        self.query("watch") == "true"
    }

    pub fn is_list(&self) -> bool {
        self.method == "GET" && !self.is_watch()
    }
}

/// What the server does.
pub enum Answer {
    /// A complete answer.
    Json(u16, Value),
    /// The same, with `Retry-After`.
    RetryAfter(u16, u64),
    /// A body in steps, after a head of 200.
    Stream(Vec<Step>),
    /// No answer, ever.
    Hang,
    /// No connection.
    Refuse,
}

/// A part of a body.
#[derive(Clone)]
pub enum Step {
    /// One line of a watch.
    Line(Value),
    /// Some bytes.
    Raw(Vec<u8>),
    /// A silence.
    Wait(Duration),
    /// The connection breaks.
    Break,
    /// Silence for ever; without it the body ends after the last step.
    Open,
}

type Handler = Box<dyn FnMut(&Seen) -> Answer + Send>;

#[derive(Clone)]
pub struct Script {
    handler: Arc<Mutex<Handler>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    began: Instant,
}

impl Script {
    pub fn new(handler: impl FnMut(&Seen) -> Answer + Send + 'static) -> Self {
        Self {
            handler: Arc::new(Mutex::new(Box::new(handler))),
            seen: Arc::default(),
            began: Instant::now(),
        }
    }

    pub fn client(&self) -> Client {
        Client::new(self.clone(), "default")
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<AnyBody>, Refused> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let uri = head.uri;
        let query = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let seen = Seen {
            at: self.began.elapsed(),
            method: head.method.to_string(),
            path: uri.path().to_owned(),
            query: query.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            headers: head.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        self.seen.lock().unwrap().push(seen.clone());
        let answer = (self.handler.lock().unwrap())(&seen);
        let response = |code: u16, steps: Vec<Step>| Response::builder().status(code).body(body_of(steps)).unwrap();
        match answer {
            Answer::Json(code, value) => Ok(response(code, vec![Step::Raw(value.to_string().into_bytes())])),
            Answer::RetryAfter(code, seconds) => {
                let mut response = response(
                    code,
                    vec![Step::Raw(status(code, "TooManyRequests").to_string().into_bytes())],
                );
                response.headers_mut().insert("retry-after", seconds.into());
                Ok(response)
            }
            Answer::Stream(steps) => Ok(response(200, steps)),
            Answer::Hang => std::future::pending().await,
            Answer::Refuse => Err(Refused),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("connection refused by the script")]
pub struct Refused;

type AnyBody = StreamBody<Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Refused>> + Send>>>;

fn body_of(steps: Vec<Step>) -> AnyBody {
    let frames = futures::stream::iter(steps).then(|step| async move {
        match step {
            Step::Line(value) => Some(Ok(Frame::data(format!("{value}\n").into_bytes().into()))),
            Step::Raw(bytes) => Some(Ok(Frame::data(bytes.into()))),
            Step::Wait(silence) => {
                tokio::time::sleep(silence).await;
                None
            }
            Step::Break => Some(Err(Refused)),
            Step::Open => std::future::pending().await,
        }
    });
    StreamBody::new(Box::pin(frames.filter_map(std::future::ready)))
}

impl tower::Service<Request<Body>> for Script {
    type Response = Response<AnyBody>;
    type Error = Refused;
    type Future = BoxFuture<'static, Result<Self::Response, Refused>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

/// A `Status`.
pub fn status(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": format!("told to say {code}")})
}

pub fn config_map(name: &str, version: u64) -> Value {
    json!({
        "kind": "ConfigMap", "apiVersion": "v1",
        "metadata": {"namespace": "prod", "name": name, "resourceVersion": version.to_string()},
        "data": {"a": version.to_string()}
    })
}

pub fn change(kind: &str, name: &str, version: u64) -> Step {
    Step::Line(json!({"type": kind, "object": config_map(name, version)}))
}

pub fn bookmark(version: u64) -> Step {
    Step::Line(
        json!({"type": "BOOKMARK", "object": {"kind": "ConfigMap", "metadata": {"resourceVersion": version.to_string()}}}),
    )
}

/// The bookmark that ends initial events.
pub fn initial_end(version: u64) -> Step {
    Step::Line(json!({"type": "BOOKMARK", "object": {"kind": "ConfigMap", "metadata": {
        "resourceVersion": version.to_string(), "creationTimestamp": null, "annotations": {"k8s.io/initial-events-end": "true"}
    }}}))
}

pub fn error_event(code: u16, reason: &str) -> Step {
    Step::Line(json!({"type": "ERROR", "object": status(code, reason)}))
}

pub fn list(names: &[&str], version: u64, token: &str) -> Answer {
    let items: Vec<Value> = names.iter().map(|name| config_map(name, version)).collect();
    let metadata = json!({"resourceVersion": version.to_string(), "continue": token});
    Answer::Json(
        200,
        json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata, "items": items}),
    )
}
