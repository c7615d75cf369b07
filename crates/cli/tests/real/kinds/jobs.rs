//! Jobs, made again: by their own word under `afresh controller`, as other workloads are rolled under `afresh reloader`.

use afresh_testbed::{Cluster, eventually};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::denied::{Denied, allow, deny};
use super::{all_jobs, applied, batch, uid, with_work};
use crate::manifests::variables;
use crate::program::{Controller, LONG, until};
use crate::world::World;

pub(crate) fn job(name: &str, config_map: &str, annotations: &Value) -> Value {
    let mut spec = variables(config_map).pod_spec();
    spec["restartPolicy"] = json!("Never");
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name, "annotations": annotations },
        "spec": { "template": { "metadata": { "labels": { "app": name } }, "spec": spec } },
    })
}

fn roll() -> Value {
    json!({ "afresh.dev/reload": "roll" })
}

fn auto() -> Value {
    json!({ "reloader.stakater.com/auto": "true" })
}

async fn get_job(world: &World<'_>, name: &str) -> Result<Value> {
    batch(world, "jobs", name).await
}

async fn names(world: &World<'_>) -> Result<Vec<String>> {
    let name = |job: &Value| job["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    Ok(all_jobs(world).await?.iter().map(name).collect())
}

async fn job_adopted(world: &World<'_>, name: &str) -> Result<Value> {
    let look = async || get_job(world, name).await;
    until(&format!("Job {name} adopted"), look, |job| applied(job).is_string()).await
}

async fn made_again(world: &World<'_>, name: &str, before: &Value) -> Result<Value> {
    let look = async || {
        anyhow::Ok(match get_job(world, name).await {
            Ok(job) if uid(&job) != uid(before) => Ok(job),
            Ok(job) => Err(job.to_string()),
            Err(error) => Err(format!("{error:#}; there are {:?}", names(world).await?)),
        })
    };
    eventually(&format!("Job {name} made again"), LONG, look).await
}

/// One that runs, one with a selector of its own, and those that are to be left alone; one of those has ended.
async fn all_sorts_of_jobs(world: &World<'_>, asks: &Value) -> Result<()> {
    let mut hook = asks.clone();
    hook["helm.sh/hook"] = json!("pre-install");
    let mut ended = job("ended", "settings", asks);
    ended["spec"]["activeDeadlineSeconds"] = json!(1);
    let cron = json!({ "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "owner" },
        "spec": { "schedule": "0 0 1 1 *", "jobTemplate": { "spec": job("x", "none", &json!({}))["spec"] } } });
    world.apply(&[cron]).await?;
    let owner = uid(&batch(world, "cronjobs", "owner").await?);
    let mut scheduled = job("scheduled", "settings", asks);
    scheduled["metadata"]["ownerReferences"] =
        json!([{ "apiVersion": "batch/v1", "kind": "CronJob", "name": "owner", "uid": owner, "controller": true }]);
    let mut own_selector = job("selecting", "settings", asks);
    own_selector["spec"]["manualSelector"] = json!(true);
    own_selector["spec"]["selector"] = json!({ "matchLabels": { "app": "selecting" } });
    let running = job("running", "settings", asks);
    let others = [job("hook", "settings", &hook), ended, scheduled];
    world.apply(&[&[running, own_selector], &others[..]].concat()).await?;
    let conditions = async || Ok(get_job(world, "ended").await?["status"]["conditions"].take());
    let has_failed = |conditions: &Value| {
        let mut conditions = conditions.as_array().into_iter().flatten();
        conditions.any(|condition| condition["type"] == "Failed")
    };
    until("a Job that has ended", conditions, has_failed).await.map(drop)
}

/// What only the Job's own controller and we write differs between a Job and the one made again.
fn essence(job: &Value) -> Value {
    let mut spec = job["spec"].clone();
    if spec["manualSelector"] != true {
        spec["selector"] = Value::Null;
    }
    for key in ["controller-uid", "batch.kubernetes.io/controller-uid"] {
        spec["template"]["metadata"]["labels"][key] = Value::Null;
    }
    spec["template"]["metadata"]["annotations"] = Value::Null;
    spec["template"]["spec"]["containers"][0]["env"] = Value::Null;
    json!([spec, job["metadata"]["labels"]])
}

/// The one that is there now is the Job that was there, with what the API server writes for it alone.
fn assert_same(before: &Value, after: &Value) {
    assert_eq!(essence(after), essence(before));
    assert_eq!(
        after["metadata"]["annotations"]["afresh.dev/replaces"],
        before["metadata"]["uid"]
    );
    let label = &after["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/controller-uid"];
    if after["spec"]["manualSelector"] != true {
        assert_eq!(
            *label, after["metadata"]["uid"],
            "its own pods, not those of the one before"
        );
    }
}

async fn only_what_runs_is_made_again(world: &World<'_>, run: impl AsyncFn() -> Result<Controller>) -> Result<Value> {
    let controller = run().await?;
    let running = job_adopted(world, "running").await?;
    let selecting = job_adopted(world, "selecting").await?;
    let mut others = Vec::new();
    for name in names(world).await? {
        if name != "running" && name != "selecting" {
            others.push((name.clone(), uid(&get_job(world, &name).await?)));
        }
    }
    assert!(others.len() >= 3, "{others:?}");

    world.config_map("settings", json!({ "level": "debug" })).await?;
    let next = made_again(world, "running", &running).await?;
    let selected = made_again(world, "selecting", &selecting).await?;
    world.rest(&controller).await?;
    assert_same(&running, &next);
    assert_same(&selecting, &selected);
    controller.kill().await?;

    let second = run().await?;
    world.rest(&second).await?;
    assert_eq!(
        uid(&get_job(world, "running").await?),
        uid(&next),
        "once, and not by the next one either"
    );
    for (name, before) in &others {
        assert_eq!(uid(&get_job(world, name).await?), *before, "{name} is left alone");
    }
    let left = async || names(world).await;
    until("nothing left behind", left, |names| names.len() == others.len() + 2).await?;
    assert_eq!(world.refused()?, Vec::<String>::new());
    Ok(next)
}

/// Reloader runs completed Jobs, CronJobs' Jobs and Helm's hooks again.
#[tokio::test]
async fn reloader_defect_b4_only_a_job_that_runs_and_asks_for_it_is_made_again() -> Result<()> {
    let world = with_work("jobs").await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    all_sorts_of_jobs(&world, &roll()).await?;
    // Half-done work begins anew only for those who say so.
    world
        .apply(&[job("auto", "settings", &json!({ "afresh.dev/reload": "auto" }))])
        .await?;
    let run = async || world.only_controller(&["--workloads", "job"]).await;
    let next = only_what_runs_is_made_again(&world, run).await?;
    assert_eq!(
        next["spec"]["template"]["spec"]["containers"][0]["env"],
        Value::Null,
        "no mark of Reloader's"
    );
    Ok(())
}

#[tokio::test]
async fn reloader_defect_b4_under_afresh_reloader_too_and_with_reloaders_mark() -> Result<()> {
    let world = with_work("jobsreload").await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    all_sorts_of_jobs(&world, &auto()).await?;
    let next = only_what_runs_is_made_again(&world, async || world.reloader(&[]).await).await?;
    let env = &next["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(env[0]["name"], "STAKATER_SETTINGS_CONFIGMAP");
    world.tells("Reloaded", "running").await?; // the Job that is gone
    let told = world.told("Reloaded", "running").await?;
    assert_eq!(told.len(), 1, "{told:?}");
    Ok(())
}

/// What Reloader's chart grants: Jobs may be made and deleted, and not patched.
#[tokio::test]
async fn with_reloaders_rights_a_job_is_made_again_once() -> Result<()> {
    let world = World::with_reloaders_rights(Cluster::shared_with_controllers().await?, "jobsrights").await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    world.apply(&[job("work", "settings", &auto())]).await?;
    let before = get_job(&world, "work").await?;
    let reloader = world.reloader(&[]).await?;
    // Known, though nothing may be written on it.
    reloader.logs("Allow patch on jobs").await?;

    world.config_map("settings", json!({ "level": "debug" })).await?;
    let next = made_again(&world, "work", &before).await?;
    assert_same(&before, &next);
    reloader.kill().await?;
    let second = world.reloader(&[]).await?;
    world.config_map("settings", json!({ "level": "trace" })).await?;
    let third = made_again(&world, "work", &next).await?;
    assert_same(&next, &third);
    assert_eq!(world.told("ReloadFail", "work").await?, Vec::<Value>::new());
    drop(second);
    Ok(())
}

const CREATES: Denied = Denied {
    group: "batch",
    resource: "jobs",
    operation: "CREATE",
    names: "work.*",
    name: "work",
};

/// Reloader deletes first and finds out then whether it may create.
#[tokio::test]
async fn reloader_defect_a12_a_job_that_could_not_be_made_again_is_not_deleted() -> Result<()> {
    let world = with_work("kept").await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    world
        .apply(&[job("work", "settings", &roll()), job("other", "settings", &roll())])
        .await?;
    deny(&world, &CREATES).await?;
    let controller = world.only_controller(&["--workloads", "job"]).await?;
    let work = job_adopted(&world, "work").await?;
    let other = job_adopted(&world, "other").await?;

    world.config_map("settings", json!({ "level": "debug" })).await?;
    made_again(&world, "other", &other).await?;
    controller.logs("denied by the test").await?;
    assert_eq!(uid(&get_job(&world, "work").await?), uid(&work));

    allow(&world, "jobs").await?;
    made_again(&world, "work", &work).await?;
    Ok(())
}

/// The name of what the Job is to be made from, when it is gone itself.
async fn only_a_stand_in(world: &World<'_>) -> Result<String> {
    let names = async || names(world).await;
    let is_alone = |names: &Vec<String>| names.len() == 1 && names[0] != "work";
    let mut names = until("a Job that is deleted and not made again", names, is_alone).await?;
    Ok(names.swap_remove(0))
}

/// Between Reloader's deletion and its creation lies whatever ends the process; then the Job is lost.
#[tokio::test]
async fn reloader_defect_a12_a_job_is_not_lost_when_the_process_is_killed_between_its_deletion_and_its_creation()
-> Result<()> {
    let world = with_work("killed").await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    let mut work = job("work", "settings", &auto());
    work["metadata"]["labels"] = json!({ "kept": "yes" });
    world.apply(&[work]).await?;
    let only_itself = Denied {
        names: "work",
        ..CREATES
    };
    deny(&world, &only_itself).await?;
    let reloader = world.reloader(&[]).await?;
    let before = job_adopted(&world, "work").await?;
    world.config_map("settings", json!({ "level": "debug" })).await?;
    let stand_in = only_a_stand_in(&world).await?;
    reloader.kill().await?;

    let stands_in = get_job(&world, &stand_in).await?;
    assert_eq!(stands_in["spec"]["suspend"], true, "it runs nothing");
    let next = world.reloader(&[]).await?;
    next.logs("the Job is to be made again from").await?;
    allow(&world, "jobs").await?;
    let after = made_again(&world, "work", &before).await?;
    let left = async || names(&world).await;
    until("nothing left behind", left, |names| names == &["work"]).await?;
    world.rest(&next).await?;
    assert_same(&before, &after);
    assert_eq!(uid(&get_job(&world, "work").await?), uid(&after), "once");
    assert_eq!(after["spec"]["suspend"], false);
    Ok(())
}

#[tokio::test]
async fn reloader_defect_a12_a_job_that_is_deleted_slowly_is_made_again_though_the_process_ends_meanwhile() -> Result<()>
{
    let world = with_work("slow").await?;
    world.config_map("settings", json!({ "level": "info" })).await?;
    let mut work = job("work", "settings", &auto());
    work["metadata"]["finalizers"] = json!(["example.org/slow"]);
    world.apply(&[work]).await?;
    let reloader = world.reloader(&[]).await?;
    let before = job_adopted(&world, "work").await?;
    world.config_map("settings", json!({ "level": "debug" })).await?;
    let work = async || get_job(&world, "work").await;
    let is_leaving = |work: &Value| work["metadata"]["deletionTimestamp"].is_string();
    until("a Job that is going away", work, is_leaving).await?;
    reloader.stop().await?;

    let next = world.reloader(&[]).await?;
    world.rest(&next).await?;
    assert_eq!(names(&world).await?.len(), 2, "it waits for the one to go");
    let remove = [
        "patch",
        "job",
        "work",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
        "-n",
        &world.namespace,
    ];
    world.cluster.kubectl(&remove).await?;
    let after = made_again(&world, "work", &before).await?;
    assert_same(&before, &after);
    let finalizers = after["metadata"]["finalizers"].as_array().context("no finalizers")?;
    assert!(
        finalizers.contains(&json!("example.org/slow")),
        "it is somebody's: {finalizers:?}"
    );
    world.cluster.kubectl(&remove).await?;
    Ok(())
}
