//! Which child processes somebody here waits for. Whoever reaps orphans leaves these alone, so that no exit status is
//! taken away from its owner. And why a child could not be started.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

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

/// Why a program could not be started, with the way out where there is a likely one.
pub(crate) fn why_not(error: &io::Error) -> String {
    let way_out = match (error.kind(), Errno::from_io_error(error)) {
        (ErrorKind::NotFound, _) => {
            "is it in the image, and in PATH? A script also needs the interpreter that its first line names"
        }
        (ErrorKind::PermissionDenied, _) => "is it a file that this user may execute?",
        (_, Some(Errno::NOEXEC)) => "is it a program for this machine? A script needs a first line such as #!/bin/sh",
        _ => return error.to_string(),
    };
    format!("{error}; {way_out}")
}

impl Drop for Owned {
    fn drop(&mut self) {
        owned().remove(&self.0);
    }
}
