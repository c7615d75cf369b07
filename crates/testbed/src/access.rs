//! Who talks to the API server: the administrator, or a ServiceAccount with what RBAC grants it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use afresh_testbed_host::Program;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use tokio::process::Command;

use crate::error::{Error, Result};
use crate::process::{locate, output};

/// How long one kubectl command may take, `rollout status` and `wait` included.
const KUBECTL_LIMIT: Duration = Duration::from_secs(360);

/// One identity: a kubeconfig, and what can be done with it.
#[derive(Clone, Debug)]
pub struct Access {
    kubeconfig: PathBuf,
}

impl Access {
    /// Writes `{directory}/{name}.kubeconfig`.
    pub(crate) fn write(directory: &Path, name: &str, server: &str, ca: &Path, token: &str) -> Result<Self> {
        let kubeconfig = directory.join(format!("{name}.kubeconfig"));
        // JSON is YAML.
        let content = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "testbed",
            "clusters": [{ "name": "testbed", "cluster": { "server": server, "certificate-authority": ca } }],
            "users": [{ "name": name, "user": { "token": token } }],
            "contexts": [{ "name": "testbed", "context": { "cluster": "testbed", "user": name } }],
        });
        fs::write(&kubeconfig, content.to_string()).map_err(Error::file("write", &kubeconfig))?;
        Ok(Self { kubeconfig })
    }

    /// The kubeconfig's path, for `KUBECONFIG` or `--kubeconfig` of a program under test.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client configuration with kube's defaults: no limit on how long an answer may take, as watches need.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`].
    pub async fn config(&self) -> Result<kube::Config> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        Ok(kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
    }

    /// A client of its own: it lives in the runtime of the caller, so each test makes one.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`], or [`Error::Api`] if TLS cannot be set up.
    pub async fn client(&self) -> Result<kube::Client> {
        kube::Client::try_from(self.config().await?).map_err(Error::api("make a client"))
    }

    /// Runs kubectl and returns its standard output; it ends within six minutes.
    ///
    /// # Errors
    /// [`Error::Command`] with kubectl's own words when it fails; [`Error::TimedOut`].
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.run(arguments, None)
            .await
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// `kubectl apply -f -` of `manifests` (YAML or JSON, documents separated by `---`).
    ///
    /// # Errors
    /// As [`Self::kubectl`].
    pub async fn apply(&self, manifests: &str) -> Result<String> {
        let output = self
            .run(&["apply", "-f", "-"], Some(manifests.as_bytes().to_vec()))
            .await?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    pub(crate) async fn run(&self, arguments: &[&str], input: Option<Vec<u8>>) -> Result<Vec<u8>> {
        let mut command = Command::new(locate(Program::Kubectl)?);
        // Beside the kubeconfig, so that discovery is cached for this cluster alone and nothing lands in the home directory.
        let cache = self.kubeconfig.with_extension("cache");
        command
            .arg("--cache-dir")
            .arg(cache)
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig);
        output(command, input, KUBECTL_LIMIT).await
    }
}
