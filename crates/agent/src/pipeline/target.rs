//! The process that actions are about.

use std::fs;
use std::io;

use rustix::process::{Pid, PidfdFlags, Signal, getpid, kill_process, pidfd_open, pidfd_send_signal};

use crate::signal::SignalName;
use crate::supervise::{ChildError, ChildHandle};

/// The process that actions are about.
#[derive(Debug, Clone)]
pub enum Target {
    /// The program that is supervised here.
    Child(ChildHandle),
    /// The one process of this name beside us, found anew each time.
    Named(String),
    /// None.
    Nobody,
}

/// Why a process could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The supervised program.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// There is none of that name.
    #[error(
        "there is no process {0:?} here; a sidecar sees its neighbours with shareProcessNamespace: true in the pod's spec"
    )]
    NoProcess(String),
    /// There are several, none of which started the others.
    #[error("processes {pids:?} are all called {name:?}; which one is meant?")]
    Several {
        /// The name.
        name: String,
        /// Their numbers.
        pids: Vec<i32>,
    },
    /// No process is named.
    #[error("no process is named: give --process NAME")]
    Nobody,
    /// Only a supervisor can restart.
    #[error("only afresh run can restart a program: its own")]
    NotOurs,
    /// The system refused.
    #[error("cannot send {signal} to process {pid}: {source}; who signals needs the same user, or the capability KILL")]
    Send {
        /// The signal.
        signal: String,
        /// The process.
        pid: i32,
        /// What the system said.
        source: io::Error,
    },
}

impl Target {
    pub(super) async fn signal(&self, signal: SignalName) -> Result<(), TargetError> {
        match self {
            Self::Child(child) => Ok(child.signal(signal.signal()).await?),
            Self::Named(name) => send(find(name)?, signal),
            Self::Nobody => Err(TargetError::Nobody),
        }
    }

    pub(super) async fn restart(&self) -> Result<(), TargetError> {
        match self {
            Self::Child(child) => Ok(child.restart().await?),
            Self::Named(_) | Self::Nobody => Err(TargetError::NotOurs),
        }
    }
}

fn send(pid: Pid, name: SignalName) -> Result<(), TargetError> {
    let signal: Signal = name.signal();
    let sent = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => pidfd_send_signal(handle, signal),
        Err(_) => kill_process(pid, signal),
    };
    sent.map_err(|source| TargetError::Send {
        signal: name.to_string(),
        pid: pid.as_raw_nonzero().get(),
        source: source.into(),
    })
}

/// A process beside us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    pid: i32,
    parent: i32,
}

/// The process of that name; of several the one that started the others, as a master its workers.
fn find(name: &str) -> Result<Pid, TargetError> {
    let own = getpid().as_raw_nonzero().get();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let named: Vec<_> = numbers
        .filter(|pid| *pid != own)
        .filter_map(|pid| seen(pid, name))
        .collect();
    choose(name, &named)
}

/// A process, if it is called so: by its program's file or by what it calls itself, and not a zombie.
fn seen(pid: i32, name: &str) -> Option<Seen> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(')')?;
    let mut fields = tail.split_ascii_whitespace();
    let (state, parent) = (fields.next()?, fields.next()?.parse().ok()?);
    // The kernel keeps 15 bytes of a name.
    let short = head.split_once('(')?.1;
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let program = command_line.split(|byte| *byte == 0).next().unwrap_or_default();
    let file = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let called = short == name || file == name.as_bytes();
    (called && state != "Z").then_some(Seen { pid, parent })
}

fn choose(name: &str, named: &[Seen]) -> Result<Pid, TargetError> {
    let is_root = |one: &&Seen| !named.iter().any(|other| other.pid == one.parent);
    let roots: Vec<i32> = named.iter().filter(is_root).map(|one| one.pid).collect();
    match roots.as_slice() {
        [] => Err(TargetError::NoProcess(name.to_owned())),
        [only] => Pid::from_raw(*only).ok_or_else(|| TargetError::NoProcess(name.to_owned())),
        _ => Err(TargetError::Several {
            name: name.to_owned(),
            pids: roots,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_master_and_its_workers_the_master_is_meant_and_of_strangers_none() {
        let seen = |pid, parent| Seen { pid, parent };
        let chosen = |named: &[Seen]| choose("nginx", named).map(|pid| pid.as_raw_nonzero().get());
        assert_eq!(chosen(&[seen(8, 7), seen(7, 1), seen(9, 7)]).unwrap(), 7);
        let several = chosen(&[seen(7, 1), seen(8, 1)]).unwrap_err().to_string();
        assert_eq!(
            several,
            "processes [7, 8] are all called \"nginx\"; which one is meant?"
        );
        let none = chosen(&[]).unwrap_err().to_string();
        assert!(none.starts_with("there is no process \"nginx\" here"), "{none}");
    }

    #[test]
    fn a_process_is_found_by_its_program() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(seen(pid, "sleep").is_some());
        assert!(seen(pid, "slee").is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
