//! A `subPath` mount that the kubelet has replaced behind the application's back: served as it is, and said to be stale.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use afresh::{Config, Live, WatchOptions};
use afresh_volume::{AtomicWriter, File, Files};
use serde::Deserialize;

/// Only so that what never comes is a failure and not a hang.
const LONG: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Settings {
    message: String,
}

/// The part of the next test that runs in a namespace of its own; by itself, without a directory, it does nothing.
#[test]
fn in_a_mount_namespace() {
    let Some(dir) = std::env::var_os("AFRESH_TEST_DIR").map(PathBuf::from) else {
        return;
    };
    let (volume, mounted) = (dir.join("volume"), dir.join("app.yaml"));
    fs::create_dir(&volume).unwrap();
    let swap = |text: &str| {
        let files = Files::from([("app.yaml".to_owned(), File::new(format!("message: {text}")))]);
        AtomicWriter::write(&volume, &files).unwrap();
    };
    swap("one");
    fs::write(&mounted, "").unwrap();
    // As the kubelet mounts it: the source with all symlinks resolved.
    let source = fs::canonicalize(volume.join("app.yaml")).unwrap();
    let bound = Command::new("mount").arg("--bind").arg(source).arg(&mounted).status();
    assert!(bound.unwrap().success());
    let events = WatchOptions {
        poll: None,
        ..WatchOptions::default()
    };
    let live: Live<Settings> = Config::file(&mounted).watch(events).load().unwrap();
    assert_eq!(live.health().degraded, None);

    swap("two");

    let deadline = Instant::now() + LONG;
    while live.health().degraded.is_none() {
        assert!(Instant::now() < deadline, "never said to be stale");
        std::thread::sleep(Duration::from_millis(1));
    }
    let health = live.health();
    let said = health.degraded.clone().unwrap();
    assert!(said.contains("app.yaml is a subPath mount gone stale"), "{said}");
    assert_eq!((live.get().message.as_str(), health.is_current()), ("one", true));
    println!("checked in a mount namespace");
}

#[test]
fn a_stale_sub_path_mount_is_served_and_said_to_be_stale() {
    let dir = tempfile::tempdir().unwrap();
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount"]);
        command
    };
    if !unshare().arg("true").status().is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "no mount namespace is to be had");
        eprintln!("skipped: a_stale_sub_path_mount_is_served_and_said_to_be_stale: no mount namespace is to be had");
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
