//! The lines of a watch, taken out of the body without copying where a line is in one piece.

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use kube::client::Body;

use crate::request::{CallError, connection};

/// Longest line that is read. etcd takes objects of 1.5 MiB; JSON escapes can make six bytes of one.
const MAX_LINE: usize = 16 << 20;

/// A body read line by line.
pub(super) struct Lines {
    body: Body,
    /// What has arrived and is not consumed.
    arrived: Bytes,
    /// The beginning of a line that has not arrived in full. Freed with the line, so that one large object leaves no
    /// large buffer behind.
    partial: Vec<u8>,
}

impl Lines {
    pub(super) const fn new(body: Body) -> Self {
        Self {
            body,
            arrived: Bytes::new(),
            partial: Vec::new(),
        }
    }

    /// The next line without its end; `None` at the end of the body, where a line without an end is dropped.
    /// Cancel-safe: what has arrived is kept.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            self.partial.extend_from_slice(&self.arrived);
            self.arrived.clear();
            if self.partial.len() > MAX_LINE {
                return Err(CallError::TooLarge);
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            if let Ok(data) = frame.map_err(|error| connection(&error))?.into_data() {
                self.arrived = data;
            }
        }
    }

    fn take_line(&mut self) -> Option<Bytes> {
        let end = memchr::memchr(b'\n', &self.arrived)?;
        let rest = self.arrived.split_to(end);
        self.arrived.advance(1);
        if self.partial.is_empty() {
            return Some(rest);
        }
        let mut line = std::mem::take(&mut self.partial);
        line.extend_from_slice(&rest);
        Some(line.into())
    }
}
