//! Jobs and CronJobs as `afresh reloader` has them: a Job is made again, and one is made from a CronJob.

use std::time::Duration;

use afresh_controller::Config;
use afresh_controller::config::Reloader;
use afresh_model::convention::Jobs;
use afresh_model::name::WorkloadKind;
use afresh_sandbox::{Filter, RequestFault, Verb};
use serde_json::{Value, json};

use crate::world::{PROD, World, env_from};

fn reloader(config: &mut Config) {
    config.reloader = Some(Reloader::default());
    config.conventions.jobs = Jobs::Always;
    config.kinds.extend([WorkloadKind::Job, WorkloadKind::CronJob]);
}

fn template() -> Value {
    let mut spec = env_from("app");
    spec["restartPolicy"] = json!("Never");
    json!({"metadata": {"labels": {"app": "work"}}, "spec": spec})
}

fn job() -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"namespace": PROD, "name": "work", "labels": {"queue": "q"},
            "annotations": {"reloader.stakater.com/auto": "true"}},
        "spec": {"selector": {"matchLabels": {"app": "work"}}, "manualSelector": true, "template": template()}})
}

fn cron_job() -> Value {
    json!({"apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"namespace": PROD, "name": "nightly", "annotations": {"reloader.stakater.com/auto": "true"}},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"template": template()}}}})
}

async fn with(object: Value) -> World {
    let world = World::with(reloader).await;
    world.configmap("app", json!({"a": "1"}));
    world.create(object);
    world.settle().await;
    world
}

fn jobs(world: &World) -> Vec<String> {
    let jobs = world.sandbox.list("jobs", PROD).into_iter();
    jobs.map(|job| job["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

fn uid(world: &World) -> Value {
    world.get("jobs", "work")["metadata"]["uid"].clone()
}

fn replaces(world: &World) -> Value {
    world.get("jobs", "work")["metadata"]["annotations"]["afresh.dev/replaces"].clone()
}

fn creates() -> Filter {
    Filter::verb(Verb::Create).resource("jobs")
}

fn deletes() -> Filter {
    Filter::verb(Verb::Delete).resource("jobs")
}

const MINUTES: Duration = Duration::from_secs(600);

#[tokio::test(start_paused = true)]
async fn a_job_is_made_again_once_with_reloaders_mark_and_told() {
    let world = with(job()).await;
    let before = uid(&world);
    world.configmap("app", json!({"a": "2"}));
    world.settle_for(MINUTES).await;
    let now = world.get("jobs", "work");
    assert_eq!((jobs(&world), replaces(&world)), (vec!["work".to_owned()], before));
    assert_eq!(now["metadata"]["labels"], json!({"queue": "q"}));
    let env = &now["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(env[0]["name"], "STAKATER_APP_CONFIGMAP");
    assert_eq!(now["spec"]["suspend"], false);
    assert_eq!(world.told("Reloaded", "work").len(), 1);
}

/// Kills the controller in a change, at a request that the filter means, after so many others: before or after it is done.
async fn crash(world: &mut World, filter: &Filter, before: usize, done: bool) {
    let faults = world.sandbox.faults().clone();
    faults.next_requests(before, filter.clone(), RequestFault::Delay(Duration::ZERO));
    faults.next_requests(1, filter.clone(), RequestFault::Crash { done });
    let crashed = faults.clone();
    let crash = tokio::spawn(async move { crashed.crashed().await });
    world.configmap("app", json!({"a": "2"}));
    tokio::time::timeout(MINUTES, crash).await.unwrap().unwrap();
    world.kill();
    faults.quiet();
}

/// Reloader deletes the Job and then creates it: whatever ends in between takes the Job with it.
#[tokio::test(start_paused = true)]
async fn reloader_defect_a12_a_crash_at_any_request_of_making_a_job_again_loses_no_job_and_makes_it_once() {
    let steps = [(creates(), 0), (deletes(), 0), (creates(), 1), (deletes(), 1)];
    for (step, (filter, before)) in steps.into_iter().enumerate() {
        for done in [false, true] {
            let mut world = with(job()).await;
            let old = uid(&world);
            crash(&mut world, &filter, before, done).await;
            world.restart();
            world.settle_for(MINUTES).await;
            let case = format!("step {step}, done: {done}");
            assert_eq!(jobs(&world), ["work"], "{case}");
            assert_eq!(replaces(&world), old, "{case}");
            let env = &world.get("jobs", "work")["spec"]["template"]["spec"]["containers"][0]["env"];
            assert_eq!(env.as_array().map(Vec::len), Some(1), "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_a12_a_job_that_may_not_be_made_for_long_is_made_when_it_may_be() {
    let mut world = with(job()).await;
    let old = uid(&world);
    let denied = RequestFault::Status {
        code: 403,
        retry_after: None,
    };
    let faults = world.sandbox.faults().clone();
    faults.next_requests(1, creates(), RequestFault::Delay(Duration::ZERO));
    faults.next_requests(usize::MAX, creates(), denied);
    world.configmap("app", json!({"a": "2"}));
    world.settle_for(MINUTES).await;
    assert_eq!(world.told("ReloadFail", "work").len(), 1);
    let left = jobs(&world);
    assert!(
        left.len() == 1 && left != ["work"],
        "what it is to be made from: {left:?}"
    );
    let stand_in = world.get("jobs", &left[0]);
    assert_eq!(stand_in["spec"]["suspend"], true, "and it does nothing");
    assert!(
        stand_in["metadata"]["annotations"]["afresh.dev/applied"].is_null(),
        "it is nobody's workload"
    );

    for restarted in [false, true] {
        if restarted {
            world.restart();
            world.settle().await;
        }
        assert_eq!(jobs(&world), left);
    }
    faults.quiet();
    world.settle_for(MINUTES).await;
    assert_eq!((jobs(&world), replaces(&world)), (vec!["work".to_owned()], old));
}

/// A stand-in of a Job that was not deleted, or that somebody else has made meanwhile, is of no use.
#[tokio::test(start_paused = true)]
async fn a_stand_in_that_nobody_needs_goes_and_takes_nothing_with_it() {
    let mut world = with(job()).await;
    let old = uid(&world);
    crash(&mut world, &creates(), 0, true).await;
    assert_eq!(jobs(&world).len(), 2);
    world.configmap("app", json!({"a": "1"}));
    world.restart();
    world.settle_for(MINUTES).await;
    assert_eq!(
        (jobs(&world), uid(&world)),
        (vec!["work".to_owned()], old),
        "the content went back"
    );
}

/// Reloader makes an unscheduled Job at each change, also of a CronJob that is suspended.
#[tokio::test(start_paused = true)]
async fn reloader_defect_b5_one_content_makes_one_job_and_a_suspended_cron_job_makes_none() {
    let mut world = with(cron_job()).await;
    assert_eq!(jobs(&world), [""; 0]);
    world.configmap("app", json!({"a": "2"}));
    world.settle_for(MINUTES).await;
    let first = jobs(&world);
    assert_eq!(first.len(), 1, "{first:?}");
    world.restart();
    world.configmap("app", json!({"a": "2"}));
    world.settle_for(MINUTES).await;
    // Its time has come, and nobody makes another one for what is done.
    world.delete("jobs", &first[0]);
    world.restart();
    world.settle_for(MINUTES).await;
    assert_eq!(jobs(&world), [""; 0]);

    world.patch("cronjobs", "nightly", json!({"spec": {"suspend": true}}));
    world.configmap("app", json!({"a": "3"}));
    world.settle_for(MINUTES).await;
    world.patch("cronjobs", "nightly", json!({"spec": {"suspend": false}}));
    world.settle_for(MINUTES).await;
    assert_eq!(
        jobs(&world),
        [""; 0],
        "what changed meanwhile is recorded: its next run is fresh"
    );
}

#[tokio::test(start_paused = true)]
async fn reloader_defect_b5_a_cron_job_that_must_not_run_twice_at_once_waits_for_whatever_job_of_it_runs() {
    let mut cron = cron_job();
    cron["spec"]["concurrencyPolicy"] = json!("Forbid");
    let world = with(cron).await;
    world.configmap("app", json!({"a": "2"}));
    world.settle().await;
    let first = jobs(&world);
    assert_eq!(first.len(), 1);
    // It is one of ours, which the CronJob's own status never tells of.
    world.configmap("app", json!({"a": "3"}));
    world.settle_for(MINUTES).await;
    assert_eq!(jobs(&world), first, "it runs");
    let over = json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}});
    let patch = afresh_sandbox::Patch::Merge(over);
    world.sandbox.patch_status("jobs", PROD, &first[0], &patch).unwrap();
    world.settle_for(MINUTES).await;
    assert_eq!(jobs(&world).len(), 2);
}

/// Reloader's retries make a Job each.
#[tokio::test(start_paused = true)]
async fn reloader_defect_b6_whatever_becomes_of_a_request_one_content_makes_one_job() {
    let patches = Filter::verb(Verb::Patch).resource("cronjobs");
    let faults = [
        (creates(), RequestFault::ReplyLost),
        (creates(), RequestFault::Hang),
        (creates(), RequestFault::Crash { done: true }),
        (patches.clone(), RequestFault::ReplyLost),
        (patches.clone(), RequestFault::Conflict),
        (patches, RequestFault::Crash { done: false }),
    ];
    for (filter, fault) in faults {
        let mut world = with(cron_job()).await;
        world.sandbox.faults().next_requests(3, filter, fault);
        world.configmap("app", json!({"a": "2"}));
        world.settle_for(MINUTES).await;
        if matches!(fault, RequestFault::Crash { .. }) {
            world.sandbox.faults().quiet();
            world.restart();
            world.settle_for(MINUTES).await;
        }
        assert_eq!(jobs(&world).len(), 1, "{fault:?}");
    }
}
