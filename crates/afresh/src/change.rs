//! Being told of changes.

use std::fmt;
use std::iter::FusedIterator;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use crate::Version;
use crate::cell::Late;
use crate::live::Shared;

/// From one version to a newer one. Versions in between, if there were any, are left out.
///
/// ```
/// # use afresh::Config;
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
/// # let volume = volume(&[("message", "Hello World")]);
/// let settings = Config::<Settings>::directory(volume.path()).load()?;
/// let mut changes = settings.changes();
/// write(&volume, &[("message", "Hello Grandma")]);
///
/// let afresh::Change { old, new } = changes.next().unwrap();
/// assert_eq!((old.message.as_str(), new.message.as_str()), ("Hello World", "Hello Grandma"));
/// # Ok::<(), afresh::LoadError>(())
/// ```
pub struct Change<T> {
    /// What this subscriber saw before.
    pub old: Arc<Version<T>>,
    /// What is current.
    pub new: Arc<Version<T>>,
}

impl<T> Clone for Change<T> {
    fn clone(&self) -> Self {
        let (old, new) = (Arc::clone(&self.old), Arc::clone(&self.new));
        Self { old, new }
    }
}

impl<T> fmt::Debug for Change<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Change({} to {})", self.old.number, self.new.number)
    }
}

/// Changes for a thread that waits for them: an iterator that ends when the last handle is dropped. Made by
/// [`Live::changes`](crate::Live::changes).
///
/// A subscriber that is slow misses nothing but what is outdated: it always gets the newest version, and always the last.
///
/// ```
/// # use afresh::Config;
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
/// # let volume = volume(&[("message", "Hello World")]);
/// let settings = Config::<Settings>::directory(volume.path()).load()?;
/// let changes: afresh::Changes<Settings> = settings.changes();
/// let thread = std::thread::spawn(move || {
///     for change in changes {
///         println!("{} is {} now", change.old.message, change.new.message);
///     }
/// });
/// drop(settings);
/// thread.join().unwrap();
/// # Ok::<(), afresh::LoadError>(())
/// ```
pub struct Changes<T> {
    shared: Arc<Shared<T>>,
    seen: Arc<Version<T>>,
}

/// How long to wait is over, and nothing has changed.
///
/// ```
/// # use afresh::Config;
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
/// # use std::time::Duration;
/// # let volume = volume(&[("message", "Hello World")]);
/// let settings = Config::<Settings>::directory(volume.path()).load()?;
/// let waited = settings.changes().next_within(Duration::ZERO);
/// assert_eq!(waited.unwrap_err(), afresh::TimedOut);
/// # Ok::<(), afresh::LoadError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing has changed in that time")]
pub struct TimedOut;

impl<T> Changes<T> {
    pub(crate) fn new(shared: Arc<Shared<T>>) -> Self {
        let seen = shared.cell.current().load();
        Self { shared, seen }
    }

    /// The next change, if it comes within `limit`; `None` when the last handle is dropped.
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # use std::time::Duration;
    /// # let volume = volume(&[("message", "Hello World")]);
    /// let settings = Config::<Settings>::directory(volume.path()).load()?;
    /// let mut changes = settings.changes();
    /// write(&volume, &[("message", "Hello Grandma")]);
    /// let change = changes.next_within(Duration::from_secs(60))?.unwrap();
    /// assert_eq!(change.new.message, "Hello Grandma");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TimedOut`].
    pub fn next_within(&mut self, limit: Duration) -> Result<Option<Change<T>>, TimedOut> {
        let Some(deadline) = Instant::now().checked_add(limit) else {
            return Ok(self.next());
        };
        match self.shared.cell.wait_until(self.seen.number, deadline) {
            Ok(next) => Ok(next.map(|next| self.to(next))),
            Err(Late) => Err(TimedOut),
        }
    }

    fn to(&mut self, new: Arc<Version<T>>) -> Change<T> {
        let old = std::mem::replace(&mut self.seen, Arc::clone(&new));
        Change { old, new }
    }
}

impl<T> Iterator for Changes<T> {
    type Item = Change<T>;

    fn next(&mut self) -> Option<Change<T>> {
        let next = self.shared.cell.wait(self.seen.number)?;
        Some(self.to(next))
    }
}

impl<T> FusedIterator for Changes<T> {}

impl<T> fmt::Debug for Changes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Changes(after {})", self.seen.number)
    }
}

/// Changes for a task that awaits them: a [`Stream`], whatever the runtime. Made by [`Live::stream`](crate::Live::stream).
///
/// ```
/// use futures::StreamExt;
/// # use afresh::Config;
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
/// # let volume = volume(&[("message", "Hello World")]);
///
/// let settings = Config::<Settings>::directory(volume.path()).load()?;
/// let mut changes: afresh::ChangeStream<Settings> = settings.stream();
/// write(&volume, &[("message", "Hello Grandma")]);
///
/// let change = futures::executor::block_on(changes.next()).unwrap();
/// assert_eq!(change.new.message, "Hello Grandma");
/// # Ok::<(), afresh::LoadError>(())
/// ```
pub struct ChangeStream<T> {
    changes: Changes<T>,
    ticket: u64,
    ended: bool,
}

impl<T> ChangeStream<T> {
    pub(crate) fn new(shared: Arc<Shared<T>>) -> Self {
        let ticket = shared.cell.ticket();
        Self {
            changes: Changes::new(shared),
            ticket,
            ended: false,
        }
    }
}

impl<T> Stream for ChangeStream<T> {
    type Item = Change<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Change<T>>> {
        let this = &mut *self;
        let seen = this.changes.seen.number;
        match this.changes.shared.cell.poll(seen, this.ticket, context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(next)) => Poll::Ready(Some(this.changes.to(next))),
            Poll::Ready(None) => {
                this.ended = true;
                Poll::Ready(None)
            }
        }
    }
}

impl<T> FusedStream for ChangeStream<T> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<T> Drop for ChangeStream<T> {
    fn drop(&mut self) {
        self.changes.shared.cell.leave(self.ticket);
    }
}

impl<T> fmt::Debug for ChangeStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.changes.fmt(f)
    }
}

/// Calls back until it is dropped. Made by [`Live::on_change`](crate::Live::on_change).
///
/// ```
/// # use afresh::Config;
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
/// # let volume = volume(&[("message", "Hello World")]);
/// let settings = Config::<Settings>::directory(volume.path()).load()?;
/// let subscription: afresh::Subscription = settings.on_change(|_| panic!("not called any more"));
/// drop(subscription);
/// write(&volume, &[("message", "Hello Grandma")]);
/// # settings.changes().next_within(std::time::Duration::from_millis(100)).ok();
/// # Ok::<(), afresh::LoadError>(())
/// ```
#[must_use = "dropping it ends the calls"]
pub struct Subscription {
    callbacks: Weak<dyn Unsubscribe>,
    id: u64,
}

/// Who can be told that a callback is not wanted any more.
pub(crate) trait Unsubscribe: Send + Sync {
    fn unsubscribe(&self, id: u64);
}

impl Subscription {
    pub(crate) fn new(callbacks: Weak<dyn Unsubscribe>, id: u64) -> Self {
        Self { callbacks, id }
    }

    /// Calls back as long as the configuration is followed.
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World")]);
    /// let settings = Config::<Settings>::directory(volume.path()).load()?;
    /// settings.on_change(|change| println!("{}", change.new.message)).forever();
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn forever(mut self) {
        self.callbacks = Weak::<Nobody>::new();
    }
}

struct Nobody;

impl Unsubscribe for Nobody {
    fn unsubscribe(&self, _: u64) {}
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(callbacks) = self.callbacks.upgrade() {
            callbacks.unsubscribe(self.id);
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({})", self.id)
    }
}
