//! Following in a task: the same promises without a thread.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::time::Duration;

use afresh::{Config, Live, WatchOptions};
use afresh_volume::{AtomicWriter, File, Files};
use futures::StreamExt;
use serde::Deserialize;
use tokio::time::timeout;

/// Only so that what never comes is a failure and not a hang.
const LONG: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Settings {
    message: String,
}

fn write(volume: &tempfile::TempDir, key: &str, text: &str) {
    let files = Files::from([(key.to_owned(), File::new(text))]);
    AtomicWriter::write(volume.path(), &files).unwrap();
}

async fn live(volume: &tempfile::TempDir) -> Live<Settings> {
    let events = WatchOptions {
        poll: None,
        ..WatchOptions::default()
    };
    Config::directory(volume.path())
        .watch(events)
        .load_async()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_task_follows_and_the_stream_tells() {
    let volume = tempfile::tempdir().unwrap();
    write(&volume, "message", "one");
    let live = live(&volume).await;
    let mut changes = live.stream();
    for text in ["two", "three"] {
        write(&volume, "message", text);
        let change = timeout(LONG, changes.next()).await.unwrap().unwrap();
        assert_eq!(change.new.message, text);
    }
    write(&volume, "other", "");
    while live.health().is_current() {
        timeout(LONG, tokio::task::yield_now()).await.unwrap();
    }
    write(&volume, "message", "four");
    let change = timeout(LONG, changes.next()).await.unwrap().unwrap();
    assert_eq!(
        (change.old.message.as_str(), change.new.message.as_str()),
        ("three", "four")
    );
}

#[tokio::test]
async fn the_task_ends_with_the_last_handle_and_so_does_the_stream() {
    let volume = tempfile::tempdir().unwrap();
    write(&volume, "message", "one");
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let live = live(&volume).await;
    assert_eq!(metrics.num_alive_tasks(), before + 1);
    let stream = live.stream();
    drop(live);
    assert_eq!(timeout(LONG, stream.count()).await.unwrap(), 0);
    let ended = async {
        while metrics.num_alive_tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, ended).await.unwrap();
}

#[tokio::test]
async fn the_first_load_fails_loudly() {
    let volume = tempfile::tempdir().unwrap();
    write(&volume, "app.yaml", "message: [");
    let failed = Config::<Settings>::file(volume.path().join("app.yaml"))
        .load_async()
        .await;
    assert!(failed.unwrap_err().to_string().contains("app.yaml:1:"));
}

#[tokio::test]
async fn a_refresh_reads_again() {
    let volume = tempfile::tempdir().unwrap();
    write(&volume, "message", "one");
    let live = live(&volume).await;
    let reads = live.metrics().reads;
    live.refresh();
    let read = async {
        while live.metrics().reads == reads {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, read).await.unwrap();
}
