//! What threads meet at. The loom tests compile [`crate::cell`] against loom's own in the stead of these.

pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

/// A shared value that is replaced as a whole; reading it never waits.
#[derive(Debug)]
pub(crate) struct Swap<V>(pub(crate) ArcSwap<V>);

impl<V> Swap<V> {
    pub(crate) fn new(value: V) -> Self {
        Self(ArcSwap::from_pointee(value))
    }

    pub(crate) fn load(&self) -> Arc<V> {
        self.0.load_full()
    }

    /// Returns what was there before.
    pub(crate) fn swap(&self, value: Arc<V>) -> Arc<V> {
        self.0.swap(value)
    }
}
