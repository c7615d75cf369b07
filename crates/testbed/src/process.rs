//! A component's process: started with its log in a file, stopped by its id, dead with the test process.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use afresh_testbed_host::{self as host, Program};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::error::{Error, Result};

/// How long a component may take to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(60);

/// The path of a program.
pub(crate) fn locate(program: Program) -> Result<PathBuf> {
    host::find(program).ok_or(Error::ProgramMissing(program.name()))
}

/// How to start a component, kept so that it can be started again.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) program: Program,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(&'static str, OsString)>,
    pub(crate) log: PathBuf,
}

impl Recipe {
    /// Arguments of the form `--name=value`.
    pub(crate) fn new(program: Program, logs: &Path) -> Self {
        let log = logs.join(format!("{}.log", program.name()));
        Self {
            program,
            arguments: Vec::new(),
            environment: Vec::new(),
            log,
        }
    }

    pub(crate) fn flag(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        let mut argument = OsString::from(format!("--{name}="));
        argument.push(value);
        self.arguments.push(argument);
        self
    }

    pub(crate) fn environment(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Starts the component. Must be called on the keeper's thread, whose end is the component's.
    pub(crate) fn start(&self) -> Result<Process> {
        let log = || OpenOptions::new().create(true).append(true).open(&self.log);
        let (stdout, stderr) = log()
            .and_then(|out| Ok((out, log()?)))
            .map_err(Error::file("open", &self.log))?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(locate(self.program)?)
            .args(&self.arguments);
        // A terminal's Ctrl-C must reach the test process, not tear the cluster down in a random order.
        command.process_group(0);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .kill_on_drop(true);
        let child = command.spawn().map_err(|source| Error::Start {
            program: format!("setpriv {}", self.program.name()),
            source,
        })?;
        Ok(Process {
            name: self.program.name(),
            child,
            log: self.log.clone(),
        })
    }
}

/// A running component.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Its id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// # Errors
    /// [`Error::Ended`] if the component is no longer running.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.ended(&status.to_string())),
            Err(error) => Err(self.ended(&error.to_string())),
        }
    }

    fn ended(&self, status: &str) -> Error {
        Error::Ended {
            component: self.name,
            status: status.to_owned(),
            log: tail(&self.log, 15),
        }
    }

    /// Asks the component to end (SIGTERM), and kills it if it has not within [`GRACE`].
    pub(crate) async fn stop(mut self) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        if let Ok(Ok(status)) = timeout(GRACE, self.child.wait()).await {
            return Some(status);
        }
        self.kill().await
    }

    /// Kills the component (SIGKILL) and waits for its end.
    pub(crate) async fn kill(mut self) -> Option<ExitStatus> {
        let _ = self.child.start_kill();
        self.child.wait().await.ok()
    }

    fn signal(&self, signal: Signal) {
        let pid = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid {
            // The child is ours and not yet waited for, so the id cannot be another's.
            let _ = kill_process(pid, signal);
        }
    }
}

/// The last `lines` lines of a file.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Runs a short command to its end, within `limit`, and returns its standard output.
///
/// # Errors
/// [`Error::Start`], [`Error::TimedOut`], or [`Error::Command`] when it does not exit with 0.
pub(crate) async fn output(mut command: Command, input: Option<Vec<u8>>, limit: Duration) -> Result<Vec<u8>> {
    use tokio::io::AsyncWriteExt as _;

    let shown = shown(&command);
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|source| Error::Start {
        program: shown.clone(),
        source,
    })?;
    let stdin = child.stdin.take();
    let feed = async move {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // A command that ends without reading says so by its status.
            let _ = stdin.write_all(&input).await;
        }
    };
    let both = async { tokio::join!(feed, child.wait_with_output()).1 };
    let output = timeout(limit, both)
        .await
        .map_err(|_| Error::TimedOut {
            what: format!("the end of `{shown}`"),
            limit,
            last: "it still runs".to_owned(),
        })?
        .map_err(|source| Error::Start {
            program: shown.clone(),
            source,
        })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Command {
        command: shown,
        status: output.status.to_string(),
        stderr,
    })
}

fn shown(command: &Command) -> String {
    let command = command.as_std();
    let name = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}
