//! What a volume costs: noticing a swap, reading a snapshot, writing one.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use afresh_volume::{AtomicWriter, Change, File, Files, Method, Revision, Snapshot, WatchOptions, Watcher};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// In memory, as the kubelet keeps Secrets: the disk is not what is measured.
fn volume() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

fn files(count: u32, content: u64) -> Files {
    (0..count)
        .map(|n| (format!("key-{n}"), File::new(format!("{content:08}").repeat(128))))
        .collect()
}

fn write(dir: &Path, count: u32, content: u64) {
    AtomicWriter::write(dir, &files(count, content)).unwrap();
}

/// From just before the rename of `..data` until another thread, asleep before, has been told the new revision.
fn notice(c: &mut Criterion) {
    let dir = volume();
    write(dir.path(), 1, 0);
    let (tell, told) = mpsc::channel::<(Revision, Instant)>();
    let options = WatchOptions {
        method: Method::Events,
        poll: None,
        ..WatchOptions::default()
    };
    let mut watcher = Watcher::new([dir.path()], options);
    let waker = watcher.waker().unwrap();
    let watching = std::thread::spawn(move || {
        while let Some(event) = watcher.wait(None).unwrap() {
            let Change::Changed(revision) = event.change else {
                continue;
            };
            if tell.send((revision, Instant::now())).is_err() {
                break;
            }
        }
    });
    // A bare symlink and rename instead of the writer: nothing else is to be in the measured time.
    let swap = |number: u64| {
        let target = format!("..2026_01_01_00_00_00.{number}");
        std::fs::create_dir(dir.path().join(&target)).unwrap();
        std::os::unix::fs::symlink(&target, dir.path().join("..data_tmp")).unwrap();
        let began = Instant::now();
        std::fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
        loop {
            let (revision, at) = told.recv().unwrap();
            if revision == Revision::Target(target.clone().into()) {
                return at.duration_since(began);
            }
        }
    };
    let mut number = 0;
    c.bench_function("swap to noticed", |b| {
        b.iter_custom(|rounds| {
            let one = |_| {
                number += 1;
                swap(number)
            };
            (0..rounds).map(one).sum::<Duration>()
        });
    });
    waker.wake();
    watching.join().unwrap();
}

fn snapshot(c: &mut Criterion) {
    let mut group = c.benchmark_group("snapshot");
    for count in [1, 100] {
        let dir = volume();
        write(dir.path(), count, 0);
        group.bench_with_input(
            BenchmarkId::from_parameter(format!("{count} files of 1 KiB")),
            &count,
            |b, _| {
                b.iter(|| black_box(Snapshot::read(dir.path()).unwrap()));
            },
        );
    }
    group.finish();
}

fn rewrite(c: &mut Criterion) {
    let mut group = c.benchmark_group("write");
    for count in [1, 100] {
        let dir = volume();
        let mut content = 0;
        group.bench_with_input(
            BenchmarkId::from_parameter(format!("{count} files of 1 KiB")),
            &count,
            |b, count| {
                b.iter(|| {
                    content += 1;
                    write(dir.path(), *count, content);
                });
            },
        );
        group.bench_with_input(
            BenchmarkId::from_parameter(format!("{count} files, unchanged")),
            &count,
            |b, count| {
                b.iter(|| write(dir.path(), *count, content));
            },
        );
    }
    group.finish();
}

criterion_group!(benches, notice, snapshot, rewrite);
criterion_main!(benches);
