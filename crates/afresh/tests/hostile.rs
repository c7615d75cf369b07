//! Ten thousand swaps at full speed: readers never see a torn set, and nobody misses the last one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use afresh::{Config, Live, Source, WatchOptions};
use afresh_volume::{AtomicWriter, File, Files};
use futures::StreamExt;
use serde::Deserialize;

const SWAPS: u64 = 10_000;

/// Only so that a lost change is a failure and not a hang.
const LONG: Duration = Duration::from_secs(300);

/// Each field comes from a file of its own, in three formats and two layers; all must be of one swap.
#[derive(Deserialize)]
struct Set {
    generation: u64,
    again: u64,
    inner: Inner,
    padding: String,
}

#[derive(Deserialize)]
struct Inner {
    generation: u64,
}

impl Set {
    fn check(&self) -> u64 {
        let all = [self.again, self.inner.generation];
        assert!(
            all.iter().all(|one| *one == self.generation),
            "torn: {} {all:?}",
            self.generation
        );
        let size = usize::try_from(self.generation % 997).unwrap();
        assert_eq!(self.padding.len(), size, "torn within a file");
        self.generation
    }
}

fn write(path: &Path, generation: u64) {
    let padding = ".".repeat(usize::try_from(generation % 997).unwrap());
    let files = [
        (
            "one.yaml",
            format!("generation: {generation}\npadding: \"{padding}\"\n"),
        ),
        ("two.json", format!("{{\"inner\": {{\"generation\": {generation}}}}}")),
        ("three.properties", format!("again = {generation}\n")),
    ];
    let files: Files = files
        .into_iter()
        .map(|(name, text)| (name.to_owned(), File::new(text)))
        .collect();
    AtomicWriter::write(path, &files).unwrap();
}

fn config(path: &Path) -> Config<Set> {
    // Events alone: the slow poll must not be what saves it.
    let events = WatchOptions {
        poll: None,
        ..WatchOptions::default()
    };
    Config::file(path.join("one.yaml"))
        .overlay(Source::file(path.join("two.json")))
        .overlay(Source::file(path.join("three.properties")))
        .watch(events)
        .on_error(|error| assert!(error.to_string().contains("kept changing"), "{error}"))
}

/// In memory, as the kubelet keeps Secrets: the faster the writer, the harder for the readers.
fn volume() -> tempfile::TempDir {
    let volume = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    write(volume.path(), 0);
    volume
}

fn read_until(live: &Live<Set>, done: &AtomicBool) -> u64 {
    let (mut reader, mut reads, mut last) = (live.reader(), 0, 0);
    while !done.load(Ordering::Relaxed) {
        let one = live.get().check();
        let other = reader.get().check();
        assert!(last <= one && one <= other, "went back: {last}, {one}, {other}");
        last = other;
        reads += 1;
    }
    reads
}

/// Every way to be told, each until it has been told of the last swap.
fn follow(
    live: &Live<Set>,
) -> (
    Vec<std::thread::JoinHandle<u64>>,
    mpsc::Receiver<()>,
    afresh::Subscription,
) {
    let mut changes = live.changes();
    let blocking = std::thread::spawn(move || {
        let mut told = 0;
        loop {
            let change = changes.next_within(LONG).unwrap().unwrap();
            assert!(change.old.check() < change.new.check());
            told += 1;
            if change.new.generation == SWAPS {
                return told;
            }
        }
    });
    let mut stream = live.stream();
    let awaiting = std::thread::spawn(move || {
        futures::executor::block_on(async {
            let mut told = 0;
            while let Some(change) = stream.next().await {
                assert!(change.old.number() < change.new.number());
                told += 1;
                if change.new.check() == SWAPS {
                    return told;
                }
            }
            panic!("the stream ended before the last swap")
        })
    });
    let (tell, told) = mpsc::channel();
    let calls = AtomicU64::new(0);
    let subscription = live.on_change(move |change| {
        assert_eq!(
            change.new.number(),
            change.old.number() + 1,
            "a callback is told of each version"
        );
        calls.fetch_add(1, Ordering::Relaxed);
        if change.new.check() == SWAPS {
            let _ = tell.send(());
        }
    });
    (vec![blocking, awaiting], told, subscription)
}

#[test]
fn no_reader_sees_a_torn_set_and_nobody_misses_the_last_of_ten_thousand_swaps() {
    let volume = volume();
    let live = config(volume.path()).load().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (live, done) = (live.clone(), Arc::clone(&done));
            std::thread::spawn(move || read_until(&live, &done))
        })
        .collect();
    let (followers, called, _subscription) = follow(&live);

    for generation in 1..=SWAPS {
        write(volume.path(), generation);
    }

    let began = Instant::now();
    called.recv_timeout(LONG).unwrap();
    for follower in followers {
        let told = follower.join().unwrap();
        assert!((1..=SWAPS).contains(&told), "told {told} times");
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.join().unwrap() > 0);
    }
    assert_eq!(live.get().check(), SWAPS);
    let metrics = live.metrics();
    assert_eq!(
        (live.get().number(), metrics.panics),
        (metrics.changes + 1, 0),
        "{metrics:?}"
    );
    // Not a matter of the test's own speed: nothing waits for a poll.
    assert!(began.elapsed() < LONG);
}
