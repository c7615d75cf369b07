//! Filling a cluster.

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::Client;
use serde_json::{Value, json};

use crate::api;
use crate::objects::{BARE, OWN, Size, config_map, deployment, secret};

/// Requests sent at once.
const AT_ONCE: usize = 16;
/// What kubectl calls itself in `managedFields`.
const MANAGER: &str = "fieldManager=kubectl-client-side-apply";

/// Makes everything of `size`, and `bare` ConfigMaps and Deployments for the bare loop, which opt in to nothing.
pub(crate) async fn fill(client: &Client, size: Size, bare: usize) -> Result<()> {
    let namespaces = (0..size.namespaces).map(|number| size.namespace(number));
    let namespaces = namespaces.chain([BARE.to_owned(), OWN.to_owned()]);
    let spaces = namespaces.map(|name| {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        ("/api/v1/namespaces".to_owned(), object)
    });
    post(client, spaces).await?;
    let core = |plural: &'static str, of: fn(usize) -> Value| {
        (0..size.objects).map(move |number| {
            (
                format!("/api/v1/namespaces/{}/{plural}", size.namespace(number)),
                of(number),
            )
        })
    };
    post(client, core("configmaps", config_map)).await?;
    post(client, core("secrets", secret)).await?;
    post(
        client,
        (0..bare).map(|number| (format!("/api/v1/namespaces/{BARE}/configmaps"), config_map(number))),
    )
    .await?;
    // The second ConfigMap must be of the same namespace: as far away as there are Deployments, which is a multiple.
    let files = |number: usize| Some(number + size.deployments).filter(|&files| files < size.objects);
    let workloads = (0..size.deployments).map(|number| {
        let path = format!("/apis/apps/v1/namespaces/{}/deployments", size.namespace(number));
        (path, deployment(number, files(number), true))
    });
    post(client, workloads).await?;
    let path = format!("/apis/apps/v1/namespaces/{BARE}/deployments");
    post(
        client,
        (0..bare).map(|number| (path.clone(), deployment(number, None, false))),
    )
    .await
}

pub(crate) async fn post(client: &Client, objects: impl Iterator<Item = (String, Value)>) -> Result<()> {
    let requests =
        objects.map(|(path, object)| async move { api::create(client, &format!("{path}?{MANAGER}"), &object).await });
    stream::iter(requests)
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
}
