//! Where there is no inotify: the watcher polls.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use crate::plan::{Depth, Notice};

/// Cannot exist.
#[derive(Debug)]
pub(crate) struct Inotify(Infallible);

impl Inotify {
    pub(crate) fn new() -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no inotify"))
    }

    pub(crate) fn add(&self, _path: &Path, _depth: Depth) -> io::Result<i32> {
        match self.0 {}
    }

    pub(crate) fn remove(&self, _watch: i32) {
        match self.0 {}
    }

    pub(crate) fn drain(&self, _take: impl FnMut(Notice<'_>)) -> io::Result<bool> {
        match self.0 {}
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self.0 {}
    }
}
