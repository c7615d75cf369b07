//! `afresh.dev/reload: evict`, with budgets that a real API server keeps.

use afresh_testbed::{Cluster, eventually};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::in_pod;
use crate::manifests::{variables, workload};
use crate::program::{LONG, until};
use crate::world::World;

fn evicted(replicas: u32) -> Value {
    workload(
        "Deployment",
        "db",
        replicas,
        variables("settings"),
        &json!({ "afresh.dev/reload": "evict" }),
    )
}

fn budget(least: u32) -> Value {
    json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "db" },
        "spec": { "minAvailable": least, "selector": { "matchLabels": { "app": "db" } } } })
}

async fn allows(world: &World<'_>, disruptions: u64) -> Result<()> {
    let path = format!("/apis/policy/v1/namespaces/{}/poddisruptionbudgets/db", world.namespace);
    let status = async || Ok(world.get(&path).await?["status"].take());
    let allows = |status: &Value| {
        let counted = status["expectedPods"].as_u64() > Some(0);
        counted && status["disruptionsAllowed"].as_u64() == Some(disruptions)
    };
    until(&format!("a budget that allows {disruptions}"), status, allows)
        .await
        .map(drop)
}

fn uid(pod: &Value) -> String {
    pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

async fn uids(world: &World<'_>, count: usize) -> Result<Vec<String>> {
    let mut uids: Vec<_> = world.pods_made("db", count).await?.iter().map(uid).collect();
    uids.sort();
    Ok(uids)
}

fn is_ready(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// What the kubelet would say: no node runs these pods. One that is ready stays as it is: it may be on its way out.
async fn make_ready(world: &World<'_>) -> Result<()> {
    let pods = world.pods("db").await?;
    for pod in pods.iter().filter(|pod| !is_ready(pod)) {
        let name = pod["metadata"]["name"].as_str().context("no name")?;
        let status = json!({ "status": { "phase": "Running", "conditions": [
            { "type": "Ready", "status": "True" }, { "type": "ContainersReady", "status": "True" } ] } });
        let (namespace, patch) = (&world.namespace, status.to_string());
        let patch = [
            "patch",
            "pod",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
            "-n",
            namespace,
        ];
        world.cluster.kubectl(&patch).await?;
    }
    Ok(())
}

/// Waits until Afresh has sent so many more requests of a kind here.
async fn again(world: &World<'_>, verb: &str, resource: &str, times: usize) -> Result<()> {
    let mark = world.cluster.mark()?;
    let sent = async || {
        let requests = world.cluster.requests(mark)?.into_iter();
        let ours = requests.filter(|request| request.namespace == world.namespace && request.user.ends_with(":afresh"));
        Ok(ours.map(|request| (request.verb, request.resource)).collect())
    };
    let enough = |sent: &Vec<(String, String)>| {
        let such = sent.iter().filter(|(v, r)| (&**v, &**r) == (verb, resource));
        such.count() >= times
    };
    until(&format!("{times} more: {verb} {resource}"), sent, enough)
        .await
        .map(drop)
}

#[tokio::test]
async fn a_budget_is_kept_and_the_next_pod_waits_for_the_one_before() -> Result<()> {
    let world = World::namespaced(Cluster::shared_with_controllers().await?, "evict").await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    world.apply(&[evicted(2), budget(2)]).await?;
    let controller = world.only_controller(&[]).await?;
    world.adopted("Deployment", "db").await?;
    let before = uids(&world, 2).await?;
    make_ready(&world).await?;
    allows(&world, 0).await?;

    world.config_map("settings", json!({ "level": "debug" })).await?;
    world.tells("EvictionRefused", "db").await?;
    again(&world, "create", "pods", 2).await?;
    assert_eq!(uids(&world, 2).await?, before, "the budget is kept");
    // Later ones may be told too: the budget's own count lags behind the pods.
    let refusals = world.told("EvictionRefused", "db").await?;
    assert_eq!(refusals.len(), 1, "once, however often it is tried: {refusals:?}");

    world.apply(&[budget(1)]).await?;
    let kept = |uids: &[String]| before.iter().filter(|uid| uids.contains(uid)).count();
    let first = async || {
        let uids = uids(&world, 2).await?;
        let seen = format!("{uids:?} of {before:?}; {}", controller.last_words());
        anyhow::Ok(Some(uids).filter(|uids| kept(uids) == 1).ok_or(seen))
    };
    let first = eventually("one pod replaced", LONG, first).await?;
    // It does not become ready by itself, so there it stops, however often it is looked at.
    again(&world, "list", "pods", 2).await?;
    assert_eq!(uids(&world, 2).await?, first, "the next one waits");

    make_ready(&world).await?;
    let second = async || {
        let pods = world.pods("db").await?;
        let uids: Vec<String> = pods.iter().map(uid).collect();
        let done = uids.len() == 2 && kept(&uids) == 0;
        anyhow::Ok(
            done.then_some(())
                .ok_or_else(|| format!("{pods:?}; {}", controller.last_words())),
        )
    };
    eventually("both pods replaced", LONG, second).await?;
    make_ready(&world).await?;
    world.tells("Evicted", "db").await?;
    let described = world.workload("Deployment", "db").await?;
    let record = described["metadata"]["annotations"]["afresh.dev/applied"]
        .as_str()
        .context("no record")?;
    ensure!(!record.contains("evicting"), "{record}");
    assert_eq!(world.rolls("Deployment", "db").await?, 0);
    assert_eq!(world.refused()?, Vec::<String>::new());
    drop(controller);
    Ok(())
}

#[tokio::test]
async fn three_running_pods_are_replaced_one_by_one_within_their_budget() -> Result<()> {
    let Some(world) = in_pod::world(Cluster::shared_with_node().await?, "evict").await? else {
        return Ok(());
    };
    world.config_map("settings", json!({ "level": "info" })).await?;
    world.apply(&[evicted(3), budget(2)]).await?;
    world.cluster.rolled_out(&world.namespace, "deployment/db").await?;
    world.adopted("Deployment", "db").await?;
    let before = uids(&world, 3).await?;
    allows(&world, 1).await?;

    world.config_map("settings", json!({ "level": "debug" })).await?;
    let mut least = u64::MAX;
    let look = async || {
        let ready = world.workload("Deployment", "db").await?["status"]["readyReplicas"].as_u64();
        least = least.min(ready.unwrap_or(0));
        let uids: Vec<String> = world.pods("db").await?.iter().map(uid).collect();
        Ok((ready, uids))
    };
    let replaced = |(ready, pods): &(Option<u64>, Vec<String>)| {
        *ready == Some(3) && pods.len() == 3 && !pods.iter().any(|uid| before.contains(uid))
    };
    until("all pods replaced", look, replaced).await?;
    assert!(least >= 2, "{least} pods were ready at the worst");
    in_pod::rest(&world).await?;
    world.tells("Evicted", "db").await?;
    let told = world.told("Evicted", "db").await?;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(world.rolls("Deployment", "db").await?, 0);
    Ok(())
}
