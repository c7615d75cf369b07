//! The small cluster: controllers and a node, under a paused clock.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use afresh_sandbox::{NodeOptions, Options, Patch, READY_AFTER, Sandbox};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

const NS: &str = "default";

fn map(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

fn workload(kind: &str, name: &str, replicas: i64) -> Value {
    let mut body = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}}, "serviceName": name,
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "app", "image": "i:1", "envFrom": [{"configMapRef": {"name": "conf", "optional": true}}]}]},
        },
    }});
    if kind == "DaemonSet" {
        body["spec"]
            .as_object_mut()
            .unwrap()
            .retain(|key, _| key != "replicas" && key != "serviceName");
    }
    body
}

fn roll(sandbox: &Sandbox, resource: &str, name: &str, to: &str) {
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"afresh.dev/config": to}}}}});
    sandbox.patch(resource, NS, name, &Patch::Strategic(patch)).unwrap();
}

fn status(sandbox: &Sandbox, resource: &str, name: &str) -> Value {
    sandbox.get(resource, NS, name).unwrap()["status"].clone()
}

fn pods(sandbox: &Sandbox) -> Vec<Value> {
    sandbox.list("pods", NS)
}

fn names(sandbox: &Sandbox) -> BTreeSet<String> {
    pods(sandbox)
        .iter()
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

fn uids(sandbox: &Sandbox) -> BTreeSet<String> {
    pods(sandbox)
        .iter()
        .map(|pod| pod["metadata"]["uid"].as_str().unwrap().to_owned())
        .collect()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// Waits until something holds, in paused time.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(timeout(Duration::from_secs(600), wait).await.is_ok(), "never: {what}");
}

fn is_complete(sandbox: &Sandbox, resource: &str, name: &str, replicas: i64) -> bool {
    let object = sandbox.get(resource, NS, name).unwrap();
    let status = &object["status"];
    status["observedGeneration"] == object["metadata"]["generation"]
        && status["replicas"] == replicas
        && status["updatedReplicas"] == replicas
        && status["availableReplicas"] == replicas
        && status["readyReplicas"] == replicas
}

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
async fn environment_is_fixed_at_the_start_of_a_process() {
    let sandbox = Sandbox::start(&Options::default());
    let mut web = workload("Deployment", "web", 1);
    web["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "conf"}}]);
    sandbox.create(web).unwrap();
    sleep(Duration::from_secs(30)).await;
    let waiting = pods(&sandbox)[0]["status"]["containerStatuses"][0]["state"]["waiting"].clone();
    assert_eq!(waiting["reason"], "CreateContainerConfigError");
    sandbox.create(map("conf", &json!({"MODE": "one"}))).unwrap();
    until("started", || is_complete(&sandbox, "deploy", "web", 1)).await;
    let name = names(&sandbox).into_iter().next().unwrap();
    let mode = || sandbox.node().process(NS, &name, "app").unwrap().env["MODE"].clone();
    assert_eq!(mode(), "one");
    sandbox.apply(map("conf", &json!({"MODE": "two"}))).unwrap();
    sleep(Duration::from_secs(300)).await;
    assert_eq!(mode(), "one");
    assert!(sandbox.node().restart(NS, &name, "app"));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(mode(), "two");
    assert_eq!(sandbox.node().process(NS, &name, "app").unwrap().restart_count, 1);
    assert_eq!(pods(&sandbox)[0]["status"]["containerStatuses"][0]["restartCount"], 1);
}

/// A pod that mounts `conf` whole at /etc/conf, its key `k` by subPath at /etc/k, and more volumes if asked.
fn mounting_pod(volumes: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {
        "containers": [{"name": "app", "image": "i", "volumeMounts": [
            {"name": "conf", "mountPath": "/etc/conf"}, {"name": "conf", "mountPath": "/etc/k", "subPath": "k"}]}],
        "volumes": volumes,
    }})
}

fn conf_volume() -> Value {
    json!([{"name": "conf", "configMap": {"name": "conf"}}])
}

fn touch(sandbox: &Sandbox, value: &str) {
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"afresh.dev/touched": value}}}));
    sandbox.patch_status("pods", NS, "p", &patch).unwrap();
}

async fn with_pod(options: &Options, volumes: Value) -> Sandbox {
    let sandbox = Sandbox::start(options);
    sandbox.create(map("conf", &json!({"k": "1"}))).unwrap();
    sandbox.create(mounting_pod(&volumes)).unwrap();
    until("the pod runs", || pods(&sandbox).iter().all(is_ready)).await;
    sandbox
}

#[tokio::test(start_paused = true)]
async fn a_mounted_file_changes_with_the_slow_timer_or_soon_after_a_touch_and_a_sub_path_never() {
    let sandbox = with_pod(&Options::default(), conf_volume()).await;
    let file = || sandbox.node().file(NS, "p", "app", "/etc/conf/k").unwrap();
    let changed_after = async |touched: bool, value: &str| {
        let began = tokio::time::Instant::now();
        sandbox.apply(map("conf", &json!({"k": value}))).unwrap();
        if touched {
            touch(&sandbox, value);
        }
        until("the file changed", || file() == value).await;
        began.elapsed()
    };
    // Past the timer, so that the wait is a whole one.
    let slow = changed_after(false, "2").await;
    let slow_again = changed_after(false, "3").await;
    assert!(
        slow <= Duration::from_secs(91) && (60..=91).contains(&slow_again.as_secs()),
        "{slow:?} {slow_again:?}"
    );
    sleep(Duration::from_secs(2)).await;
    let quick = changed_after(true, "4").await;
    assert!(quick <= Duration::from_millis(150), "{quick:?}");
    // The next one has to wait until a second has passed since the last sync.
    let next = changed_after(true, "5").await;
    assert!((900..=1_100).contains(&next.as_millis()), "{next:?}");
    assert_eq!(sandbox.node().file(NS, "p", "app", "/etc/k"), Some("1".into()));
    assert!(sandbox.node().restart(NS, "p", "app"));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(sandbox.node().file(NS, "p", "app", "/etc/k"), Some("5".into()));
}

#[tokio::test(start_paused = true)]
async fn a_touch_that_overtakes_the_nodes_cache_rewrites_the_old_content() {
    let node = NodeOptions {
        cache_lag: Duration::from_secs(3),
        ..NodeOptions::default()
    };
    let sandbox = with_pod(
        &Options {
            node,
            ..Options::default()
        },
        conf_volume(),
    )
    .await;
    let file = || sandbox.node().file(NS, "p", "app", "/etc/conf/k").unwrap();
    sandbox.apply(map("conf", &json!({"k": "2"}))).unwrap();
    let before = sandbox.node().syncs(NS, "p");
    touch(&sandbox, "a");
    sleep(Duration::from_secs(2)).await;
    assert_eq!((file().as_str(), sandbox.node().syncs(NS, "p")), ("1", before + 1));
    sleep(Duration::from_secs(2)).await;
    touch(&sandbox, "b");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(file(), "2");
    // A write of status alone, or the same annotation again, moves nothing.
    let syncs = sandbox.node().syncs(NS, "p");
    touch(&sandbox, "b");
    sandbox
        .patch_status("pods", NS, "p", &Patch::Merge(json!({"status": {"message": "x"}})))
        .unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(sandbox.node().syncs(NS, "p"), syncs);
}

#[tokio::test(start_paused = true)]
async fn a_missing_object_freezes_a_required_volume_and_empties_an_optional_one() {
    for (optional, expected) in [(false, Some("1".to_owned())), (true, None)] {
        let volumes = json!([{"name": "conf", "configMap": {"name": "conf", "optional": optional}}]);
        let sandbox = with_pod(&Options::default(), volumes).await;
        sandbox.delete("cm", NS, "conf").unwrap();
        sleep(Duration::from_secs(200)).await;
        assert_eq!(sandbox.node().file(NS, "p", "app", "/etc/conf/k"), expected);
        assert!(pods(&sandbox).iter().all(is_ready), "a running pod runs on");
        sandbox.create(map("conf", &json!({"k": "2"}))).unwrap();
        sleep(Duration::from_secs(200)).await;
        assert_eq!(sandbox.node().file(NS, "p", "app", "/etc/conf/k"), Some("2".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_pod_waits_for_its_volume_and_an_immutable_object_is_never_read_again() {
    let sandbox = Sandbox::start(&Options::default());
    sandbox.create(mounting_pod(&conf_volume())).unwrap();
    sleep(Duration::from_secs(30)).await;
    let reason = pods(&sandbox)[0]["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].clone();
    assert_eq!(reason, "ContainerCreating");
    let mut fixed = map("conf", &json!({"k": "1"}));
    fixed["immutable"] = json!(true);
    sandbox.create(fixed).unwrap();
    until("the pod runs", || pods(&sandbox).iter().all(is_ready)).await;
    sandbox.delete("cm", NS, "conf").unwrap();
    sandbox.create(map("conf", &json!({"k": "2"}))).unwrap();
    touch(&sandbox, "a");
    sleep(Duration::from_secs(200)).await;
    assert_eq!(sandbox.node().file(NS, "p", "app", "/etc/conf/k"), Some("1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn volumes_on_disk_are_swapped_as_a_whole() {
    let root = tempfile::tempdir().unwrap();
    let node = NodeOptions {
        volume_root: Some(root.path().to_owned()),
        ..NodeOptions::default()
    };
    let sandbox = with_pod(
        &Options {
            node,
            ..Options::default()
        },
        conf_volume(),
    )
    .await;
    let volume = sandbox.node().volume_path(NS, "p", "conf").unwrap();
    assert_eq!(std::fs::read_to_string(volume.join("k")).unwrap(), "1");
    let target = std::fs::read_link(volume.join("..data")).unwrap();
    sandbox.apply(map("conf", &json!({"k": "2", "l": "3"}))).unwrap();
    touch(&sandbox, "a");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(std::fs::read_to_string(volume.join("k")).unwrap(), "2");
    assert_eq!(std::fs::read_to_string(volume.join("l")).unwrap(), "3");
    assert_ne!(std::fs::read_link(volume.join("..data")).unwrap(), target);
    sandbox.delete("pods", NS, "p").unwrap();
    until("the pod is gone", || pods(&sandbox).is_empty()).await;
    assert!(!volume.exists());
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

#[tokio::test(start_paused = true)]
async fn controllers_and_nodes_survive_a_history_that_is_compacted_after_every_write() {
    let sandbox = Sandbox::start(&Options {
        history: 1,
        ..Options::default()
    });
    sandbox.create(map("conf", &json!({"k": "1"}))).unwrap();
    sandbox.create(workload("Deployment", "web", 3)).unwrap();
    sandbox.create(workload("StatefulSet", "db", 2)).unwrap();
    sandbox.create(mounting_pod(&conf_volume())).unwrap();
    let minute = Duration::from_secs(60);
    let done = |sandbox: &Sandbox| is_complete(sandbox, "deploy", "web", 3) && is_complete(sandbox, "sts", "db", 2);
    assert!(sandbox.eventually(minute, done).await);
    for round in ["2", "3"] {
        roll(&sandbox, "deploy", "web", round);
        roll(&sandbox, "sts", "db", round);
        sandbox.apply(map("conf", &json!({"k": round}))).unwrap();
        touch(&sandbox, round);
        sandbox.compact();
        assert!(sandbox.eventually(minute, done).await, "round {round}");
        assert_eq!(
            sandbox.node().file(NS, "p", "app", "/etc/conf/k").as_deref(),
            Some(round)
        );
    }
    sandbox.delete("deploy", NS, "web").unwrap();
    sandbox.compact();
    assert!(
        sandbox
            .eventually(minute, |sandbox| sandbox.list("rs", NS).is_empty())
            .await
    );
    assert!(
        sandbox.eventually(minute, |sandbox| pods(sandbox).len() == 3).await,
        "only db and p are left"
    );
}

#[tokio::test]
async fn with_a_clock_that_runs_pods_start_and_files_on_disk_follow_a_touch() {
    let root = tempfile::tempdir().unwrap();
    let quick = Duration::from_millis(20);
    let node = NodeOptions {
        start_delay: quick,
        ready_delay: quick,
        min_interval: quick,
        volume_root: Some(root.path().to_owned()),
        ..NodeOptions::default()
    };
    let sandbox = with_pod(
        &Options {
            node,
            ..Options::default()
        },
        conf_volume(),
    )
    .await;
    let volume = sandbox.node().volume_path(NS, "p", "conf").unwrap();
    for round in ["2", "3", "4"] {
        sandbox.apply(map("conf", &json!({"k": round}))).unwrap();
        touch(&sandbox, round);
        let holds = |_: &Sandbox| std::fs::read_to_string(volume.join("k")).is_ok_and(|text| text == round);
        assert!(
            sandbox.eventually(Duration::from_secs(30), holds).await,
            "round {round}"
        );
    }
}
