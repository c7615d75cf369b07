//! The writer keeps the kubelet's layout, whatever it finds.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use afresh_volume::{AtomicWriter, File, Files, KeyError, WriteError, Written};

fn files(entries: &[(&str, &str)]) -> Files {
    entries
        .iter()
        .map(|(key, text)| ((*key).to_owned(), File::new(*text)))
        .collect()
}

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn target(dir: &Path) -> PathBuf {
    fs::read_link(dir.join("..data")).unwrap()
}

fn visible(dir: &Path) -> BTreeSet<String> {
    names(dir).into_iter().filter(|name| !name.starts_with("..")).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_first_write_has_the_kubelets_layout() {
    let dir = tempfile::tempdir().unwrap();
    let mut payload = files(&[("app.yaml", "a: 1"), ("empty", "")]);
    payload.insert(
        "sub/deep/key".into(),
        File {
            bytes: vec![0, 255],
            mode: 0o400,
        },
    );

    assert_eq!(AtomicWriter::write(dir.path(), &payload).unwrap(), Written::Changed);

    let stamp = target(dir.path());
    let shown = names(dir.path());
    assert_eq!(
        shown,
        [
            &set(&["..data", "app.yaml", "empty", "sub"]),
            &set(&[stamp.to_str().unwrap()])
        ]
        .into_iter()
        .flatten()
        .cloned()
        .collect()
    );
    assert_eq!(
        fs::read_link(dir.path().join("app.yaml")).unwrap(),
        Path::new("..data/app.yaml")
    );
    assert_eq!(fs::read_link(dir.path().join("sub")).unwrap(), Path::new("..data/sub"));
    assert_eq!(fs::read(dir.path().join("sub/deep/key")).unwrap(), [0, 255]);
    assert_eq!(
        fs::metadata(dir.path().join("sub/deep/key"))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777,
        0o400
    );
    assert_eq!(
        fs::metadata(dir.path().join("app.yaml")).unwrap().permissions().mode() & 0o7777,
        0o644
    );
    assert_eq!(
        fs::metadata(dir.path().join(stamp)).unwrap().permissions().mode() & 0o7777,
        0o755
    );
}

#[test]
fn equal_content_is_not_written_again_and_neither_is_a_mode() {
    let dir = tempfile::tempdir().unwrap();
    let mut payload = files(&[("a", "1"), ("b/c", "2")]);
    AtomicWriter::write(dir.path(), &payload).unwrap();
    let before = target(dir.path());

    assert_eq!(AtomicWriter::write(dir.path(), &payload).unwrap(), Written::Unchanged);
    payload.get_mut("a").unwrap().mode = 0o600;
    assert_eq!(AtomicWriter::write(dir.path(), &payload).unwrap(), Written::Unchanged);
    assert_eq!(target(dir.path()), before);
}

#[test]
fn any_change_gives_every_key_a_new_inode_and_drops_the_old_directory() {
    let dir = tempfile::tempdir().unwrap();
    AtomicWriter::write(dir.path(), &files(&[("a", "1"), ("b", "2")])).unwrap();
    let (before, inode) = (target(dir.path()), fs::metadata(dir.path().join("b")).unwrap().ino());
    let keep = fs::File::open(dir.path().join("b")).unwrap(); // so that the inode number cannot be used again

    assert_eq!(
        AtomicWriter::write(dir.path(), &files(&[("a", "9"), ("b", "2")])).unwrap(),
        Written::Changed
    );

    assert_ne!(fs::metadata(dir.path().join("b")).unwrap().ino(), inode);
    assert!(!dir.path().join(before).exists());
    assert_eq!(keep.metadata().unwrap().nlink(), 0);
}

#[test]
fn keys_come_and_go_with_their_symlinks() {
    let dir = tempfile::tempdir().unwrap();
    AtomicWriter::write(dir.path(), &files(&[("a", "1"), ("sub/b", "2"), ("sub/c", "3")])).unwrap();

    AtomicWriter::write(dir.path(), &files(&[("sub/c", "3"), ("d", "4")])).unwrap();
    assert_eq!(visible(dir.path()), set(&["d", "sub"]));
    assert_eq!(names(&dir.path().join("sub")), set(&["c"]));

    AtomicWriter::write(dir.path(), &Files::new()).unwrap();
    assert_eq!(visible(dir.path()), set(&[]));
    assert_eq!(
        AtomicWriter::write(dir.path(), &Files::new()).unwrap(),
        Written::Unchanged
    );
}

#[test]
fn a_key_may_turn_from_file_to_directory_and_back() {
    let dir = tempfile::tempdir().unwrap();
    for payload in [files(&[("a", "1")]), files(&[("a/b", "2")]), files(&[("a", "3")])] {
        AtomicWriter::write(dir.path(), &payload).unwrap();
        for (key, file) in &payload {
            assert_eq!(fs::read(dir.path().join(key)).unwrap(), file.bytes);
        }
    }
}

#[test]
fn what_a_crash_left_at_any_step_is_mended_by_the_next_write() {
    let payload = files(&[("a", "2"), ("new", "n")]);
    type Crash = fn(&Path) -> std::io::Result<()>;
    let crashes: [(&str, Crash); 4] = [
        ("after the new directory", |dir| {
            fs::create_dir(dir.join("..2020_01_01_00_00_00.42"))
        }),
        ("after ..data_tmp", |dir| {
            symlink("..2020_01_01_00_00_00.42", dir.join("..data_tmp"))
        }),
        ("before stale symlinks went", |dir| {
            symlink("..data/gone", dir.join("gone"))
        }),
        ("current directory gone", |dir| {
            fs::remove_dir_all(dir.join(target(dir)))
        }),
    ];
    for (name, crash) in crashes {
        let dir = tempfile::tempdir().unwrap();
        AtomicWriter::write(dir.path(), &files(&[("a", "1"), ("old", "o")])).unwrap();
        crash(dir.path()).unwrap();

        assert_eq!(
            AtomicWriter::write(dir.path(), &payload).unwrap(),
            Written::Changed,
            "{name}"
        );

        let stamp = target(dir.path()).into_os_string().into_string().unwrap();
        assert_eq!(names(dir.path()), set(&["..data", "a", "new", &stamp]), "{name}");
        assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"2", "{name}");
    }
}

#[test]
fn a_visible_symlink_that_someone_removed_is_made_again_without_a_swap() {
    let dir = tempfile::tempdir().unwrap();
    let payload = files(&[("a", "1"), ("b", "2")]);
    AtomicWriter::write(dir.path(), &payload).unwrap();
    fs::remove_file(dir.path().join("a")).unwrap();

    assert_eq!(AtomicWriter::write(dir.path(), &payload).unwrap(), Written::Unchanged);

    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"1");
}

#[test]
fn what_has_the_name_of_a_key_is_never_destroyed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("a")).unwrap();
    fs::write(dir.path().join("a/precious"), "x").unwrap();

    let error = AtomicWriter::write(dir.path(), &files(&[("a", "1")])).unwrap_err();

    assert!(
        matches!(&error, WriteError::InTheWay { path } if path.ends_with("a")),
        "{error}"
    );
    assert_eq!(names(dir.path()), set(&["a"]));
    assert_eq!(fs::read(dir.path().join("a/precious")).unwrap(), b"x");
}

#[test]
fn files_of_others_in_the_directory_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("theirs"), "x").unwrap();
    symlink("/nowhere", dir.path().join("their-link")).unwrap();

    AtomicWriter::write(dir.path(), &files(&[("a", "1")])).unwrap();
    AtomicWriter::write(dir.path(), &files(&[("a", "2")])).unwrap();

    assert_eq!(visible(dir.path()), set(&["a", "their-link", "theirs"]));
}

#[test]
fn errors_name_the_path_and_leave_the_old_content_whole() {
    let dir = tempfile::tempdir().unwrap();
    AtomicWriter::write(dir.path(), &files(&[("a", "1")])).unwrap();

    let refused = AtomicWriter::write(dir.path(), &files(&[("a", "2"), ("../b", "x")])).unwrap_err();
    assert!(matches!(&refused, WriteError::Key(KeyError::Parent(path)) if path == "../b"));
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"1");

    let missing = AtomicWriter::write(&dir.path().join("nowhere"), &Files::new()).unwrap_err();
    assert!(missing.to_string().contains("nowhere"), "{missing}");

    // `..data` that is a real, full directory cannot be renamed over.
    let odd = tempfile::tempdir().unwrap();
    fs::create_dir(odd.path().join("..data")).unwrap();
    fs::write(odd.path().join("..data/x"), "x").unwrap();
    let error = AtomicWriter::write(odd.path(), &files(&[("a", "2")])).unwrap_err();
    assert!(error.to_string().contains("..data"), "{error}");
    assert_eq!(names(odd.path()), set(&["..data"]));
}

#[test]
fn huge_files_and_the_longest_names_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut payload = Files::new();
    payload.insert("n".repeat(255), File::new(vec![7; 3 << 20]));
    AtomicWriter::write(dir.path(), &payload).unwrap();
    assert_eq!(fs::metadata(dir.path().join("n".repeat(255))).unwrap().len(), 3 << 20);
}
