//! The watcher tells of every difference and of nothing else. All of it by events: the slow poll is off, but in the
//! tests that say so.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use afresh_volume::{
    AtomicWriter, Change, File, Files, Limits, Method, Revision, Snapshot, State, WatchOptions, Watcher,
};

const EVENTS_ONLY: WatchOptions = WatchOptions {
    method: Method::Events,
    poll: None,
    limits: Limits {
        max_bytes: 16 << 20,
        max_entries: 1 << 16,
        attempts: 100,
    },
};

fn files(entries: &[(&str, &str)]) -> Files {
    entries
        .iter()
        .map(|(key, text)| ((*key).to_owned(), File::new(*text)))
        .collect()
}

fn swap(dir: &Path, entries: &[(&str, &str)]) {
    AtomicWriter::write(dir, &files(entries)).unwrap();
}

fn watch(path: &Path) -> Watcher {
    let watcher = Watcher::new([path], EVENTS_ONLY);
    assert_eq!(watcher.degraded(), None);
    watcher
}

/// The kernel queues a notice before the call that caused it returns, so what there is to tell can be told at once.
fn told(watcher: &mut Watcher) -> Vec<Change> {
    std::iter::from_fn(|| watcher.try_next())
        .map(|event| event.change)
        .collect()
}

fn one(watcher: &mut Watcher) -> Change {
    let mut changes = told(watcher);
    assert_eq!(changes.len(), 1, "{changes:?}");
    changes.remove(0)
}

fn revision(path: &Path) -> Revision {
    Snapshot::read(path).unwrap().revision().clone()
}

#[test]
fn a_swap_is_one_change_and_an_equal_write_none() {
    let dir = tempfile::tempdir().unwrap();
    swap(dir.path(), &[("a", "1")]);
    let mut watcher = watch(dir.path());
    assert_eq!(told(&mut watcher), []);

    swap(dir.path(), &[("a", "2"), ("b", "1")]);
    assert_eq!(one(&mut watcher), Change::Changed(revision(dir.path())));

    swap(dir.path(), &[("a", "2"), ("b", "1")]);
    assert_eq!(told(&mut watcher), []);
    fs::write(dir.path().join("not-of-the-volume"), "x").unwrap();
    assert_eq!(told(&mut watcher), []);
}

#[test]
fn a_burst_of_swaps_is_told_once_with_the_last() {
    let dir = tempfile::tempdir().unwrap();
    swap(dir.path(), &[("a", "0")]);
    let mut watcher = watch(dir.path());
    for number in 1..=50 {
        swap(dir.path(), &[("a", &number.to_string())]);
    }
    assert_eq!(one(&mut watcher), Change::Changed(revision(dir.path())));
}

#[test]
fn a_volume_that_vanishes_and_returns_is_told_of() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("config");
    fs::create_dir(&dir).unwrap();
    swap(&dir, &[("a", "1")]);
    let mut watcher = watch(&dir);

    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(one(&mut watcher), Change::Gone);
    fs::create_dir(&dir).unwrap();
    swap(&dir, &[("a", "1")]);
    assert_eq!(one(&mut watcher), Change::Back(revision(&dir)));
    swap(&dir, &[("a", "2")]);
    assert_eq!(one(&mut watcher), Change::Changed(revision(&dir)));
}

#[test]
fn a_volume_replaced_by_another_is_watched_on() {
    let parent = tempfile::tempdir().unwrap();
    let (dir, next) = (parent.path().join("config"), parent.path().join("next"));
    for path in [&dir, &next] {
        fs::create_dir(path).unwrap();
        swap(path, &[("a", path.to_str().unwrap())]);
    }
    let mut watcher = watch(&dir);

    fs::rename(&dir, parent.path().join("old")).unwrap();
    fs::rename(&next, &dir).unwrap();
    assert_eq!(one(&mut watcher), Change::Changed(revision(&dir)));
    swap(&dir, &[("a", "3")]);
    assert_eq!(one(&mut watcher), Change::Changed(revision(&dir)));
    swap(&parent.path().join("old"), &[("a", "4")]);
    assert_eq!(told(&mut watcher), []);
}

#[test]
fn a_directory_removed_while_somebody_holds_it_open_is_gone() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("config");
    fs::create_dir(&dir).unwrap();
    let mut watcher = watch(&dir);
    let held = fs::File::open(&dir).unwrap();

    fs::remove_dir(&dir).unwrap();
    assert_eq!(one(&mut watcher), Change::Gone);
    fs::create_dir(&dir).unwrap();
    swap(&dir, &[("a", "1")]);
    assert_eq!(one(&mut watcher), Change::Back(revision(&dir)));
    drop(held);
}

#[test]
fn what_is_not_there_yet_is_found_however_deep_it_will_be() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("a/b/c");
    let mut watcher = watch(&dir);
    fs::create_dir(parent.path().join("unrelated")).unwrap();
    assert_eq!(told(&mut watcher), []);

    fs::create_dir(parent.path().join("a")).unwrap();
    assert_eq!(told(&mut watcher), []);
    fs::create_dir_all(&dir).unwrap();
    swap(&dir, &[("k", "1")]);
    assert_eq!(one(&mut watcher), Change::Back(revision(&dir)));
    swap(&dir, &[("k", "2")]);
    assert_eq!(one(&mut watcher), Change::Changed(revision(&dir)));
}

#[test]
fn a_symlink_to_a_directory_may_come_to_point_elsewhere() {
    let parent = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        fs::create_dir(parent.path().join(name)).unwrap();
        swap(&parent.path().join(name), &[("name", name)]);
    }
    let link = parent.path().join("current");
    symlink("one", &link).unwrap();
    let mut watcher = watch(&link);

    symlink("two", parent.path().join("next")).unwrap();
    fs::rename(parent.path().join("next"), &link).unwrap();
    assert_eq!(one(&mut watcher), Change::Changed(revision(&link)));
    swap(&parent.path().join("two"), &[("name", "three")]);
    assert_eq!(one(&mut watcher), Change::Changed(revision(&link)));
}

#[test]
fn one_key_of_a_volume_is_told_of_when_its_own_bytes_change() {
    let dir = tempfile::tempdir().unwrap();
    swap(dir.path(), &[("mine", "1"), ("other", "1"), ("sub/mine", "1")]);
    let (key, deep) = (dir.path().join("mine"), dir.path().join("sub/mine"));
    let (mut key_watcher, mut deep_watcher) = (watch(&key), watch(&deep));

    swap(dir.path(), &[("mine", "1"), ("other", "2"), ("sub/mine", "1")]);
    assert_eq!((told(&mut key_watcher), told(&mut deep_watcher)), (vec![], vec![]));
    swap(dir.path(), &[("mine", "2"), ("other", "2"), ("sub/mine", "2")]);
    assert_eq!(one(&mut key_watcher), Change::Changed(revision(&key)));
    assert_eq!(one(&mut deep_watcher), Change::Changed(revision(&deep)));
    swap(dir.path(), &[("other", "2")]);
    assert_eq!(
        (one(&mut key_watcher), one(&mut deep_watcher)),
        (Change::Gone, Change::Gone)
    );
    swap(dir.path(), &[("mine", "3"), ("sub/mine", "3")]);
    assert_eq!(one(&mut key_watcher), Change::Back(revision(&key)));
    assert_eq!(one(&mut deep_watcher), Change::Back(revision(&deep)));
}

#[test]
fn a_plain_file_is_told_of_as_editors_write_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.yaml");
    fs::write(&path, "1").unwrap();
    let mut watcher = watch(&path);

    fs::write(&path, "2, in place").unwrap();
    assert_eq!(one(&mut watcher), Change::Changed(revision(&path)));
    for text in ["3, renamed over", "4, again"] {
        fs::write(dir.path().join(".app.yaml.swp"), text).unwrap();
        fs::rename(dir.path().join(".app.yaml.swp"), &path).unwrap();
        assert_eq!(one(&mut watcher), Change::Changed(revision(&path)));
    }
    fs::write(&path, "4, again").unwrap();
    assert_eq!(told(&mut watcher), []);
    fs::remove_file(&path).unwrap();
    assert_eq!(one(&mut watcher), Change::Gone);
    fs::write(&path, "5").unwrap();
    assert_eq!(one(&mut watcher), Change::Back(revision(&path)));
}

#[test]
fn a_file_is_told_of_when_it_is_closed_not_when_it_is_made() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("new")] {
        let _ = fs::remove_file(dir.path().join("new"));
        let mut watcher = watch(&path);
        let mut file = fs::File::create(dir.path().join("new")).unwrap();
        assert_eq!(told(&mut watcher), []);
        std::io::Write::write_all(&mut file, b"whole").unwrap();
        drop(file);
        let change = one(&mut watcher);
        assert!(matches!(change, Change::Changed(now) | Change::Back(now) if now == revision(&path)));
    }
}

#[test]
fn a_file_behind_a_symlink_in_another_directory_is_watched_there() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (link, real) = (here.path().join("app.yaml"), there.path().join("real.yaml"));
    fs::write(&real, "1").unwrap();
    symlink(&real, &link).unwrap();
    let mut watcher = watch(&link);

    fs::write(&real, "2").unwrap();
    assert_eq!(one(&mut watcher), Change::Changed(revision(&link)));
    fs::write(there.path().join("tmp"), "3").unwrap();
    fs::rename(there.path().join("tmp"), &real).unwrap();
    assert_eq!(one(&mut watcher), Change::Changed(revision(&link)));
    fs::write(&real, "4").unwrap();
    assert_eq!(one(&mut watcher), Change::Changed(revision(&link)));
}

#[test]
fn a_plain_directory_is_watched_with_those_below_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut watcher = watch(dir.path());
    let mut expect_change = |what: &str| assert_eq!(one(&mut watcher), Change::Changed(revision(dir.path())), "{what}");

    fs::write(dir.path().join("a"), "1").unwrap();
    expect_change("new file");
    fs::create_dir_all(dir.path().join("x/y")).unwrap();
    fs::write(dir.path().join("x/y/z"), "1").unwrap();
    expect_change("new file below new directories");
    fs::write(dir.path().join("x/y/z"), "2").unwrap();
    expect_change("write below");
    AtomicWriter::write(&dir.path().join("x"), &files(&[("v", "1")])).unwrap();
    expect_change("a volume below");
    AtomicWriter::write(&dir.path().join("x"), &files(&[("v", "2")])).unwrap();
    expect_change("its swap");
    fs::hard_link(dir.path().join("a"), dir.path().join("b")).unwrap();
    expect_change("hard link");
    fs::remove_dir_all(dir.path().join("x")).unwrap();
    expect_change("removal");
    symlink("a", dir.path().join("c")).unwrap();
    expect_change("symlink");
}

#[test]
fn a_plain_directory_may_become_a_volume_and_a_file_a_directory() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("config");
    fs::write(&path, "1").unwrap();
    let mut watcher = watch(&path);

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(one(&mut watcher), Change::Changed(revision(&path)));
    swap(&path, &[("a", "1")]);
    assert_eq!(one(&mut watcher), Change::Changed(revision(&path)));
    swap(&path, &[("a", "2")]);
    assert_eq!(one(&mut watcher), Change::Changed(revision(&path)));
}

#[test]
fn what_cannot_be_read_is_told_once_and_again_when_mended() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    symlink("config", &path).unwrap();
    let mut watcher = watch(&path);
    assert!(matches!(watcher.states().next(), Some((_, State::Unreadable { .. }))));

    fs::remove_file(&path).unwrap();
    fs::write(&path, "1").unwrap();
    assert_eq!(one(&mut watcher), Change::Back(revision(&path)));
    fs::remove_file(&path).unwrap();
    symlink("config", &path).unwrap();
    let Change::Unreadable { reason } = one(&mut watcher) else {
        panic!("readable")
    };
    assert!(reason.contains("config"), "{reason}");
    watcher.refresh();
    assert_eq!(told(&mut watcher), []);
}

#[test]
fn a_sub_path_mount_that_goes_stale_says_so() {
    let dir = tempfile::tempdir().unwrap();
    swap(dir.path(), &[("key", "1"), ("sub/key", "1")]);
    for (name, inode) in [("file", "key"), ("directory", "sub")] {
        swap(dir.path(), &[("key", "1"), ("sub/key", "1")]);
        // /proc/self/fd leads to the inode as a bind mount does, and the mount holds it as the descriptor does.
        let held = fs::File::open(dir.path().join(inode)).unwrap();
        let path = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
        let mut watcher = Watcher::new([&path], EVENTS_ONLY);
        assert!(
            matches!(watcher.states().next(), Some((_, State::Present(_)))),
            "{name}"
        );

        swap(dir.path(), &[("key", "2"), ("sub/key", "2")]);
        let changes = told(&mut watcher);
        assert_eq!(changes.last(), Some(&Change::Stale), "{name}: {changes:?}");
    }
}

#[test]
fn many_paths_share_one_watcher() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = ["volume", "one.yaml", "two.yaml"]
        .iter()
        .map(|name| dir.path().join(name))
        .collect();
    fs::create_dir(&paths[0]).unwrap();
    let mut watcher = Watcher::new(&paths, EVENTS_ONLY);
    let mut changed = |change: &dyn Fn()| -> Vec<PathBuf> {
        change();
        std::iter::from_fn(|| watcher.try_next())
            .map(|event| event.path.to_path_buf())
            .collect()
    };

    assert_eq!(changed(&|| fs::write(&paths[2], "1").unwrap()), [paths[2].clone()]);
    assert_eq!(changed(&|| swap(&paths[0], &[("a", "1")])), [paths[0].clone()]);
    assert_eq!(changed(&|| fs::remove_dir_all(&paths[0]).unwrap()), [paths[0].clone()]);
    assert_eq!(changed(&|| fs::write(&paths[1], "1").unwrap()), [paths[1].clone()]);
    assert_eq!(changed(&|| fs::write(&paths[2], "2").unwrap()), [paths[2].clone()]);
}

#[test]
fn after_an_overflow_of_the_queue_everything_is_looked_at() {
    let dir = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let limit: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let mut watcher = watch(dir.path());
    for number in 0..=limit / 2 {
        // Three notices each; equal ones in a row would count as one.
        fs::write(dir.path().join(number.to_string()), "").unwrap();
        fs::remove_file(dir.path().join(number.to_string())).unwrap();
    }
    // Its own notice finds no room any more.
    fs::write(dir.path().join("last"), "x").unwrap();

    assert_eq!(one(&mut watcher), Change::Changed(revision(dir.path())));
    assert_eq!(watcher.overflows(), 1);
    fs::write(dir.path().join("last"), "y").unwrap();
    assert_eq!(one(&mut watcher), Change::Changed(revision(dir.path())));
}

#[test]
fn without_events_the_slow_poll_finds_the_same() {
    let dir = tempfile::tempdir().unwrap();
    swap(dir.path(), &[("a", "1")]);
    let options = |pause| WatchOptions {
        method: Method::Poll,
        poll: pause,
        ..WatchOptions::default()
    };

    let mut watcher = Watcher::new([dir.path()], options(Some(Duration::from_millis(1))));
    assert!(watcher.event_fd().is_none() && watcher.degraded().is_some());
    swap(dir.path(), &[("a", "2")]);
    assert_eq!(
        watcher.wait(None).unwrap().unwrap().change,
        Change::Changed(revision(dir.path()))
    );

    // Neither events nor a poll would be no watcher at all.
    assert!(Watcher::new([dir.path()], options(None)).next_poll().is_some());
    // With events and without a poll nothing ever wakes it.
    assert!(watch(dir.path()).next_poll().is_none());
}

#[test]
fn a_refresh_looks_without_an_event() {
    let dir = tempfile::tempdir().unwrap();
    swap(dir.path(), &[("a", "1")]);
    let options = WatchOptions {
        method: Method::Poll,
        poll: Some(Duration::from_secs(3600)),
        ..WatchOptions::default()
    };
    let mut watcher = Watcher::new([dir.path()], options);
    swap(dir.path(), &[("a", "2")]);
    assert_eq!(told(&mut watcher), []);
    watcher.refresh();
    assert_eq!(one(&mut watcher), Change::Changed(revision(dir.path())));
}

#[test]
fn a_wait_ends_by_event_by_waker_and_by_time() {
    let dir = tempfile::tempdir().unwrap();
    swap(dir.path(), &[("a", "1")]);
    let mut watcher = watch(dir.path());
    let waker = watcher.waker().unwrap();

    assert_eq!(watcher.wait(Some(Duration::ZERO)).unwrap(), None);
    waker.wake();
    waker.clone().wake();
    assert_eq!(watcher.wait(None).unwrap(), None);
    let woken = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| watcher.wait(None).unwrap());
        waker.wake();
        waiting.join().unwrap()
    });
    assert_eq!(woken, None);
    let event = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| watcher.wait(None).unwrap());
        swap(dir.path(), &[("a", "2")]);
        waiting.join().unwrap()
    });
    assert_eq!(event.unwrap().change, Change::Changed(revision(dir.path())));
    drop(watcher);
    waker.wake();
}
