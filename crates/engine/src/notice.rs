//! What the people of a cluster are told: Events on workloads and config objects.

use std::fmt::{self, Write as _};

use afresh_model::digest::Digest;
use afresh_model::name::{ConfigKey, ConfigRef, WorkloadKey};

use crate::plan::{Delta, Finding, News};

/// What a notice is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A workload, and its UID.
    Workload(WorkloadKey, Box<str>),
    /// A config object.
    Object(ConfigKey),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(key, _) => key.fmt(f),
            Self::Object(key) => key.fmt(f),
        }
    }
}

/// The reason of a notice, as in `Event.reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The pods are being replaced.
    Rolled,
    /// The files in the pods have been refreshed.
    Touched,
    /// A required object is gone, so nothing is done.
    Missing,
    /// The workload keeps changing and is rolled at growing intervals.
    Flapping,
    /// The workload could not be brought up to date; it is tried again.
    Failed,
    /// A change reaches the process by nothing that the policy allows.
    Unreachable,
    /// An annotation does not say what its writer meant.
    InvalidAnnotation,
    /// Its pods are being evicted one by one.
    Evicting,
    /// They have all been replaced.
    Evicted,
    /// A pod may not be evicted now; it is tried again.
    EvictionRefused,
}

impl Reason {
    /// As in `Event.reason`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rolled => "Rolled",
            Self::Touched => "Touched",
            Self::Missing => "Missing",
            Self::Flapping => "Flapping",
            Self::Failed => "Failed",
            Self::Unreachable => "Unreachable",
            Self::InvalidAnnotation => "InvalidAnnotation",
            Self::Evicting => "Evicting",
            Self::Evicted => "Evicted",
            Self::EvictionRefused => "EvictionRefused",
        }
    }

    /// Whether the Event is of type Warning.
    #[must_use]
    pub const fn is_warning(self) -> bool {
        !matches!(self, Self::Rolled | Self::Touched | Self::Evicting | Self::Evicted)
    }
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub subject: Subject,
    /// Why.
    pub reason: Reason,
    /// The config objects that led to it, where it tells of a roll.
    pub objects: Box<[ConfigRef]>,
    /// In words, for a person.
    pub note: String,
}

/// Names the objects that caused an action, each with both digests, bounded so that it fits an Event.
#[must_use]
pub fn causes(findings: &[Finding], wanted: fn(&News) -> Option<Delta>) -> String {
    const MOST: usize = 8;
    let changed: Vec<(&Finding, Delta)> = findings
        .iter()
        .filter_map(|finding| Some((finding, wanted(&finding.news)?)))
        .collect();
    let mut text = String::new();
    for (n, (finding, delta)) in changed.iter().take(MOST).enumerate() {
        let comma = if n == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}{} {}", finding.object, arrow(*delta));
    }
    if changed.len() > MOST {
        let _ = write!(text, " and {} more", changed.len() - MOST);
    }
    text
}

fn arrow(delta: Delta) -> String {
    let from = delta.from.map_or_else(|| "unknown".to_owned(), short);
    format!("{from} → {}", short(delta.to))
}

/// Enough of a digest to tell two apart by eye.
fn short(digest: Digest) -> String {
    digest.to_string().chars().take(12).collect()
}
