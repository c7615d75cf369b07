//! The yardstick: the least that can be done, in a process of its own. One watch on the ConfigMaps of a namespace; for
//! each event one merge patch of the Deployment of the same name. It knows, remembers and tells nothing.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde_json::json;

use crate::api;
use crate::objects::{CONFIG, maps_path, workload_path};

/// What it says once it watches.
pub(crate) const READY: &str = "watching";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    kubeconfig: PathBuf,
    #[arg(long)]
    namespace: String,
}

#[derive(Deserialize)]
struct Event {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    resource_version: String,
}

/// Runs until it is killed.
pub(crate) async fn run(args: Args) -> Result<()> {
    let client = api::client(&args.kubeconfig).await?;
    let path = maps_path(&args.namespace);
    let list: Object = api::read(&client, &format!("{path}?limit=1"), "application/json").await?;
    let watch = format!(
        "{path}?watch=1&timeoutSeconds=7200&resourceVersion={}",
        list.metadata.resource_version
    );
    let mut lines = client
        .request_stream(api::get(&watch, "application/json")?)
        .await?
        .lines();
    println!("{READY}");
    while let Some(line) = lines.try_next().await? {
        let Event {
            object: Object { metadata },
        } = serde_json::from_str(&line).context("an event of the watch")?;
        let patch = json!({"spec": {"template": {"metadata": {"annotations": {CONFIG: metadata.resource_version}}}}});
        api::merge_patch(&client, &workload_path(&args.namespace, &metadata.name), &patch).await?;
    }
    anyhow::bail!("the watch ended")
}
