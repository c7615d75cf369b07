//! One cluster per test binary and flavour, and skipping where it cannot be.

use std::future::Future;

use afresh_testbed_host as host;
use tokio::sync::OnceCell;

use crate::cluster::{Cluster, Flavour};
use crate::error::Result;

static CONTROL_PLANE: OnceCell<Cluster> = OnceCell::const_new();
static CONTROLLERS: OnceCell<Cluster> = OnceCell::const_new();
static NODE: OnceCell<Cluster> = OnceCell::const_new();

impl Cluster {
    /// The [`Flavour::ControlPlane`] cluster that all tests of this binary share. It ends with the process. Tests must
    /// keep to namespaces of their own, and leave its API server and etcd alone.
    ///
    /// # Errors
    /// As [`crate::Builder::start`].
    pub async fn shared() -> Result<&'static Self> {
        CONTROL_PLANE.get_or_try_init(Self::control_plane).await
    }

    /// The [`Flavour::Controllers`] cluster that all tests of this binary share.
    ///
    /// # Errors
    /// As [`crate::Builder::start`].
    pub async fn shared_with_controllers() -> Result<&'static Self> {
        CONTROLLERS.get_or_try_init(Self::with_controllers).await
    }

    /// The [`Flavour::Node`] cluster that all tests of this binary share, or `None` if no node can run here: then the test
    /// is recorded as skipped, by its name (its thread's) and reason, and has nothing more to do.
    ///
    /// # Errors
    /// As [`crate::Builder::start`].
    pub fn shared_with_node() -> impl Future<Output = Result<Option<&'static Self>>> {
        // Before the first await, so on the thread that bears the test's name.
        let reason = skip_without_node();
        async move {
            if reason.is_some() {
                return Ok(None);
            }
            let start = || Self::builder().flavour(Flavour::Node).start();
            NODE.get_or_try_init(start).await.map(Some)
        }
    }
}

/// Records the calling test as skipped if no node can run here, and returns why.
fn skip_without_node() -> Option<String> {
    let reason = host::why_no_node()?;
    host::skip(&reason);
    Some(reason)
}
