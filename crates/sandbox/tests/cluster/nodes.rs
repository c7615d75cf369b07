//! Nodes: what processes see.

use std::time::Duration;

use afresh_sandbox::{NodeOptions, Options, Patch, Sandbox};
use serde_json::json;
use tokio::time::sleep;

use crate::support::*;

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
