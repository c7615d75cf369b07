//! Requests as they are, without types: what is measured must not wait for what measures.

use std::path::Path;

use afresh_k8s::client::{ConnectOptions, RequestCounts, connect};
use anyhow::{Context as _, Result};
use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE};
use kube::Client;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Asks a watch or a list for metadata only.
pub(crate) const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// A client on the same stack as the controller's.
pub(crate) async fn client(kubeconfig: &Path) -> Result<Client> {
    let options = ConnectOptions {
        kubeconfig: Some(kubeconfig.to_owned()),
        ..ConnectOptions::default()
    };
    Ok(connect(&options, &RequestCounts::default()).await?.client)
}

/// GET.
pub(crate) fn get(path: &str, accept: &str) -> Result<Request<Vec<u8>>> {
    let request = Request::get(path).header(ACCEPT, accept).body(Vec::new());
    request.with_context(|| format!("no request can be made of {path}"))
}

/// PATCH by RFC 7386.
pub(crate) async fn merge_patch(client: &Client, path: &str, body: &Value) -> Result<()> {
    let request = Request::patch(path)
        .header(CONTENT_TYPE, "application/merge-patch+json")
        .body(body.to_string().into_bytes())?;
    client
        .request_text(request)
        .await
        .with_context(|| format!("PATCH {path}"))?;
    Ok(())
}

/// POST.
pub(crate) async fn create(client: &Client, path: &str, body: &Value) -> Result<()> {
    let request = Request::post(path)
        .header(CONTENT_TYPE, "application/json")
        .body(body.to_string().into_bytes())?;
    client
        .request_text(request)
        .await
        .with_context(|| format!("POST {path}"))?;
    Ok(())
}

/// GET of anything that is JSON.
pub(crate) async fn read<T: DeserializeOwned>(client: &Client, path: &str, accept: &str) -> Result<T> {
    let text = client
        .request_text(get(path, accept)?)
        .await
        .with_context(|| format!("GET {path}"))?;
    serde_json::from_str(&text).with_context(|| format!("what GET {path} answered"))
}
