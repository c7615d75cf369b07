//! `subPath` mounts as they really are: bind mounts of one key, or of one directory of keys, in a mount namespace.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use afresh_volume::{AtomicWriter, Change, File, Files, ReadError, Snapshot, WatchOptions, Watcher, stale_sub_path};

/// Only so that a missed event is a failure and not a hang.
const LONG: Option<Duration> = Some(Duration::from_secs(120));

fn swap(dir: &Path, text: &str) {
    let files = ["key", "sub/one", "sub/two"].map(|key| (key.to_owned(), File::new(text)));
    AtomicWriter::write(dir, &Files::from(files)).unwrap();
}

/// As the kubelet mounts it: the source with all symlinks resolved.
fn bind(source: &Path, target: &Path) {
    let status = Command::new("mount")
        .arg("--bind")
        .arg(fs::canonicalize(source).unwrap())
        .arg(target)
        .status();
    assert!(status.unwrap().success(), "mount {}", target.display());
}

/// The part of the next test that runs in a namespace of its own; by itself, without a directory, it does nothing.
#[test]
fn in_a_mount_namespace() {
    let Some(dir) = std::env::var_os("AFRESH_TEST_DIR").map(PathBuf::from) else {
        return;
    };
    let (volume, file, sub) = (dir.join("volume"), dir.join("file"), dir.join("sub"));
    fs::create_dir(&volume).unwrap();
    swap(&volume, "1");
    fs::write(&file, "").unwrap();
    fs::create_dir(&sub).unwrap();
    bind(&volume.join("key"), &file);
    bind(&volume.join("sub"), &sub);
    let mut watcher = Watcher::new(
        [&file, &sub],
        WatchOptions {
            poll: None,
            ..WatchOptions::default()
        },
    );
    assert_eq!(Snapshot::read(&sub).unwrap().get("one"), Some(&b"1"[..]));
    assert!(!stale_sub_path(&file).unwrap() && !stale_sub_path(&sub).unwrap());

    // The kubelet removes the old files one by one, and of the directory itself no event tells.
    let old = fs::canonicalize(volume.join("sub")).unwrap();
    for name in ["one", "two"] {
        fs::remove_file(old.join(name)).unwrap();
    }
    let event = watcher.wait(LONG).unwrap().unwrap();
    assert!(
        matches!(event.change, Change::Changed(_)) && *event.path == *sub,
        "{event:?}"
    );
    swap(&volume, "2");

    let mut stale = Vec::new();
    while stale.len() < 2 {
        let event = watcher.wait(LONG).unwrap().unwrap();
        assert_eq!(event.change, Change::Stale, "{event:?}");
        stale.push(event.path.to_path_buf());
    }
    stale.sort();
    assert_eq!(stale, [file.clone(), sub.clone()]);
    assert!(stale_sub_path(&file).unwrap() && stale_sub_path(&sub).unwrap());
    assert_eq!(Snapshot::read(&file).unwrap().get("file"), Some(&b"1"[..]));
    assert!(matches!(Snapshot::read(&sub), Err(ReadError::Stale { path }) if path == sub));
    println!("checked in a mount namespace");
}

#[test]
fn a_stale_sub_path_mount_is_found_by_events_alone() {
    let dir = tempfile::tempdir().unwrap();
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount"]);
        command
    };
    if !unshare().arg("true").status().is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "no mount namespace is to be had");
        eprintln!("skipped: a_stale_sub_path_mount_is_found_by_events_alone: no mount namespace is to be had");
        return;
    }
    let mut command = unshare();
    command
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "in_a_mount_namespace", "--nocapture"]);

    let output = command.env("AFRESH_TEST_DIR", dir.path()).output().unwrap();

    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("checked in a mount namespace"),
        "{said}"
    );
}
