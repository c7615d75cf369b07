//! Running a command: bounded in time and in what is kept of its words, in a process group of its own.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::children::{self, Owned};
use crate::command_line::CommandLine;

/// The variable that tells a command where the staged content is.
pub const STAGED: &str = "AFRESH_STAGED";

/// Of what a command says, the end is kept: there the reason stands.
const KEPT: usize = 2 << 10;
/// How long a command that is out of time may take to end by SIGTERM.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long what an ended command left in its pipe is read; a child of it may hold the pipe open for ever.
const DRAIN: Duration = Duration::from_millis(50);

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("cannot run {program}: {}", children::why_not(.source))]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended by itself, with a status other than 0.
    #[error("{status}{}{said}", separator(.said))]
    Failed {
        /// The status.
        status: ExitStatus,
        /// The end of what it said, in one line.
        said: String,
    },
    /// It was ended by a signal.
    #[error("ended by {status}{}{said}", separator(.said))]
    Killed {
        /// The status, with the signal.
        status: ExitStatus,
        /// The end of what it said, in one line.
        said: String,
    },
    /// It was ended because it took too long.
    #[error("did not end within {after:?} and was ended; mend it, or raise --timeout{}{said}", separator(.said))]
    TimedOut {
        /// How long it had.
        after: Duration,
        /// The end of what it said, in one line.
        said: String,
    },
    /// What became of it is unknown.
    #[error("cannot tell how {program} ended: {source}")]
    Wait {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
}

fn separator(said: &str) -> &'static str {
    if said.is_empty() { "" } else { ": " }
}

impl CommandError {
    /// Whether the command came to a verdict of its own, which the same input would bring again.
    #[must_use]
    pub fn is_verdict(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }
}

/// Runs a command to its end, at most for `patience`; its standard input is empty. With `staged` it is told where the
/// staged content is, by the variable [`STAGED`] and in place of `{}`. If the future is dropped, the command is killed.
///
/// # Errors
/// See [`CommandError`].
pub async fn run(line: &CommandLine, staged: Option<&Path>, patience: Duration) -> Result<(), CommandError> {
    let mut running = start(line, staged).map_err(|source| CommandError::Start {
        program: line.program().to_owned(),
        source,
    })?;
    let Running {
        child,
        group,
        output,
        tail,
        ..
    } = &mut running;
    let listening = async {
        tokio::select! {
            status = child.wait() => status,
            never = tail.follow(output) => match never {},
        }
    };
    let ended = timeout(patience, listening).await;
    let is_late = ended.is_err();
    let status = match ended {
        Ok(status) => status,
        Err(_) => {
            group.send(Signal::TERM);
            sleep(LAST_WORDS).await;
            // What it started dies with it. Nobody has waited for the leader yet, so the number is still this group's.
            group.send(Signal::KILL);
            child.wait().await
        }
    };
    group.forget();
    let _ = timeout(DRAIN, tail.drain(output)).await;
    let said = tail.line();
    match status {
        _ if is_late => Err(CommandError::TimedOut { after: patience, said }),
        Ok(status) if status.success() => {
            tracing::debug!(command = %line, said, "done");
            Ok(())
        }
        Ok(status) if status.signal().is_some() => Err(CommandError::Killed { status, said }),
        Ok(status) => Err(CommandError::Failed { status, said }),
        Err(source) => Err(CommandError::Wait {
            program: line.program().to_owned(),
            source,
        }),
    }
}

#[derive(Debug)]
struct Running {
    /// Before the child, so that the group is killed while its leader is not waited for.
    group: Group,
    child: Child,
    _owned: Option<Owned>,
    output: pipe::Receiver,
    tail: Tail,
}

fn start(line: &CommandLine, staged: Option<&Path>) -> io::Result<Running> {
    // One pipe for both streams keeps their order.
    let (reader, writer) = io::pipe()?;
    let output = pipe::Receiver::from_owned_fd(reader.into())?;
    let mut command = Command::new(line.program());
    command
        .args(line.arguments(staged))
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .kill_on_drop(true);
    if let Some(staged) = staged {
        command.env(STAGED, staged);
    }
    let child = command.spawn()?;
    Ok(Running {
        group: Group::of(child.id()),
        _owned: child.id().map(children::own),
        child,
        output,
        tail: Tail::default(),
    })
}

/// The process group of a command, killed when dropped.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(leader: Option<u32>) -> Self {
        let leader = leader.and_then(|id| i32::try_from(id).ok());
        Self(leader.and_then(Pid::from_raw))
    }

    fn send(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // It fails only if nobody is left in the group.
            let _ = kill_process_group(group, signal);
        }
    }

    /// To be called when the command has ended by itself: what it left running is meant to run.
    fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.send(Signal::KILL);
    }
}

/// The last bytes of a stream.
#[derive(Debug, Default)]
struct Tail(Vec<u8>);

impl Tail {
    /// Reads for ever: at the end of the stream it waits.
    async fn follow(&mut self, stream: &mut pipe::Receiver) -> std::convert::Infallible {
        self.drain(stream).await;
        std::future::pending().await
    }

    /// Reads to the end of the stream.
    async fn drain(&mut self, stream: &mut pipe::Receiver) {
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            self.0.extend_from_slice(&buffer[..count]);
            let surplus = self.0.len().saturating_sub(KEPT);
            self.0.drain(..surplus);
        }
    }

    fn line(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.collect::<Vec<_>>().join(" | ").replace(char::is_control, " ")
    }
}
