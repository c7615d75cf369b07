//! One cluster per test binary and flavour, and skipping where it cannot be.

use std::future::Future;

use afresh_testbed_host as host;
use tokio::sync::OnceCell;

use crate::cluster::{Builder, Cluster, Flavour};
use crate::error::{Error, Result};

/// A failure is kept as well: every further test would only wait for the same one.
type Shared = OnceCell<std::result::Result<Cluster, String>>;

static CONTROL_PLANE: Shared = OnceCell::const_new();
static CONTROLLERS: Shared = OnceCell::const_new();
static NODE: Shared = OnceCell::const_new();
static ORDINARY_NODE: Shared = OnceCell::const_new();

async fn get_or_start(shared: &'static Shared, builder: Builder) -> Result<&'static Cluster> {
    let start = async || {
        let started = builder.start().await;
        started.map_err(|error| format!("{error:?}"))
    };
    let kept = shared.get_or_init(start).await;
    kept.as_ref().map_err(|error| Error::SharedNotStarted(error.clone()))
}

impl Cluster {
    /// The [`Flavour::ControlPlane`] cluster that all tests of this binary share. It ends with the process. Tests must
    /// keep to namespaces of their own, and leave its API server and etcd alone.
    ///
    /// # Errors
    /// [`Error::SharedNotStarted`], the same to every test.
    pub async fn shared() -> Result<&'static Self> {
        get_or_start(&CONTROL_PLANE, Cluster::builder().flavour(Flavour::ControlPlane)).await
    }

    /// The [`Flavour::Controllers`] cluster that all tests of this binary share.
    ///
    /// # Errors
    /// [`Error::SharedNotStarted`], the same to every test.
    pub async fn shared_with_controllers() -> Result<&'static Self> {
        get_or_start(&CONTROLLERS, Cluster::builder().flavour(Flavour::Controllers)).await
    }

    /// The [`Flavour::Node`] cluster that all tests of this binary share, or `None` if no node can run here: then the test
    /// is recorded as skipped, by its name (its thread's) and reason, and has nothing more to do.
    ///
    /// # Errors
    /// [`Error::SharedNotStarted`], the same to every test.
    pub fn shared_with_node() -> impl Future<Output = Result<Option<&'static Self>>> {
        // Before the first await, so on the thread that bears the test's name.
        let reason = skip_without_node();
        async move {
            if reason.is_some() {
                return Ok(None);
            }
            get_or_start(&NODE, Cluster::builder().flavour(Flavour::Node))
                .await
                .map(Some)
        }
    }

    /// As [`Cluster::shared_with_node`], with [`Builder::default_resync`]. A test binary has one node: this one, or that.
    ///
    /// # Errors
    /// [`Error::SharedNotStarted`], the same to every test.
    pub fn shared_with_ordinary_node() -> impl Future<Output = Result<Option<&'static Self>>> {
        let reason = skip_without_node();
        async move {
            if reason.is_some() {
                return Ok(None);
            }
            let builder = Cluster::builder().flavour(Flavour::Node).default_resync();
            get_or_start(&ORDINARY_NODE, builder).await.map(Some)
        }
    }
}

/// Records the calling test as skipped if no node can run here, and returns why.
fn skip_without_node() -> Option<String> {
    let reason = host::why_no_node()?;
    host::skip(&reason);
    Some(reason)
}
