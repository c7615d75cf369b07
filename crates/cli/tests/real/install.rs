//! Installing `deploy/`, as people do: through an overlay.

use std::fs;
use std::path::{Path, PathBuf};

use afresh_testbed::Cluster;
use anyhow::{Context as _, Result};
use tokio::sync::Mutex;

/// Without pods of its own: the test runs the program itself.
pub(crate) const NO_PODS: &str = "replicas: [{name: afresh, count: 0}]\n";

/// Where `deploy/` is.
pub(crate) fn manifests() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    root.canonicalize().context("deploy/ is not there")
}

/// An overlay directory with a copy of `deploy/` in it, because kustomize takes no absolute paths.
pub(crate) fn overlay(cluster: &Cluster, name: &str, content: &str) -> Result<PathBuf> {
    let directory = cluster.directory().join("overlays").join(name);
    copy(&manifests()?, &directory.join("deploy"))?;
    fs::write(directory.join("kustomization.yaml"), content)?;
    Ok(directory)
}

/// `kubectl apply -k` of an overlay, of which the API server may not even complain.
pub(crate) async fn apply(cluster: &Cluster, name: &str, content: &str) -> Result<String> {
    let directory = overlay(cluster, name, content)?;
    let apply = ["apply", "--warnings-as-errors", "-k", &directory.to_string_lossy()];
    Ok(cluster.kubectl(&apply).await?)
}

/// The same with objects of the whole cluster, which tests that share it apply too. Of two that do so at once both would
/// try to make them, and one would fail.
pub(crate) async fn apply_for_all(cluster: &Cluster, name: &str, content: &str) -> Result<String> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
    let _only = ONE_AT_A_TIME.lock().await;
    apply(cluster, name, content).await
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
