//! Ending a wait from another thread.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::fs::{OFlags, fcntl_setfl};

/// Ends a [`Watcher::wait`](crate::Watcher::wait) from any thread. Cheap to clone; harmless when the watcher is gone.
#[derive(Debug, Clone)]
pub struct Waker(Arc<PipeWriter>);

impl Waker {
    /// Makes the current wait return `None`, or the next one if there is none now. Several calls may count as one.
    pub fn wake(&self) {
        // A full pipe wakes as well, and without its reader there is nobody to wake.
        let _ = (&*self.0).write(&[0]);
    }
}

#[derive(Debug)]
pub(crate) struct WakeReader {
    reader: PipeReader,
    /// Kept, so that the pipe never reads as closed.
    writer: Arc<PipeWriter>,
}

impl WakeReader {
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        fcntl_setfl(&reader, OFlags::NONBLOCK)?;
        fcntl_setfl(&writer, OFlags::NONBLOCK)?;
        Ok(Self {
            reader,
            writer: Arc::new(writer),
        })
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.writer))
    }

    /// Whether there was a wake-up since the last call.
    pub(crate) fn take(&mut self) -> bool {
        let mut is_woken = false;
        let mut buffer = [0; 64];
        while self.reader.read(&mut buffer).is_ok_and(|count| count > 0) {
            is_woken = true;
        }
        is_woken
    }
}

impl AsFd for WakeReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
