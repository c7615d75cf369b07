//! Calls that act, and the reads that go with them. Each has a deadline; nothing is retried here.

mod config_map;
mod error;
pub mod job;
pub mod stand_in;
mod workload;

use std::time::Duration;

use afresh_engine::classes::Classes;
use afresh_model::annotation;
use afresh_model::convention::Conventions;
use afresh_model::digest::DigestKey;
use afresh_model::name::{ConfigKey, ConfigKind, Name};
use afresh_model::object::ConfigObject;
use afresh_model::policy::Problem;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request};
use kube::Client;
use kube::api::ListParams;
use serde_json::{Value, json};

pub use error::WriteError;
pub use workload::{Trial, template_annotations};

use crate::lean::{
    DecodeError, LeanClass, LeanConfigMap, LeanMount, LeanPodMeta, LeanReplica, LeanSecret, Page, Watched, WithSha1,
};
use crate::request::{self, CallError, malformed, unbuildable};

/// The field manager of everything that Afresh writes.
pub const FIELD_MANAGER: &str = "afresh";

/// How long a call may take unless [`Writer::with_limit`] says otherwise.
pub const LIMIT: Duration = Duration::from_secs(10);

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_MERGE_PATCH: &str = "application/strategic-merge-patch+json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// Objects in a page of a list.
const PAGE: u32 = 500;
/// Of whole objects, which may have 20 KB each.
const WHOLE_PAGE: u32 = 100;
/// Pages of a list: enough for 100,000 objects, far above what a workload or a namespace has.
const MAX_PAGES: usize = 200;

/// Writes to the API server, and reads what a decision needs. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    limit: Duration,
    manager: &'static str,
    plurals: workload::Plurals,
}

impl Writer {
    /// A writer whose calls take at most [`LIMIT`].
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            limit: LIMIT,
            manager: FIELD_MANAGER,
            plurals: workload::Plurals::default(),
        }
    }

    /// The same with another field manager than [`FIELD_MANAGER`].
    #[must_use]
    pub fn with_manager(self, manager: &'static str) -> Self {
        Self { manager, ..self }
    }

    /// The same with another limit.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Sets `afresh.dev/touched` of the pod that has this uid, so that the kubelet syncs it now.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn touch_pod(
        &self,
        namespace: &Name,
        name: &Name,
        uid: &str,
        value: &str,
    ) -> Result<LeanPodMeta, WriteError> {
        let mut body = json!({"metadata": {"annotations": {annotation::TOUCHED: value}}});
        demand_uid(&mut body, uid);
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/status");
        let answer = self.patch(&path, &body, METADATA).await?;
        decoded(LeanPodMeta::decode(text(&answer)?))
    }

    /// Evicts the pod that has this uid: its PodDisruptionBudget may refuse, as [`WriteError::Throttled`].
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn evict_pod(&self, namespace: &Name, name: &Name, uid: &str) -> Result<(), WriteError> {
        let body = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"namespace": namespace.to_string(), "name": name.to_string()},
            "deleteOptions": {"preconditions": {"uid": uid}},
        });
        let path = format!(
            "/api/v1/namespaces/{namespace}/pods/{name}/eviction?fieldManager={}",
            self.manager
        );
        let request = Request::post(path).header(CONTENT_TYPE, JSON);
        self.call(request, body.to_string().into_bytes()).await?;
        Ok(())
    }

    /// The pods that a selector finds and that may still run, by their metadata.
    ///
    /// # Errors
    /// See [`WriteError`]. An empty selector is refused: it would find every pod of the namespace.
    pub async fn list_pods(&self, namespace: &Name, selector: &str) -> Result<Vec<LeanPodMeta>, WriteError> {
        self.list_selected(namespace, selector).await
    }

    /// The same with whether they are ready and when they started, which takes whole pods.
    ///
    /// # Errors
    /// As [`Self::list_pods`].
    pub async fn list_replicas(&self, namespace: &Name, selector: &str) -> Result<Vec<LeanReplica>, WriteError> {
        self.list_selected(namespace, selector).await
    }

    async fn list_selected<K: Watched>(&self, namespace: &Name, selector: &str) -> Result<Vec<K>, WriteError> {
        if selector.is_empty() {
            return Err(WriteError::Denied(
                "a workload without a selector has no pods of its own".into(),
            ));
        }
        let params = ListParams {
            label_selector: Some(selector.to_owned()),
            field_selector: Some("status.phase!=Succeeded,status.phase!=Failed".to_owned()),
            ..ListParams::default()
        };
        self.list(Some(namespace), params).await
    }

    /// All objects of a kind in a namespace or everywhere; those that cannot be decoded are left out.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn list_all<K: Watched>(&self, namespace: Option<&Name>) -> Result<Vec<K>, WriteError> {
        self.list(namespace, ListParams::default()).await
    }

    async fn list<K: Watched>(&self, namespace: Option<&Name>, params: ListParams) -> Result<Vec<K>, WriteError> {
        let path = kube::core::Request::new(K::path(namespace));
        let mut params = params.limit(if K::METADATA_ONLY { PAGE } else { WHOLE_PAGE });
        let mut found = Vec::new();
        for _ in 0..MAX_PAGES {
            let request = if K::METADATA_ONLY {
                path.list_metadata(&params)
            } else {
                path.list(&params)
            };
            let answer = request::fetch(&self.client, request.map_err(unbuildable)?, self.limit).await?;
            let page = Page::<K>::decode(&answer).map_err(|_| malformed("it is not a list"))?;
            found.extend(page.items.into_iter().filter_map(Result::ok));
            if page.continue_token.is_empty() {
                return Ok(found);
            }
            params.continue_token = Some(page.continue_token.into());
        }
        Err(WriteError::Unreadable("the list does not end".into()))
    }

    /// A ConfigMap or Secret as it is, with Reloader's hash where its marks are kept, and what is wrong with its
    /// annotations.
    ///
    /// # Errors
    /// See [`WriteError`]; [`WriteError::Gone`] if there is none.
    pub async fn get_object(
        &self,
        key: &ConfigKey,
        digest_key: &DigestKey,
        conventions: &Conventions,
    ) -> Result<(ConfigObject, Option<Problem>), WriteError> {
        let (namespace, name) = (Some(&key.namespace), &key.name);
        let marked = conventions.strategy.is_some();
        let (_, object, problem) = match key.kind {
            ConfigKind::SecretProviderClass => return self.get_class(key, conventions).await,
            ConfigKind::ConfigMap => {
                let answer = self.get(&format!("{}/{name}", LeanConfigMap::path(namespace))).await?;
                one::<LeanConfigMap>(&answer, marked)?.into_object(conventions)
            }
            ConfigKind::Secret => {
                let answer = self.get(&format!("{}/{name}", LeanSecret::path(namespace))).await?;
                one::<LeanSecret>(&answer, marked)?.into_object(digest_key, conventions)
            }
        };
        Ok((object, problem))
    }

    /// A SecretProviderClass, as its mounts make it; gone if no pod mounts it.
    async fn get_class(
        &self,
        key: &ConfigKey,
        conventions: &Conventions,
    ) -> Result<(ConfigObject, Option<Problem>), WriteError> {
        let path = format!("{}/{}", LeanClass::path(Some(&key.namespace)), key.name);
        let answer = self.get(&path).await?;
        let (manner, problem) = decoded(LeanClass::decode(text(&answer)?))?.manner(conventions);
        let mut classes = Classes::default();
        classes.apply_class(key, manner);
        for LeanMount { key, mount, .. } in self.list_all(Some(&key.namespace)).await? {
            classes.apply(key, mount);
        }
        let object = classes.object(key).ok_or(WriteError::Gone)?;
        Ok((object, problem))
    }

    /// Reads any path.
    pub(crate) async fn get(&self, path: &str) -> Result<Vec<u8>, WriteError> {
        self.call(Request::get(path), Vec::new()).await
    }

    /// The uid of the object at `path`, if it can be read.
    pub(crate) async fn uid(&self, path: &str) -> Option<String> {
        let answer = self
            .call(Request::get(path).header(ACCEPT, METADATA), Vec::new())
            .await
            .ok()?;
        let object: Value = serde_json::from_slice(&answer).ok()?;
        object["metadata"]["uid"].as_str().map(str::to_owned)
    }

    /// Merges into the object at `path`.
    pub(crate) async fn patch(&self, path: &str, body: &Value, accept: &str) -> Result<Vec<u8>, WriteError> {
        self.patch_at(path, body, accept, Trial::No).await
    }

    async fn patch_at(&self, path: &str, body: &Value, accept: &str, trial: Trial) -> Result<Vec<u8>, WriteError> {
        let tried = if trial == Trial::Yes { "&dryRun=All" } else { "" };
        let request = Request::patch(format!("{path}?fieldManager={}{tried}", self.manager))
            .header(CONTENT_TYPE, MERGE_PATCH)
            .header(ACCEPT, accept);
        self.call(request, body.to_string().into_bytes()).await
    }

    /// Creates (POST) or replaces (PUT) an object.
    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Vec<u8>, WriteError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}?fieldManager={}", self.manager))
            .header(CONTENT_TYPE, JSON);
        self.call(request, body.to_string().into_bytes()).await
    }

    async fn call(&self, request: http::request::Builder, body: Vec<u8>) -> Result<Vec<u8>, WriteError> {
        let request = request.body(body).map_err(unbuildable)?;
        Ok(request::fetch(&self.client, request, self.limit).await?)
    }
}

/// The uid in a patch makes the API server refuse it where the name now belongs to another object.
fn demand_uid(body: &mut Value, uid: &str) {
    body["metadata"]["uid"] = Value::from(uid);
}

fn text(answer: &[u8]) -> Result<&str, WriteError> {
    std::str::from_utf8(answer).map_err(|_| CallError::Malformed("it is not UTF-8".into()).into())
}

/// Decodes one object, with Reloader's hash or without.
fn one<K: Watched>(answer: &[u8], marked: bool) -> Result<K, WriteError>
where
    WithSha1<K>: Watched,
{
    let text = text(answer)?;
    if marked {
        decoded(WithSha1::<K>::decode(text)).map(|WithSha1(lean)| lean)
    } else {
        decoded(K::decode(text))
    }
}

fn decoded<T>(result: Result<T, DecodeError>) -> Result<T, WriteError> {
    result.map_err(|error| WriteError::Unreadable(error.to_string().into()))
}
