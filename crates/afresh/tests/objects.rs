//! ConfigMaps and Secrets by the API: the kubelet's three strategies, against an API server in the process.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "helpers of tests"
)]

include!("../doc_kube.rs");

use std::sync::mpsc;
use std::time::{Duration, Instant};

use afresh::{Config, Live, LoadError, Source, Strategy};
use afresh_sandbox::{Filter, RequestFault, Verb, WatchFault};

/// Only so that what never comes is a failure and not a hang.
const LONG: Duration = Duration::from_secs(60);

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn load(cluster: &InProcess, source: impl Into<Source>) -> Live<Settings> {
    Config::new(source).cluster(cluster.access()).load().unwrap()
}

fn gets(cluster: &InProcess) -> usize {
    cluster
        .sandbox
        .log()
        .succeeded(&Filter::verb(Verb::Get).resource("configmaps"))
}

#[test]
fn a_watched_object_is_followed_at_once_and_by_one_watch() {
    let cluster = cluster(&[("message", "one")]);
    for source in [Source::config_map("web"), Source::secret("web")] {
        cluster.write(&[("message", "one")]);
        let live = load(&cluster, source);
        let mut changes = live.changes();
        cluster.write(&[("message", "two")]);
        let change = changes.next_within(LONG).unwrap().unwrap();
        assert_eq!(
            (change.old.message.as_str(), change.new.message.as_str()),
            ("one", "two")
        );
    }
    assert_eq!(gets(&cluster), 0);
}

#[test]
fn a_watch_that_breaks_is_taken_up_and_misses_nothing() {
    let cluster = cluster(&[("message", "one")]);
    let live = load(&cluster, Source::config_map("web"));
    cluster
        .sandbox
        .faults()
        .next_watches(2, Filter::any().resource("configmaps"), WatchFault::CloseAtOnce);
    for text in ["two", "three", "four"] {
        cluster.write(&[("message", text)]);
        eventually(text, || live.get().message == text);
    }
}

#[test]
fn an_object_that_goes_is_trouble_and_the_last_good_version_stays() {
    let cluster = cluster(&[("message", "one")]);
    let live = load(&cluster, Source::config_map("web"));
    cluster.sandbox.delete("configmaps", "default", "web").unwrap();
    eventually("trouble", || !live.health().is_current());
    let health = live.health();
    assert_eq!(
        health.to_string(),
        "version 1 is still served: configmap/default/web does not exist"
    );
    assert_eq!(live.get().message, "one");
    cluster.write(&[("message", "two")]);
    eventually("back", || live.get().message == "two" && live.health().is_current());
}

#[test]
fn a_cached_object_is_asked_for_when_it_is_older_than_its_ttl() {
    let cluster = cluster(&[("message", "one")]);
    let ttl = Duration::from_millis(5);
    let live = load(&cluster, Source::config_map("web").strategy(Strategy::Cached { ttl }));
    cluster.write(&[("message", "two")]);
    eventually("asked again", || live.get().message == "two");
    assert!(gets(&cluster) >= 2);
    let watches = cluster.sandbox.log().succeeded(&Filter::verb(Verb::Watch));
    assert_eq!(watches, 0);
    // Meanwhile the API server is away: what is known is served, and it is said to be old.
    cluster
        .sandbox
        .faults()
        .next_requests(3, Filter::any(), RequestFault::ConnectionError);
    eventually("told", || live.health().degraded.is_some());
    assert_eq!(live.get().message, "two");
    eventually("over", || live.health().degraded.is_none());
}

#[test]
fn an_object_that_is_got_is_asked_for_once_and_at_each_refresh() {
    let cluster = cluster(&[("message", "one")]);
    let live = load(&cluster, Source::config_map("web").strategy(Strategy::Get));
    assert_eq!(gets(&cluster), 1);
    cluster.write(&[("message", "two")]);
    assert_eq!((live.get().message.as_str(), gets(&cluster)), ("one", 1));
    live.refresh();
    eventually("asked again", || live.get().message == "two");
    assert_eq!(gets(&cluster), 2);
}

#[test]
fn a_document_in_an_object_is_told_with_its_place() {
    let cluster = cluster(&[("app.yaml", "message: one\nworkers: hunter2\n")]);
    let config = Config::<Settings>::new(Source::secret("web").document("app.yaml")).cluster(cluster.access());
    let error = config.load().unwrap_err();
    let expected = "secret/default/web:app.yaml:2:10: workers: expected u8, found text";
    assert_eq!(error.to_string(), expected);

    let config = Config::<Settings>::new(Source::secret("web").document("other.yaml")).cluster(cluster.access());
    let error = config.load().unwrap_err();
    assert_eq!(error.to_string(), "secret/default/web:other.yaml does not exist");
}

#[test]
fn what_cannot_be_had_is_told_loudly() {
    let cluster = cluster(&[]);
    let refused = |source: Source, access| {
        let error = Config::<Settings>::new(source).cluster(access).load().unwrap_err();
        error.to_string()
    };
    let error = refused(Source::config_map("none").into(), cluster.access());
    assert_eq!(error, "configmap/default/none does not exist");
    let error = refused(Source::config_map("No Name").into(), cluster.access());
    assert!(error.starts_with("configmap/default/No Name: "), "{error}");
    let nobody = afresh::Cluster::server("http://127.0.0.1:1");
    let error = refused(Source::config_map("web").into(), nobody);
    assert!(
        error.starts_with("configmap/default/web: cannot reach the API server"),
        "{error}"
    );
}

#[test]
fn an_object_lies_over_files_and_below_the_rest() {
    let cluster = cluster(&[("workers", "7")]);
    let volume = volume(&[("message", "from a file"), ("workers", "1")]);
    let live: Live<Settings> = Config::directory(volume.path())
        .overlay(Source::config_map("web"))
        .overlay(Source::secret("none").optional())
        .cluster(cluster.access())
        .load()
        .unwrap();
    assert_eq!((live.get().message.as_str(), live.get().workers), ("from a file", 7));
    write(&volume, &[("message", "changed")]);
    eventually("the file", || live.get().message == "changed");
    cluster.write(&[("workers", "8")]);
    eventually("the object", || live.get().workers == 8);
}

#[test]
fn the_watch_ends_with_the_last_handle() {
    let cluster = cluster(&[("message", "one")]);
    let live = load(&cluster, Source::config_map("web"));
    let names = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let comm = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        tasks.map(comm).filter(|name| name.trim() == "afresh-kube").count()
    };
    // Other tests have threads of that name, too; all end once their tests do.
    assert!(names() >= 1);
    drop(live);
    eventually("no follower", || names() == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_task_follows_an_object_as_a_thread_does() {
    let cluster = cluster(&[("message", "one")]);
    let config = Config::<Settings>::new(Source::config_map("web")).cluster(cluster.access());
    let live = config.load_async().await.unwrap();
    let mut changes = live.stream();
    cluster.write(&[("message", "two")]);
    let change = tokio::time::timeout(LONG, futures::StreamExt::next(&mut changes))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(change.new.message, "two");
}

#[test]
fn each_trouble_is_told_once() {
    let cluster = cluster(&[("message", "one")]);
    let (tell, told) = mpsc::channel();
    let live: Live<Settings> = Config::new(Source::config_map("web"))
        .on_error(move |error| tell.send(matches!(**error, LoadError::Value { .. })).unwrap())
        .cluster(cluster.access())
        .load()
        .unwrap();
    cluster.write(&[("workers", "many")]);
    assert!(told.recv_timeout(LONG).unwrap());
    assert_eq!(live.get().message, "one");
    assert!(told.try_recv().is_err());
}
