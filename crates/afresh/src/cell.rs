//! The one place where a new version is published and where those who wait for it are woken.
//!
//! Nothing is queued: who waits says which version it has seen, and gets the newest one above that. So a slow reader
//! costs nothing, changes are coalesced, and the last one is never lost.

use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::sync::{Arc, AtomicU64, Condvar, Mutex, MutexGuard, Ordering, PoisonError, Swap};

/// What is published bears a number that grows by one each time, from 1.
pub(crate) trait Numbered {
    fn number(&self) -> u64;
}

#[derive(Debug)]
pub(crate) struct Cell<V> {
    front: Front<V>,
    waiting: Mutex<Waiting>,
    told: Condvar,
}

/// What readers look at. On cache lines of its own (two, which are fetched together): it is written with a new version
/// only, so what happens beside it slows no reader down.
#[derive(Debug)]
#[repr(align(128))]
struct Front<V> {
    /// The number of `current`, or already of the one that is about to follow it.
    newest: AtomicU64,
    current: Swap<V>,
}

#[derive(Debug)]
struct Waiting {
    /// The number of the newest version; set only after it can be read.
    published: u64,
    closed: bool,
    /// Tasks by the ticket of their subscription.
    tasks: Vec<(u64, Waker)>,
    next_ticket: u64,
}

impl<V: Numbered> Cell<V> {
    pub(crate) fn new(first: V) -> Self {
        let published = first.number();
        Self {
            front: Front {
                newest: AtomicU64::new(published),
                current: Swap::new(first),
            },
            waiting: Mutex::new(Waiting {
                published,
                closed: false,
                tasks: Vec::new(),
                next_ticket: 0,
            }),
            told: Condvar::new(),
        }
    }

    /// The newest version that can be read.
    #[inline]
    pub(crate) fn current(&self) -> &Swap<V> {
        &self.front.current
    }

    /// Makes `next` the current version and wakes everyone; returns the version before.
    ///
    /// Only one thread publishes.
    pub(crate) fn publish(&self, next: Arc<V>) -> Arc<V> {
        let number = next.number();
        // Before the version itself: who has seen that finds this number, so no reader goes back by looking here. The
        // swap and the lock below order it.
        self.front.newest.store(number, Ordering::Relaxed);
        let before = self.front.current.swap(next);
        self.wake(|waiting| {
            // Who was told that it is over is told nothing more.
            if !waiting.closed {
                waiting.published = number;
            }
        });
        before
    }

    /// Nothing will be published any more that anyone is told of.
    pub(crate) fn close(&self) {
        self.wake(|waiting| waiting.closed = true);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// A place in the line of tasks.
    pub(crate) fn ticket(&self) -> u64 {
        let mut waiting = self.lock();
        waiting.next_ticket += 1;
        waiting.next_ticket
    }

    /// Gives the place up.
    pub(crate) fn leave(&self, ticket: u64) {
        self.lock().tasks.retain(|(of, _)| *of != ticket);
    }

    /// A version above `seen` if there is one now; `None` when closed.
    pub(crate) fn poll(&self, seen: u64, ticket: u64, context: &Context<'_>) -> Poll<Option<Arc<V>>> {
        let mut waiting = self.lock();
        if waiting.published > seen {
            drop(waiting);
            return Poll::Ready(Some(self.current().load()));
        }
        if waiting.closed {
            return Poll::Ready(None);
        }
        let waker = context.waker();
        match waiting.tasks.iter_mut().find(|(of, _)| *of == ticket) {
            Some((_, known)) => known.clone_from(waker),
            None => waiting.tasks.push((ticket, waker.clone())),
        }
        Poll::Pending
    }

    /// Waits for a version above `seen`; `None` when closed.
    pub(crate) fn wait(&self, seen: u64) -> Option<Arc<V>> {
        let mut waiting = self.lock();
        while waiting.published <= seen {
            if waiting.closed {
                return None;
            }
            waiting = self.told.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        drop(waiting);
        Some(self.current().load())
    }

    /// As [`Cell::wait`], at most until `deadline`: `Err` when it has passed.
    pub(crate) fn wait_until(&self, seen: u64, deadline: Instant) -> Result<Option<Arc<V>>, Late> {
        let mut waiting = self.lock();
        while waiting.published <= seen {
            if waiting.closed {
                return Ok(None);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return Err(Late);
            }
            waiting = self
                .told
                .wait_timeout(waiting, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        drop(waiting);
        Ok(Some(self.current().load()))
    }

    fn wake(&self, change: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.lock();
        change(&mut waiting);
        let tasks = std::mem::take(&mut waiting.tasks);
        drop(waiting);
        self.told.notify_all();
        // Outside the lock: a waker may do anything.
        for (_, task) in tasks {
            task.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Plain numbers and wakers: whole even if a thread died while it held the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A version that one reader keeps, so that looking for a newer one is a load of a number that hardly ever changes. Nothing
/// shared is written.
#[derive(Debug)]
pub(crate) struct Kept<V>(Arc<V>);

impl<V: Numbered> Kept<V> {
    pub(crate) fn new(cell: &Cell<V>) -> Self {
        Self(cell.current().load())
    }

    /// The newest version of `cell`, which is that of [`Kept::new`].
    #[inline]
    pub(crate) fn newest(&mut self, cell: &Cell<V>) -> &V {
        // Compared with the number of what is kept: a number that came before its version is looked at again.
        if cell.front.newest.load(Ordering::Relaxed) != self.0.number() {
            self.renew(cell);
        }
        &self.0
    }

    // Out of line, so that the way without news is a few instructions in the caller.
    #[cold]
    #[inline(never)]
    fn renew(&mut self, cell: &Cell<V>) {
        self.0 = cell.current().load();
    }
}

/// The deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Late;
