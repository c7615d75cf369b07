//! The watcher for tasks.

use std::future::pending;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::{Event, WatchError, Watcher};

/// A [`Watcher`] that a tokio task awaits. Looking itself blocks for as long as it takes to read a symlink, or a plain
/// directory's content.
#[derive(Debug)]
pub struct AsyncWatcher {
    watcher: Watcher,
    /// The same inotify instance by another descriptor, registered with the runtime.
    events: Option<AsyncFd<OwnedFd>>,
}

impl AsyncWatcher {
    /// Takes a watcher over. Must be called in a tokio runtime with I/O and time enabled.
    ///
    /// # Errors
    /// [`WatchError::Wait`] if its events cannot be registered with the runtime.
    pub fn new(watcher: Watcher) -> Result<Self, WatchError> {
        let events = register(&watcher).map_err(|source| WatchError::Wait { source })?;
        Ok(Self { watcher, events })
    }

    /// The next difference. Cancelling loses nothing: a difference not yet returned is returned by the next call.
    ///
    /// # Errors
    /// [`WatchError::Wait`].
    pub async fn next(&mut self) -> Result<Event, WatchError> {
        loop {
            if let Some(event) = self.watcher.try_next() {
                return Ok(event);
            }
            let next_poll = self.watcher.next_poll();
            tokio::select! {
                () = sleep_until(next_poll) => {}
                readable = readable(self.events.as_ref()) => readable.map_err(|source| WatchError::Wait { source })?,
            }
        }
    }

    /// The watcher itself, to see its states or to [`refresh`](Watcher::refresh) it.
    pub fn get_mut(&mut self) -> &mut Watcher {
        &mut self.watcher
    }
}

/// Unsound in general, because a type may name a descriptor that it does not own; ours is an [`OwnedFd`]. What replaces
/// the function is `unsafe`, which this workspace forbids.
#[allow(deprecated, reason = "see above")]
fn register(watcher: &Watcher) -> io::Result<Option<AsyncFd<OwnedFd>>> {
    let Some(fd) = watcher.event_fd() else { return Ok(None) };
    AsyncFd::with_interest(fd.as_fd().try_clone_to_owned()?, Interest::READABLE).map(Some)
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => pending().await,
    }
}

/// The readiness is given back at once, and what made it is drained by the caller afterwards: what comes between the
/// two makes the descriptor ready anew.
async fn readable(events: Option<&AsyncFd<OwnedFd>>) -> io::Result<()> {
    match events {
        Some(events) => {
            events.readable().await?.clear_ready();
            Ok(())
        }
        None => pending().await,
    }
}
