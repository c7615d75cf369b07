//! Ten thousand swaps at full speed: no reader sees a torn set, none goes back, none misses the last.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use afresh_volume::{AtomicWriter, Change, File, Files, Limits, Method, ReadError, Snapshot, WatchOptions, Watcher};

/// Only so that a missed event is a failure and not a hang.
const LONG: Option<Duration> = Some(Duration::from_secs(120));

const SWAPS: u32 = 10_000;

/// A set that tells by itself whether it is whole: every file bears the generation, `index` lists all names, and which
/// keys there are depends on the generation.
fn generation(number: u32) -> Files {
    let mut files = Files::new();
    let size = 1 + (number as usize * 37) % 3000;
    for key in 0..8 {
        if !(number + key).is_multiple_of(3) {
            let mut bytes = format!("{number}\n").into_bytes();
            bytes.resize(bytes.len() + size, b'.');
            files.insert(format!("key-{key}"), File::new(bytes));
        }
    }
    files.insert(format!("sub/only-{}", number % 2), File::new(format!("{number}\n")));
    let mut index = format!("{number}\n");
    for name in files.keys() {
        writeln!(index, "{name}").unwrap();
    }
    files.insert("index".to_owned(), File::new(index));
    files
}

/// The generation of a whole set.
fn number_of(files: &Files) -> u32 {
    let number: u32 = first_line(&files["index"]).parse().unwrap();
    assert_eq!(files, &generation(number), "torn");
    number
}

fn first_line(file: &File) -> String {
    String::from_utf8_lossy(&file.bytes).lines().next().unwrap().to_owned()
}

/// Reads until the last generation is seen; returns how many reads there were and how many generations.
fn read_to_the_end(path: &Path) -> (u32, u32) {
    let (mut reads, mut seen, mut last) = (0, 0, None);
    loop {
        // A writer that never rests may tire a reader out; that is an error, never a torn set.
        let snapshot = match Snapshot::read_with(
            path,
            &Limits {
                attempts: 8,
                ..Limits::default()
            },
        ) {
            Ok(snapshot) => snapshot,
            Err(ReadError::Unsettled { .. }) => continue,
            Err(error) => panic!("{error}"),
        };
        reads += 1;
        let number = number_of(snapshot.files());
        assert!(
            last.is_none_or(|last| last <= number),
            "went back from {last:?} to {number}"
        );
        seen += u32::from(last != Some(number));
        last = Some(number);
        if number == SWAPS {
            return (reads, seen);
        }
    }
}

/// In memory, as the kubelet keeps Secrets: the faster the writer, the harder for the readers.
fn memory_directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

#[test]
fn readers_at_full_speed_see_whole_sets_only_and_the_last_one() {
    let dir = memory_directory();
    AtomicWriter::write(dir.path(), &generation(0)).unwrap();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(|| read_to_the_end(dir.path()))).collect();
        for number in 1..=SWAPS {
            AtomicWriter::write(dir.path(), &generation(number)).unwrap();
        }
        for reader in readers {
            let (reads, seen) = reader.join().unwrap();
            assert!(reads >= seen && seen >= 1, "{reads} reads, {seen} generations");
        }
    });
    // Nothing is left behind: ..data, its directory, the visible names.
    let last = generation(SWAPS);
    let visible: BTreeSet<&str> = last.keys().filter_map(|key| key.split('/').next()).collect();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), visible.len() + 2);
}

/// Reads only when told, until the last generation is read; a missed swap would be a wait without end.
fn follow_to_the_end(mut watcher: Watcher, path: &Path) -> u32 {
    let mut told = 0;
    while number_of(&read_whole(path)) != SWAPS {
        let event = watcher.wait(LONG).unwrap().unwrap();
        assert!(matches!(event.change, Change::Changed(_)), "{event:?}");
        told += 1;
    }
    told
}

fn read_whole(path: &Path) -> Files {
    loop {
        match Snapshot::read(path) {
            Ok(snapshot) => return snapshot.into_files(),
            Err(ReadError::Unsettled { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_watcher_never_misses_the_last_of_ten_thousand_swaps() {
    let dir = memory_directory();
    AtomicWriter::write(dir.path(), &generation(0)).unwrap();
    // Events alone, and alone the poll: either must do by itself.
    let events = WatchOptions {
        poll: None,
        ..WatchOptions::default()
    };
    let poll = WatchOptions {
        method: Method::Poll,
        poll: Some(Duration::from_millis(1)),
        ..WatchOptions::default()
    };
    let watchers = [events, poll].map(|options| Watcher::new([dir.path()], options));
    std::thread::scope(|scope| {
        let readers = watchers.map(|watcher| scope.spawn(|| follow_to_the_end(watcher, dir.path())));
        for number in 1..=SWAPS {
            AtomicWriter::write(dir.path(), &generation(number)).unwrap();
        }
        for reader in readers {
            let told = reader.join().unwrap();
            assert!((1..=SWAPS).contains(&told), "told {told} times");
        }
    });
}
