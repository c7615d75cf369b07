//! The one process that is supervised.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, pidfd_open, pidfd_send_signal,
    waitid,
};

use super::outcome::Outcome;
use crate::children::{self, Owned};

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Found as a shell finds it, by the `PATH` of its own environment.
    pub name: OsString,
    /// What follows the name.
    pub arguments: Vec<OsString>,
}

/// What became of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Ended(Outcome),
    /// Stopped, as by Ctrl-Z, by this signal.
    Stopped(i32),
}

/// A process in a group of its own, not yet reaped: until then neither its number nor its group's is anybody else's.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pid: Pid,
    /// Where the kernel has them.
    handle: Option<OwnedFd>,
    _owned: Owned,
}

impl Process {
    /// Starts the program with `variables` on top of the inherited environment; terminal, files and directory are
    /// the supervisor's own.
    pub(super) fn start(program: &Program, variables: &BTreeMap<OsString, OsString>) -> io::Result<Self> {
        let mut command = Command::new(&program.name);
        command.args(&program.arguments).envs(variables).process_group(0);
        let child = command.spawn()?;
        let owned = children::own(child.id());
        let pid = Pid::from_child(&child);
        Ok(Self {
            child,
            pid,
            handle: pidfd_open(pid, PidfdFlags::empty()).ok(),
            _owned: owned,
        })
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    pub(super) fn send(&self, signal: Signal) -> io::Result<()> {
        let sent = match &self.handle {
            Some(handle) => pidfd_send_signal(handle, signal),
            None => kill_process(self.pid, signal),
        };
        sent.map_err(Into::into)
    }

    /// Kills whatever is in its group, the process itself too.
    pub(super) fn kill_group(&self) {
        // Fails where nobody is left.
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    /// Lets the whole group go on.
    pub(super) fn resume_group(&self) {
        let _ = kill_process_group(self.pid, Signal::CONT);
    }

    /// What became of it since the last time, if anything. Its end is told again until [`Process::reap`].
    pub(super) fn news(&self) -> Option<News> {
        let look = |options| wait(self.pid, options | WaitIdOptions::NOHANG);
        if let Some(status) = look(WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            let outcome = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Outcome::Exited(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
                (None, signal) => Outcome::Killed(signal.unwrap_or(0)),
            };
            return Some(News::Ended(outcome));
        }
        let stopped = look(WaitIdOptions::STOPPED)?;
        stopped.stopping_signal().map(News::Stopped)
    }

    /// Gives its number back. To be called when it has ended.
    pub(super) fn reap(mut self) {
        let _ = self.child.wait();
    }
}

fn wait(pid: Pid, options: WaitIdOptions) -> Option<rustix::process::WaitIdStatus> {
    loop {
        match waitid(WaitId::Pid(pid), options) {
            Err(Errno::INTR) => {}
            other => return other.ok().flatten(),
        }
    }
}
