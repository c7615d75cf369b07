//! The watcher as a task awaits it.

#![cfg(all(feature = "tokio", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::time::Duration;

use afresh_volume::{AsyncWatcher, AtomicWriter, Change, File, Files, Method, Snapshot, WatchOptions, Watcher};

fn swap(dir: &Path, number: u32) {
    AtomicWriter::write(dir, &Files::from([("n".to_owned(), File::new(number.to_string()))])).unwrap();
}

async fn follow_to(last: u32, dir: &Path, options: WatchOptions) {
    let mut watcher = AsyncWatcher::new(Watcher::new([dir], options)).unwrap();
    while Snapshot::read(dir).unwrap().get("n").unwrap() != last.to_string().as_bytes() {
        assert!(matches!(watcher.next().await.unwrap().change, Change::Changed(_)));
    }
}

#[tokio::test]
async fn the_last_of_many_swaps_is_always_told_by_events_and_by_the_poll() {
    let dir = tempfile::tempdir().unwrap();
    swap(dir.path(), 0);
    let events = WatchOptions {
        poll: None,
        ..WatchOptions::default()
    };
    let poll = WatchOptions {
        method: Method::Poll,
        poll: Some(Duration::from_millis(1)),
        ..events
    };
    let path = dir.path().to_owned();
    let writer = tokio::task::spawn_blocking(move || (1..=1000).for_each(|number| swap(&path, number)));
    tokio::join!(follow_to(1000, dir.path(), events), follow_to(1000, dir.path(), poll));
    writer.await.unwrap();
}

#[tokio::test]
async fn a_cancelled_wait_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    swap(dir.path(), 0);
    let options = WatchOptions {
        poll: None,
        ..WatchOptions::default()
    };
    let mut watcher = AsyncWatcher::new(Watcher::new([dir.path()], options)).unwrap();
    for number in 1..100 {
        tokio::select! {
            biased;
            () = tokio::task::yield_now() => {}
            _ = watcher.next() => {}
        }
        swap(dir.path(), number);
        let event = watcher.next().await.unwrap();
        assert_eq!(
            event.change,
            Change::Changed(Snapshot::read(dir.path()).unwrap().revision().clone())
        );
    }
}
