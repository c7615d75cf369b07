//! When a Deployment's new state is visible to a watch that is nobody's but ours.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
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
    task: JoinHandle<Result<()>>,
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
        let from = list.metadata.resource_version;
        let request = api::get(
            &format!("{DEPLOYMENTS}?watch=1&timeoutSeconds=7200&resourceVersion={from}"),
            accept,
        )?;
        let mut lines = client.request_stream(request).await?.lines();
        let (send, seen) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Some(line) = lines.next().await {
                let at = Instant::now();
                let Event { object } = serde_json::from_str(&line?).context("an event of the watch")?;
                if send.send(object.seen(at)).is_err() {
                    return Ok(());
                }
            }
            bail!("the watch on Deployments ended")
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

#[derive(Deserialize)]
struct Event {
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
