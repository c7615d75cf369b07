//! What was asked and how it was answered, for tests that count.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::request::{Attributes, Filter};

/// The log keeps this many requests, and forgets the oldest beyond.
const KEPT: usize = 100_000;

/// One answered request.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What was asked.
    pub request: Attributes,
    /// The HTTP status code of the answer; none if the client got no answer at all.
    pub code: Option<u16>,
    /// The body of a patch.
    pub patch: Option<Value>,
}

/// The log of all requests that came through the service or over HTTP.
#[derive(Clone, Debug, Default)]
pub struct RequestLog(Arc<Mutex<VecDeque<Record>>>);

impl RequestLog {
    pub(crate) fn push(&self, record: Record) {
        let mut records = self.records();
        if records.len() == KEPT {
            records.pop_front();
        }
        records.push_back(record);
    }

    /// The requests that the filter means, oldest first.
    #[must_use]
    pub fn find(&self, filter: &Filter) -> Vec<Record> {
        self.records()
            .iter()
            .filter(|record| filter.matches(&record.request))
            .cloned()
            .collect()
    }

    /// How many requests the filter means.
    #[must_use]
    pub fn count(&self, filter: &Filter) -> usize {
        self.records()
            .iter()
            .filter(|record| filter.matches(&record.request))
            .count()
    }

    /// How many requests the filter means that were answered with success (2xx).
    #[must_use]
    pub fn succeeded(&self, filter: &Filter) -> usize {
        let good = |record: &&Record| record.code.is_some_and(|code| (200..300).contains(&code));
        self.records()
            .iter()
            .filter(|record| filter.matches(&record.request))
            .filter(good)
            .count()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.records().clear();
    }

    fn records(&self) -> std::sync::MutexGuard<'_, VecDeque<Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
