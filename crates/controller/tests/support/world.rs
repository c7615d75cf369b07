//! A small world for tests: a sandbox, a controller in it, and short words for what is looked at.

use std::time::Duration;

use afresh_controller::{Config, run};
use afresh_sandbox::{Filter, Options, Patch, Sandbox, Verb};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// A sandbox with a controller in it.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) config: Config,
    controller: Option<JoinHandle<()>>,
}

impl World {
    pub(crate) async fn start() -> Self {
        let sandbox = Sandbox::start(&Options::default());
        for namespace in ["prod", "afresh"] {
            sandbox
                .create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))
                .unwrap();
        }
        let config = Config::new("afresh".parse().unwrap(), "afresh-digest-key".parse().unwrap());
        let mut world = Self {
            sandbox,
            config,
            controller: None,
        };
        world.restart();
        world.settle().await;
        world
    }

    pub(crate) fn restart(&mut self) {
        self.kill();
        let client = kube::Client::new(self.sandbox.service(), "default");
        let config = self.config.clone();
        self.controller = Some(tokio::spawn(async move {
            run(client, config, std::future::pending())
                .await
                .expect("it runs until it is killed");
        }));
    }

    /// As by SIGKILL: its future is dropped wherever it is.
    pub(crate) fn kill(&mut self) {
        if let Some(task) = self.controller.take() {
            task.abort();
        }
    }

    /// Lets everything come to rest.
    pub(crate) async fn settle(&self) {
        self.settle_for(Duration::from_secs(30)).await;
    }

    pub(crate) async fn settle_for(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    pub(crate) fn create(&self, object: Value) {
        self.sandbox.create(object).unwrap();
    }

    pub(crate) fn configmap(&self, name: &str, data: Value) {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": "prod", "name": name}, "data": data});
        self.sandbox.apply(object).unwrap();
    }

    /// How many templates the Deployment has had. (Its generation counts changed annotations too.)
    pub(crate) fn revision(&self, name: &str) -> String {
        let deployment = self.sandbox.get("deployments", "prod", name).unwrap();
        deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Names of the pods that are not going away, sorted.
    pub(crate) fn pods(&self, app: &str) -> Vec<String> {
        let pods = self.sandbox.list("pods", "prod").into_iter();
        let own = pods.filter(|pod| {
            pod["metadata"]["labels"]["app"] == app && pod["metadata"].get("deletionTimestamp").is_none()
        });
        own.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(crate) fn touches(&self) -> usize {
        self.sandbox
            .log()
            .succeeded(&Filter::verb(Verb::Patch).resource("pods").subresource("status"))
    }

    #[allow(dead_code)]
    pub(crate) fn patch(&self, resource: &str, name: &str, body: Value) {
        self.sandbox.patch(resource, "prod", name, &Patch::Merge(body)).unwrap();
    }
}

/// An opted-in Deployment of two replicas in namespace `prod`.
pub(crate) fn deployment(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"namespace": "prod", "name": name, "annotations": {"afresh.dev/reload": "auto"}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec}}})
}

pub(crate) fn env_from(configmap: &str) -> Value {
    json!({"containers": [{"name": "app", "image": "app", "envFrom": [{"configMapRef": {"name": configmap}}]}]})
}

pub(crate) fn mounted(configmap: &str) -> Value {
    json!({"containers": [{"name": "app", "image": "app", "volumeMounts": [{"name": "c", "mountPath": "/etc/web"}]}],
        "volumes": [{"name": "c", "configMap": {"name": configmap}}]})
}
