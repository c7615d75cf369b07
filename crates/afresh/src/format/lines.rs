//! Lines and columns from offsets.

use super::{Broken, small};
use crate::tree::At;

pub(super) struct Lines<'a> {
    text: &'a str,
    /// Where each line begins.
    starts: Vec<usize>,
    source: u32,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str, source: u32) -> Self {
        let after = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(after).collect(),
            source,
        }
    }

    /// The place of the byte at `offset`.
    pub(super) fn at(&self, offset: usize) -> At {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or_default();
        At {
            source: self.source,
            line: small(line),
            column: small(before.chars().count() + 1),
        }
    }

    pub(super) fn broken(&self, offset: usize, message: impl Into<String>) -> Broken {
        let At { line, column, .. } = self.at(offset);
        Broken {
            line,
            column,
            message: message.into(),
        }
    }
}
