//! Which cluster, and who for: the flags that every subcommand with a cluster has.

use std::path::PathBuf;

use afresh_k8s::client::{ConnectOptions, Connection, RequestCounts, connect};
use anyhow::Context as _;

/// The flags of the connection. Without any it is as with kubectl: `KUBECONFIG`, `~/.kube/config`, or the pod's
/// ServiceAccount.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterArgs {
    /// This kubeconfig; otherwise $KUBECONFIG, ~/.kube/config, or the pod's own ServiceAccount
    #[arg(long, env = "AFRESH_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// This context of the kubeconfig instead of the current one
    #[arg(long, env = "AFRESH_CONTEXT", value_name = "NAME")]
    context: Option<String>,
    /// The API server at this URL, without kubeconfig and credentials: kubectl proxy, or the demo
    #[arg(long, env = "AFRESH_SERVER", value_name = "URL", conflicts_with_all = ["kubeconfig", "context"])]
    server: Option<String>,
}

impl ClusterArgs {
    /// A client, and what its configuration says. Nothing has been asked of the server yet.
    ///
    /// # Errors
    /// If no configuration is found or it cannot be used; the error says what to do.
    pub(crate) async fn connect(&self, counts: &RequestCounts) -> anyhow::Result<Connection> {
        let options = ConnectOptions {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            server: self.server.clone(),
        };
        connect(&options, counts)
            .await
            .context("cannot tell which cluster is meant")
    }
}
