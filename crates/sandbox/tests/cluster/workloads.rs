//! Controllers: what becomes of workloads.

use std::collections::BTreeSet;
use std::time::Duration;

use afresh_sandbox::{Options, Patch, READY_AFTER, Sandbox};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_deployment_rolls_within_its_bounds_and_reuses_the_replica_set_of_an_old_template() {
    let sandbox = Sandbox::start(&Options::default());
    sandbox.create(workload("Deployment", "web", 4)).unwrap();
    until("first rollout", || is_complete(&sandbox, "deploy", "web", 4)).await;
    let first = uids(&sandbox);
    assert_eq!(sandbox.list("rs", NS).len(), 1);

    roll(&sandbox, "deploy", "web", "2");
    until("second rollout", || {
        let all = pods(&sandbox);
        assert!(all.iter().filter(|pod| is_ready(pod)).count() >= 3, "too few serve");
        assert!(
            all.iter()
                .filter(|pod| pod["metadata"].get("deletionTimestamp").is_none())
                .count()
                <= 5,
            "too many"
        );
        is_complete(&sandbox, "deploy", "web", 4)
    })
    .await;
    until("old pods are gone", || pods(&sandbox).len() == 4).await;
    assert!(first.is_disjoint(&uids(&sandbox)));
    assert_eq!(sandbox.list("rs", NS).len(), 2);
    let web = sandbox.get("deploy", NS, "web").unwrap();
    assert_eq!(web["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");
    assert_eq!(
        web["metadata"]["generation"], 2,
        "the controller's own annotation is no change of the Deployment"
    );
    let conditions = web["status"]["conditions"].as_array().unwrap();
    let reason = |kind: &str| conditions.iter().find(|c| c["type"] == kind).unwrap()["reason"].clone();
    assert_eq!(
        (reason("Available"), reason("Progressing")),
        (json!("MinimumReplicasAvailable"), json!("NewReplicaSetAvailable"))
    );

    let back = json!({"spec": {"template": {"metadata": {"annotations": null}}}});
    sandbox.patch("deploy", NS, "web", &Patch::Merge(back)).unwrap();
    until("rollback", || is_complete(&sandbox, "deploy", "web", 4)).await;
    assert_eq!(sandbox.list("rs", NS).len(), 2);
    let web = sandbox.get("deploy", NS, "web").unwrap();
    assert_eq!(web["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_is_paused_scales_but_does_not_roll_and_recreate_never_overlaps() {
    let sandbox = Sandbox::start(&Options::default());
    let mut web = workload("Deployment", "web", 2);
    web["spec"]["strategy"] = json!({"type": "Recreate"});
    sandbox.create(web).unwrap();
    until("first rollout", || is_complete(&sandbox, "deploy", "web", 2)).await;
    let patch = |patch: Value| sandbox.patch("deploy", NS, "web", &Patch::Merge(patch)).unwrap();
    patch(json!({"spec": {"paused": true}}));
    let before = uids(&sandbox);
    roll(&sandbox, "deploy", "web", "2");
    patch(json!({"spec": {"replicas": 3}}));
    until("scaled", || status(&sandbox, "deploy", "web")["readyReplicas"] == 3).await;
    assert!(before.is_subset(&uids(&sandbox)));
    assert_eq!(sandbox.list("rs", NS).len(), 1);
    let old = uids(&sandbox);
    patch(json!({"spec": {"paused": null}}));
    until("recreated", || {
        let now = uids(&sandbox);
        let both = now.iter().any(|uid| old.contains(uid)) && now.iter().any(|uid| !old.contains(uid));
        assert!(!both, "old and new pods at once");
        is_complete(&sandbox, "deploy", "web", 3)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_starts_in_order_and_updates_from_the_highest_down() {
    let sandbox = Sandbox::start(&Options::default());
    sandbox.create(workload("StatefulSet", "db", 3)).unwrap();
    until("started", || {
        let all = pods(&sandbox);
        assert!(all.iter().filter(|pod| !is_ready(pod)).count() <= 1, "two at once");
        is_complete(&sandbox, "sts", "db", 3)
    })
    .await;
    assert_eq!(
        names(&sandbox),
        BTreeSet::from(["db-0", "db-1", "db-2"].map(str::to_owned))
    );
    let revision = status(&sandbox, "sts", "db")["currentRevision"].clone();
    roll(&sandbox, "sts", "db", "2");
    let mut order = Vec::new();
    until("updated", || {
        for pod in pods(&sandbox) {
            let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
            if pod["metadata"]["annotations"]["afresh.dev/config"] == "2" && !order.contains(&name) {
                order.push(name);
            }
        }
        is_complete(&sandbox, "sts", "db", 3)
    })
    .await;
    assert_eq!(order, ["db-2", "db-1", "db-0"]);
    let after = status(&sandbox, "sts", "db");
    assert_ne!(after["currentRevision"], revision);
    assert_eq!(after["currentRevision"], after["updateRevision"]);

    let manual = json!({"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}, "replicas": 2}});
    sandbox.patch("sts", NS, "db", &Patch::Merge(manual)).unwrap();
    roll(&sandbox, "sts", "db", "3");
    until("scaled down from the top", || {
        names(&sandbox) == BTreeSet::from(["db-0", "db-1"].map(str::to_owned))
    })
    .await;
    sleep(Duration::from_secs(120)).await;
    let note =
        |name: &str| sandbox.get("pods", NS, name).unwrap()["metadata"]["annotations"]["afresh.dev/config"].clone();
    assert_eq!((note("db-0"), note("db-1")), (json!("2"), json!("2")));
    sandbox.delete("pods", NS, "db-1").unwrap();
    until("replaced by hand", || {
        sandbox
            .get("pods", NS, "db-1")
            .is_some_and(|pod| pod["metadata"]["annotations"]["afresh.dev/config"] == "3")
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_has_one_pod_on_every_node_and_replaces_them_one_by_one() {
    let sandbox = Sandbox::start(&Options {
        nodes: 3,
        ..Options::default()
    });
    sandbox.create(workload("DaemonSet", "agent", 0)).unwrap();
    let done = |updated: i64| {
        let status = status(&sandbox, "ds", "agent");
        status["numberReady"] == 3
            && status["updatedNumberScheduled"] == updated
            && status["observedGeneration"] != Value::Null
    };
    until("everywhere", || done(3)).await;
    let nodes: BTreeSet<_> = pods(&sandbox)
        .iter()
        .map(|pod| pod["spec"]["nodeName"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(nodes.len(), 3);
    let first = uids(&sandbox);
    roll(&sandbox, "ds", "agent", "2");
    sleep(Duration::from_millis(10)).await;
    until("updated", || {
        assert!(
            pods(&sandbox).iter().filter(|pod| is_ready(pod)).count() >= 2,
            "too few serve"
        );
        done(3)
    })
    .await;
    assert!(first.is_disjoint(&uids(&sandbox)));
}

#[tokio::test(start_paused = true)]
async fn deleting_an_owner_deletes_what_it_owns_and_a_namespace_what_is_in_it() {
    let sandbox = Sandbox::start(&Options::default());
    sandbox.create(workload("Deployment", "web", 2)).unwrap();
    until("started", || is_complete(&sandbox, "deploy", "web", 2)).await;
    sandbox.delete("deploy", NS, "web").unwrap();
    until("all gone", || {
        sandbox.list("rs", NS).is_empty() && pods(&sandbox).is_empty()
    })
    .await;

    let mut there = map("conf", &json!({}));
    there["metadata"]["namespace"] = json!("other");
    sandbox.create(there).unwrap();
    sandbox.delete("namespaces", "", "other").unwrap();
    until("namespace gone", || sandbox.get("namespaces", "", "other").is_none()).await;
    assert!(sandbox.get("cm", "other", "conf").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_is_dropped_stops_its_work() {
    let sandbox = Sandbox::start(&Options::default());
    sandbox.create(workload("Deployment", "web", 1)).unwrap();
    let metrics = tokio::runtime::Handle::current().metrics();
    assert_eq!(metrics.num_alive_tasks(), 1);
    let service = sandbox.service();
    drop(sandbox);
    tokio::task::yield_now().await;
    assert_eq!(metrics.num_alive_tasks(), 1, "the service keeps it alive");
    drop(service);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(metrics.num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_whose_pods_never_get_ready_stops_at_its_bounds_and_times_out() {
    let sandbox = Sandbox::start(&Options::default());
    sandbox.create(workload("Deployment", "web", 4)).unwrap();
    let minute = Duration::from_secs(60);
    assert!(
        sandbox
            .eventually(minute, |sandbox| is_complete(sandbox, "deploy", "web", 4))
            .await
    );
    let stuck = json!({"spec": {"template": {"metadata": {"annotations": {READY_AFTER: "never"}}}}});
    sandbox.patch("deploy", NS, "web", &Patch::Merge(stuck)).unwrap();
    let reason = |sandbox: &Sandbox| {
        let status = status(sandbox, "deploy", "web");
        let conditions = status["conditions"].as_array().unwrap().clone();
        conditions.iter().find(|c| c["type"] == "Progressing").unwrap()["reason"].clone()
    };
    assert!(
        !sandbox
            .eventually(9 * minute, |sandbox| is_complete(sandbox, "deploy", "web", 4))
            .await
    );
    assert_eq!(reason(&sandbox), "ReplicaSetUpdated");
    assert!(
        sandbox
            .eventually(2 * minute, |sandbox| reason(sandbox) == "ProgressDeadlineExceeded")
            .await
    );
    assert_eq!(status(&sandbox, "deploy", "web")["availableReplicas"], 3);
    let healed = json!({"spec": {"template": {"metadata": {"annotations": {READY_AFTER: "0.2"}}}}});
    sandbox.patch("deploy", NS, "web", &Patch::Merge(healed)).unwrap();
    assert!(
        sandbox
            .eventually(minute, |sandbox| is_complete(sandbox, "deploy", "web", 4))
            .await
    );
    assert_eq!(reason(&sandbox), "NewReplicaSetAvailable");
}
