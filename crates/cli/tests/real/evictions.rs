//! `afresh.dev/reload: evict`, with budgets that a real API server keeps.

use afresh_testbed::{Cluster, eventually, eventually_else};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::in_pod;
use crate::manifests::{variables, workload};
use crate::program::LONG;
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
    let look = async || {
        let status = world.get(&path).await?["status"].clone();
        let observed = status["disruptionsAllowed"].as_u64() == Some(disruptions);
        let counted = status["expectedPods"].as_u64() > Some(0);
        anyhow::Ok((observed && counted).then_some(()).ok_or(status))
    };
    eventually_else(&format!("a budget that allows {disruptions}"), LONG, look).await
}

fn uid(pod: &Value) -> String {
    pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

async fn uids(world: &World<'_>, count: usize) -> Result<Vec<String>> {
    let look = async || {
        let mut uids: Vec<_> = world.pods("db").await?.iter().map(uid).collect();
        uids.sort();
        let seen = format!("{uids:?}");
        anyhow::Ok((uids.len() == count).then_some(uids).ok_or(seen))
    };
    eventually_else(&format!("{count} pods"), LONG, look).await
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

async fn told(world: &World<'_>, reason: &str) -> Result<usize> {
    let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", world.namespace);
    let events = world.list(&path).await?;
    let ours = |event: &&Value| event["reason"] == reason && event["regarding"]["name"] == "db";
    Ok(events.iter().filter(ours).count())
}

/// Waits until Afresh has sent so many more requests of a kind here.
async fn again(world: &World<'_>, verb: &str, resource: &str, times: usize) -> Result<()> {
    let mark = world.cluster.mark()?;
    let sent = async || {
        let requests = world.cluster.requests(mark)?;
        let ours = requests.iter().filter(|request| {
            (&*request.verb, &*request.resource) == (verb, resource)
                && request.namespace == world.namespace
                && request.user.ends_with(":afresh")
        });
        anyhow::Ok((ours.count() >= times).then_some(()))
    };
    eventually(&format!("{times} more: {verb} {resource}"), LONG, sent).await
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
    let refused = async || anyhow::Ok((told(&world, "EvictionRefused").await? > 0).then_some(()));
    eventually("a refusal that is told", LONG, refused).await?;
    again(&world, "create", "pods", 2).await?;
    assert_eq!(uids(&world, 2).await?, before, "the budget is kept");
    // Later ones may be told too: the budget's own count lags behind the pods.
    assert_eq!(
        told(&world, "EvictionRefused").await?,
        1,
        "once, however often it is tried"
    );

    world.apply(&[budget(1)]).await?;
    let kept = |uids: &[String]| before.iter().filter(|uid| uids.contains(uid)).count();
    let first = async || {
        let uids = uids(&world, 2).await?;
        let seen = format!("{uids:?} of {before:?}; {}", controller.last_words());
        anyhow::Ok(Some(uids).filter(|uids| kept(uids) == 1).ok_or(seen))
    };
    let first = eventually_else("one pod replaced", LONG, first).await?;
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
    eventually_else("both pods replaced", LONG, second).await?;
    make_ready(&world).await?;
    let done = async || anyhow::Ok((told(&world, "Evicted").await? == 1).then_some(()));
    eventually("the end that is told", LONG, done).await?;
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
        let status = world.workload("Deployment", "db").await?["status"].clone();
        let pods: Vec<String> = world.pods("db").await?.iter().map(uid).collect();
        anyhow::Ok(Some((status["readyReplicas"].as_u64().unwrap_or(0), pods)))
    };
    let done = eventually("all pods replaced", LONG, async || {
        let Some((ready, pods)) = look().await? else {
            return Ok(None);
        };
        least = least.min(ready);
        let replaced = pods.len() == 3 && !pods.iter().any(|uid| before.contains(uid));
        anyhow::Ok((replaced && ready == 3).then_some(()))
    });
    done.await?;
    assert!(least >= 2, "{least} pods were ready at the worst");
    in_pod::rest(&world).await?;
    assert_eq!(
        (world.rolls("Deployment", "db").await?, told(&world, "Evicted").await?),
        (0, 1)
    );
    Ok(())
}
