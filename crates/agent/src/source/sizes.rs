//! How much the objects of a source hold, so that values beyond a limit are never kept.

use std::collections::BTreeMap;

use afresh_k8s::content::ObjectContent;

use super::seen::Place;
use crate::size::Size;

/// The bytes of each object's keys and values.
#[derive(Debug)]
pub(super) struct Sizes {
    limit: Size,
    of: BTreeMap<Place, u64>,
    total: u64,
}

impl Sizes {
    pub(super) fn new(limit: Size) -> Self {
        Self {
            limit,
            of: BTreeMap::new(),
            total: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.limit);
    }

    pub(super) fn set(&mut self, place: Place, object: &ObjectContent) {
        let entries = object.entries.iter();
        let size = entries.map(|(key, value)| (key.len() + value.len()) as u64).sum();
        self.remove(&place);
        self.total += size;
        self.of.insert(place, size);
    }

    pub(super) fn remove(&mut self, place: &Place) {
        self.total -= self.of.remove(place).unwrap_or(0);
    }

    /// Whether all of it may be kept.
    pub(super) fn fit(&self) -> bool {
        self.total <= self.limit.bytes()
    }

    /// What people are told when it may not.
    pub(super) fn complaint(&self) -> String {
        let (objects, total, limit) = (self.of.len(), self.total, self.limit);
        format!("{objects} objects hold {total} bytes, more than --max-size {limit}: raise that, or select fewer")
    }
}
