//! The processes that are measured, and what the kernel says of them.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::bare;
use crate::objects::{BARE, OWN};

/// A command whose process the kernel kills with ours; `setpriv` becomes the program, so the process id is the program's.
pub(crate) fn dying_with_us(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// What a process takes of memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Resident now, MiB.
    pub(crate) resident: f64,
    /// Most ever resident, MiB.
    pub(crate) peak: f64,
    /// Of what is resident: memory of its own, not pages of the program's file, MiB.
    pub(crate) anonymous: f64,
}

/// A program that is measured. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    port: u16,
}

impl Program {
    /// `afresh controller`.
    pub(crate) async fn controller(program: &Path, kubeconfig: &Path, flags: &[&str], log: &Path) -> Result<Self> {
        let mut command = dying_with_us(program);
        command.args(["controller", "--own-namespace", OWN]);
        command.arg("--kubeconfig").arg(kubeconfig).args(flags);
        Self::start(command, "--metrics-addr", log).await
    }

    /// Starts `command`, which is told by `listen` where to serve its status.
    pub(crate) async fn start(mut command: Command, listen: &str, log: &Path) -> Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?.port();
        let log = fs::File::create(log).with_context(|| format!("could not create {}", log.display()))?;
        command.args([listen, &format!("127.0.0.1:{port}")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.kill_on_drop(true).spawn();
        let child = child.with_context(|| format!("could not start {command:?}"))?;
        Ok(Self { child, port })
    }

    /// What it answers to a GET, and whether with 200.
    pub(crate) async fn ask(&self, path: &str) -> Result<(bool, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream
            .write_all(format!("GET {path} HTTP/1.0\r\nHost: bench\r\n\r\n").as_bytes())
            .await?;
        let mut answer = String::new();
        timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await??;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        Ok((head.contains(" 200 "), body.to_owned()))
    }

    /// The sum of a metric over its labels.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        let (_, body) = self.ask("/metrics").await?;
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        Ok(body
            .lines()
            .filter(of_name)
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let mib = |field: &str| -> f64 {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
            line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
                .unwrap_or(f64::NAN)
                / 1024.0
        };
        Ok(Memory {
            resident: mib("VmRSS"),
            peak: mib("VmHWM"),
            anonymous: mib("RssAnon"),
        })
    }

    /// How long it has run.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu(&self.child)
    }

    /// # Errors
    /// If it has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "it ended: {ended:?}");
        Ok(())
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        self.child.kill().await.context("could not end it")
    }

    fn pid(&self) -> Result<u32> {
        self.child.id().context("it has ended")
    }
}

/// How long the threads of a process have run.
pub(crate) fn cpu(process: &Child) -> Result<Duration> {
    let pid = process.id().context("the process has ended")?;
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let first = text.split_whitespace().next().context("an empty schedstat")?;
        nanoseconds += first.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// The bare loop, watching. Killed when dropped.
pub(crate) async fn bare_loop(kubeconfig: &Path) -> Result<Child> {
    let mut child = dying_with_us(&std::env::current_exe()?)
        .arg("bare")
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(["--namespace", BARE])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("could not start the bare loop")?;
    let stdout = child.stdout.take().context("the bare loop has no output")?;
    let line = timeout(Duration::from_secs(30), BufReader::new(stdout).lines().next_line()).await??;
    ensure!(line.as_deref() == Some(bare::READY), "the bare loop does not watch");
    Ok(child)
}
