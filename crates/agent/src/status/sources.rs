//! What is told of followed objects. Never a key's value.

use std::fmt;
use std::sync::OnceLock;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::{Status, count, register};

/// One source at one moment.
#[derive(Debug, Clone)]
pub(crate) struct SourceFacts {
    /// As it was given.
    pub(crate) source: String,
    /// `unknown`, `missing`, `present`, or `gone`.
    pub(crate) state: &'static str,
    /// Whether its content, perhaps an old one, is in the directory, or only waits for the others.
    pub(crate) has_content: bool,
    /// Of how many objects.
    pub(crate) objects: usize,
    /// Why nothing newer can be had.
    pub(crate) trouble: Option<String>,
}

/// All sources at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct SourcesFacts {
    pub(crate) sources: Vec<SourceFacts>,
    /// Why the directory could not be written.
    pub(crate) unwritten: Option<String>,
}

/// Why a watch failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    reason: &'static str,
}

/// Tells how it is now; asked only when somebody wants to know.
struct Teller(Box<dyn Fn() -> SourcesFacts + Send + Sync>);

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Teller")
    }
}

#[derive(Debug)]
pub(super) struct SourceMetrics {
    teller: OnceLock<Teller>,
    failures: Family<FailureLabels, Counter>,
    absent: Gauge,
    failing: Gauge,
}

impl SourceMetrics {
    pub(super) fn register(to: &mut Registry) -> Self {
        let failures = "Failures of the watches of --source, by what failed";
        let failing = "Sources of which nothing newer can be had now, and 1 more if the directory cannot be written";
        Self {
            teller: OnceLock::new(),
            failures: register(to, "source_failures", failures),
            absent: register(to, "source_absent", "Sources whose object does not exist"),
            failing: register(to, "source_failing", failing),
        }
    }

    fn now(&self) -> Option<SourcesFacts> {
        self.teller.get().map(|Teller(tell)| tell())
    }

    pub(super) fn set(&self) {
        let now = self.now().unwrap_or_default();
        let is_absent = |source: &&SourceFacts| matches!(source.state, "missing" | "gone");
        self.absent.set(count(now.sources.iter().filter(is_absent).count()));
        let failing = now.sources.iter().filter(|source| source.trouble.is_some()).count();
        self.failing.set(count(failing + usize::from(now.unwritten.is_some())));
    }

    /// What is waited for, if anything is.
    pub(super) fn waiting(&self) -> Option<String> {
        let now = self.now()?;
        if let Some(reason) = now.unwritten {
            return Some(reason);
        }
        let waiting = now.sources.into_iter().find(|source| !source.has_content)?;
        let SourceFacts {
            source, state, trouble, ..
        } = waiting;
        Some(match trouble {
            Some(trouble) => format!("{source}: {trouble}"),
            None if state == "missing" => format!("{source} does not exist"),
            None => format!("{source} has not been read yet"),
        })
    }

    pub(super) fn state(&self) -> Option<Value> {
        let now = self.now()?;
        let sources = now.sources.iter().map(|source| {
            json!({
                "source": source.source,
                "state": source.state,
                "objects": source.objects,
                "trouble": source.trouble,
            })
        });
        Some(json!({ "all": sources.collect::<Vec<_>>(), "unwritten": now.unwritten }))
    }
}

impl Status {
    /// From now on sources are told of.
    #[cfg_attr(not(feature = "source"), expect(dead_code, reason = "nobody follows objects"))]
    pub(crate) fn sources_told_by(&self, tell: impl Fn() -> SourcesFacts + Send + Sync + 'static) {
        // There is one follower.
        let _ = self.sources.teller.set(Teller(Box::new(tell)));
    }

    /// Counts a failure of a source's watch.
    #[cfg_attr(not(feature = "source"), expect(dead_code, reason = "nobody follows objects"))]
    pub(crate) fn source_failed(&self, reason: &'static str) {
        self.sources.failures.get_or_create(&FailureLabels { reason }).inc();
    }
}
