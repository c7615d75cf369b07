//! Kinds beside those of apps/v1, on a real API server: with definitions made for the test, and Jobs by their controller.

mod cronjobs;
mod custom;
mod denied;
mod jobs;
mod rollouts;

pub(crate) use cronjobs::cron_job;
pub(crate) use jobs::job;

use std::sync::atomic::{AtomicU32, Ordering};

use afresh_testbed::Cluster;
use anyhow::Result;
use serde_json::{Value, json};

use crate::manifests::{variables, workload};
use crate::program::until;
use crate::rights::granted;
use crate::world::World;

static GROUPS: AtomicU32 = AtomicU32::new(0);

/// What a kind needs to be served and used.
pub(crate) struct Defined {
    group: String,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
}

impl Defined {
    pub(crate) fn argo() -> Self {
        Self::new("argoproj.io", "v1alpha1", "Rollout", "rollouts")
    }

    pub(crate) fn openshift() -> Self {
        Self::new("apps.openshift.io", "v1", "DeploymentConfig", "deploymentconfigs")
    }

    /// A kind that no other test has.
    fn own() -> Self {
        let group = format!("kinds-{}.example.org", GROUPS.fetch_add(1, Ordering::Relaxed));
        Self::new(&group, "v1beta1", "Web", "webbies")
    }

    fn new(group: &str, version: &'static str, kind: &'static str, plural: &'static str) -> Self {
        Self {
            group: group.to_owned(),
            version,
            kind,
            plural,
        }
    }

    fn crd(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }

    /// As the real ones: what is in a template is kept, whatever it is.
    pub(crate) async fn define(&self, cluster: &Cluster) -> Result<()> {
        let open = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        self.define_with(cluster, &json!({ "spec": open, "status": open }))
            .await
    }

    async fn define_with(&self, cluster: &Cluster, properties: &Value) -> Result<()> {
        Ok(cluster.define(&self.definition(properties)).await?)
    }

    fn definition(&self, properties: &Value) -> Value {
        let names = json!({ "plural": self.plural, "singular": self.kind.to_lowercase(), "kind": self.kind });
        let schema = json!({ "openAPIV3Schema": { "type": "object", "properties": properties } });
        let version = json!({ "name": self.version, "served": true, "storage": true, "schema": schema,
            "subresources": { "status": {} } });
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": self.crd() },
            "spec": { "group": self.group, "scope": "Namespaced", "names": names, "versions": [version] },
        })
    }

    async fn undefine(&self, cluster: &Cluster) -> Result<()> {
        Ok(cluster.undefine(&self.definition(&json!({}))).await?)
    }

    /// An object of the kind with a template, opted in.
    pub(crate) fn object(&self, name: &str, config_map: &str) -> Value {
        let mut object = workload("Deployment", name, 1, variables(config_map), &json!({}));
        object["apiVersion"] = json!(format!("{}/{}", self.group, self.version));
        object["kind"] = json!(self.kind);
        object
    }

    /// The ServiceAccount may do with it what it may do with Deployments.
    async fn grant(&self, world: &World<'_>) -> Result<()> {
        let rule = json!({ "apiGroups": [self.group], "resources": [self.plural], "verbs": ["get", "list", "watch", "patch"] });
        grant(world, &self.crd(), &[rule]).await?;
        let last = format!("patch {}/{}", self.group, self.plural);
        granted(&world.account, &[&last], Some(&world.namespace)).await
    }

    async fn get(&self, world: &World<'_>, name: &str) -> Result<Value> {
        let (group, version, plural) = (&self.group, self.version, self.plural);
        world
            .get(&format!(
                "/apis/{group}/{version}/namespaces/{}/{plural}/{name}",
                world.namespace
            ))
            .await
    }

    pub(crate) async fn adopted(&self, world: &World<'_>, name: &str) -> Result<Value> {
        let look = async || self.get(world, name).await;
        until(&format!("{} {name} adopted", self.kind), look, |object| {
            applied(object).is_string()
        })
        .await
    }

    /// Waits for another template and returns the object.
    pub(crate) async fn rolled(&self, world: &World<'_>, name: &str, before: &Value) -> Result<Value> {
        let look = async || self.get(world, name).await;
        until(&format!("{} {name} rolled", self.kind), look, |object| {
            config(object) != config(before)
        })
        .await
    }

    fn flag(&self) -> String {
        format!("{}/{}/{}=spec.template", self.group, self.version, self.kind)
    }
}

fn config(object: &Value) -> &Value {
    &object["spec"]["template"]["metadata"]["annotations"]["afresh.dev/config"]
}

async fn grant(world: &World<'_>, name: &str, rules: &[Value]) -> Result<()> {
    let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": name },
        "rules": rules });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
        "subjects": [{ "kind": "ServiceAccount", "name": "afresh", "namespace": world.own }],
    });
    world.apply(&[role, binding]).await
}

async fn world(prefix: &str) -> Result<World<'static>> {
    World::namespaced(Cluster::shared_with_controllers().await?, prefix).await
}

/// With the rights on Jobs and CronJobs that `deploy/namespaced` has components for.
async fn with_work(prefix: &str) -> Result<World<'static>> {
    World::with_work(Cluster::shared_with_controllers().await?, prefix).await
}

fn applied(object: &Value) -> &Value {
    &object["metadata"]["annotations"]["afresh.dev/applied"]
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

/// An object of batch/v1.
async fn batch(world: &World<'_>, plural: &str, name: &str) -> Result<Value> {
    let path = format!("/apis/batch/v1/namespaces/{}/{plural}/{name}", world.namespace);
    world.get(&path).await
}

async fn all_jobs(world: &World<'_>) -> Result<Vec<Value>> {
    world
        .list(&format!("/apis/batch/v1/namespaces/{}/jobs", world.namespace))
        .await
}
