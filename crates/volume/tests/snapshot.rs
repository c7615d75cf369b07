//! A snapshot is whole or an error that names the path.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use afresh_model::content::{Content, Entry};
use afresh_model::digest::{DigestKey, EntryHasher, KeyHash};
use afresh_model::selection::Selection;
use afresh_volume::{
    AtomicWriter, File, Files, Limits, ReadError, Revision, Snapshot, State, WatchOptions, Watcher, stale_sub_path,
};

fn files(entries: &[(&str, &[u8])]) -> Files {
    entries
        .iter()
        .map(|(key, bytes)| ((*key).to_owned(), File::new(*bytes)))
        .collect()
}

fn volume(entries: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    AtomicWriter::write(dir.path(), &files(entries)).unwrap();
    dir
}

fn path_of(error: &ReadError) -> PathBuf {
    use ReadError::{Missing, NotAFile, NotUtf8, Open, Read, Stale, TooDeep, TooLarge, TooMany, Unsettled};
    match error {
        Open { path, .. } | Read { path, .. } | TooLarge { path, .. } | TooMany { path, .. } => path.clone(),
        Missing { path } | NotAFile { path } | NotUtf8 { path } | TooDeep { path } | Stale { path } => path.clone(),
        Unsettled { path, .. } => path.clone(),
    }
}

#[test]
fn what_was_written_is_read_back_byte_for_byte() {
    let mut written = files(&[
        ("text", b"a: 1\n"),
        ("binary", &[0, 255, 128]),
        ("empty", b""),
        ("sub/deep/key", b"x"),
    ]);
    written.get_mut("text").unwrap().mode = 0o640;
    let dir = tempfile::tempdir().unwrap();
    AtomicWriter::write(dir.path(), &written).unwrap();

    let snapshot = Snapshot::read(dir.path()).unwrap();

    assert_eq!(snapshot.files(), &written);
    assert_eq!(snapshot.get("binary"), Some(&[0, 255, 128][..]));
    assert_eq!(snapshot.get("absent"), None);
    let target = fs::read_link(dir.path().join("..data")).unwrap();
    assert_eq!(snapshot.revision(), &Revision::Target(target.into_os_string()));
}

#[test]
fn an_empty_volume_is_an_empty_snapshot() {
    let dir = volume(&[]);
    assert!(Snapshot::read(dir.path()).unwrap().files().is_empty());
}

#[test]
fn a_plain_directory_reads_as_a_volume_with_the_same_files_would() {
    let written: &[(&str, &[u8])] = &[("a", b"1"), ("sub/b", b"2")];
    let plain = tempfile::tempdir().unwrap();
    fs::create_dir(plain.path().join("sub")).unwrap();
    for (key, bytes) in written {
        fs::write(plain.path().join(key), bytes).unwrap();
    }
    symlink("/nowhere", plain.path().join(".#lock")).unwrap();

    let snapshot = Snapshot::read(plain.path()).unwrap();

    assert_eq!(snapshot.files(), &files(written));
    assert_eq!(
        snapshot.fingerprint(None),
        Snapshot::read(volume(written).path()).unwrap().fingerprint(None)
    );
    assert!(matches!(snapshot.revision(), Revision::Content(_)));
}

#[test]
fn a_volume_below_a_plain_directory_is_read_as_a_volume() {
    let outer = tempfile::tempdir().unwrap();
    fs::create_dir(outer.path().join("db")).unwrap();
    AtomicWriter::write(&outer.path().join("db"), &files(&[("password", b"p"), ("x/y", b"z")])).unwrap();

    let snapshot = Snapshot::read(outer.path()).unwrap();

    assert_eq!(snapshot.files(), &files(&[("db/password", b"p"), ("db/x/y", b"z")]));
    assert!(matches!(snapshot.revision(), Revision::Content(_)));
}

#[test]
fn one_file_is_a_snapshot_and_its_revision_is_its_content() {
    let dir = volume(&[("app.yaml", b"a: 1"), ("other", b"1")]);
    let path = dir.path().join("app.yaml");
    let before = Snapshot::read(&path).unwrap();
    assert_eq!(before.files(), &files(&[("app.yaml", b"a: 1")]));

    AtomicWriter::write(dir.path(), &files(&[("app.yaml", b"a: 1"), ("other", b"2")])).unwrap();
    assert_eq!(Snapshot::read(&path).unwrap().revision(), before.revision());
    AtomicWriter::write(dir.path(), &files(&[("app.yaml", b"a: 2"), ("other", b"2")])).unwrap();
    assert_ne!(Snapshot::read(&path).unwrap().revision(), before.revision());
}

#[test]
fn the_fingerprint_is_the_controllers_for_the_same_object() {
    let data: &[(&str, &[u8])] = &[("b", b"2"), ("a.yaml", b"a: 1"), ("bin", &[0, 255])];
    let snapshot = Snapshot::read(volume(data).path()).unwrap();
    let key = DigestKey::new(&[7; 32]).unwrap();
    for secret in [None, Some(&key)] {
        let entries = data.iter().map(|(name, bytes)| {
            let mut hasher = EntryHasher::new(name);
            hasher.update(bytes);
            let raw = hasher.finish();
            let digest = secret.map_or_else(|| raw.plain(), |key| key.seal(&raw));
            Entry {
                key: KeyHash::of(name),
                digest,
                binary: *name == "bin",
            }
        });
        let object = Content::new(entries.collect());
        assert_eq!(
            snapshot.fingerprint(secret),
            object.fingerprint(&Selection::all(), secret.map(DigestKey::id)),
            "keyed: {}",
            secret.is_some()
        );
    }
}

#[test]
fn without_a_limit_everything_is_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "1").unwrap();
    let limits = Limits {
        max_bytes: u64::MAX,
        ..Limits::default()
    };
    assert_eq!(Snapshot::read_with(dir.path(), &limits).unwrap().files().len(), 1);
}

#[test]
fn limits_are_held_and_named() {
    let dir = volume(&[("a", &[1; 60]), ("b", &[2; 60])]);
    let limits = |max_bytes, max_entries| Limits {
        max_bytes,
        max_entries,
        ..Limits::default()
    };

    assert!(Snapshot::read_with(dir.path(), &limits(120, 2)).is_ok());

    let large = Snapshot::read_with(dir.path(), &limits(119, 2)).unwrap_err();
    assert!(matches!(large, ReadError::TooLarge { limit: 119, .. }), "{large}");
    assert!(["a", "b"].iter().any(|key| path_of(&large).ends_with(key)), "{large}");
    let many = Snapshot::read_with(dir.path(), &limits(120, 1)).unwrap_err();
    assert!(matches!(many, ReadError::TooMany { limit: 1, .. }), "{many}");
    let file = Snapshot::read_with(&dir.path().join("a"), &limits(59, 1)).unwrap_err();
    assert!(matches!(file, ReadError::TooLarge { limit: 59, .. }), "{file}");
}

#[test]
fn a_file_over_the_default_limit_is_refused_without_being_read() {
    let dir = tempfile::tempdir().unwrap();
    let sparse = fs::File::create(dir.path().join("huge")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    let error = Snapshot::read(dir.path()).unwrap_err();
    assert!(
        matches!(&error, ReadError::TooLarge { path, .. } if path.ends_with("huge")),
        "{error}"
    );
}

#[test]
fn what_cannot_be_read_is_an_error_that_names_it() {
    type Make = fn(&Path) -> std::io::Result<()>;
    type IsExpected = fn(&ReadError) -> bool;
    let cases: [(&str, Make, IsExpected); 6] = [
        (
            "loop",
            |dir| symlink("loop", dir.join("loop")),
            |e| matches!(e, ReadError::Open { .. }),
        ),
        (
            "self",
            |dir| symlink(".", dir.join("self")),
            |e| matches!(e, ReadError::TooDeep { .. }),
        ),
        (
            "..data",
            |dir| symlink("..gone", dir.join("..data")),
            |e| matches!(e, ReadError::Missing { .. }),
        ),
        (
            "..data",
            |dir| symlink("..data", dir.join("..data")),
            |e| matches!(e, ReadError::Open { .. }),
        ),
        (
            "socket",
            |dir| std::os::unix::net::UnixListener::bind(dir.join("socket")).map(drop),
            |e| matches!(e, ReadError::Open { .. } | ReadError::NotAFile { .. }),
        ),
        (
            "null",
            |dir| symlink("/dev/null", dir.join("null")),
            |e| matches!(e, ReadError::NotAFile { .. }),
        ),
    ];
    for (name, make, is_expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("fine"), "x").unwrap();
        make(dir.path()).unwrap();

        let error = Snapshot::read(dir.path()).unwrap_err();

        assert!(is_expected(&error), "{name}: {error}");
        let path = path_of(&error);
        assert!(
            path.starts_with(dir.path()) && error.to_string().contains(name.trim_start_matches("..data")),
            "{error}"
        );
    }
}

#[test]
fn a_fifo_is_refused_and_never_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for path in [dir.path(), &fifo] {
        assert!(matches!(Snapshot::read(path), Err(ReadError::NotAFile { path }) if path == fifo));
    }
}

#[test]
fn a_name_that_is_not_utf8_is_refused_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(OsStr::from_bytes(b"caf\xe9"));
    fs::write(&path, "x").unwrap();
    for read in [dir.path(), &path] {
        let error = Snapshot::read(read).unwrap_err();
        assert!(
            matches!(&error, ReadError::NotUtf8 { path: named } if *named == path),
            "{error}"
        );
        assert!(error.to_string().contains("caf\\xE9"), "{error}");
    }
}

#[test]
fn what_is_not_there_is_missing() {
    let dir = volume(&[("a", b"1")]);
    for path in ["nowhere", "nowhere/deeper", "a/below-a-file"] {
        let path = dir.path().join(path);
        assert!(matches!(Snapshot::read(&path), Err(ReadError::Missing { path: named }) if named == path));
    }
}

#[test]
fn an_inode_without_a_name_that_is_still_reached_is_a_stale_sub_path() {
    let dir = volume(&[("key", b"1"), ("sub/key", b"1")]);
    let (file, sub) = (
        fs::File::open(dir.path().join("key")),
        fs::File::open(dir.path().join("sub")),
    );
    // /proc/self/fd leads to the inode as a bind mount does.
    let through = |fd: &fs::File| PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(fd)));
    let (file, sub) = (file.unwrap(), sub.unwrap());
    assert!(!stale_sub_path(&through(&file)).unwrap() && !stale_sub_path(&through(&sub)).unwrap());

    AtomicWriter::write(dir.path(), &files(&[("key", b"2"), ("sub/key", b"2")])).unwrap();

    assert!(stale_sub_path(&through(&file)).unwrap() && stale_sub_path(&through(&sub)).unwrap());
    assert!(!stale_sub_path(&dir.path().join("key")).unwrap());
    assert!(stale_sub_path(&dir.path().join("nowhere")).is_err());
    let pinned = Snapshot::read(&through(&file)).unwrap();
    assert_eq!(pinned.files().values().next().unwrap().bytes, b"1");
    assert!(matches!(Snapshot::read(&through(&sub)), Err(ReadError::Stale { .. })));
}

/// The part of the next test that runs as a user without rights; by itself, without a directory, it does nothing.
#[test]
fn as_another_user() {
    let Some(dir) = std::env::var_os("AFRESH_TEST_DIR").map(PathBuf::from) else {
        return;
    };
    for (path, named) in [
        ("volume", "volume/..data"),
        ("volume/secret", "volume/secret"),
        ("closed", "closed"),
    ] {
        let error = Snapshot::read(&dir.join(path)).unwrap_err();
        let ReadError::Open { path, source } = &error else {
            panic!("{error}")
        };
        assert_eq!(source.kind(), std::io::ErrorKind::PermissionDenied, "{error}");
        assert!(
            path.starts_with(&dir) && error.to_string().contains(named.trim_end_matches("..data")),
            "{error}"
        );
    }
    let fine = Snapshot::read(&dir.join("volume/public")).unwrap();
    assert_eq!(fine.get("public"), Some(&b"p"[..]));
    // What may not be opened cannot be watched either, so it is polled, even where no poll was asked for.
    let watcher = Watcher::new(
        [dir.join("closed")],
        WatchOptions {
            poll: None,
            ..WatchOptions::default()
        },
    );
    assert!(matches!(watcher.states().next(), Some((_, State::Unreadable { reason })) if reason.contains("closed")));
    assert!(watcher.degraded().is_some_and(|reason| reason.contains("closed")) && watcher.next_poll().is_some());
    println!("checked as another user");
}

#[test]
fn without_permission_the_error_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["volume", "closed"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let mut payload = files(&[("public", b"p"), ("secret", b"s")]);
    payload.get_mut("secret").unwrap().mode = 0o000;
    AtomicWriter::write(&dir.path().join("volume"), &payload).unwrap();
    // An unreadable key is compared as different by those who cannot read it, and as equal by root; never an error.
    assert!(AtomicWriter::write(&dir.path().join("volume"), &payload).is_ok());
    fs::set_permissions(dir.path().join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything, so the check runs in a process of nobody's, from a copy that nobody may execute.
    let program = dir.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = Command::new(program);
    command
        .args(["--exact", "as_another_user", "--nocapture"])
        .env("AFRESH_TEST_DIR", dir.path())
        .current_dir("/");
    if fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0) {
        command.uid(65_534).gid(65_534);
    }

    let output = command.output().unwrap();

    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("checked as another user"),
        "{said}"
    );
}
