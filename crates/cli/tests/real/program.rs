//! `afresh controller` as a process of the test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use afresh_testbed::{Access, eventually, free_ports};
use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long anything may take before a test has failed.
pub(crate) const LONG: Duration = Duration::from_secs(300);

/// Looks until what `look` sees is `wanted`, and gives it. A wait in vain tells what was there at the end, as JSON.
pub(crate) async fn until<T: Serialize>(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T>,
    wanted: impl Fn(&T) -> bool,
) -> Result<T> {
    let look = async || {
        let seen = look().await?;
        anyhow::Ok(if wanted(&seen) {
            Ok(seen)
        } else {
            Err(serde_json::to_string(&seen).unwrap_or_else(|error| error.to_string()))
        })
    };
    eventually(what, LONG, look).await
}

/// A running controller. Dropped, it is killed.
pub(crate) struct Controller {
    child: Child,
    address: SocketAddr,
    pub(crate) log: PathBuf,
}

impl Controller {
    /// Starts it and waits until its caches are synced.
    pub(crate) async fn start(access: &Access, own_namespace: &str, log: PathBuf, flags: &[&str]) -> Result<Self> {
        let mut controller = Self::spawn(access, own_namespace, log, flags)?;
        controller.ready().await?;
        Ok(controller)
    }

    /// `afresh reloader` for one namespace, its own.
    pub(crate) async fn reloader(access: &Access, namespace: &str, log: PathBuf, flags: &[&str]) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_afresh"));
        command
            .arg("reloader")
            .args(["--namespaces", namespace])
            .env("POD_NAMESPACE", namespace);
        let mut controller = Self::run(command, access, log, flags)?;
        controller.ready().await?;
        Ok(controller)
    }

    fn spawn(access: &Access, own_namespace: &str, log: PathBuf, flags: &[&str]) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_afresh"));
        command.arg("controller").args(["--own-namespace", own_namespace]);
        Self::run(command, access, log, flags)
    }

    fn run(mut command: Command, access: &Access, log: PathBuf, flags: &[&str]) -> Result<Self> {
        let [port] = free_ports()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let child = command
            .arg("--kubeconfig")
            .arg(access.kubeconfig())
            .args(["--metrics-addr", &address.to_string()])
            .args(["--log-level", "debug"])
            .args(flags)
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child, address, log })
    }

    async fn ready(&mut self) -> Result<()> {
        let look = async || {
            let ended = self.child.try_wait()?;
            ensure!(ended.is_none(), "it has ended: {ended:?}");
            let answer = get(self.address, "/readyz").await;
            Ok(answer.unwrap_or_else(|error| (0, format!("{error:#}"))))
        };
        let ready = until("a ready controller", look, |(code, _)| *code == 200).await;
        ready.map(drop).with_context(|| self.last_words())
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// SIGTERM; it has to end by itself, and well.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let status = timeout(LONG, self.child.wait()).await.context("it does not end")??;
        ensure!(status.success(), "{status}: {}", self.last_words());
        Ok(())
    }

    /// SIGSTOP: it sees and does nothing.
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        Ok(kill_process(pid.context("it has ended")?, signal)?)
    }

    /// What `/state` says.
    pub(crate) async fn state(&self) -> Result<Value> {
        state(self.address).await
    }

    /// Waits until its last action on a workload of this name has failed so often in a row.
    pub(crate) async fn failed(&self, name: &str, times: u64) -> Result<()> {
        let look = async || Ok(self.state().await?["engine"]["waiting"].take());
        let ours = format!("/{name}");
        let has_failed = |waiting: &Value| {
            let mut waiting = waiting.as_array().into_iter().flatten();
            let ours = waiting.find(|entry| entry["workload"].as_str().is_some_and(|name| name.ends_with(&ours)));
            ours.is_some_and(|entry| entry["failures"].as_u64() >= Some(times))
        };
        until(&format!("{times} failures of {name}"), look, has_failed)
            .await
            .map(drop)
    }

    /// Waits until its log says so.
    pub(crate) async fn logs(&self, text: &str) -> Result<()> {
        let look = async || {
            let log = self.logged();
            anyhow::Ok(log.contains(text).then_some(()).ok_or_else(|| last_lines(&log)))
        };
        eventually(&format!("{text:?} in the log"), LONG, look).await
    }

    /// Everything it has logged.
    pub(crate) fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of what it has logged.
    pub(crate) fn last_words(&self) -> String {
        last_lines(&self.logged())
    }
}

/// The last twenty.
pub(crate) fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// What `/state` at this address says.
pub(crate) async fn state(address: SocketAddr) -> Result<Value> {
    let (code, body) = get(address, "/state").await?;
    ensure!(code == 200, "{code}: {body}");
    Ok(serde_json::from_str(&body)?)
}

/// GET by HTTP/1.0: the answer ends with the connection.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let code = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok((code, body.to_owned()))
    };
    timeout(LONG, exchange).await?
}

/// The revisions of a ConfigMap and a Secret: see `World::fence`.
#[derive(Clone, Copy)]
pub(crate) struct Fence {
    pub(crate) config_map: u64,
    pub(crate) secret: u64,
}

/// Whether a controller that says `state` has seen everything up to the fence and has nothing left to do in the namespace.
pub(crate) fn at_rest(state: &Value, namespace: &str, fence: Fence) -> bool {
    let ours = format!("/{namespace}/");
    let mut waiting = state["engine"]["waiting"].as_array().into_iter().flatten();
    let waits = waiting.any(|waiting| waiting["workload"].as_str().is_some_and(|name| name.contains(&ours)));
    let seen = |kind: &str, revision: u64| has_seen(state, namespace, kind, revision);
    seen("configmap", fence.config_map) && seen("secret", fence.secret) && !waits
}

/// Whether the watch of a kind has come to this revision.
pub(crate) fn has_seen(state: &Value, namespace: &str, kind: &str, revision: u64) -> bool {
    let mut watches = state["watches"].as_array().into_iter().flatten();
    watches.any(|watch| {
        let here = watch["namespace"].is_null() || watch["namespace"] == namespace;
        let version = watch["resourceVersion"]
            .as_str()
            .and_then(|version| version.parse::<u64>().ok());
        watch["kind"] == kind && here && version.is_some_and(|version| version >= revision)
    })
}
