//! The Lease that says who leads: reading and writing it. Who may take it is decided by `afresh_engine::lease`.
//!
//! Every write carries the resource version that was read, so of two writers one loses, with
//! [`WriteError::Conflict`]. An attempt is never repeated here: whoever lost has to look again first.

use std::time::Duration;

use afresh_engine::lease::Seen;
use afresh_model::name::Name;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::write::{WriteError, Writer};

/// One Lease (coordination.k8s.io/v1).
#[derive(Clone)]
pub struct LeaseClient {
    writer: Writer,
    namespace: Name,
    name: Name,
}

/// The Lease as it was read or written last.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseView {
    /// Who holds it, by which terms, in which version.
    pub seen: Seen,
    /// `spec.leaseTransitions`: how often it went from one holder to another.
    pub transitions: i64,
    /// All of it, so that a write keeps what others put there.
    object: Value,
}

impl LeaseView {
    fn read(answer: &[u8]) -> Result<Self, WriteError> {
        let unreadable = |what: &str| WriteError::Unreadable(format!("the Lease has {what}").into());
        let object: Value = serde_json::from_slice(answer).map_err(|_| unreadable("no JSON"))?;
        let spec = &object["spec"];
        let version = object["metadata"]["resourceVersion"].as_str();
        let version = version.filter(|version| !version.is_empty());
        Ok(Self {
            seen: Seen {
                holder: spec["holderIdentity"]
                    .as_str()
                    .filter(|holder| !holder.is_empty())
                    .map(str::to_owned),
                duration: Duration::from_secs(spec["leaseDurationSeconds"].as_u64().unwrap_or(0)),
                version: version.ok_or_else(|| unreadable("no resourceVersion"))?.to_owned(),
            },
            transitions: spec["leaseTransitions"].as_i64().unwrap_or(0),
            object,
        })
    }
}

impl LeaseClient {
    /// The Lease of this name. `writer` brings the deadline of each call; for a lease it should be short.
    #[must_use]
    pub const fn new(writer: Writer, namespace: Name, name: Name) -> Self {
        Self {
            writer,
            namespace,
            name,
        }
    }

    fn path(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace)
    }

    /// The Lease as it is; `None` if there is none.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn get(&self) -> Result<Option<LeaseView>, WriteError> {
        match self.writer.get(&format!("{}/{}", self.path(), self.name)).await {
            Ok(answer) => LeaseView::read(&answer).map(Some),
            Err(WriteError::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates it, held by `holder`.
    ///
    /// # Errors
    /// See [`WriteError`]: [`Conflict`](WriteError::Conflict) if somebody was faster, [`Gone`](WriteError::Gone) if the
    /// namespace is not there.
    pub async fn create(&self, holder: &str, duration: Duration) -> Result<LeaseView, WriteError> {
        let now = now();
        let body = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": self.namespace.to_string(), "name": self.name.to_string()},
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": duration.as_secs(),
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        });
        LeaseView::read(&self.writer.send(Method::POST, &self.path(), &body).await?)
    }

    /// Takes it over, or renews it, as it was seen in `view`.
    ///
    /// # Errors
    /// See [`WriteError`]: [`Conflict`](WriteError::Conflict) if it has changed since.
    pub async fn update(&self, view: &LeaseView, holder: &str, duration: Duration) -> Result<LeaseView, WriteError> {
        let now = now();
        let mut object = view.object.clone();
        let spec = &mut object["spec"];
        if view.seen.holder.as_deref() != Some(holder) {
            spec["acquireTime"] = now.clone().into();
            // As client-go counts: a Lease that was released counts as well.
            spec["leaseTransitions"] = view.transitions.saturating_add(1).into();
        }
        spec["holderIdentity"] = holder.into();
        spec["leaseDurationSeconds"] = duration.as_secs().into();
        spec["renewTime"] = now.into();
        self.replace(&object).await
    }

    /// Gives it up, as it was seen in `view`, so that another may take it at once.
    ///
    /// # Errors
    /// See [`WriteError`]: [`Conflict`](WriteError::Conflict) if it has changed since.
    pub async fn release(&self, view: &LeaseView) -> Result<LeaseView, WriteError> {
        let mut object = view.object.clone();
        let spec = &mut object["spec"];
        spec["holderIdentity"] = "".into();
        // client-go writes 1 s, because the API server refuses 0.
        spec["leaseDurationSeconds"] = 1.into();
        spec["renewTime"] = now().into();
        self.replace(&object).await
    }

    async fn replace(&self, object: &Value) -> Result<LeaseView, WriteError> {
        let path = format!("{}/{}", self.path(), self.name);
        LeaseView::read(&self.writer.send(Method::PUT, &path, object).await?)
    }
}

/// A `MicroTime`. Nobody compares it: expiry is counted by who watches the Lease stand still.
fn now() -> String {
    format!("{:.6}", Timestamp::now())
}
