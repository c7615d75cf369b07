//! Whatever happens to a path, in whatever order: the watcher, by events alone, ends up knowing what a fresh look finds.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use afresh_volume::{AtomicWriter, File, Files, Method, State, WatchOptions, Watcher};
use proptest::prelude::*;

/// Something that people, editors and kubelets do to a directory tree. Paths are few, so that they meet.
#[derive(Debug, Clone)]
enum Step {
    Swap(&'static str, u8),
    Write(&'static str, u8),
    RenameOver(&'static str, u8),
    Move(&'static str, &'static str),
    Link(&'static str, &'static str),
    HardLink(&'static str, &'static str),
    MakeDirectory(&'static str),
    Remove(&'static str),
    Wait,
}

const PATHS: [&str; 6] = ["a", "a/b", "a/b/c", "a/d", "e", "e/b"];

fn path() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&PATHS[..])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (path(), 0..3_u8).prop_map(|(at, what)| Step::Swap(at, what)),
        2 => (path(), 0..3_u8).prop_map(|(at, what)| Step::Write(at, what)),
        1 => (path(), 0..3_u8).prop_map(|(at, what)| Step::RenameOver(at, what)),
        1 => (path(), path()).prop_map(|(from, to)| Step::Move(from, to)),
        1 => (path(), path()).prop_map(|(to, at)| Step::Link(to, at)),
        1 => (path(), path()).prop_map(|(to, at)| Step::HardLink(to, at)),
        2 => path().prop_map(Step::MakeDirectory),
        2 => path().prop_map(Step::Remove),
        2 => Just(Step::Wait),
    ]
}

/// Many steps are impossible where they come; that is part of it.
fn perform(root: &Path, step: &Step) -> io::Result<()> {
    let at = |path: &str| root.join(path);
    match step {
        Step::Swap(path, what) => {
            let files = Files::from([
                ("b".to_owned(), File::new([*what])),
                (format!("k{what}"), File::new("x")),
            ]);
            AtomicWriter::write(&at(path), &files)
                .map(drop)
                .map_err(io::Error::other)
        }
        Step::Write(path, what) => fs::write(at(path), [*what]),
        Step::RenameOver(path, what) => {
            fs::write(root.join("draft"), [*what])?;
            fs::rename(root.join("draft"), at(path))
        }
        Step::Move(from, to) => fs::rename(at(from), at(to)),
        Step::Link(to, path) => symlink(at(to), at(path)),
        Step::HardLink(to, path) => fs::hard_link(at(to), at(path)),
        Step::MakeDirectory(path) => fs::create_dir(at(path)),
        Step::Remove(path) if at(path).is_symlink() || at(path).is_file() => fs::remove_file(at(path)),
        Step::Remove(path) => fs::remove_dir_all(at(path)),
        Step::Wait => Ok(()),
    }
}

fn states(watcher: &Watcher) -> Vec<(String, State)> {
    watcher
        .states()
        .map(|(path, state)| (path.display().to_string(), state.clone()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn events_alone_lead_to_what_a_fresh_look_finds(steps in prop::collection::vec(step(), 1..24)) {
        let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let paths = ["a", "a/b", "e"].map(|path| root.path().join(path));
        let options = WatchOptions { poll: None, ..WatchOptions::default() };
        let fresh = WatchOptions { method: Method::Poll, ..options };
        let mut watcher = Watcher::new(&paths, options);
        for step in steps.iter().chain([&Step::Wait]) {
            let _ = perform(root.path(), step);
            if matches!(step, Step::Wait) {
                // A time to look again is only ever set here by a file that may not be closed yet.
                while watcher.try_next().is_some() || (watcher.next_poll().is_some() && watcher.degraded().is_none()) {}
                prop_assert_eq!(watcher.degraded(), None);
                prop_assert_eq!(states(&watcher), states(&Watcher::new(&paths, fresh)));
            }
        }
    }
}
