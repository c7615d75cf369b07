//! What `/state` shows: the whole truth about what is watched, what waits and why.

use afresh_model::digest::Digest;
use afresh_model::name::{ConfigKind, Name};
use serde::Serialize;

use crate::agenda::Waits;
use crate::engine::Engine;
use crate::index::{Indexed, Source, SourceKind, WorkloadId};
use crate::time::Now;

/// The engine's state. Names and digests only; no content.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Whether every watch has listed once.
    pub synced: bool,
    /// Whether this replica acts.
    pub leading: bool,
    /// Config objects that exist.
    pub objects: usize,
    /// Workloads that are kept current.
    pub workloads: usize,
    /// Actions under way.
    pub running: usize,
    /// Workloads that are mid-rollout because of us.
    pub rolling: usize,
    /// Workloads that are not at rest.
    pub waiting: Vec<Waiting>,
}

/// A workload that is not at rest.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// `kind/namespace/name`.
    pub workload: String,
    /// What it waits for.
    pub state: Waits,
    /// In how many milliseconds it is looked at again, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_in_ms: Option<u64>,
    /// How often in a row the last action failed.
    pub failures: u32,
}

impl Engine {
    /// The state at `now`.
    #[must_use]
    pub fn state(&self, now: Now) -> State {
        State {
            synced: self.is_synced(),
            leading: self.leads(),
            objects: self.index().objects().count(),
            workloads: self.index().places().count(),
            running: self.running_count(),
            rolling: self.rolling(now.wall),
            waiting: self
                .index()
                .places()
                .filter_map(|(id, ..)| self.waiting(id, now))
                .collect(),
        }
    }

    /// A digest of all that is known through one watch: equal on two replicas that know the same.
    #[must_use]
    pub fn checksum(&self, source: &Source) -> Digest {
        let within = |namespace: &Name| source.namespace.as_ref().is_none_or(|own| own == namespace);
        match source.kind {
            SourceKind::Config(kind) => {
                let own = self.index().objects();
                let own = own.filter(|(key, _)| key.kind == kind && within(&key.namespace));
                chained(own.map(|(key, tracked)| format!("{key}={:?}", tracked.object.content)))
            }
            SourceKind::Workload(kind) => {
                let own = self.index().workloads_of(kind).map(|(_, known)| known);
                let own = own.filter(|known| within(&known.key.namespace));
                let record = |known: &Indexed| known.workload.record.as_ref().map(ToString::to_string);
                chained(own.map(|known| format!("{}={}", known.key, record(&known).unwrap_or_default())))
            }
            SourceKind::Mounts => {
                let own = self.index().objects();
                let own = own.filter(|(key, _)| key.kind == ConfigKind::SecretProviderClass && within(&key.namespace));
                chained(own.map(|(key, tracked)| format!("{key}={:?}", tracked.object.content)))
            }
            SourceKind::Classes | SourceKind::Namespaces => chained(std::iter::empty()),
        }
    }

    fn waiting(&self, id: WorkloadId, now: Now) -> Option<Waiting> {
        let (state, due) = self.waits(id)?;
        let due_in_ms = due.map(|due| u64::try_from(due.since(now.mono).as_millis()).unwrap_or(u64::MAX));
        Some(Waiting {
            workload: self.index().key(id)?.to_string(),
            state,
            due_in_ms,
            failures: self.failures(id),
        })
    }
}

/// One digest of all lines, with one line in memory at a time: there may be ten thousand.
fn chained(lines: impl Iterator<Item = String>) -> Digest {
    lines.fold(Digest::of("afresh/state/1", &[]), |before, line| {
        Digest::of("afresh/state/1", &[before.to_string().as_bytes(), line.as_bytes()])
    })
}
