//! When a Deployment's new state is visible to a watch that is nobody's but ours.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::stream::BoxStream;
use futures::{AsyncBufReadExt as _, StreamExt as _};
use kube::Client;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::api;
use crate::objects::{APPLIED, CONFIG};

const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
/// A change that takes so long is lost.
const LIMIT: Duration = Duration::from_secs(60);

type Lines = BoxStream<'static, std::io::Result<String>>;

/// A state of a Deployment.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The digest in its pod template.
    pub(crate) config: Option<String>,
    /// Whether it bears a record.
    pub(crate) adopted: bool,
    pub(crate) at: Instant,
}

/// A watch on all Deployments, in a task of its own.
#[derive(Debug)]
pub(crate) struct Sight {
    seen: mpsc::UnboundedReceiver<Seen>,
    task: JoinHandle<()>,
}

impl Drop for Sight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sight {
    /// Watches from now on. `accept` tells how much of each Deployment is sent.
    pub(crate) async fn open(client: &Client, accept: &str) -> Result<Self> {
        let list: Object = api::read(client, &format!("{DEPLOYMENTS}?limit=1"), "application/json").await?;
        let (send, seen) = mpsc::unbounded_channel();
        let mut watch = Watch {
            client: client.clone(),
            accept: accept.to_owned(),
            from: list.metadata.resource_version,
            send,
        };
        let first = watch.open().await?;
        let task = tokio::spawn(async move {
            let mut outcome = watch.follow(first).await;
            while let Ok(true) = outcome {
                outcome = match watch.open().await {
                    Ok(lines) => watch.follow(lines).await,
                    Err(error) => Err(error),
                };
            }
            if let Err(error) = outcome {
                eprintln!("the watch on Deployments: {error:#}");
            }
        });
        Ok(Self { seen, task })
    }

    pub(crate) async fn next(&mut self) -> Result<Seen> {
        let next = timeout(LIMIT, self.seen.recv()).await;
        next.with_context(|| format!("no Deployment changed within {LIMIT:?}"))?
            .context("the watch on Deployments ended")
    }

    /// Waits for another digest in the pod template than `before`.
    pub(crate) async fn changed(&mut self, namespace: &str, name: &str, before: Option<&str>) -> Result<Seen> {
        loop {
            let seen = self
                .next()
                .await
                .with_context(|| format!("waiting for {namespace}/{name}"))?;
            if seen.namespace == namespace
                && seen.name == name
                && seen.config.is_some()
                && seen.config.as_deref() != before
            {
                return Ok(seen);
            }
        }
    }
}

/// What the task of a [`Sight`] has.
struct Watch {
    client: Client,
    accept: String,
    /// Of the last event.
    from: String,
    send: mpsc::UnboundedSender<Seen>,
}

impl Watch {
    async fn open(&self) -> Result<Lines> {
        let path = format!(
            "{DEPLOYMENTS}?watch=1&timeoutSeconds=7200&resourceVersion={}",
            self.from
        );
        let stream = self.client.request_stream(api::get(&path, &self.accept)?).await?;
        Ok(Box::pin(stream.lines()))
    }

    /// Until the API server ends it, which it does with whoever reads slower than it writes: then it is to be opened
    /// again. `false` if nobody wants to see more.
    async fn follow(&mut self, mut lines: Lines) -> Result<bool> {
        while let Some(line) = lines.next().await {
            let at = Instant::now();
            let line = line?;
            let event: Event = serde_json::from_str(&line).with_context(|| format!("an event of the watch: {line}"))?;
            ensure!(event.r#type != "ERROR", "{line}");
            event.object.metadata.resource_version.clone_into(&mut self.from);
            if self.send.send(event.object.seen(at)).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[derive(Deserialize)]
struct Event {
    r#type: String,
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    namespace: String,
    name: String,
    resource_version: String,
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    template: Template,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Template {
    metadata: Metadata,
}

impl Object {
    fn seen(self, at: Instant) -> Seen {
        let Self { metadata, spec } = self;
        let mut template = spec.template.metadata.annotations;
        Seen {
            adopted: metadata.annotations.contains_key(APPLIED),
            config: template.remove(CONFIG),
            namespace: metadata.namespace,
            name: metadata.name,
            at,
        }
    }
}
