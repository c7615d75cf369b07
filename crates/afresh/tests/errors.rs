//! What people read when something is wrong: each message names the place and the way out, and no value.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use afresh::{Config, Format, Source};
use afresh_volume::{AtomicWriter, File, Files};
use insta::assert_snapshot;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[allow(dead_code, reason = "only its reading matters")]
struct Settings {
    message: String,
    #[serde(default)]
    log_level: Level,
    #[serde(default)]
    server: Option<Server>,
    #[serde(default)]
    ratio: f64,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    limits: BTreeMap<u16, u8>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    #[default]
    Info,
    Debug,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "only its reading matters")]
struct Server {
    address: IpAddr,
    port: u16,
}

/// The message for one file, with the directory's name left out.
fn message(name: &str, content: impl Into<Vec<u8>>) -> String {
    let volume = tempfile::tempdir().unwrap();
    let files = Files::from([(name.to_owned(), File::new(content))]);
    AtomicWriter::write(volume.path(), &files).unwrap();
    message_of(Config::file(volume.path().join(name)), volume.path())
}

fn message_of(config: Config<Settings>, root: &Path) -> String {
    let error = config.load().unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    error.to_string().replace(root.to_str().unwrap(), "/etc/app")
}

#[test]
fn invalid_yaml_is_told_with_its_position() {
    assert_snapshot!(message("app.yaml", "message: Hello\nserver: [1, 2\nport: 3\n"), @"/etc/app/app.yaml:3:5: invalid YAML: illegal placement of ':' indicator");
    assert_snapshot!(message("app.yaml", "message: Hello\n\tserver: 1\n"), @"/etc/app/app.yaml:1:10: invalid YAML: while scanning a plain scalar, found a tab");
    assert_snapshot!(message("app.yaml", "message: \"hunter2\n"), @"/etc/app/app.yaml:2:1: invalid YAML: invalid indentation in multiline quoted scalar");
    assert_snapshot!(message("app.yaml", "message: a\nmessage: b\n"), @"/etc/app/app.yaml:2:1: invalid YAML: key `message` is there twice");
    assert_snapshot!(message("app.yaml", "message: *nowhere\n"), @"/etc/app/app.yaml:1:10: invalid YAML: while parsing node, found unknown anchor");
    assert_snapshot!(message("app.yaml", "message: a\n---\nmessage: b\n"), @"/etc/app/app.yaml:2:1: invalid YAML: there is a second document");
    assert_snapshot!(message("app.yaml", "message: !secret hunter2\n"), @"/etc/app/app.yaml:1:18: invalid YAML: this tag is not supported");
    assert_snapshot!(message("app.yaml", "? [a, b]\n: c\n"), @"/etc/app/app.yaml:1:3: invalid YAML: a key must be text");
}

#[test]
fn a_document_that_would_not_fit_into_memory_is_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    assert_snapshot!(message("app.yaml", bomb), @"/etc/app/app.yaml:6:15: invalid YAML: more than 262144 values, aliases followed");
    assert_snapshot!(message("app.yaml", "[".repeat(10_000)), @"/etc/app/app.yaml:1:256: invalid YAML: recursion limit exceeded");
    assert_snapshot!(message("app.json", format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))), @"/etc/app/app.json:1:130: invalid JSON: nested too deeply");
}

#[test]
fn invalid_json_toml_properties_and_dotenv_are_told_with_their_position() {
    assert_snapshot!(message("app.json", "{\"message\": \"hunter2\",\n \"server\": }"), @"/etc/app/app.json:2:12: invalid JSON: expected value");
    assert_snapshot!(message("app.json", "{\"message\": \"hunter2\", \"message\": \"x\"}"), @"/etc/app/app.json:1:35: invalid JSON: key `message` is there twice");
    assert_snapshot!(message("app.json", ""), @"/etc/app/app.json:1:1: invalid JSON: EOF while parsing a value");
    assert_snapshot!(message("app.toml", "message = \"Hello\"\nserver = = 1\n"), @"/etc/app/app.toml:2:10: invalid TOML: extra `=`, expected nothing");
    assert_snapshot!(message("app.toml", "message = \"a\"\nmessage = \"hunter2\"\n"), @"/etc/app/app.toml:2:1: invalid TOML: duplicate key");
    assert_snapshot!(message("app.properties", "message=Hello\n  server=\\u12x4\n"), @r#"/etc/app/app.properties:2:10: invalid Java properties: \u needs four hexadecimal digits"#);
    assert_snapshot!(message("app.env", "MESSAGE=Hello\nPASSWORD hunter2\n"), @"/etc/app/app.env:2:10: invalid dotenv: expected `=` after the name");
    assert_snapshot!(message("app.env", "MESSAGE='hunter2\n"), @"/etc/app/app.env:1:9: invalid dotenv: this quote is never closed");
}

#[test]
fn a_wrong_value_is_told_with_its_key_and_what_was_expected() {
    assert_snapshot!(message("app.yaml", "message: Hello\nserver:\n  address: ::1\n  port: hunter2\n"), @"/etc/app/app.yaml:4:9: server.port: expected u16, found text");
    assert_snapshot!(message("app.yaml", "message: Hello\nserver:\n  address: ::1\n  port: 70000\n"), @"/etc/app/app.yaml:4:9: server.port: expected u16, found an integer out of range");
    assert_snapshot!(message("app.yaml", "message: Hello\nserver:\n  address: hunter2\n  port: 1\n"), @"/etc/app/app.yaml:3:12: server.address: invalid IP address syntax");
    assert_snapshot!(message("app.yaml", "message: Hello\nlogLevel: hunter2\n"), @"/etc/app/app.yaml:2:11: logLevel: expected one of `info`, `debug`");
    assert_snapshot!(message("app.yaml", "message: [hunter2]\n"), @"/etc/app/app.yaml:1:10: message: expected a string, found a list");
    assert_snapshot!(message("app.yaml", "message:\n"), @"/etc/app/app.yaml:1:8: message: expected a string, found nothing");
    assert_snapshot!(message("app.yaml", "message: a\nlimits: {80: 1, 81: 256}\n"), @"/etc/app/app.yaml:2:21: limits.81: expected u8, found an integer out of range");
    assert_snapshot!(message("app.yaml", "message: a\nlimits: {hunter3: 1}\n"), @"/etc/app/app.yaml:2:10: limits: expected u16, found text");
    assert_snapshot!(message("app.json", "{\"message\": \"a\",\n \"hosts\": [\"a\", {\"hunter2\": 1}]}"), @"/etc/app/app.json:2:17: hosts.1: expected a string, found a map");
    assert_snapshot!(message("app.toml", "message = \"a\"\n[server]\naddress = \"::1\"\nport = -1\n"), @"/etc/app/app.toml:4:8: server.port: expected u16, found an integer out of range");
    assert_snapshot!(message("app.properties", "message=a\nserver.address=::1\nserver.port=hunter2\n"), @"/etc/app/app.properties:3:1: server.port: expected u16, found text");
    assert_snapshot!(message("app.yaml", "- hunter2\n"), @"/etc/app/app.yaml:1:1: expected struct Settings, found a list");
}

#[test]
fn a_missing_and_an_unknown_key_are_named() {
    assert_snapshot!(message("app.yaml", "ratio: 0.5\n"), @"/etc/app/app.yaml:1:1: missing key `message`");
    assert_snapshot!(message("app.yaml", "message: a\nserver:\n  port: 1\n"), @"/etc/app/app.yaml:3:3: server: missing key `address`");
    assert_snapshot!(message("app.yaml", "message: a\nmesage: hunter2\n"), @"/etc/app/app.yaml:2:1: unknown key `mesage`, expected one of `message`, `logLevel`, `server`, `ratio`, `hosts`, `limits`");
    assert_snapshot!(message("app.yaml", ""), @"/etc/app/app.yaml:1:1: missing key `message`");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path();
    let file = |name: &str| Config::file(path.join(name));
    assert_snapshot!(message_of(file("app.yaml"), path), @"/etc/app/app.yaml does not exist");
    assert_snapshot!(message_of(Config::directory(path.join("none")), path), @"/etc/app/none does not exist");
    assert_snapshot!(message_of(file("app"), path), @"/etc/app/app: its name does not say which format it has; end it in .yaml, .yml, .json, .toml, .properties, .env, or name the format");
    assert_snapshot!(message("app.yaml", b"message: Gr\xfc\xdfe hunter2\n".to_vec()), @"/etc/app/app.yaml:1:12: not UTF-8");
    std::fs::create_dir(path.join("dir.yaml")).unwrap();
    std::fs::write(path.join("dir.yaml/dir.yaml"), "message: a").unwrap();
    std::fs::write(path.join("dir.yaml/other"), "").unwrap();
    assert_snapshot!(message_of(file("dir.yaml"), path), @"/etc/app/dir.yaml is neither a file nor a directory");
    std::os::unix::fs::symlink("loop.yaml", path.join("loop.yaml")).unwrap();
    assert_snapshot!(message_of(file("loop.yaml"), path), @"cannot open /etc/app/loop.yaml: Too many levels of symbolic links (os error 40)");
    // A key that the volume has not.
    AtomicWriter::write(path, &Files::from([("other.yaml".to_owned(), File::new("a: 1"))])).unwrap();
    assert_snapshot!(message_of(file("app.yaml"), path), @"/etc/app/app.yaml does not exist");
}

#[test]
fn a_key_of_a_directory_is_told_by_its_file() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path();
    std::fs::write(path.join("message"), "a").unwrap();
    std::fs::write(path.join("ratio"), "hunter2").unwrap();
    assert_snapshot!(message_of(Config::directory(path), path), @"/etc/app/ratio: ratio: expected f64, found text");
    std::fs::write(path.join("ratio"), "1").unwrap();
    std::fs::write(path.join("message"), b"\xff").unwrap();
    assert_snapshot!(message_of(Config::directory(path), path), @"/etc/app/message: message: expected a string, found bytes that are not UTF-8");
}

#[test]
fn the_last_layer_that_said_it_is_blamed() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path();
    std::fs::write(path.join("base.yaml"), "message: a\nratio: 1\n").unwrap();
    std::fs::write(path.join("over.conf"), "RATIO=hunter2\n").unwrap();
    let config = Config::file(path.join("base.yaml")).overlay(Source::file_as(path.join("over.conf"), Format::Dotenv));
    assert_snapshot!(message_of(config, path), @"/etc/app/over.conf:1:1: ratio: expected f64, found text");
}

#[test]
fn what_validate_says_is_said() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path();
    std::fs::write(path.join("app.yaml"), "message: a").unwrap();
    let refused = Config::file(path.join("app.yaml")).validate(|_: &Settings| Err("no".into()));
    assert_snapshot!(message_of(refused, path), @"rejected: no");
    let panics = Config::file(path.join("app.yaml")).validate(|_: &Settings| panic!("out of luck"));
    assert_snapshot!(message_of(panics, path), @"reading the configuration panicked: out of luck");
}
