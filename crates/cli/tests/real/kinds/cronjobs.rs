//! CronJobs: nothing under `afresh controller`, as their next run is fresh; a Job at once under `afresh reloader`.

use afresh_model::reloader::sha1::Sha1;
use afresh_testbed::Cluster;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::denied::{Denied, allow, deny};
use super::jobs::job;
use super::{all_jobs, applied, batch, uid, with_work};
use crate::program::{Controller, has_seen, until};
use crate::world::{World, revision_of};

const LAST: &str = "reloader.stakater.com/last-reloaded-from";

/// It runs once a year, so what runs is made by somebody else.
pub(crate) fn cron_job(name: &str, annotations: &Value) -> Value {
    let template = json!({ "metadata": { "labels": { "a": "b" }, "annotations": { "x": "y" } },
        "spec": job(name, "settings", &json!({}))["spec"] });
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": name, "annotations": annotations },
        "spec": { "schedule": "0 0 1 1 *", "jobTemplate": template },
    })
}

fn auto() -> Value {
    json!({ "reloader.stakater.com/auto": "true" })
}

fn hash(level: &str) -> String {
    Sha1::of([("level", level.as_bytes())]).to_string()
}

async fn level(world: &World<'_>, level: &str) -> Result<()> {
    world.config_map("settings", json!({ "level": level })).await.map(drop)
}

async fn adopted(world: &World<'_>, name: &str) -> Result<String> {
    recorded(world, name, "").await
}

/// Waits until the CronJob has a record, and another one than this.
async fn recorded(world: &World<'_>, name: &str, before: &str) -> Result<String> {
    let look = async || {
        let cron = batch(world, "cronjobs", name).await?;
        Ok(applied(&cron).as_str().unwrap_or_default().to_owned())
    };
    let is_new = |record: &String| !record.is_empty() && record != before;
    until(&format!("a new record on CronJob {name}"), look, is_new).await
}

/// Waits for so many Jobs; there must not be more.
async fn made(world: &World<'_>, count: usize) -> Result<Vec<Value>> {
    let look = async || all_jobs(world).await;
    let jobs = until(&format!("{count} Jobs"), look, |jobs| jobs.len() >= count).await?;
    assert_eq!(jobs.len(), count, "{jobs:?}");
    Ok(jobs)
}

/// What `kubectl create job --from`, and so Reloader, makes of a CronJob; but the name, which tells what it was made for.
fn assert_made_from(cron: &Value, job: &Value) {
    let about = &job["metadata"];
    assert_eq!(
        about["annotations"],
        json!({ "cronjob.kubernetes.io/instantiate": "manual", "x": "y" })
    );
    assert_eq!(about["labels"]["a"], "b");
    let owner = &about["ownerReferences"][0];
    assert_eq!(
        json!([
            owner["apiVersion"],
            owner["kind"],
            owner["name"],
            owner["uid"],
            owner["controller"]
        ]),
        json!(["batch/v1", "CronJob", "nightly", cron["metadata"]["uid"], true])
    );
    let name = about["name"].as_str().unwrap_or_default();
    assert!(name.starts_with("nightly-"), "{name}");
    let container = |spec: &Value| spec["template"]["spec"]["containers"][0]["envFrom"].clone();
    assert_eq!(container(&job["spec"]), container(&cron["spec"]["jobTemplate"]["spec"]));
}

/// The hash by which Reloader's mark names a content, by either strategy.
fn mark(job: &Value) -> Result<String> {
    let template = &job["spec"]["template"];
    let env = &template["spec"]["containers"][0]["env"][0];
    if env["name"] == "STAKATER_SETTINGS_CONFIGMAP" {
        return Ok(env["value"].as_str().context("no value")?.to_owned());
    }
    let last = template["metadata"]["annotations"][LAST].as_str().context("no mark")?;
    let last: Value = serde_json::from_str(last)?;
    assert_eq!(
        (&last["type"], &last["name"]),
        (&json!("CONFIGMAP"), &json!("settings"))
    );
    Ok(last["hash"].as_str().context("no hash")?.to_owned())
}

#[tokio::test]
async fn one_content_makes_one_job_as_reloader_makes_it_by_either_strategy() -> Result<()> {
    for strategy in ["env-vars", "annotations"] {
        let world = with_work(&format!("cron{}", &strategy[..3])).await?;
        level(&world, "1").await?;
        world.apply(&[cron_job("nightly", &auto())]).await?;
        let flag = format!("--reload-strategy={strategy}");
        let reloader = world.reloader(&[&flag]).await?;
        let first = adopted(&world, "nightly").await?;
        world.rest(&reloader).await?;
        made(&world, 0).await?;

        level(&world, "2").await?;
        let second = recorded(&world, "nightly", &first).await?;
        // The same once more, and somebody who comes fresh to it.
        level(&world, "2").await?;
        world.rest(&reloader).await?;
        reloader.kill().await?;
        let reloader = world.reloader(&[&flag]).await?;
        world.rest(&reloader).await?;
        let cron = batch(&world, "cronjobs", "nightly").await?;
        let jobs = made(&world, 1).await?;
        assert_made_from(&cron, &jobs[0]);
        assert_eq!(mark(&jobs[0])?, hash("2"), "{strategy}");

        level(&world, "3").await?;
        recorded(&world, "nightly", &second).await?;
        world.rest(&reloader).await?;
        let marks: Vec<String> = made(&world, 2).await?.iter().map(mark).collect::<Result<_>>()?;
        assert!(marks.contains(&hash("2")) && marks.contains(&hash("3")), "{marks:?}");
        world.tells("Reloaded", "nightly").await?;
        assert_eq!(
            batch(&world, "cronjobs", "nightly").await?["spec"],
            cron["spec"],
            "it is as it was"
        );
        assert_eq!(world.refused()?, Vec::<String>::new());
    }
    Ok(())
}

/// Ends the suspension of a CronJob, and waits until that is seen.
async fn wake(world: &World<'_>, reloader: &Controller, name: &str) -> Result<()> {
    let wake = r#"{"spec":{"suspend":false}}"#;
    let wake = [
        "patch",
        "cronjob",
        name,
        "--type=merge",
        "-p",
        wake,
        "-n",
        &world.namespace,
    ];
    world.cluster.kubectl(&wake).await?;
    let awake = revision_of(&batch(world, "cronjobs", name).await?)?;
    let state = async || reloader.state().await;
    let is_seen = |state: &Value| has_seen(state, &world.namespace, "cronjob", awake);
    until("a reloader that has seen it wake", state, is_seen)
        .await
        .map(drop)
}

/// Reloader runs a suspended CronJob, and one beside another where its author forbids that.
#[tokio::test]
async fn reloader_defect_b5_a_suspended_cron_job_is_not_run_and_one_that_forbids_concurrency_waits() -> Result<()> {
    let world = with_work("cronb5").await?;
    level(&world, "1").await?;
    let mut suspended = cron_job("suspended", &auto());
    suspended["spec"]["suspend"] = json!(true);
    let mut alone = cron_job("nightly", &auto());
    alone["spec"]["concurrencyPolicy"] = json!("Forbid");
    world.apply(&[suspended, alone]).await?;
    let by_hand = [
        "create",
        "job",
        "by-hand",
        "--from=cronjob/nightly",
        "-n",
        &world.namespace,
    ];
    world.cluster.kubectl(&by_hand).await?;
    let reloader = world.reloader(&[]).await?;
    let asleep = adopted(&world, "suspended").await?;
    let waiting = adopted(&world, "nightly").await?;

    let before = world.cluster.mark()?;
    level(&world, "2").await?;
    recorded(&world, "suspended", &asleep).await?;
    let looks = async || {
        let requests = world.cluster.requests(before)?;
        let looks = requests.iter().filter(|request| {
            request.user == format!("system:serviceaccount:{}:afresh", world.own)
                && (&*request.verb, &*request.resource, &*request.name) == ("get", "cronjobs", "nightly")
        });
        Ok(looks.count())
    };
    until("two looks at what runs", looks, |looks| *looks >= 2).await?;
    made(&world, 1).await?;
    assert_eq!(adopted(&world, "nightly").await?, waiting, "it is not done");

    world
        .cluster
        .kubectl(&["delete", "job", "by-hand", "-n", &world.namespace])
        .await?;
    recorded(&world, "nightly", &waiting).await?;
    world.rest(&reloader).await?;
    let jobs = made(&world, 1).await?;
    assert_eq!(mark(&jobs[0])?, hash("2"));

    wake(&world, &reloader, "suspended").await?;
    world.rest(&reloader).await?;
    made(&world, 1).await?;
    assert_eq!(world.refused()?, Vec::<String>::new());
    Ok(())
}

/// Each of Reloader's retries makes a Job.
#[tokio::test]
async fn reloader_defect_b6_a_job_whose_record_cannot_be_written_is_made_once_and_by_the_next_process_neither()
-> Result<()> {
    let world = with_work("cronb6").await?;
    level(&world, "1").await?;
    world.apply(&[cron_job("nightly", &auto())]).await?;
    let reloader = world.reloader(&[]).await?;
    let first = adopted(&world, "nightly").await?;
    let updates = Denied {
        group: "batch",
        resource: "cronjobs",
        operation: "UPDATE",
        names: "nightly",
        name: "nightly",
    };
    deny(&world, &updates).await?;

    level(&world, "2").await?;
    reloader.failed("nightly", 3).await?;
    let job = made(&world, 1).await?.swap_remove(0);
    reloader.kill().await?;
    let next = world.reloader(&[]).await?;
    next.failed("nightly", 3).await?;
    assert_eq!(uid(&made(&world, 1).await?[0]), uid(&job));

    allow(&world, "cronjobs").await?;
    recorded(&world, "nightly", &first).await?;
    world.rest(&next).await?;
    assert_eq!(uid(&made(&world, 1).await?[0]), uid(&job));
    Ok(())
}

/// What Reloader's chart grants: CronJobs may be read, and that is all.
#[tokio::test]
async fn with_reloaders_rights_one_content_makes_one_job_and_a_restart_none() -> Result<()> {
    let world = World::with_reloaders_rights(Cluster::shared_with_controllers().await?, "cronrights").await?;
    level(&world, "1").await?;
    let reloader = world.reloader(&[]).await?;
    world.apply(&[cron_job("nightly", &auto())]).await?;
    // Known, though nothing may be written on it.
    reloader.logs("Allow patch on jobs and cronjobs").await?;

    level(&world, "2").await?;
    let first = made(&world, 1).await?.swap_remove(0);
    assert_eq!(mark(&first)?, hash("2"));
    level(&world, "3").await?;
    made(&world, 2).await?;
    // Whoever has a limit to the history of its Jobs has none of them in the end.
    let all = ["delete", "jobs", "--all", "-n", &world.namespace];
    world.cluster.kubectl(&all).await?;
    reloader.kill().await?;
    let next = world.reloader(&[]).await?;
    world.rest(&next).await?;
    made(&world, 0).await?;
    level(&world, "4").await?;
    assert_eq!(mark(&made(&world, 1).await?[0])?, hash("4"));
    assert_eq!(world.told("ReloadFail", "nightly").await?, Vec::<Value>::new());
    Ok(())
}

#[tokio::test]
async fn natively_a_cron_job_needs_nothing() -> Result<()> {
    let world = with_work("cronnative").await?;
    level(&world, "1").await?;
    world
        .apply(&[
            cron_job("asked", &json!({ "afresh.dev/reload": "roll" })),
            cron_job("auto", &auto()),
        ])
        .await?;
    let before = batch(&world, "cronjobs", "asked").await?;
    let controller = world.only_controller(&["--workloads", "deployment,job"]).await?;
    level(&world, "2").await?;
    world.rest(&controller).await?;
    made(&world, 0).await?;
    let after = batch(&world, "cronjobs", "asked").await?;
    assert_eq!(
        after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"],
        "not even written on"
    );
    Ok(())
}
