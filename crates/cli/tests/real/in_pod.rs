//! The controller in pods of the cluster, from `deploy/` as it is, but for the image that the test has built.

use std::net::SocketAddr;

use afresh_testbed::{Cluster, Image};
use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::install;
use crate::program::{at_rest, state, until};
use crate::world::World;

const IMAGE: &str = "afresh.test/afresh:1";

/// Everything that can be installed, with another image.
const OVERLAY: &str = r#"
resources: [deploy, deploy/admission]
images: [{name: afresh.dev/afresh, newName: afresh.test/afresh, newTag: "1"}]
"#;

static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// Installs it, once per node, and waits until both replicas are ready.
pub(crate) async fn install(cluster: &Cluster) -> Result<()> {
    let install = || async {
        let image = Image::new(IMAGE)
            .program("/afresh", env!("CARGO_BIN_EXE_afresh"))
            .command(["/afresh"]);
        cluster.load_image(&image).await?;
        install::apply(cluster, "in-pod", OVERLAY).await?;
        if let Err(error) = cluster.rolled_out("afresh", "deployment/afresh").await {
            let pods = cluster.kubectl(&["describe", "pods", "-n", "afresh"]).await?;
            let logs = cluster.kubectl(&["logs", "deployment/afresh", "-n", "afresh"]).await;
            return Err(error).context(format!("{pods}\n{logs:?}"));
        }
        anyhow::Ok(())
    };
    INSTALLED.get_or_try_init(install).await.copied()
}

/// A namespace in the cluster with a node, with the controller at work; `None` where no node can run.
pub(crate) async fn world(cluster: Option<&'static Cluster>, prefix: &str) -> Result<Option<World<'static>>> {
    let Some(cluster) = cluster else { return Ok(None) };
    install(cluster).await?;
    World::beside(cluster, prefix).await.map(Some)
}

/// The pods of the controller: name and address.
pub(crate) async fn replicas(world: &World<'_>) -> Result<Vec<(String, SocketAddr)>> {
    let path = "/api/v1/namespaces/afresh/pods?labelSelector=app.kubernetes.io%2Fname%3Dafresh";
    let pods = world.list(path).await?;
    let replica = |pod: &Value| {
        let address = format!("{}:9090", pod["status"]["podIP"].as_str()?).parse().ok()?;
        Some((pod["metadata"]["name"].as_str()?.to_owned(), address))
    };
    Ok(pods.iter().filter_map(replica).collect())
}

/// Waits until the leading replica has seen everything that was written before this call and has nothing left to do in
/// the namespace.
pub(crate) async fn rest(world: &World<'_>) -> Result<()> {
    let fence = world.fence().await?;
    let replicas = replicas(world).await?;
    let look = async || {
        let mut seen = Vec::new();
        for (_, address) in &replicas {
            seen.push(
                state(*address)
                    .await
                    .unwrap_or_else(|error| format!("{error:#}").into()),
            );
        }
        Ok(seen)
    };
    let is_done = |state: &Value| state["engine"]["leading"] == true && at_rest(state, &world.namespace, fence);
    until("a leader at rest", look, |seen| seen.iter().any(is_done))
        .await
        .map(drop)
}
