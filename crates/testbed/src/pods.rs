//! Looking into pods, and bringing images to them.

use std::path::PathBuf;

use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::image::Image;

impl Cluster {
    /// Runs a command in a pod's first container, or in the one that `pod` names as `pod/container`, and returns its
    /// standard output. Costs about a tenth of a second: to watch a file, read [`Self::volume`].
    ///
    /// # Errors
    /// [`Error::Command`] with what the command or kubectl said.
    pub async fn exec(&self, namespace: &str, pod: &str, command: &[&str]) -> Result<String> {
        let (pod, container) = pod
            .split_once('/')
            .map_or((pod, None), |(pod, container)| (pod, Some(container)));
        let mut arguments = vec!["exec", "--namespace", namespace, pod];
        arguments.extend(container.iter().flat_map(|name| ["--container", name]));
        arguments.push("--");
        arguments.extend(command);
        self.kubectl(&arguments).await
    }

    /// The content of a file as a pod's container sees it.
    ///
    /// # Errors
    /// As [`Self::exec`]; the file's absence is one.
    pub async fn read_file(&self, namespace: &str, pod: &str, path: &str) -> Result<String> {
        self.exec(namespace, pod, &["cat", path]).await
    }

    /// The kubelet's own directory of a pod's volume: the very files that its containers see, readable without any
    /// process in between. `plugin` is `configmap`, `secret`, `projected`, `empty-dir` and so on.
    ///
    /// # Errors
    /// [`Error::Without`] a node.
    pub fn volume(&self, pod_uid: &str, plugin: &str, volume: &str) -> Result<PathBuf> {
        Ok(self.node()?.volume(pod_uid, plugin, volume))
    }

    /// Makes an image known to the node, under its name; of two with one name, new containers get the later.
    ///
    /// # Errors
    /// [`Error::Without`] a node, [`Error::File`], [`Error::Command`] of the import.
    pub async fn load_image(&self, image: &Image) -> Result<()> {
        self.node()?.import(image).await
    }

    /// Waits until a workload, such as `deployment/web`, is rolled out: every replica is new and available.
    ///
    /// # Errors
    /// [`Error::Command`] when it is not within five minutes.
    pub async fn rolled_out(&self, namespace: &str, workload: &str) -> Result<()> {
        let status = [
            "rollout",
            "status",
            workload,
            "--namespace",
            namespace,
            "--timeout=300s",
        ];
        self.kubectl(&status).await.map(drop)
    }

    /// Waits until a pod is Ready.
    ///
    /// # Errors
    /// [`Error::Command`] when it is not within five minutes.
    pub async fn pod_ready(&self, namespace: &str, pod: &str) -> Result<()> {
        let pod = format!("pod/{pod}");
        let wait = [
            "wait",
            "--for=condition=Ready",
            &pod,
            "--namespace",
            namespace,
            "--timeout=300s",
        ];
        self.kubectl(&wait).await.map(drop)
    }

    /// A pod's UID, which stays as long as the pod is the same one.
    ///
    /// # Errors
    /// [`Error::Api`].
    pub async fn pod_uid(&self, namespace: &str, pod: &str) -> Result<String> {
        let pods = kube::Api::<k8s_openapi::api::core::v1::Pod>::namespaced(self.client().await?, namespace);
        Ok(pods
            .get(pod)
            .await
            .map_err(Error::api("get a pod"))?
            .metadata
            .uid
            .unwrap_or_default())
    }
}
