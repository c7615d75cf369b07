//! What a handle promises: current, last good, told, ended.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use afresh::{Config, Live, LoadError, Source, TimedOut, WatchOptions};
use afresh_volume::{AtomicWriter, File, Files};
use serde::Deserialize;

/// Only so that what never comes is a failure and not a hang.
const LONG: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize, PartialEq)]
struct Settings {
    message: String,
    #[serde(default)]
    workers: u8,
}

fn write(path: &Path, files: &[(&str, &str)]) {
    let files: Files = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), File::new(*text)))
        .collect();
    AtomicWriter::write(path, &files).unwrap();
}

fn volume(files: &[(&str, &str)]) -> tempfile::TempDir {
    let volume = tempfile::tempdir().unwrap();
    write(volume.path(), files);
    volume
}

/// Waits until it holds.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Events alone.
const EVENTS: WatchOptions = WatchOptions {
    method: afresh::Method::Events,
    poll: None,
    limits: afresh::Limits {
        max_bytes: 1 << 20,
        max_entries: 1000,
        attempts: 100,
    },
};

#[test]
fn a_bad_version_is_reported_and_the_last_good_one_stays_until_it_is_mended() {
    let volume = volume(&[("app.yaml", "message: one")]);
    let (tell, told) = mpsc::channel();
    let live: Live<Settings> = Config::file(volume.path().join("app.yaml"))
        .watch(EVENTS)
        .on_error(move |error| tell.send(error.to_string()).unwrap())
        .load()
        .unwrap();
    let mut changes = live.changes();

    write(volume.path(), &[("app.yaml", "message: [")]);
    let error = told.recv_timeout(LONG).unwrap();
    assert!(error.contains("app.yaml:1:"), "{error}");
    assert_eq!((live.get().message.as_str(), live.get().number()), ("one", 1));
    let health = live.health();
    assert!(!health.is_current());
    assert!(
        health.to_string().starts_with("version 1 is still served: "),
        "{health}"
    );
    let since = health.trouble.unwrap().since;

    // Another trouble is told, and it is the same time of trouble.
    write(volume.path(), &[("app.yaml", "workers: 1")]);
    let error = told.recv_timeout(LONG).unwrap();
    assert!(error.ends_with("missing key `message`"), "{error}");
    assert_eq!(live.health().trouble.unwrap().since, since);

    write(volume.path(), &[("app.yaml", "message: two")]);
    let change = changes.next_within(LONG).unwrap().unwrap();
    assert_eq!(
        (change.old.message.as_str(), change.new.message.as_str()),
        ("one", "two")
    );
    assert!(live.health().is_current());
    let metrics = live.metrics();
    assert_eq!(metrics.changes, 1);
    assert!(metrics.failures >= 2 && metrics.reads >= 4, "{metrics:?}");
    assert!(told.try_recv().is_err(), "each trouble once");
}

#[test]
fn trouble_ends_also_when_the_old_content_comes_back() {
    let volume = volume(&[("message", "one")]);
    let live: Live<Settings> = Config::directory(volume.path()).watch(EVENTS).load().unwrap();
    write(volume.path(), &[("other", "")]);
    eventually("trouble", || !live.health().is_current());
    write(volume.path(), &[("message", "one")]);
    eventually("no trouble", || live.health().is_current());
    assert_eq!((live.get().number(), live.metrics().changes), (1, 0));
}

#[test]
fn what_does_not_change_the_values_is_no_change() {
    let volume = volume(&[("app.yaml", "message: one\nworkers: 2\n")]);
    let live: Live<Settings> = Config::file(volume.path().join("app.yaml"))
        .watch(EVENTS)
        .load()
        .unwrap();
    let reads = live.metrics().reads;
    write(
        volume.path(),
        &[("app.yaml", "# why\nworkers: 2\nmessage: one\n"), ("other", "x")],
    );
    eventually("read again", || live.metrics().reads > reads);
    assert_eq!(live.get().number(), 1);
}

#[test]
fn a_volume_that_vanishes_and_returns_is_taken_up_again() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("config");
    fs::create_dir(&path).unwrap();
    write(&path, &[("message", "one")]);
    let live: Live<Settings> = Config::directory(&path).watch(EVENTS).load().unwrap();

    fs::remove_dir_all(&path).unwrap();
    eventually("trouble", || !live.health().is_current());
    assert_eq!(live.get().message, "one");

    fs::create_dir(&path).unwrap();
    write(&path, &[("message", "two")]);
    eventually("back", || live.get().message == "two");
    assert!(live.health().is_current());
}

#[test]
fn a_plain_file_is_followed_through_edits_and_renames() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("app.toml");
    fs::write(&path, "message = 'one'").unwrap();
    let live: Live<Settings> = Config::file(&path).watch(EVENTS).load().unwrap();
    fs::write(&path, "message = 'two'").unwrap();
    eventually("written in place", || live.get().message == "two");
    fs::write(root.path().join("new"), "message = 'three'").unwrap();
    fs::rename(root.path().join("new"), &path).unwrap();
    eventually("renamed over", || live.get().message == "three");
}

#[test]
fn an_optional_layer_counts_while_it_is_there() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("app.yaml"), "message: base\nworkers: 1").unwrap();
    let local = root.path().join("local.json");
    let live: Live<Settings> = Config::file(root.path().join("app.yaml"))
        .overlay(Source::file(&local).optional())
        .watch(EVENTS)
        .load()
        .unwrap();
    assert_eq!(live.get().message, "base");
    fs::write(&local, r#"{"message": "local"}"#).unwrap();
    eventually("there", || live.get().message == "local");
    assert_eq!(live.get().workers, 1);
    fs::remove_file(&local).unwrap();
    eventually("gone", || live.get().message == "base");
}

#[test]
fn polling_finds_changes_without_events() {
    let volume = volume(&[("message", "one")]);
    let poll = WatchOptions {
        method: afresh::Method::Poll,
        poll: Some(Duration::from_millis(1)),
        ..EVENTS
    };
    let live: Live<Settings> = Config::directory(volume.path()).watch(poll).load().unwrap();
    write(volume.path(), &[("message", "two")]);
    eventually("found", || live.get().message == "two");
}

#[test]
fn a_refresh_reads_again() {
    let volume = volume(&[("message", "one")]);
    let live: Live<Settings> = Config::directory(volume.path()).watch(EVENTS).load().unwrap();
    let reads = live.metrics().reads;
    live.refresh();
    eventually("read", || live.metrics().reads > reads);
    assert_eq!(live.get().number(), 1);
}

#[test]
fn a_slow_subscriber_gets_one_change_from_what_it_saw_to_what_is() {
    let volume = volume(&[("message", "0")]);
    let live: Live<Settings> = Config::directory(volume.path()).watch(EVENTS).load().unwrap();
    let mut slow = live.changes();
    for round in 1..=5 {
        let text = round.to_string();
        write(volume.path(), &[("message", &text)]);
        eventually("taken", || live.get().message == text);
    }
    let change = slow.next().unwrap();
    assert_eq!((change.old.message.as_str(), change.new.message.as_str()), ("0", "5"));
    assert_eq!(slow.next_within(Duration::ZERO).unwrap_err(), TimedOut);
}

#[test]
fn a_guard_keeps_showing_the_version_it_was_taken_from() {
    let volume = volume(&[("message", "one"), ("workers", "1")]);
    let live: Live<Settings> = Config::directory(volume.path()).watch(EVENTS).load().unwrap();
    let (before, mut reader) = (live.get(), live.reader());
    assert_eq!(reader.get().workers, 1);
    write(volume.path(), &[("message", "two"), ("workers", "2")]);
    eventually("taken", || live.get().workers == 2);
    assert_eq!((before.message.as_str(), before.workers), ("one", 1));
    let after = reader.get();
    assert_eq!((after.message.as_str(), after.workers), ("two", 2));
}

#[test]
fn a_callback_that_panics_is_counted_and_disturbs_nobody() {
    let volume = volume(&[("message", "one")]);
    let live: Live<Settings> = Config::directory(volume.path()).watch(EVENTS).load().unwrap();
    let (tell, told) = mpsc::channel();
    live.on_change(|_| panic!("a callback's own trouble")).forever();
    live.on_change(move |change| tell.send(change.new.message.clone()).unwrap())
        .forever();
    for text in ["two", "three"] {
        write(volume.path(), &[("message", text)]);
        assert_eq!(told.recv_timeout(LONG).unwrap(), text);
    }
    eventually("counted", || live.metrics().panics == 2);
}

#[test]
fn a_callback_may_subscribe_and_unsubscribe() {
    let volume = volume(&[("message", "one")]);
    let live: Live<Settings> = Config::directory(volume.path()).watch(EVENTS).load().unwrap();
    let (tell, told) = mpsc::channel();
    let slot = std::sync::Arc::new(std::sync::Mutex::new(None::<afresh::Subscription>));
    let own = std::sync::Arc::clone(&slot);
    let once = live.on_change(move |change| {
        drop(own.lock().unwrap().take());
        tell.send(change.new.message.clone()).unwrap();
    });
    *slot.lock().unwrap() = Some(once);
    write(volume.path(), &[("message", "two")]);
    assert_eq!(told.recv_timeout(LONG).unwrap(), "two");
    write(volume.path(), &[("message", "three")]);
    eventually("taken", || live.get().message == "three");
    // Its sender went with it.
    assert_eq!(told.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
}

/// The threads of this process by name, and its inotify instances.
fn followers() -> (usize, usize) {
    let names = fs::read_dir("/proc/self/task").unwrap().flatten();
    let threads = names
        .filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "afresh"))
        .count();
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let watches = descriptors
        .filter(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.to_string_lossy().contains("inotify")))
        .count();
    (threads, watches)
}

/// In a process of its own, because other tests follow things too.
#[test]
fn dropping_the_last_handle_ends_the_thread_the_watches_and_who_waits() {
    const ALONE: &str = "AFRESH_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let alone = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "dropping_the_last_handle_ends_the_thread_the_watches_and_who_waits",
            ])
            .env(ALONE, "1")
            .output()
            .unwrap();
        assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stdout));
        return;
    }
    let volume = volume(&[("message", "one")]);
    assert_eq!(followers(), (0, 0));
    let live: Live<Settings> = Config::directory(volume.path()).watch(EVENTS).load().unwrap();
    eventually("one follower", || followers() == (1, 1));
    let waiting = {
        let changes = live.changes();
        std::thread::spawn(move || changes.count())
    };
    let awaiting = {
        let stream = live.stream();
        std::thread::spawn(move || futures::executor::block_on(futures::StreamExt::count(stream)))
    };
    let reader = live.reader();
    let other = live.clone();
    drop(live);
    drop(other);
    // A reader is a handle as well.
    write(volume.path(), &[("message", "two")]);
    eventually("still followed", || reader.live().get().message == "two");
    drop(reader);
    eventually("no follower", || followers() == (0, 0));
    assert_eq!((waiting.join().unwrap(), awaiting.join().unwrap()), (1, 1));
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Rich {
    version: String,
    port: u16,
    debug: bool,
    ratio: f64,
    tags: Vec<String>,
    nested: Nested,
    choice: Choice,
    none: Option<String>,
    map: BTreeMap<String, i64>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Nested {
    max_conn: u32,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Choice {
    Plain,
    With { size: u8 },
    Of(String),
}

fn rich(choice: Choice) -> Rich {
    Rich {
        version: "1.10".into(),
        port: 8080,
        debug: true,
        ratio: 0.5,
        tags: vec!["a".into(), "b c".into()],
        nested: Nested { max_conn: 7 },
        choice,
        none: None,
        map: BTreeMap::from([("x".into(), -1), ("y".into(), 2)]),
    }
}

fn read(name: &str, text: &str) -> Result<Rich, LoadError> {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(name), text).unwrap();
    let live = Config::<Kept>::file(root.path().join(name)).load()?;
    Ok(read_kept(&live))
}

/// Shared, so that a test can take it out.
#[derive(Deserialize)]
struct Kept(std::sync::Mutex<Option<Rich>>);

fn read_kept(live: &Live<Kept>) -> Rich {
    live.get().0.lock().unwrap().take().unwrap()
}

#[test]
fn all_formats_say_the_same() {
    let yaml = "
defaults: &defaults {max_conn: 1, other: 2}
version: 1.10
port: 8080
debug: true
ratio: .5
tags: [a, b c]
nested:
  <<: *defaults
  max_conn: 0x7
choice:
  with: {size: 3}
none: ~
map: {x: -1, y: 2}
";
    assert_eq!(read("a.yaml", yaml).unwrap(), rich(Choice::With { size: 3 }));
    let json = r#"{"version": "1.10", "port": 8080, "debug": true, "ratio": 0.5, "tags": ["a", "b c"],
        "nested": {"max_conn": 7}, "choice": {"of": "\ud83d\ude00"}, "none": null, "map": {"x": -1, "y": 2}}"#;
    assert_eq!(read("a.json", json).unwrap(), rich(Choice::Of("😀".into())));
    let toml = "version = '1.10'\nport = 8_080\ndebug = true\nratio = 0.5\ntags = ['a', 'b c']\nchoice = 'plain'\n\
        [nested]\nmax_conn = 7\n[map]\nx = -1\ny = 2\n";
    assert_eq!(read("a.toml", toml).unwrap(), rich(Choice::Plain));
    let properties = "version=1.10\nport: 8080\ndebug true\nratio=0.5\ntags=a, b c\nchoice=plain\nnone=\n\
        nested.max_conn=7\nmap.x=-1\nmap.y=2\n";
    assert_eq!(read("a.properties", properties).unwrap(), rich(Choice::Plain));
    let dotenv = "VERSION=1.10\nexport PORT=8080\nDEBUG=1\nRATIO=0.5\nTAGS='a, b c'\nCHOICE=plain\n\
        NESTED__MAX_CONN=7\nMAP__X=-1\nMAP__Y=2\n";
    assert_eq!(read(".env", dotenv).unwrap(), rich(Choice::Plain));
}

#[test]
fn a_dotenv_layer_finds_keys_in_every_convention() {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Kebab {
        max_conn: u8,
        only_env: u8,
    }
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.yaml"), "max-conn: 1").unwrap();
    fs::write(root.path().join("b.env"), "MAX_CONN=2\nONLY_ENV=3").unwrap();
    let live: Live<Kebab> = Config::file(root.path().join("a.yaml"))
        .overlay(Source::file(root.path().join("b.env")))
        .load()
        .unwrap();
    assert_eq!((live.get().max_conn, live.get().only_env), (2, 3));
}
