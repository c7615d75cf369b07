use std::fs;

use afresh_volume::{AtomicWriter, File, Files};
use tempfile::tempdir;

use super::*;

fn sources(directories: &[&Path], files: &[&Path]) -> Sources {
    let own = |paths: &[&Path]| paths.iter().map(|path| path.to_path_buf()).collect();
    Sources {
        directories: own(directories),
        files: own(files),
        prefix: String::new(),
        max_size: Size::ANY,
    }
}

fn write(directory: &Path, keys: &[(&str, &[u8])]) {
    let files: Files = keys
        .iter()
        .map(|(key, bytes)| ((*key).to_owned(), File::new(*bytes)))
        .collect();
    AtomicWriter::write(directory, &files).unwrap();
}

fn value(environment: &Environment, name: &str) -> Option<String> {
    let value = environment.variables().get(std::ffi::OsStr::new(name))?;
    value.clone().into_string().ok()
}

#[test]
fn a_key_is_a_variable_byte_for_byte() {
    let volume = tempdir().unwrap();
    write(
        volume.path(),
        &[("LEVEL", b"debug\n"), ("app.mode", b""), ("1ST", b"\xff")],
    );

    let (environment, skipped) = sources(&[volume.path()], &[]).read().unwrap();

    assert_eq!(value(&environment, "LEVEL").as_deref(), Some("debug\n"));
    assert_eq!(value(&environment, "app.mode").as_deref(), Some(""));
    assert_eq!(environment.variables().len(), 3);
    assert_eq!(skipped, []);
}

#[test]
fn keys_that_make_no_variable_are_named_and_the_rest_is_taken() {
    let volume = tempdir().unwrap();
    write(
        volume.path(),
        &[
            ("A=B", b"1"),
            ("Ä", b"1"),
            ("NUL", b"a\0b"),
            ("sub/KEY", b"1"),
            ("GOOD", b"1"),
        ],
    );

    let (environment, skipped) = sources(&[volume.path()], &[]).read().unwrap();

    assert_eq!(format!("{environment:?}"), "{\"GOOD\"}");
    let named: Vec<_> = skipped
        .iter()
        .map(|skipped| skipped.path.strip_prefix(volume.path()).unwrap())
        .collect();
    assert_eq!(named, ["A=B", "NUL", "sub/KEY", "Ä"].map(Path::new));
}

#[test]
fn later_sources_win_and_a_prefix_is_put_before_keys_of_directories_only() {
    let (one, two) = (tempdir().unwrap(), tempdir().unwrap());
    write(one.path(), &[("A", b"one"), ("B", b"one"), ("C", b"one")]);
    write(two.path(), &[("B", b"two"), ("C", b"two")]);
    let file = two.path().join("extra.env");
    fs::write(&file, "APP_C=file\nD=file\n").unwrap();
    let mut sources = sources(&[one.path(), two.path()], &[&file]);
    sources.prefix = "APP_".to_owned();

    let (environment, _) = sources.read().unwrap();

    let values = ["APP_A", "APP_B", "APP_C", "D"].map(|name| value(&environment, name).unwrap());
    assert_eq!(values, ["one", "two", "file", "file"]);
}

#[test]
fn what_cannot_be_read_is_an_error_with_the_path_and_without_the_content() {
    let directory = tempdir().unwrap();
    let missing = directory.path().join("gone");
    let file = directory.path().join("bad.env");
    fs::write(&file, "hunter2\n").unwrap();

    let error = sources(&[&missing], &[]).read().unwrap_err();
    assert!(
        matches!(error, EnvironmentError::Read(ReadError::Missing { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("gone does not exist"), "{error}");
    let error = sources(&[], &[&file]).read().unwrap_err().to_string();
    assert!(
        error.ends_with("bad.env: line 1: there is no = after the name"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
    let error = sources(&[&file], &[]).read().unwrap_err().to_string();
    assert!(error.ends_with("is a file: name it by --env-file"), "{error}");
    let error = sources(&[], &[directory.path()]).read().unwrap_err().to_string();
    assert!(error.ends_with("is a directory: name it by --env-from"), "{error}");
}

#[test]
fn what_changed_is_named() {
    let volume = tempdir().unwrap();
    let read = || sources(&[volume.path()], &[]).read().unwrap().0;
    write(volume.path(), &[("A", b"1"), ("B", b"1"), ("C", b"1")]);
    let before = read();
    write(volume.path(), &[("B", b"2"), ("C", b"1"), ("D", b"1")]);

    let mut changed = read().changed(&before);

    changed.sort();
    assert_eq!(changed, ["A", "B", "D"]);
    assert_eq!(before.changed(&before), Vec::<String>::new());
}
