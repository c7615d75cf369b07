//! A namespace with Afresh installed for it, and what tests do and see there.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use afresh_testbed::{Access, Cluster, eventually};
use anyhow::{Context as _, Result};
use kube::Client;
use serde_json::{Value, json};

use crate::install::{self, NO_PODS};
use crate::program::{Controller, Fence, LONG, at_rest, until};
use crate::rights::{self, granted};

static LOGS: AtomicU32 = AtomicU32::new(0);

/// One namespace, seen by an administrator, and the ServiceAccount that the controller is.
pub(crate) struct World<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// The ServiceAccount of the installation.
    pub(crate) account: Access,
    /// The namespace of the installation.
    pub(crate) own: String,
    scope: Vec<String>,
    /// Without a right to Jobs and CronJobs.
    workless: bool,
}

/// The components of `deploy/` for Jobs and CronJobs, in one namespace.
const WORK: &str = "components: [deploy/namespaced/jobs, deploy/namespaced/cron-jobs]\n";

impl<'a> World<'a> {
    /// A namespace of its own with `deploy/namespaced` in it, without pods.
    pub(crate) async fn namespaced(cluster: &'a Cluster, prefix: &str) -> Result<Self> {
        let workless = true;
        Ok(Self {
            workless,
            ..Self::with_components(cluster, prefix, "", &[]).await?
        })
    }

    /// The same with its components for Jobs and CronJobs.
    pub(crate) async fn with_work(cluster: &'a Cluster, prefix: &str) -> Result<Self> {
        Self::with_components(cluster, prefix, WORK, &rights::WORK).await
    }

    async fn with_components(cluster: &'a Cluster, prefix: &str, components: &str, more: &[&str]) -> Result<Self> {
        let namespace = cluster.namespace(prefix).await?;
        let overlay = format!("namespace: {namespace}\nresources: [deploy/namespaced]\n{components}{NO_PODS}");
        install::apply(cluster, &namespace, &overlay).await?;
        let scope = vec!["--namespace".to_owned(), namespace.clone()];
        let world = Self::new(cluster, namespace.clone(), namespace, scope).await?;
        let rights = [&[rights::OWN, rights::ROLE], more].concat();
        granted(&world.account, &rights, Some(&world.namespace)).await?;
        Ok(world)
    }

    /// A namespace of its own in a cluster in which `deploy/` is installed for all, without pods.
    pub(crate) async fn cluster_wide(cluster: &'a Cluster, prefix: &str) -> Result<Self> {
        let overlay = format!("resources: [deploy]\n{NO_PODS}");
        Self::everywhere(cluster, prefix, ("cluster", &overlay), &[]).await
    }

    /// The same with the components for Jobs and CronJobs, which stay: no test may count on their rights being wanting.
    pub(crate) async fn cluster_wide_with_work(cluster: &'a Cluster, prefix: &str) -> Result<Self> {
        let components = "components: [deploy/components/jobs, deploy/components/cron-jobs]\n";
        let overlay = format!("resources: [deploy]\n{components}{NO_PODS}");
        Self::everywhere(cluster, prefix, ("cluster-work", &overlay), &rights::WORK).await
    }

    async fn everywhere(cluster: &'a Cluster, prefix: &str, overlay: (&str, &str), more: &[&str]) -> Result<Self> {
        install::apply_for_all(cluster, overlay.0, overlay.1).await?;
        let world = Self::beside(cluster, prefix).await?;
        granted(&world.account, &[rights::OWN], Some(&world.own)).await?;
        granted(&world.account, &[&[rights::ROLE], more].concat(), None).await?;
        Ok(world)
    }

    /// A namespace of its own in a cluster where the controller runs already, for all.
    pub(crate) async fn beside(cluster: &'a Cluster, prefix: &str) -> Result<Self> {
        let namespace = cluster.namespace(prefix).await?;
        Self::new(cluster, namespace, "afresh".to_owned(), Vec::new()).await
    }

    /// A namespace of its own with no more than Reloader's chart grants there, in its namespaced form: workloads may be
    /// listed and not watched, pods not even listed, no Secret written.
    pub(crate) async fn with_reloaders_rights(cluster: &'a Cluster, prefix: &str) -> Result<Self> {
        let namespace = cluster.namespace(prefix).await?;
        cluster.apply(&rights::of_reloader(&namespace).to_string()).await?;
        let world = Self::new(cluster, namespace.clone(), namespace, Vec::new()).await?;
        let of_each_role = ["list /secrets", "create /configmaps"];
        granted(&world.account, &of_each_role, Some(&world.namespace)).await?;
        Ok(world)
    }

    async fn new(cluster: &'a Cluster, namespace: String, own: String, scope: Vec<String>) -> Result<Self> {
        let account = cluster.service_account(&own, "afresh").await?;
        Ok(Self {
            cluster,
            client: cluster.client().await?,
            namespace,
            account,
            own,
            scope,
            workless: false,
        })
    }

    /// Forgets connections that an API server took with it.
    pub(crate) async fn reconnect(&mut self) -> Result<()> {
        self.client = self.cluster.client().await?;
        Ok(())
    }

    fn controller_log(&self) -> PathBuf {
        let name = format!("afresh-{}.log", LOGS.fetch_add(1, Ordering::Relaxed));
        self.cluster.directory().join("logs").join(name)
    }

    /// A controller, ready.
    pub(crate) async fn controller(&self, flags: &[&str]) -> Result<Controller> {
        let scope = self.scope.iter().map(String::as_str);
        let flags: Vec<_> = scope.chain(flags.iter().copied()).collect();
        Controller::start(&self.account, &self.own, self.controller_log(), &flags).await
    }

    /// The one controller there is: it leads at once.
    pub(crate) async fn only_controller(&self, flags: &[&str]) -> Result<Controller> {
        let flags: Vec<_> = ["--leader-elect=false"]
            .into_iter()
            .chain(flags.iter().copied())
            .collect();
        self.controller(&flags).await
    }

    /// `afresh reloader` in Reloader's place, without replicas.
    pub(crate) async fn reloader(&self, flags: &[&str]) -> Result<Controller> {
        // `deploy/namespaced` grants nothing on Jobs and CronJobs.
        let left_out = self.workless.then_some("--ignored-workload-types=jobs,cronjobs");
        let flags: Vec<_> = left_out.into_iter().chain(flags.iter().copied()).collect();
        Controller::reloader(&self.account, &self.namespace, self.controller_log(), &flags).await
    }

    /// `kubectl apply` of objects in the namespace, in one go.
    pub(crate) async fn apply(&self, objects: &[Value]) -> Result<()> {
        let mut objects = objects.to_vec();
        for object in &mut objects {
            object["metadata"]["namespace"] = json!(self.namespace);
        }
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        self.cluster.apply(&list.to_string()).await?;
        Ok(())
    }

    /// Writes a ConfigMap and returns its revision.
    pub(crate) async fn config_map(&self, name: &str, data: Value) -> Result<u64> {
        self.write("ConfigMap", "configmaps", name, json!({ "data": data }))
            .await
    }

    /// Writes a Secret and returns its revision.
    pub(crate) async fn secret(&self, name: &str, data: Value) -> Result<u64> {
        self.write("Secret", "secrets", name, json!({ "stringData": data }))
            .await
    }

    /// By server-side apply: made or changed, whatever it was.
    async fn write(&self, kind: &str, resource: &str, name: &str, mut body: Value) -> Result<u64> {
        body["apiVersion"] = json!("v1");
        body["kind"] = json!(kind);
        body["metadata"] = json!({ "name": name });
        let path = format!("{}?fieldManager=test&force=true", self.core(resource, name));
        let request = http::Request::patch(path).header("content-type", "application/apply-patch+yaml");
        let written: Value = self
            .client
            .request(request.body(body.to_string().into_bytes())?)
            .await?;
        revision_of(&written)
    }

    /// The path of a core resource of the namespace.
    pub(crate) fn core(&self, resource: &str, name: &str) -> String {
        format!("/api/v1/namespaces/{}/{resource}/{name}", self.namespace)
    }

    fn apps(&self, kind: &str, name: &str) -> String {
        let resource = format!("{}s", kind.to_lowercase());
        format!("/apis/apps/v1/namespaces/{}/{resource}/{name}", self.namespace)
    }

    /// Reads any path.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        let request = http::Request::get(path).body(Vec::new())?;
        self.client.request(request).await.with_context(|| path.to_owned())
    }

    /// The items of a list.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut list = self.get(path).await?;
        let items = list["items"].as_array_mut().map(std::mem::take);
        Ok(items.unwrap_or_default())
    }

    /// A workload as it is.
    pub(crate) async fn workload(&self, kind: &str, name: &str) -> Result<Value> {
        self.get(&self.apps(kind, name)).await
    }

    /// Waits until Afresh has written down what the workload is up to.
    pub(crate) async fn adopted(&self, kind: &str, name: &str) -> Result<()> {
        let look = async || {
            let about = self.workload(kind, name).await?["metadata"].take();
            let applied = about["annotations"]["afresh.dev/applied"].is_string();
            anyhow::Ok(applied.then_some(()).ok_or(about))
        };
        eventually(&format!("{kind} {name} adopted"), LONG, look).await
    }

    /// Waits until the workload's own controller has taken notice of it.
    pub(crate) async fn observed(&self, kind: &str, name: &str) -> Result<Value> {
        let look = async || self.workload(kind, name).await;
        let is_observed = |workload: &Value| {
            let current = workload["metadata"]["generation"].as_u64();
            workload["status"]["observedGeneration"].as_u64() >= current
        };
        until(&format!("{kind} {name} observed"), look, is_observed).await
    }

    /// How often the workload's own controller was given another template: the number of its revisions, less the first.
    pub(crate) async fn rolls(&self, kind: &str, name: &str) -> Result<u64> {
        let workload = self.observed(kind, name).await?;
        if kind == "Deployment" {
            let revision = &workload["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
            let revision: u64 = revision.as_str().context("no revision")?.parse()?;
            return Ok(revision - 1);
        }
        let path = format!("/apis/apps/v1/namespaces/{}/controllerrevisions", self.namespace);
        let revisions = self.list(&path).await?;
        let owned = revisions
            .iter()
            .filter(|revision| revision["metadata"]["ownerReferences"][0]["uid"] == workload["metadata"]["uid"]);
        let newest = owned.filter_map(|revision| revision["revision"].as_u64()).max();
        Ok(newest.context("no revision")? - 1)
    }

    /// Waits until the workload was rolled so often.
    pub(crate) async fn rolled(&self, kind: &str, name: &str, times: u64) -> Result<()> {
        let look = async || {
            let rolls = self.rolls(kind, name).await?;
            let seen = match rolls < times {
                true => format!("{rolls} times: {}", self.workload(kind, name).await?["metadata"]),
                false => String::new(),
            };
            anyhow::Ok((rolls >= times).then_some(()).ok_or(seen))
        };
        eventually(&format!("{kind} {name} rolled {times} times"), LONG, look).await
    }

    /// Waits until `controller` has seen everything that was written before this call and has nothing left to do here:
    /// what it has not done then it does not do.
    pub(crate) async fn rest(&self, controller: &Controller) -> Result<()> {
        let fence = self.fence().await?;
        let look = async || {
            anyhow::Ok(match controller.state().await {
                Ok(state) if at_rest(&state, &self.namespace, fence) => Ok(()),
                Ok(state) => Err(format!("{state}\n{}", controller.last_words())),
                Err(error) => Err(format!("{error:#}\n{}", controller.last_words())),
            })
        };
        eventually("a controller at rest", LONG, look).await
    }

    /// Writes a ConfigMap and a Secret that nothing uses: who has seen both has seen what was written before.
    pub(crate) async fn fence(&self) -> Result<Fence> {
        let data = json!({ "at": LOGS.fetch_add(1, Ordering::Relaxed).to_string() });
        let config_map = self.config_map("fence", data.clone()).await?;
        Ok(Fence {
            config_map,
            secret: self.secret("fence", data).await?,
        })
    }

    /// The pods of a workload that are there to stay, by `app=NAME`.
    pub(crate) async fn pods(&self, app: &str) -> Result<Vec<Value>> {
        let path = format!("/api/v1/namespaces/{}/pods?labelSelector=app%3D{app}", self.namespace);
        let pods = self.list(&path).await?;
        let stays = |pod: &Value| pod["metadata"]["deletionTimestamp"].is_null();
        Ok(pods.into_iter().filter(stays).collect())
    }

    /// The same, as soon as there are so many of them.
    pub(crate) async fn pods_made(&self, app: &str, count: usize) -> Result<Vec<Value>> {
        let look = async || self.pods(app).await;
        until(&format!("{count} pods of {app}"), look, |pods| pods.len() == count).await
    }

    /// Waits until this one holds the Lease.
    pub(crate) async fn leads(&self, name: &str) -> Result<()> {
        let leader = async || self.leader().await;
        until(&format!("the leader {name}"), leader, |leader| leader == name)
            .await
            .map(drop)
    }

    /// Who holds the Lease.
    pub(crate) async fn leader(&self) -> Result<String> {
        let lease = self
            .get(&format!(
                "/apis/coordination.k8s.io/v1/namespaces/{}/leases/afresh",
                self.own
            ))
            .await?;
        Ok(lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
    }

    /// The notes of the Events of this reason about objects of this name.
    pub(crate) async fn told(&self, reason: &str, name: &str) -> Result<Vec<Value>> {
        let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.namespace);
        let events = self.list(&path).await?;
        let ours = |event: &&Value| event["reason"] == reason && event["regarding"]["name"] == name;
        Ok(events.iter().filter(ours).map(|event| event["note"].clone()).collect())
    }

    /// Waits for such an Event: it is written some time after what it tells of.
    pub(crate) async fn tells(&self, reason: &str, name: &str) -> Result<()> {
        let look = async || self.told(reason, name).await;
        until(&format!("an Event {reason} about {name}"), look, |told| {
            !told.is_empty()
        })
        .await
        .map(drop)
    }

    /// The Events about a workload, as kubectl shows them.
    pub(crate) async fn describe(&self, workload: &str) -> Result<String> {
        Ok(self
            .cluster
            .kubectl(&["describe", workload, "--namespace", &self.namespace])
            .await?)
    }

    /// Requests that RBAC or a policy refused to the installation.
    pub(crate) fn refused(&self) -> Result<Vec<String>> {
        let user = format!("system:serviceaccount:{}:afresh", self.own);
        let requests = self.cluster.requests(afresh_testbed::Mark::default())?;
        let refused = requests
            .into_iter()
            .filter(|request| request.user == user && request.code == 403);
        Ok(refused
            .map(|request| format!("{} {}", request.verb, request.uri))
            .collect())
    }
}

pub(crate) fn revision_of(object: &Value) -> Result<u64> {
    let version = object["metadata"]["resourceVersion"].as_str();
    Ok(version.context("no resourceVersion")?.parse()?)
}
