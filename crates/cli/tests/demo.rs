//! `afresh demo` as a person starts it: over HTTP, in real time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

const AFRESH: &str = env!("CARGO_BIN_EXE_afresh");

/// The demo with a directory of its own for temporary files.
fn demo(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(AFRESH);
    command
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", directory)
        .env_remove("RUST_LOG");
    command
}

fn files_in(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[test]
fn once_plays_the_script_says_how_it_went_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();

    let output = demo(directory.path(), &["--once"]).output().unwrap();

    let text = String::from_utf8(output.stdout).unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}\n{log}");
    assert!(text.contains("Result: 9 of 9 steps as they should be"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours where nobody sees them");
    assert_eq!(log, "", "nothing but the demo is shown");
    assert_eq!(files_in(directory.path()), 0);
}

/// Ends with the test, whatever comes of that, and after a time in which all of it could have happened many times.
struct Running(Arc<Mutex<Child>>);

impl Running {
    fn start(mut command: Command) -> (Self, ChildStdout) {
        let mut child = command.spawn().unwrap();
        let output = child.stdout.take().unwrap();
        let child = Arc::new(Mutex::new(child));
        let weak = Arc::downgrade(&child);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(600));
            weak.upgrade().map(|child| child.lock().unwrap().kill())
        });
        (Self(child), output)
    }

    fn ask_to_end(&self) -> ExitStatus {
        kill_process(Pid::from_child(&self.0.lock().unwrap()), Signal::TERM).unwrap();
        loop {
            if let Some(status) = self.0.lock().unwrap().try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut child = self.0.lock().unwrap();
        drop(child.kill());
        drop(child.wait());
    }
}

#[test]
fn it_stays_up_tells_what_a_person_does_and_ends_cleanly_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = demo(directory.path(), &[]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let (running, output) = Running::start(command);
    let mut lines = BufReader::new(output).lines().map(Result::unwrap);

    let invitation = lines
        .find(|line| line.contains("kubectl --server"))
        .expect("it says what to paste");
    let url = invitation.split_whitespace().nth(2).unwrap();
    write_motd(url.strip_prefix("http://").unwrap(), "Hello you");

    let mut after = |part: &str| {
        let line = lines.find(|line| line.contains(part));
        line.unwrap_or_else(|| panic!("nothing says {part:?}"))
    };
    let written = after("write   configmap/web");
    assert!(written.contains(r#"motd: "Hello Grandma" → "Hello you""#), "{written}");
    after("touch   web");
    let fresh = after("fresh   web");
    assert!(
        fresh.contains(r#"3 of 3 pods see motd = "Hello you"; same pods"#),
        "{fresh}"
    );

    assert!(running.ask_to_end().success());
    assert_eq!(files_in(directory.path()), 0);
}

#[test]
fn a_port_that_is_taken_is_named_with_the_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();

    let output = demo(directory.path(), &["--once", "--port", &address.port().to_string()])
        .output()
        .unwrap();

    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        error.contains(&address.to_string()) && error.contains("--port"),
        "{error}"
    );
    assert_eq!(output.stdout, b"");
}

/// What the printed curl line does.
fn write_motd(address: &str, text: &str) {
    use std::io::Write as _;
    let body = format!(r#"{{"data":{{"motd":"{text}"}}}}"#);
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "PATCH /api/v1/namespaces/demo/configmaps/web HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/merge-patch+json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
