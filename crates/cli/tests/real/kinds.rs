//! Kinds beside those of apps/v1, on a real API server: with definitions made for the test, and Jobs by their controller.

use std::sync::atomic::{AtomicU32, Ordering};

use afresh_testbed::{Cluster, eventually};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::manifests::{deployment, variables, workload};
use crate::program::LONG;
use crate::world::World;

static GROUPS: AtomicU32 = AtomicU32::new(0);

/// What a kind needs to be served and used.
struct Defined {
    group: String,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
}

impl Defined {
    fn argo() -> Self {
        Self::new("argoproj.io", "v1alpha1", "Rollout", "rollouts")
    }

    fn openshift() -> Self {
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
    async fn define(&self, cluster: &Cluster) -> Result<()> {
        let open = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        self.define_with(cluster, &json!({ "spec": open, "status": open }))
            .await
    }

    async fn define_with(&self, cluster: &Cluster, properties: &Value) -> Result<()> {
        let names = json!({ "plural": self.plural, "singular": self.kind.to_lowercase(), "kind": self.kind });
        let schema = json!({ "openAPIV3Schema": { "type": "object", "properties": properties } });
        let version = json!({ "name": self.version, "served": true, "storage": true, "schema": schema,
            "subresources": { "status": {} } });
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": self.crd() },
            "spec": { "group": self.group, "scope": "Namespaced", "names": names, "versions": [version] },
        });
        cluster.apply(&crd.to_string()).await?;
        let established = format!("crd/{}", self.crd());
        let wait = ["wait", "--for=condition=Established", &established, "--timeout=60s"];
        cluster.kubectl(&wait).await?;
        Ok(())
    }

    async fn undefine(&self, cluster: &Cluster) -> Result<()> {
        cluster
            .kubectl(&["delete", "crd", &self.crd(), "--timeout=60s"])
            .await?;
        Ok(())
    }

    /// An object of the kind with a template, opted in.
    fn object(&self, name: &str, config_map: &str) -> Value {
        let mut object = workload("Deployment", name, 1, variables(config_map), &json!({}));
        object["apiVersion"] = json!(format!("{}/{}", self.group, self.version));
        object["kind"] = json!(self.kind);
        object
    }

    /// The ServiceAccount may do with it what it may do with Deployments.
    async fn grant(&self, world: &World<'_>) -> Result<()> {
        let rule = json!({ "apiGroups": [self.group], "resources": [self.plural], "verbs": ["get", "list", "watch", "patch"] });
        grant(world, &self.crd(), &[rule]).await
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

    async fn adopted(&self, world: &World<'_>, name: &str) -> Result<Value> {
        let look = async || {
            let object = self.get(world, name).await?;
            let applied = object["metadata"]["annotations"]["afresh.dev/applied"].is_string();
            anyhow::Ok(applied.then_some(object))
        };
        eventually(&format!("{} {name} adopted", self.kind), LONG, look).await
    }

    /// Waits for another template and returns the object.
    async fn rolled(&self, world: &World<'_>, name: &str, before: &Value) -> Result<Value> {
        let look = async || {
            let object = self.get(world, name).await?;
            anyhow::Ok((config(&object) != config(before)).then_some(object))
        };
        eventually(&format!("{} {name} rolled", self.kind), LONG, look).await
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

#[tokio::test]
async fn rollouts_deployment_configs_and_kinds_of_ones_own_roll_once_and_keep_everything_else() -> Result<()> {
    let world = world("kinds").await?;
    let own = Defined::own();
    let kinds = [Defined::argo(), Defined::openshift(), own];
    for kind in &kinds {
        kind.define(world.cluster).await?;
    }
    kinds[2].grant(&world).await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    for kind in &kinds {
        let mut object = kind.object("web", "settings");
        if kind.kind == "DeploymentConfig" {
            object["spec"]["selector"] = json!({ "app": "web" });
        }
        object["spec"]["strategy"] = json!({ "canary": { "steps": [{ "setWeight": 20 }] } });
        object["spec"]["unknownToEverybody"] = json!({ "kept": [1, 2] });
        world.apply(&[object]).await?;
    }
    let controller = world.only_controller(&["--workload", &kinds[2].flag()]).await?;
    let mut before = Vec::new();
    for kind in &kinds {
        before.push(kind.adopted(&world, "web").await?);
    }
    world.rest(&controller).await?;

    world.config_map("settings", json!({ "level": "debug" })).await?;
    for (kind, before) in kinds.iter().zip(&before) {
        let after = kind.rolled(&world, "web", before).await?;
        let mut spec = after["spec"].clone();
        spec["template"]["metadata"]
            .as_object_mut()
            .context("no metadata")?
            .remove("annotations");
        assert_eq!(spec, before["spec"], "{}: nothing but one annotation", kind.kind);
    }
    world.rest(&controller).await?;
    for (kind, before) in kinds.iter().zip(&before) {
        let generation = |object: &Value| object["metadata"]["generation"].as_u64();
        let after = kind.get(&world, "web").await?;
        assert_eq!(
            generation(&after),
            generation(before).map(|old| old + 1),
            "{}",
            kind.kind
        );
    }
    assert_eq!(world.refused()?, Vec::<String>::new());
    Ok(())
}

/// Reloader looks for definitions once, when it starts.
#[tokio::test]
async fn a11_a_definition_that_comes_goes_and_comes_again_needs_no_restart() -> Result<()> {
    let world = world("late").await?;
    let own = Defined::own();
    own.grant(&world).await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    world.apply(&[deployment("web", variables("settings"))]).await?;
    let controller = world.only_controller(&["--workload", &own.flag()]).await?;
    // Nobody waits for what is not there.
    world.adopted("Deployment", "web").await?;

    for round in 1..=2 {
        own.define(world.cluster).await?;
        world.apply(&[own.object("web", "settings")]).await?;
        let before = own.adopted(&world, "web").await?;
        world
            .config_map("settings", json!({ "level": round.to_string() }))
            .await?;
        own.rolled(&world, "web", &before).await?;
        own.undefine(world.cluster).await?;
        let emptied = async || {
            let state = controller.state().await?;
            let mut watches = state["watches"].as_array().into_iter().flatten();
            anyhow::Ok(
                watches
                    .any(|watch| watch["kind"] == "web" && watch["phase"] == "absent")
                    .then_some(()),
            )
        };
        eventually("a kind that is gone", LONG, emptied).await?;
    }
    world.rolled("Deployment", "web", 2).await
}

/// Reloader writes the whole of a typed object, less what its types do not know.
#[tokio::test]
async fn b15_a_definition_that_drops_annotations_of_its_template_is_told_and_never_taken_as_rolled() -> Result<()> {
    let world = world("pruned").await?;
    let own = Defined::own();
    let open = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let template = json!({ "type": "object", "properties": { "metadata": { "type": "object" }, "spec": open } });
    let replicas = json!({ "type": "integer" });
    let spec =
        json!({ "type": "object", "properties": { "template": template, "selector": open, "replicas": replicas } });
    own.define_with(world.cluster, &json!({ "spec": spec })).await?;
    own.grant(&world).await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    let mut web = own.object("web", "settings");
    web["spec"]["template"]["metadata"] = json!({});
    world.apply(&[web, deployment("other", variables("settings"))]).await?;
    let controller = world.only_controller(&["--workload", &own.flag()]).await?;
    let before = own.adopted(&world, "web").await?;
    world.adopted("Deployment", "other").await?;

    world.config_map("settings", json!({ "level": "debug" })).await?;
    world.rolled("Deployment", "other", 1).await?;
    let told = async || {
        anyhow::Ok(
            controller
                .logged()
                .contains("drops annotations of spec.template")
                .then_some(()),
        )
    };
    eventually("the reason", LONG, told).await?;
    let applied = |object: &Value| object["metadata"]["annotations"]["afresh.dev/applied"].clone();
    assert_eq!(
        applied(&own.get(&world, "web").await?),
        applied(&before),
        "it is not done"
    );
    Ok(())
}

#[tokio::test]
async fn a_rollout_with_a_borrowed_template_is_restarted_once_and_follows_that_template() -> Result<()> {
    let world = world("borrowed").await?;
    let argo = Defined::argo();
    argo.define(world.cluster).await?;
    world.config_map("one", json!({ "level": "info" })).await?;
    world.config_map("two", json!({ "level": "info" })).await?;
    let mut lender = workload(
        "Deployment",
        "lender",
        0,
        variables("one"),
        &json!({ "afresh.dev/reload": "off" }),
    );
    world.apply(&[lender.clone()]).await?;
    let rollout = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": { "name": "web", "annotations": { "afresh.dev/reload": "auto" } },
        "spec": { "workloadRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "lender" } },
    });
    world.apply(&[rollout]).await?;
    let controller = world.only_controller(&[]).await?;
    let before = argo.adopted(&world, "web").await?;
    // Two changes within one second are one restart, so it is the record that tells them apart.
    let restarted = async |last: &Value| {
        let applied = |object: &Value| object["metadata"]["annotations"]["afresh.dev/applied"].clone();
        let look = async || {
            let object = argo.get(&world, "web").await?;
            let is_new = applied(&object) != applied(last) && object["spec"]["restartAt"].is_string();
            anyhow::Ok(is_new.then_some(object))
        };
        eventually("a restart", LONG, look).await
    };

    world.config_map("one", json!({ "level": "debug" })).await?;
    let first = restarted(&before).await?;
    world.rest(&controller).await?;
    let now = argo.get(&world, "web").await?;
    assert_eq!(now["spec"]["restartAt"], first["spec"]["restartAt"], "once");
    assert_eq!(now["spec"]["template"], Value::Null, "it still has none of its own");

    lender["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{ "configMapRef": { "name": "two" } }]);
    world.apply(&[lender]).await?;
    let follows = async || {
        let object = argo.get(&world, "web").await?;
        let applied = object["metadata"]["annotations"]["afresh.dev/applied"]
            .as_str()
            .unwrap_or_default();
        anyhow::Ok(applied.contains("configmap/two").then_some(()))
    };
    eventually("a record of what the new template uses", LONG, follows).await?;
    world.rest(&controller).await?;
    let last = argo.get(&world, "web").await?;
    world.config_map("two", json!({ "level": "debug" })).await?;
    let at = |object: &Value| object["spec"]["restartAt"].as_str().unwrap_or_default().to_owned();
    let next = restarted(&last).await?;
    assert!(at(&next) >= at(&last), "{} and then {}", at(&last), at(&next));
    Ok(())
}

fn job(name: &str, config_map: &str, annotations: &Value) -> Value {
    let mut spec = variables(config_map).pod_spec();
    spec["restartPolicy"] = json!("Never");
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name, "annotations": annotations },
        "spec": { "template": { "metadata": { "labels": { "app": name } }, "spec": spec } },
    })
}

async fn may_make_jobs(world: &World<'_>) -> Result<()> {
    let verbs = ["get", "list", "watch", "create", "delete", "patch"];
    let jobs = json!({ "apiGroups": ["batch"], "resources": ["jobs"], "verbs": verbs });
    grant(world, "jobs", &[jobs]).await
}

async fn get_job(world: &World<'_>, name: &str) -> Result<Value> {
    world
        .get(&format!("/apis/batch/v1/namespaces/{}/jobs/{name}", world.namespace))
        .await
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

async fn job_adopted(world: &World<'_>, name: &str) -> Result<Value> {
    let look = async || {
        let job = get_job(world, name).await?;
        let applied = job["metadata"]["annotations"]["afresh.dev/applied"].is_string();
        anyhow::Ok(applied.then_some(job))
    };
    eventually(&format!("job {name} adopted"), LONG, look).await
}

async fn made_again(world: &World<'_>, name: &str, before: &Value) -> Result<Value> {
    let look = async || {
        let job = get_job(world, name).await.ok();
        anyhow::Ok(job.filter(|job| uid(job) != uid(before)))
    };
    eventually(&format!("job {name} made again"), LONG, look).await
}

/// One that runs, one with a selector of its own, and four that are to be left alone; one of those has ended.
async fn all_sorts_of_jobs(world: &World<'_>) -> Result<()> {
    let roll = json!({ "afresh.dev/reload": "roll" });
    let hook = json!({ "afresh.dev/reload": "roll", "helm.sh/hook": "pre-install" });
    let mut ended = job("ended", "settings", &roll);
    ended["spec"]["activeDeadlineSeconds"] = json!(1);
    let mut scheduled = job("scheduled", "settings", &roll);
    scheduled["metadata"]["ownerReferences"] =
        json!([{ "apiVersion": "batch/v1", "kind": "CronJob", "name": "c", "uid": "c", "controller": true }]);
    let auto = job("auto", "settings", &json!({ "afresh.dev/reload": "auto" }));
    let mut own_selector = job("selecting", "settings", &roll);
    own_selector["spec"]["manualSelector"] = json!(true);
    own_selector["spec"]["selector"] = json!({ "matchLabels": { "app": "selecting" } });
    let running = job("running", "settings", &roll);
    world
        .apply(&[
            running,
            own_selector,
            auto,
            job("hook", "settings", &hook),
            ended,
            scheduled,
        ])
        .await?;
    let over = async || {
        let job = get_job(world, "ended").await?;
        let mut conditions = job["status"]["conditions"].as_array().into_iter().flatten();
        anyhow::Ok(conditions.any(|condition| condition["type"] == "Failed").then_some(()))
    };
    eventually("a Job that has ended", LONG, over).await?;
    Ok(())
}

/// Reloader runs completed Jobs, CronJobs' Jobs and Helm's hooks again.
#[tokio::test]
async fn b4_only_a_job_that_runs_and_asks_for_it_is_made_again() -> Result<()> {
    let world = world("jobs").await?;
    may_make_jobs(&world).await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    all_sorts_of_jobs(&world).await?;
    let controller = world.only_controller(&["--workloads", "job"]).await?;
    let running = job_adopted(&world, "running").await?;
    let selecting = job_adopted(&world, "selecting").await?;
    let mut others = Vec::new();
    for name in ["auto", "hook", "ended"] {
        others.push((name, uid(&get_job(&world, name).await?)));
    }

    world.config_map("settings", json!({ "level": "debug" })).await?;
    let next = made_again(&world, "running", &running).await?;
    made_again(&world, "selecting", &selecting).await?;
    world.rest(&controller).await?;

    assert_eq!(
        next["metadata"]["annotations"]["afresh.dev/replaces"],
        running["metadata"]["uid"]
    );
    assert_eq!(next["spec"]["template"]["spec"], running["spec"]["template"]["spec"]);
    assert_eq!(uid(&get_job(&world, "running").await?), uid(&next), "once");
    for (name, before) in others {
        assert_eq!(uid(&get_job(&world, name).await?), before, "{name} is left alone");
    }
    controller.kill().await?;
    let second = world.only_controller(&["--workloads", "job"]).await?;
    world.rest(&second).await?;
    assert_eq!(
        uid(&get_job(&world, "running").await?),
        uid(&next),
        "nor by the next one"
    );
    assert_eq!(world.refused()?, Vec::<String>::new());
    Ok(())
}

/// Reloader deletes first and finds out then whether it may create.
#[tokio::test]
async fn a12_a_job_that_could_not_be_made_again_is_not_deleted() -> Result<()> {
    let world = world("kept").await?;
    may_make_jobs(&world).await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    let roll = json!({ "afresh.dev/reload": "roll" });
    world
        .apply(&[job("work", "settings", &roll), job("other", "settings", &roll)])
        .await?;
    deny(
        &world,
        "jobs",
        "batch",
        &["CREATE"],
        "!object.metadata.name.startsWith('work')",
    )
    .await?;
    let controller = world.only_controller(&["--workloads", "job"]).await?;
    let work = job_adopted(&world, "work").await?;
    let other = job_adopted(&world, "other").await?;

    world.config_map("settings", json!({ "level": "debug" })).await?;
    made_again(&world, "other", &other).await?;
    let told = async || anyhow::Ok(controller.logged().contains("denied by the test").then_some(()));
    eventually("the refusal", LONG, told).await?;
    assert_eq!(uid(&get_job(&world, "work").await?), uid(&work));

    allow(&world, "jobs").await?;
    made_again(&world, "work", &work).await?;
    Ok(())
}

/// A policy of the API server that refuses what `allowed` does not hold for, in this namespace. It stands for a webhook
/// that denies: to the controller both are the same answer.
async fn deny(world: &World<'_>, resource: &str, group: &str, operations: &[&str], allowed: &str) -> Result<()> {
    let name = format!("{}-{resource}", world.namespace);
    let rules =
        json!([{ "apiGroups": [group], "apiVersions": ["v1"], "operations": operations, "resources": [resource] }]);
    let label = json!({ "matchLabels": { "kubernetes.io/metadata.name": world.namespace } });
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": { "name": name },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": { "resourceRules": rules },
            "matchConditions": [{ "name": "afresh", "expression": "request.userInfo.username.endsWith(':afresh')" }],
            "validations": [{ "expression": allowed, "message": "denied by the test" }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": name },
        "spec": { "policyName": name, "validationActions": ["Deny"], "matchResources": { "namespaceSelector": label } },
    });
    for object in [policy, binding] {
        world.cluster.apply(&object.to_string()).await?;
    }
    // A policy is in force some time after it is there.
    let probe = world.account.client().await?;
    let in_force = async || {
        let body = json!({ "metadata": { "annotations": { "probe": "x" } } });
        anyhow::Ok(match denied_probe(world, &probe, resource, group, &body).await? {
            true => Some(()),
            false => None,
        })
    };
    eventually("a policy in force", LONG, in_force).await
}

/// Whether the policy refuses a dry run of what it is against.
async fn denied_probe(
    world: &World<'_>,
    client: &kube::Client,
    resource: &str,
    group: &str,
    body: &Value,
) -> Result<bool> {
    let collection = format!("/apis/{group}/v1/namespaces/{}/{resource}", world.namespace);
    let request = if resource == "jobs" {
        let probe = job("work-probe", "settings", &json!({}));
        http::Request::post(format!("{collection}?dryRun=All"))
            .header("content-type", "application/json")
            .body(probe.to_string().into_bytes())?
    } else {
        http::Request::patch(format!("{collection}/denied?dryRun=All"))
            .header("content-type", "application/merge-patch+json")
            .body(body.to_string().into_bytes())?
    };
    match client.request::<Value>(request).await {
        Ok(_) => Ok(false),
        Err(kube::Error::Api(status)) => Ok(status.message.contains("denied by the test")),
        Err(error) => Err(error.into()),
    }
}

async fn allow(world: &World<'_>, resource: &str) -> Result<()> {
    let name = format!("{}-{resource}", world.namespace);
    let delete = ["delete", "validatingadmissionpolicybinding", &name];
    world.cluster.kubectl(&delete).await?;
    Ok(())
}

/// Reloader's first refusal ends the work on all that come after it, and after six tries it gives up.
#[tokio::test]
async fn a2_a_workload_that_is_denied_delays_no_other_and_is_tried_until_it_works() -> Result<()> {
    let world = world("denied").await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    let others: Vec<String> = (0..5).map(|number| format!("z-{number}")).collect();
    let names = others.iter().map(String::as_str).chain(["denied"]);
    let all: Vec<Value> = names.map(|name| deployment(name, variables("settings"))).collect();
    world.apply(&all).await?;
    let controller = world.only_controller(&["--concurrency", "1"]).await?;
    for name in others.iter().map(String::as_str).chain(["denied"]) {
        world.adopted("Deployment", name).await?;
    }
    deny(
        &world,
        "deployments",
        "apps",
        &["UPDATE"],
        "object.metadata.name != 'denied'",
    )
    .await?;

    world.config_map("settings", json!({ "level": "debug" })).await?;
    for name in &others {
        world.rolled("Deployment", name, 1).await?;
    }
    let failures = async |wanted: u64| {
        let look = async || {
            let state = controller.state().await?;
            let mut waiting = state["engine"]["waiting"].as_array().into_iter().flatten();
            let denied = waiting.find(|entry| entry["workload"].as_str().is_some_and(|name| name.ends_with("/denied")));
            let failures = denied.and_then(|entry| entry["failures"].as_u64()).unwrap_or(0);
            anyhow::Ok((failures >= wanted).then_some(()))
        };
        eventually(&format!("{wanted} failures"), LONG, look).await
    };
    failures(4).await?;
    assert_eq!(world.rolls("Deployment", "denied").await?, 0);
    // Meanwhile others change, and gone ones are no trouble.
    world
        .cluster
        .kubectl(&["delete", "deployment", "z-0", "--namespace", &world.namespace])
        .await?;
    world.config_map("settings", json!({ "level": "trace" })).await?;
    for name in &others[1..] {
        world.rolled("Deployment", name, 2).await?;
    }

    allow(&world, "deployments").await?;
    world.rolled("Deployment", "denied", 1).await?;
    world.rest(&controller).await?;
    assert_eq!(
        world.rolls("Deployment", "denied").await?,
        1,
        "straight to the last content"
    );
    Ok(())
}
