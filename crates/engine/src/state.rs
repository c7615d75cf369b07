//! What `/state` shows: the whole truth about what is watched, what waits and why.

use afresh_model::digest::Digest;
use afresh_model::name::WorkloadKey;
use serde::Serialize;

use crate::agenda::Waits;
use crate::engine::Engine;
use crate::index::WorkloadId;
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
    /// A digest of all config objects: equal on two replicas that know the same.
    pub objects_checksum: String,
    /// Workloads that are kept current.
    pub workloads: usize,
    /// A digest of all workloads and their records.
    pub workloads_checksum: String,
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
        let objects: Vec<String> = self
            .index()
            .objects()
            .map(|(key, tracked)| format!("{key}={:?}", tracked.object.content))
            .collect();
        let workloads: Vec<String> = self
            .index()
            .workloads()
            .map(|(_, known)| {
                let record = known
                    .workload
                    .record
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                format!("{}={record}", known.key)
            })
            .collect();
        State {
            synced: self.is_synced(),
            leading: self.leads(),
            objects: objects.len(),
            objects_checksum: checksum(&objects),
            workloads: workloads.len(),
            workloads_checksum: checksum(&workloads),
            running: self.running_count(),
            rolling: self.rolling(now.wall),
            waiting: self
                .index()
                .workloads()
                .filter_map(|(id, known)| self.waiting(id, &known.key, now))
                .collect(),
        }
    }

    fn waiting(&self, id: WorkloadId, key: &WorkloadKey, now: Now) -> Option<Waiting> {
        let (state, due) = self.waits(id)?;
        let due_in_ms = due.map(|due| u64::try_from(due.since(now.mono).as_millis()).unwrap_or(u64::MAX));
        Some(Waiting {
            workload: key.to_string(),
            state,
            due_in_ms,
            failures: self.failures(id),
        })
    }
}

fn checksum(lines: &[String]) -> String {
    let parts: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
    Digest::of("afresh/state/1", &parts).to_string()
}
