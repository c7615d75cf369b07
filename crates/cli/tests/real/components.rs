//! The components of `deploy/` for Jobs and CronJobs, for the whole cluster and for one namespace.

use afresh_testbed::Cluster;
use anyhow::Result;
use serde_json::{Value, json};

use crate::install;
use crate::kinds::{cron_job, job};
use crate::program::until;
use crate::rights::may;
use crate::world::World;

const GRANTED: [&str; 10] = [
    "get batch/jobs",
    "list batch/jobs",
    "watch batch/jobs",
    "create batch/jobs",
    "delete batch/jobs",
    "patch batch/jobs",
    "get batch/cronjobs",
    "list batch/cronjobs",
    "watch batch/cronjobs",
    "patch batch/cronjobs",
];

const NOT_GRANTED: [&str; 7] = [
    "update batch/jobs",
    "patch batch/jobs/status",
    "deletecollection batch/jobs",
    "create batch/cronjobs",
    "update batch/cronjobs",
    "delete batch/cronjobs",
    "patch batch/cronjobs/status",
];

async fn assert_rights(world: &World<'_>, namespace: Option<&str>, given: bool) -> Result<()> {
    let client = world.account.client().await?;
    for right in GRANTED {
        assert_eq!(may(&client, right, namespace).await?, given, "{right} in {namespace:?}");
    }
    for right in NOT_GRANTED {
        assert!(!may(&client, right, namespace).await?, "{right} in {namespace:?}");
    }
    Ok(())
}

/// A Job is made again and one is made from a CronJob, and nothing is refused on the way.
async fn assert_enough(world: &World<'_>) -> Result<()> {
    let auto = json!({ "reloader.stakater.com/auto": "true" });
    world.config_map("settings", json!({ "level": "1" })).await?;
    world
        .apply(&[job("work", "settings", &auto), cron_job("nightly", &auto)])
        .await?;
    let before = world.cluster.mark()?;
    let reloader = world.reloader(&[]).await?;
    world.rest(&reloader).await?;
    world.config_map("settings", json!({ "level": "2" })).await?;
    let path = format!("/apis/batch/v1/namespaces/{}/jobs", world.namespace);
    let is_again = |job: &Value| job["metadata"]["annotations"]["afresh.dev/replaces"].is_string();
    let is_owned = |job: &Value| job["metadata"]["ownerReferences"][0]["kind"] == "CronJob";
    let jobs = async || world.list(&path).await;
    let both = |jobs: &Vec<Value>| jobs.iter().any(is_again) && jobs.iter().any(is_owned);
    until("the Job and the CronJob's Job", jobs, both).await?;
    world.rest(&reloader).await?;
    until("nothing left behind", jobs, |jobs| jobs.len() == 2).await?;
    let user = format!("system:serviceaccount:{}:afresh", world.own);
    let requests = world.cluster.requests(before)?;
    let refused = requests.iter().filter(|request| {
        request.user == user
            && request.namespace == world.namespace
            && request.resource.contains("jobs")
            && request.code == 403
    });
    assert_eq!(
        refused.map(|request| &request.uri).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
    Ok(())
}

#[tokio::test]
async fn in_one_namespace_they_grant_what_jobs_and_cron_jobs_take_there_and_nothing_else() -> Result<()> {
    let cluster = Cluster::shared_with_controllers().await?;
    let without = World::namespaced(cluster, "workless").await?;
    assert_rights(&without, Some(&without.namespace), false).await?;
    let world = World::with_work(cluster, "work").await?;
    assert_rights(&world, Some(&world.namespace), true).await?;
    assert_rights(&world, Some("default"), false).await?;
    assert_enough(&world).await
}

#[tokio::test]
async fn for_the_whole_cluster_they_grant_it_everywhere() -> Result<()> {
    let world = World::cluster_wide_with_work(Cluster::shared_with_controllers().await?, "allwork").await?;
    assert_rights(&world, None, true).await?;
    assert_enough(&world).await
}

/// Each alone is of use, and both forms of each grant the same.
#[tokio::test]
async fn both_forms_of_each_component_have_the_same_rules() -> Result<()> {
    let cluster = Cluster::shared_with_controllers().await?;
    for name in ["jobs", "cron-jobs"] {
        let mut rules = Vec::new();
        for form in ["components", "namespaced"] {
            let overlay = format!("components: [deploy/{form}/{name}]\n");
            let directory = install::overlay(cluster, &format!("{form}-{name}"), &overlay)?;
            let rendered = cluster.kubectl(&["kustomize", &directory.to_string_lossy()]).await?;
            let (_, rest) = rendered.split_once("\nrules:\n").unwrap_or_default();
            rules.push(rest.split("\n---").next().unwrap_or_default().to_owned());
        }
        assert!(rules[0].contains("- batch"), "{rules:?}");
        assert_eq!(rules[0], rules[1], "{name}");
    }
    Ok(())
}
