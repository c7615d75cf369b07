//! What the API server refuses.

use anyhow::Result;
use serde_json::{Value, json};

use super::jobs::job;
use super::world;
use crate::manifests::{deployment, variables};
use crate::program::until;
use crate::world::World;

/// Names of objects of one resource that are refused, and one of them.
pub(super) struct Denied {
    pub(super) group: &'static str,
    pub(super) resource: &'static str,
    /// `CREATE` or `UPDATE`.
    pub(super) operation: &'static str,
    /// A regular expression.
    pub(super) names: &'static str,
    /// What shows that it is in force; an object to be updated has to be there.
    pub(super) name: &'static str,
}

/// A policy of the API server that refuses what Afresh does to some objects of this namespace. It stands for a webhook
/// that denies: to the controller both are the same answer.
pub(super) async fn deny(world: &World<'_>, denied: &Denied) -> Result<()> {
    let name = format!("{}-{}", world.namespace, denied.resource);
    let rules = json!([{ "apiGroups": [denied.group], "apiVersions": ["v1"], "operations": [denied.operation],
        "resources": [denied.resource] }]);
    let label = json!({ "matchLabels": { "kubernetes.io/metadata.name": world.namespace } });
    let allowed = format!("!object.metadata.name.matches('^({})$')", denied.names);
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
    let in_force = async || is_denied(world, &probe, denied).await;
    until("a policy in force", in_force, |in_force| *in_force)
        .await
        .map(drop)
}

/// Whether the policy refuses a dry run of what it is against.
async fn is_denied(world: &World<'_>, client: &kube::Client, denied: &Denied) -> Result<bool> {
    let Denied {
        group, resource, name, ..
    } = denied;
    let collection = format!("/apis/{group}/v1/namespaces/{}/{resource}", world.namespace);
    let request = if denied.operation == "CREATE" {
        let probe = job(name, "settings", &json!({}));
        http::Request::post(format!("{collection}?dryRun=All"))
            .header("content-type", "application/json")
            .body(probe.to_string().into_bytes())?
    } else {
        let body = json!({ "metadata": { "annotations": { "probe": "x" } } });
        http::Request::patch(format!("{collection}/{name}?dryRun=All"))
            .header("content-type", "application/merge-patch+json")
            .body(body.to_string().into_bytes())?
    };
    match client.request::<Value>(request).await {
        Ok(_) => Ok(false),
        Err(kube::Error::Api(status)) => Ok(status.message.contains("denied by the test")),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn allow(world: &World<'_>, resource: &str) -> Result<()> {
    let name = format!("{}-{resource}", world.namespace);
    let delete = ["delete", "validatingadmissionpolicybinding", &name];
    world.cluster.kubectl(&delete).await?;
    Ok(())
}

/// Reloader's first refusal ends the work on all that come after it, and after six tries it gives up.
#[tokio::test]
async fn reloader_defect_a2_a_workload_that_is_denied_delays_no_other_and_is_tried_until_it_works() -> Result<()> {
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
    let updates = Denied {
        group: "apps",
        resource: "deployments",
        operation: "UPDATE",
        names: "denied",
        name: "denied",
    };
    deny(&world, &updates).await?;

    world.config_map("settings", json!({ "level": "debug" })).await?;
    for name in &others {
        world.rolled("Deployment", name, 1).await?;
    }
    controller.failed("denied", 4).await?;
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
