//! The terminal belongs to the program, not to its supervisor.

use nix::sys::signal::{SigSet, Signal as Masked};
use nix::unistd::getpgrp;
use rustix::process::{Pid, Signal, getpid, kill_process};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

/// A terminal on standard input whose foreground was ours when we began.
#[derive(Debug)]
pub(super) struct Terminal {
    own: Pid,
    /// The last group that it was given to.
    given: Option<Pid>,
}

impl Terminal {
    /// `None` where there is no terminal, or it is another's.
    pub(super) fn find() -> Option<Self> {
        let own = tcgetpgrp(std::io::stdin()).ok()?;
        // Ours may be 0, which is no number of a group: one of a PID namespace outside. rustix panics then.
        if own.as_raw_nonzero().get() != getpgrp().as_raw() {
            return None;
        }
        // Who is in the background and gives the terminal to another, or writes to it, would be stopped. Programs that
        // are started have no signal blocked all the same: `std` sees to that.
        let mut background = SigSet::empty();
        background.add(Masked::SIGTTOU);
        if let Err(error) = background.thread_block() {
            tracing::warn!(%error, "the terminal stays with the supervisor");
            return None;
        }
        Some(Self { own, given: None })
    }

    /// Gives it to the group, unless it is somebody else's now: a shell may have put us into the background.
    pub(super) fn give(&mut self, group: Pid) {
        let current = tcgetpgrp(std::io::stdin()).ok();
        if current == Some(self.own) || current == self.given {
            self.set(group);
            self.given = Some(group);
        }
    }

    /// Stops ourselves with the terminal in hand, so that the shell that waits for us sees it; returns when continued.
    /// Process 1 cannot be stopped, and has no shell.
    pub(super) fn stop(&self) {
        if getpid().is_init() {
            return;
        }
        self.set(self.own);
        let _ = kill_process(getpid(), Signal::STOP);
    }

    fn set(&self, group: Pid) {
        if let Err(error) = tcsetpgrp(std::io::stdin(), group) {
            tracing::debug!(%error, "the terminal could not be given to another group");
        }
    }
}
