//! What `/state` answers.

use afresh_engine::index::SourceKind;
use afresh_engine::state::State as EngineState;
use afresh_k8s::watch::{WatchPhase, WatchSnapshot};
use afresh_model::digest::Digest;
use serde::Serialize;

use crate::feed::Watch;

/// The whole state of a controller. Names, digests and counts only.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The running version.
    pub version: &'static str,
    /// Who this replica is.
    pub identity: String,
    /// What it decided from.
    pub engine: EngineState,
    /// Its watches.
    pub watches: Vec<WatchState>,
}

/// One watch.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WatchState {
    /// What is watched.
    pub kind: &'static str,
    /// Where; absent is everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `waiting`, `listing` or `watching`.
    pub phase: &'static str,
    /// For how many seconds.
    pub in_phase_seconds: u64,
    /// Whether it has listed once.
    pub synced: bool,
    /// Objects listed or seen since.
    pub objects: u64,
    /// A digest of what is known through it: equal on two replicas that know the same.
    pub checksum: String,
    /// Where it is.
    pub resource_version: String,
    /// Lists begun.
    pub lists: u64,
    /// Watches opened again.
    pub restarts: u64,
    /// Changes received.
    pub changes: u64,
    /// Objects that could not be read.
    pub undecodable: u64,
    /// Failures ever.
    pub failures: u64,
    /// The last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// Seconds since the server was last heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard_seconds_ago: Option<u64>,
}

impl WatchState {
    pub(crate) fn of(watch: &Watch, checksum: Digest) -> Self {
        let WatchSnapshot {
            phase,
            in_phase,
            synced,
            objects,
            resource_version,
            lists,
            restarts,
            changes,
            undecodable,
            failures,
            last_failure,
            heard,
            streak: _,
        } = watch.status.snapshot();
        Self {
            kind: kind_word(watch.source.kind),
            namespace: watch.source.namespace.as_ref().map(ToString::to_string),
            phase: match phase {
                WatchPhase::Waiting => "waiting",
                WatchPhase::Listing => "listing",
                WatchPhase::Watching => "watching",
                WatchPhase::Polling => "polling",
                WatchPhase::Absent => "absent",
            },
            in_phase_seconds: in_phase.as_secs(),
            synced,
            objects,
            checksum: checksum.to_string(),
            resource_version,
            lists,
            restarts,
            changes,
            undecodable,
            failures,
            last_failure: last_failure.map(Into::into),
            heard_seconds_ago: heard.map(|ago| ago.as_secs()),
        }
    }
}

/// What a watch watches, in a word.
pub(crate) fn kind_word(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Config(kind) => kind.word(),
        SourceKind::Workload(kind) => kind.word(),
        SourceKind::Classes => "secretproviderclass",
        SourceKind::Mounts => "secretproviderclasspodstatus",
        SourceKind::Namespaces => "namespace",
    }
}
