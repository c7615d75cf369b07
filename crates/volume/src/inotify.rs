//! The kernel's notices of file events, as few as are needed.

use std::ffi::{CStr, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::plan::{Depth, Notice};

/// Reads of one [`Inotify::drain`]: a flood is looked at in parts, so that it cannot hold up its own consequences.
const READS: usize = 64;

#[derive(Debug)]
pub(crate) struct Inotify(OwnedFd);

impl Inotify {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?))
    }

    /// Watches what `path` leads to. The same inode gives the same watch, for all events asked of it so far.
    pub(crate) fn add(&self, path: &Path, depth: Depth) -> io::Result<i32> {
        let names = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        let flags = match depth {
            Depth::Names => names,
            Depth::Content => names | WatchFlags::CLOSE_WRITE | WatchFlags::ATTRIB,
        };
        Ok(inotify::add_watch(&self.0, path, flags | WatchFlags::MASK_ADD)?)
    }

    pub(crate) fn remove(&self, watch: i32) {
        // It may be gone already, with what it watched.
        let _ = inotify::remove_watch(&self.0, watch);
    }

    /// Hands over the notices that are there; false if there may be more.
    pub(crate) fn drain(&self, mut take: impl FnMut(Notice<'_>)) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.0, &mut buffer);
        let mut reads = 0;
        loop {
            if reader.is_buffer_empty() {
                if reads == READS {
                    return Ok(false);
                }
                reads += 1;
            }
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::WOULDBLOCK) => return Ok(true),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let flags = event.events();
            take(if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                Notice::Overflow
            } else {
                let name = event.file_name().map(CStr::to_bytes).map(OsStr::from_bytes);
                let is_new_file = flags.contains(ReadFlags::CREATE) && !flags.contains(ReadFlags::ISDIR);
                Notice::At {
                    watch: event.wd(),
                    name,
                    is_new_file,
                }
            });
        }
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
