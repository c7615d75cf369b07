//! Waiting until a part of the cluster can be used.

use std::future::Future;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::{Api, Client};
use tokio::time::{sleep, timeout};

use crate::access::Access;
use crate::cluster::Parts;
use crate::error::{Error, Result};

/// How long anything may take: tens of times what it does, for machines that are busy.
const LIMIT: Duration = Duration::from_secs(240);

/// How often it is looked at, and how long one look may take.
const INTERVAL: Duration = Duration::from_millis(50);
const LOOK: Duration = Duration::from_secs(20);

/// Looks with `look` until it gives a value, for as long as all components run.
///
/// # Errors
/// [`Error::Ended`], [`Error::TimedOut`].
pub(crate) async fn until<T, F>(what: &str, parts: &mut Parts, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = std::result::Result<T, String>>,
{
    let started = Instant::now();
    loop {
        parts.check()?;
        let last = match timeout(LOOK, look()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(last)) => last,
            Err(_) => format!("no answer within {LOOK:?}"),
        };
        if started.elapsed() > LIMIT {
            return Err(Error::TimedOut {
                what: what.to_owned(),
                limit: LIMIT,
                last,
            });
        }
        sleep(INTERVAL).await;
    }
}

/// `/readyz` says ok: caches are filled and the default roles are there.
pub(crate) async fn api_server(admin: &Access, parts: &mut Parts) -> Result<()> {
    let client = admin.client().await?;
    until("a ready API server", parts, || get(&client, "/readyz"))
        .await
        .map(drop)
}

async fn get(client: &Client, path: &str) -> std::result::Result<String, String> {
    let request = http::Request::get(path)
        .body(Vec::new())
        .map_err(|error| error.to_string())?;
    client.request_text(request).await.map_err(|error| error.to_string())
}

/// The controllers have given the default namespace its ServiceAccount.
pub(crate) async fn controllers(admin: &Access, parts: &mut Parts) -> Result<()> {
    let accounts = Api::<ServiceAccount>::namespaced(admin.client().await?, "default");
    let look = || async {
        accounts
            .get("default")
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    };
    until("the default ServiceAccount", parts, look).await
}

/// The node says that it is Ready and takes pods.
pub(crate) async fn node(admin: &Access, parts: &mut Parts) -> Result<()> {
    let nodes = Api::<Node>::all(admin.client().await?);
    let look = || async {
        let node = nodes.get("localhost").await.map_err(|error| error.to_string())?;
        let tainted = node
            .spec
            .and_then(|spec| spec.taints)
            .is_some_and(|taints| !taints.is_empty());
        let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
        match ready {
            Some(condition) if condition.status == "True" && !tainted => Ok(()),
            Some(condition) => Err(format!(
                "tainted: {tainted}; {}",
                condition.message.clone().unwrap_or_default()
            )),
            None => Err("the node has no Ready condition".to_owned()),
        }
    };
    until("a ready node", parts, look).await
}
