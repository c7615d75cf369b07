//! Which child processes somebody here waits for. Whoever reaps orphans leaves these alone, so that no exit status is
//! taken away from its owner.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Child processes belong to the whole process, and so does this.
static OWNED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// A child that somebody waits for, until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Owned(u32);

/// Says that the child `pid` is waited for. To be called right after it was started, before anything is awaited.
pub fn own(pid: u32) -> Owned {
    owned().insert(pid);
    Owned(pid)
}

/// Whether somebody waits for the child.
pub(crate) fn is_owned(pid: u32) -> bool {
    owned().contains(&pid)
}

fn owned() -> MutexGuard<'static, BTreeSet<u32>> {
    // A set of numbers is whole after every step.
    OWNED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Owned {
    fn drop(&mut self) {
        owned().remove(&self.0);
    }
}
