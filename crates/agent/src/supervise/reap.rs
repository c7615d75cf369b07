//! Other people's children: an init adopts them, reaps them, and ends those that a program left behind.

use std::collections::HashSet;
use std::convert::Infallible;
use std::fs;
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpid, kill_process, pidfd_open, pidfd_send_signal,
    set_child_subreaper, waitid,
};

use tokio::signal::unix::{SignalKind, signal};

use crate::children;

/// How long it may take until processes that were killed are gone, in steps of [`STEP`].
const STEPS: u32 = 400;
const STEP: Duration = Duration::from_millis(5);

/// What an init does about children that it did not start.
#[derive(Debug)]
pub(super) struct Reaper {
    /// Children from before: whoever made them in this process and then became us wants them to live.
    inherited: HashSet<Pid>,
}

impl Reaper {
    /// From now on orphans below this process become its children, as they do where it is process 1 anyway.
    pub(super) fn new() -> Self {
        if !getpid().is_init()
            && let Err(error) = set_child_subreaper(Some(getpid()))
        {
            tracing::warn!(%error, "orphans will not be reaped: cannot become their parent");
        }
        Self {
            inherited: children().into_iter().collect(),
        }
    }

    /// Reaps every child that has ended and is not waited for by somebody here; returns how many.
    pub(super) fn reap(&mut self) -> usize {
        if !any_has_ended() {
            return 0;
        }
        let strangers = children().into_iter().filter(|pid| !owned(*pid));
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let reaped: Vec<_> = strangers
            .filter(|pid| matches!(waitid(WaitId::Pid(*pid), options), Ok(Some(_))))
            .collect();
        for pid in &reaped {
            self.inherited.remove(pid);
        }
        reaped.len()
    }

    /// Kills what the program left behind, as the end of a container does, and waits until it is gone.
    pub(super) async fn clear(&mut self) {
        for _ in 0..STEPS {
            self.reap();
            let left: Vec<_> = children()
                .into_iter()
                .filter(|pid| !owned(*pid) && !self.inherited.contains(pid))
                .collect();
            if left.is_empty() {
                return;
            }
            left.into_iter().for_each(kill);
            tokio::time::sleep(STEP).await;
        }
        tracing::warn!("processes that the program left behind could not be ended");
    }
}

/// As process 1: reaps, for ever, what commands leave behind. Elsewhere process 1 does.
pub(crate) async fn orphans() -> Infallible {
    if getpid().is_init()
        && let Ok(mut ended) = signal(SignalKind::child())
    {
        let mut reaper = Reaper::new();
        while ended.recv().await.is_some() {
            reaper.reap();
        }
    }
    std::future::pending().await
}

fn owned(pid: Pid) -> bool {
    u32::try_from(pid.as_raw_nonzero().get()).is_ok_and(children::is_owned)
}

/// A child of ours that is not reaped: its number is nobody else's.
fn kill(pid: Pid) {
    // Fails where it has ended by itself.
    let _ = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => pidfd_send_signal(handle, Signal::KILL),
        Err(_) => kill_process(pid, Signal::KILL),
    };
}

/// Whether a child has ended that was not reaped. Looks without reaping: it may be waited for elsewhere.
fn any_has_ended() -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::All, options), Ok(Some(_)))
}

/// All children, ended ones too.
fn children() -> Vec<Pid> {
    listed().unwrap_or_else(scanned)
}

/// As the kernel lists them by thread, where it is built to.
fn listed() -> Option<Vec<Pid>> {
    let mut all = Vec::new();
    for task in fs::read_dir("/proc/self/task").ok()? {
        let list = fs::read_to_string(task.ok()?.path().join("children")).ok()?;
        all.extend(list.split_ascii_whitespace().filter_map(pid));
    }
    Some(all)
}

/// By the parent that each process names.
fn scanned() -> Vec<Pid> {
    let own = getpid();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let named = entries.filter_map(|entry| pid(entry.ok()?.file_name().to_str()?));
    named.filter(|pid| parent(*pid) == Some(own)).collect()
}

/// The fourth field of `stat`; the second is a name in parentheses that may hold anything.
fn parent(process: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).ok()?;
    pid(stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?)
}

fn pid(text: &str) -> Option<Pid> {
    text.parse().ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn sleeping() -> Child {
        Command::new("sleep").arg("1000").spawn().unwrap()
    }

    #[test]
    fn children_are_found_by_the_kernels_list_and_by_looking_at_everything() {
        let mut child = sleeping();
        let pid = Pid::from_child(&child);

        assert!(scanned().contains(&pid));
        // The list is there wherever tests run.
        assert!(listed().unwrap().contains(&pid));

        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!scanned().contains(&pid));
        assert!(!listed().unwrap().contains(&pid));
    }
}
