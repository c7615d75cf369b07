//! An agent under test, its directory, and an API server in the process.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use afresh_sandbox::{Options, Sandbox, Serving};
use afresh_testbed::free_ports;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// Only so that what never comes is a failure and not a hang.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// Writes down what the files say.
const ACT: &str = "exec:sh -c 'cat $DIR/objects/* >> $DIR/done; echo >> $DIR/done'";

pub(crate) fn object(kind: &str, namespace: &str, name: &str, labels: &Value, data: &Value) -> Value {
    let field = if kind == "Secret" { "stringData" } else { "data" };
    json!({"apiVersion": "v1", "kind": kind, "metadata": {"namespace": namespace, "name": name, "labels": labels},
        field: data})
}

/// An API server, and a directory for the files.
pub(crate) struct Scene {
    pub(crate) sandbox: Sandbox,
    pub(crate) serving: Option<Serving>,
    pub(crate) url: String,
    pub(crate) directory: TempDir,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let sandbox = Sandbox::start(&Options::api_server_only());
        for namespace in ["prod", "shared"] {
            let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            sandbox.create(body).unwrap();
        }
        let serving = sandbox.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        Self {
            sandbox,
            url: serving.url().to_string(),
            serving: Some(serving),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn config_map(&self, namespace: &str, name: &str, data: &Value) {
        self.labelled(namespace, name, &json!({}), data);
    }

    pub(crate) fn labelled(&self, namespace: &str, name: &str, labels: &Value, data: &Value) {
        let body = object("ConfigMap", namespace, name, labels, data);
        self.sandbox.apply(body).unwrap();
    }

    pub(crate) fn secret(&self, namespace: &str, name: &str, data: &Value) {
        let body = object("Secret", namespace, name, &json!({}), data);
        self.sandbox.apply(body).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    pub(crate) fn log(&self) -> String {
        self.read("log").unwrap_or_default()
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_afresh"));
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        // Only what a test gives.
        command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", "/nowhere")
            .env("DIR", self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        command
    }

    pub(crate) fn flags(&self, sources: &[&str]) -> Vec<String> {
        let [port] = free_ports().unwrap();
        let mut flags = vec![
            format!("--server={}", self.url),
            format!("--source-dir={}", self.path("objects").display()),
            format!("--listen=127.0.0.1:{port}"),
            "--settle=20ms".to_owned(),
        ];
        flags.extend(sources.iter().map(|source| format!("--source={source}")));
        flags
    }

    /// `afresh agent` with these sources, which writes down what the files say after each change.
    pub(crate) fn agent(&self, sources: &[&str], more: &[&str]) -> Agent {
        self.start("agent", sources, &[&["--on-change", ACT], more].concat())
    }

    pub(crate) fn start(&self, subcommand: &str, sources: &[&str], more: &[&str]) -> Agent {
        let flags = self.flags(sources);
        let address = flags[2].trim_start_matches("--listen=").parse().unwrap();
        let words = flags.iter().map(String::as_str).chain(more.iter().copied());
        let words: Vec<_> = [subcommand].into_iter().chain(words).collect();
        let child = self.command(&words).spawn().unwrap();
        Agent { child, address }
    }

    pub(crate) async fn eventually<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            assert!(begun.elapsed() < LONG, "never: {what}; log:\n{}", self.log());
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn says(&self, name: &str, text: &str) {
        let what = format!("{text:?} in {name}, which has {:?}", self.read(name));
        self.eventually(&what, async || (self.read(name)? == text).then_some(()))
            .await;
    }

    pub(crate) async fn logged(&self, text: &str) {
        self.eventually(text, async || self.log().contains(text).then_some(()))
            .await;
    }

    pub(crate) async fn ready(&self, agent: &Agent) {
        self.eventually("ready", async || (agent.get("/readyz").await?.0 == 200).then_some(()))
            .await;
    }

    /// Waits until it is not ready for this reason.
    pub(crate) async fn not_ready(&self, agent: &Agent, reason: &str) {
        self.eventually(reason, async || {
            let (code, body) = agent.get("/readyz").await?;
            (code == 503 && body.contains(reason)).then_some(())
        })
        .await;
    }
}

pub(crate) struct Agent {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl Agent {
    pub(crate) async fn get(&self, path: &str) -> Option<(u16, String)> {
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await.ok()?;
            let request = format!("GET {path} HTTP/1.0\r\n\r\n");
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            let (head, body) = answer.split_once("\r\n\r\n")?;
            Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
        };
        timeout(LONG, exchange).await.ok()?
    }

    pub(crate) async fn state(&self) -> Value {
        let (_, body) = self.get("/state").await.unwrap();
        serde_json::from_str(&body).unwrap()
    }

    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let (_, body) = self.get("/metrics").await?;
        let line = body.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    }

    /// SIGTERM; its exit status.
    pub(crate) async fn end(mut self) -> Option<i32> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        kill_process(pid.unwrap(), Signal::TERM).unwrap();
        timeout(LONG, self.child.wait()).await.unwrap().unwrap().code()
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
