//! Noticing that the content of a path is another.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::plan::{Concern, Notice};
use crate::sys::Inotify;
use crate::target::Target;
use crate::wake::{WakeReader, Waker};
use crate::{Event, Limits, State};

/// The pause of the slow poll unless another is given, and wherever events turn out not to work.
pub const DEFAULT_POLL: Duration = Duration::from_secs(10);

/// The pause before a look at a path that kept moving during the last one, or has a file not closed yet.
const SOON: Duration = Duration::from_millis(20);

/// How changes are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By the kernel's events where there are any, beside the slow poll.
    Events,
    /// By the slow poll alone, as where events do not arrive (kata, gVisor, some CSI drivers, network file systems).
    Poll,
}

/// How to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchOptions {
    /// How changes are looked for.
    pub method: Method,
    /// The pause between two looks at everything, beside events; `None` = no look without an event, and so no wake-up
    /// while nothing happens. Where events do not work [`DEFAULT_POLL`] is used in its stead.
    pub poll: Option<Duration>,
    /// Bounds on reading plain directories and files, which are compared by content.
    pub limits: Limits,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            method: Method::Events,
            poll: Some(DEFAULT_POLL),
            limits: Limits::default(),
        }
    }
}

/// Why waiting failed.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The system could not wait.
    #[error("cannot wait for file events: {source}")]
    Wait {
        /// What the system said.
        source: io::Error,
    },
    /// The means to wake a waiting thread could not be made.
    #[error("cannot make a waker: {source}")]
    Waker {
        /// What the system said.
        source: io::Error,
    },
}

/// Watches paths (volumes, plain directories, files, or what will be one) with one inotify instance.
///
/// To miss nothing: make the watcher, then read a [`Snapshot`](crate::Snapshot), then [`wait`](Watcher::wait), and
/// read again at each event. A burst of swaps may be one event; the last swap is always in one.
///
/// Events are no more than hints: each makes the watcher look, and only a path that differs from the last look is
/// told of. What events cannot show (a mount over the path, a directory further up renamed, file systems without
/// events) the slow poll finds.
#[derive(Debug)]
pub struct Watcher {
    targets: Vec<Target>,
    options: WatchOptions,
    source: Result<Inotify, String>,
    ready: VecDeque<Event>,
    next_poll: Option<Instant>,
    wake: Option<WakeReader>,
    overflows: u64,
}

impl Watcher {
    /// Begins to watch; what the paths are now is what later looks are compared with.
    ///
    /// Never fails: what cannot be watched is polled, see [`degraded`](Watcher::degraded).
    pub fn new<P: Into<PathBuf>>(paths: impl IntoIterator<Item = P>, options: WatchOptions) -> Self {
        let source = match options.method {
            Method::Poll => Err("polling was asked for".to_owned()),
            Method::Events => Inotify::new().map_err(|error| format!("cannot use file events: {error}")),
        };
        let targets = paths.into_iter().map(|path| Target::new(path.into().into())).collect();
        let mut watcher = Self {
            targets,
            options,
            source,
            ready: VecDeque::new(),
            next_poll: None,
            wake: None,
            overflows: 0,
        };
        watcher.refresh();
        // The first look is the baseline: it differs from nothing, and nothing is to follow from it.
        watcher.ready.clear();
        watcher
            .targets
            .iter_mut()
            .filter(|target| target.due == Concern::Soon)
            .for_each(Target::rest);
        watcher.schedule();
        watcher.look();
        watcher
    }

    /// The next difference; `None` when `timeout` has passed or a [`Waker`] was used. Without a timeout it waits for
    /// ever, and sleeps all the while if [`WatchOptions::poll`] is `None`.
    ///
    /// # Errors
    /// [`WatchError::Wait`].
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<Event>, WatchError> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if let Some(event) = self.try_next() {
                return Ok(Some(event));
            }
            if self.wake.as_mut().is_some_and(WakeReader::take) || deadline.is_some_and(|at| at <= Instant::now()) {
                return Ok(None);
            }
            self.sleep_until(self.next_poll.into_iter().chain(deadline).min())?;
        }
    }

    /// The next difference that can be told without waiting. After `None`, [`event_fd`](Watcher::event_fd) becomes
    /// readable when there may be another, and at [`next_poll`](Watcher::next_poll) it is time to ask again.
    pub fn try_next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let is_drained = self.take_notices();
            if self.next_poll.is_some_and(|at| at <= Instant::now()) {
                self.targets.iter_mut().for_each(|target| target.due = Concern::Now);
                self.schedule();
            }
            self.look();
            if is_drained && self.ready.is_empty() {
                return None;
            }
        }
    }

    /// Looks at every path now, events or not; differences are then to be had from [`try_next`](Watcher::try_next).
    pub fn refresh(&mut self) {
        self.targets.iter_mut().for_each(|target| target.due = Concern::Now);
        self.look();
    }

    /// Each path and what it was at the last look.
    pub fn states(&self) -> impl Iterator<Item = (&Path, &State)> {
        self.targets.iter().map(|target| (&*target.path, &target.state))
    }

    /// Readable when [`try_next`](Watcher::try_next) may have something; `None` where there are no events.
    #[must_use]
    pub fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        self.source.as_ref().ok().map(AsFd::as_fd)
    }

    /// When the next slow poll is due; `None` if there is none.
    #[must_use]
    pub fn next_poll(&self) -> Option<Instant> {
        self.next_poll
    }

    /// Why changes are found by the slow poll only, for all paths or for one of them.
    #[must_use]
    pub fn degraded(&self) -> Option<&str> {
        match &self.source {
            Err(reason) => Some(reason),
            Ok(_) => self.targets.iter().find_map(|target| target.unwatched.as_deref()),
        }
    }

    /// How often the kernel's queue overflowed, each time followed by a look at everything.
    #[must_use]
    pub fn overflows(&self) -> u64 {
        self.overflows
    }

    /// Something by which another thread ends the current or the next [`wait`](Watcher::wait).
    ///
    /// # Errors
    /// [`WatchError::Waker`], when the process has too many open files.
    pub fn waker(&mut self) -> Result<Waker, WatchError> {
        if let Some(wake) = &self.wake {
            return Ok(wake.waker());
        }
        let wake = WakeReader::new().map_err(|source| WatchError::Waker { source })?;
        Ok(self.wake.insert(wake).waker())
    }

    fn schedule(&mut self) {
        let fallback = self.degraded().map(|_| DEFAULT_POLL);
        let pause = self.options.poll.or(fallback);
        self.next_poll = pause.and_then(|pause| Instant::now().checked_add(pause));
    }

    /// Marks the paths that the kernel's notices concern; false if there may be more notices.
    fn take_notices(&mut self) -> bool {
        let Ok(source) = &self.source else { return true };
        let (targets, overflows) = (&mut self.targets, &mut self.overflows);
        let drained = source.drain(|notice| match notice {
            Notice::Overflow => {
                *overflows += 1;
                targets.iter_mut().for_each(|target| target.due = Concern::Now);
            }
            Notice::At {
                watch,
                name,
                is_new_file,
            } => {
                targets
                    .iter_mut()
                    .for_each(|target| target.notice(watch, name, is_new_file));
            }
        });
        drained.unwrap_or_else(|error| {
            self.source = Err(format!("cannot read file events: {error}"));
            self.targets.iter_mut().for_each(|target| target.due = Concern::Now);
            true
        })
    }

    /// Looks at the paths that are due.
    fn look(&mut self) {
        let mut dropped = Vec::new();
        let source = self.source.as_ref().ok();
        for target in self.targets.iter_mut().filter(|target| target.due == Concern::Now) {
            if let Some(change) = target.look(source, &self.options.limits, &mut dropped) {
                self.ready.push_back(Event {
                    path: Arc::clone(&target.path),
                    change,
                });
            }
        }
        // Paths may share a watch.
        dropped.retain(|watch| !self.targets.iter().any(|target| target.has(*watch)));
        if let Some(source) = source {
            dropped.into_iter().for_each(|watch| source.remove(watch));
        }
        if self.targets.iter().any(|target| target.due != Concern::None) {
            self.next_poll = self.next_poll.into_iter().chain(Instant::now().checked_add(SOON)).min();
        } else if self.next_poll.is_none() && self.degraded().is_some() {
            self.schedule();
        }
    }

    fn sleep_until(&self, deadline: Option<Instant>) -> Result<(), WatchError> {
        let pause = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let pause = pause.and_then(|pause| Timespec::try_from(pause).ok());
        let wake = self.wake.as_ref().map(AsFd::as_fd);
        let mut fds: Vec<PollFd<'_>> = self
            .event_fd()
            .into_iter()
            .chain(wake)
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        match poll(&mut fds, pause.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(WatchError::Wait { source: error.into() }),
        }
    }
}
