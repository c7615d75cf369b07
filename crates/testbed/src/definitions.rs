//! Kinds of one's own. Their definitions belong to the whole cluster, and so to all tests that share it.

use std::time::Duration;

use kube::Client;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::wait::eventually;

/// Far longer than the API server takes to serve a kind, or to forget it.
const LIMIT: Duration = Duration::from_secs(240);

/// Of two that apply the same definition at once, both would try to make it, and one would fail.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// What kubectl asks for.
const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

impl Cluster {
    /// Applies a `CustomResourceDefinition` and waits until its first version is served, and kubectl finds it: its condition
    /// `Established` comes before both. Tests may define the same kind, by the same definition, at once.
    ///
    /// # Errors
    /// [`Error::Command`] of kubectl; [`Error::Api`], [`Error::TimedOut`].
    pub async fn define(&self, definition: &Value) -> Result<()> {
        let _only = ONE_AT_A_TIME.lock().await;
        self.apply(&definition.to_string()).await?;
        let (client, kind) = (self.client().await?, Kind::of(definition));
        let what = format!("{} served", kind.collection());
        eventually(&what, LIMIT, async || {
            Ok(match read(&client, &kind.collection(), "application/json").await {
                Ok(_) if kind.is_discovered(&client).await? => Ok(()),
                Ok(_) => Err("it is served, and not in the discovery".to_owned()),
                Err(error) => Err(error.to_string()),
            })
        })
        .await
    }

    /// Deletes a definition with all objects of its kind, and waits until kubectl does not find the kind any more.
    ///
    /// # Errors
    /// As [`Self::define`].
    pub async fn undefine(&self, definition: &Value) -> Result<()> {
        let _only = ONE_AT_A_TIME.lock().await;
        let (client, kind) = (self.client().await?, Kind::of(definition));
        self.kubectl(&["delete", "crd", &format!("{}.{}", kind.plural, kind.group)])
            .await?;
        let what = format!("{} forgotten", kind.collection());
        eventually(&what, LIMIT, async || {
            let gone = !kind.is_discovered(&client).await?;
            Ok(gone.then_some(()).ok_or("it is in the discovery"))
        })
        .await
    }
}

async fn read(client: &Client, path: &str, accept: &str) -> kube::Result<Value> {
    let request = http::Request::get(path).header("accept", accept).body(Vec::new());
    client.request(request.map_err(kube::Error::HttpError)?).await
}

/// What a definition defines.
struct Kind<'a> {
    group: &'a str,
    version: &'a str,
    plural: &'a str,
}

impl<'a> Kind<'a> {
    fn of(definition: &'a Value) -> Self {
        let spec = &definition["spec"];
        let text = |value: &'a Value| value.as_str().unwrap_or_default();
        Self {
            group: text(&spec["group"]),
            version: text(&spec["versions"][0]["name"]),
            plural: text(&spec["names"]["plural"]),
        }
    }

    fn collection(&self) -> String {
        format!("/apis/{}/{}/{}", self.group, self.version, self.plural)
    }
    async fn is_discovered(&self, client: &Client) -> Result<bool> {
        let groups = read(client, "/apis", DISCOVERY)
            .await
            .map_err(Error::api("read the discovery"))?;
        let all = |value: &Value, field: &str| value[field].as_array().cloned().unwrap_or_default();
        let versions = all(&groups, "items")
            .into_iter()
            .filter(|group| group["metadata"]["name"] == self.group)
            .flat_map(|group| all(&group, "versions"));
        let mut resources = versions
            .filter(|version| version["version"] == self.version)
            .flat_map(|version| all(&version, "resources"));
        Ok(resources.any(|resource| resource["resource"] == self.plural))
    }
}
