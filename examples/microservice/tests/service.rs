//! The program itself, on a directory of this machine.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Only so that what never comes is a failure and not a hang.
const LONG: Duration = Duration::from_secs(60);

struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(config: &std::path::Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_microservice"))
            .env("CONFIG", config)
            .env("LISTEN", "127.0.0.1:0")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = lines.next().unwrap().unwrap();
        let address = said.strip_prefix("listening on ").unwrap().to_owned();
        // What it says later is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.trim().to_owned()
    }

    fn says(&self, path: &str, expected: &str) {
        let deadline = Instant::now() + LONG;
        while self.get(path) != expected {
            assert!(Instant::now() < deadline, "{path} still says {}", self.get(path));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_answer_follows_the_file_and_survives_a_bad_one() {
    let config = tempfile::tempdir().unwrap();
    let message = |text: &str| {
        fs::write(config.path().join("..new"), text).unwrap();
        fs::rename(config.path().join("..new"), config.path().join("message")).unwrap();
    };
    message("Hello World\n");
    let service = Service::start(config.path());
    assert_eq!(service.get("/"), "Hello World");
    message("Hello Grandma\n");
    service.says("/", "Hello Grandma");
    message("\n");
    service.says("/config", "version 2 is still served: rejected: message is empty");
    assert_eq!(
        (service.get("/").as_str(), service.get("/livez").as_str()),
        ("Hello Grandma", "ok")
    );
    message("Hello again\n");
    service.says("/", "Hello again");
    assert_eq!(service.get("/config"), "version 3 is current");
}
