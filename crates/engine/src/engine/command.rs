//! What the engine asks of the rim, and what the rim answers.

use std::time::Duration;

use afresh_model::digest::Digest;
use afresh_model::name::{Name, WorkloadKey};
use afresh_model::record::Record;
use afresh_model::reloader::marking::Marking;
use afresh_model::time::{Revision, UnixSeconds};
use afresh_model::workload::{Replace, Workload};

use crate::evidence::Pods;
use crate::index::WorkloadId;
use crate::time::Millis;

/// One action under way. It outlives its workload, whose place may by then be another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Job {
    pub(super) id: WorkloadId,
    pub(super) tenant: u32,
    pub(super) touches: bool,
}

/// What the rim is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// To be handed back with the outcome.
    pub job: Job,
    /// The workload.
    pub key: WorkloadKey,
    /// Its UID: on another one nothing must be done.
    pub uid: Box<str>,
    /// What to do.
    pub action: Action,
    /// In words, why.
    pub cause: String,
    /// When the first change arrived that it answers, if it answers one.
    pub since: Option<Millis>,
}

/// See [`Command`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write the record.
    Record(Box<Record>),
    /// Replace the workload's pods and write the record.
    Roll(Box<Roll>),
    /// Do one pass of touches over the workload's pods.
    Touch {
        /// The label selector of its pods; empty if it is a pod itself.
        selector: Box<str>,
        /// The digest of the files they should hold.
        files: Digest,
    },
    /// Evict one of the workload's pods, if one is left that is old and the others are ready ([`crate::evict::next`]).
    Evict {
        /// The label selector of its pods; empty if it is a pod itself.
        selector: Box<str>,
        /// Pods made then or before are old.
        since: UnixSeconds,
        /// The digest of what new pods start on.
        config: Digest,
    },
    /// Find out how old its pods are.
    LookAtPods {
        /// The label selector of its pods.
        selector: Box<str>,
        /// UIDs of pods that were mounted with what the CSI classes it uses hold now.
        born: Box<[Box<str>]>,
    },
    /// End the pause of a Deployment.
    EndPause(End),
}

/// What rolling a workload writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roll {
    /// What the workload will have been brought up to.
    pub record: Box<Record>,
    /// The digest that makes the pod template another one.
    pub config: Digest,
    /// By what means its pods are replaced.
    pub replace: Replace,
    /// The marks of Reloader that its template gets.
    pub marks: Option<Marking>,
    /// The Deployment is paused in the same patch.
    pub pause: Option<Begin>,
}

/// The begin of a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// When it begins.
    pub at: UnixSeconds,
    /// The workload must still be the one that was looked at: somebody else may have paused it meanwhile.
    pub seen: Option<Revision>,
}

/// The end of a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Whether it is resumed; if not, somebody did already, and only what is left over is taken out.
    pub resume: bool,
    /// The workload must still be the one that was looked at.
    pub seen: Option<Revision>,
}

impl Action {
    /// The record that it writes, if it writes one.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::Roll(roll) => Some(&roll.record),
            Self::Touch { .. } | Self::Evict { .. } | Self::LookAtPods { .. } | Self::EndPause(_) => None,
        }
    }

    /// A word for logs and metrics.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Record(_) => "record",
            Self::Roll(..) => "roll",
            Self::Touch { .. } => "touch",
            Self::Evict { .. } => "evict",
            Self::LookAtPods { .. } => "look",
            Self::EndPause(_) => "resume",
        }
    }
}

/// What came of a [`Command`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The patch was accepted; the workload as the server answered it, if it could be read.
    Written(Option<Box<Workload>>),
    /// The same of a patch that changes nothing else that is kept: of the answer only this was read.
    Recorded {
        /// The record that the workload bears.
        record: Option<Box<Record>>,
        /// Its revision.
        revision: Revision,
    },
    /// The pods were looked at.
    Pods(Pods),
    /// A pass of touches ended.
    Touched {
        /// How many pods were touched in it.
        touched: usize,
        /// When the next pass is due; `None` if all pods can be taken as fresh.
        again: Option<UnixSeconds>,
    },
    /// A look at the pods, to evict one of them, ended.
    Eviction(Eviction),
    /// Not yet: what must not run beside it runs.
    Waits {
        /// Until it is looked at again.
        after: Duration,
    },
    /// The workload is not there any more.
    Gone,
    /// It did not work and is to be tried again.
    Failed {
        /// What the server asked us to wait.
        after: Option<Duration>,
        /// It will not pass by itself.
        denied: bool,
        /// For a person.
        message: String,
    },
    /// We may no longer act; the next leader will.
    Abandoned,
}

/// What one look at the pods, to evict one of them, came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Eviction {
    /// No pod is left that is old.
    Done,
    /// This pod goes.
    Evicted(Name),
    /// First others have to become ready.
    Waits,
    /// Not now, says the API server: mostly for a PodDisruptionBudget.
    Refused {
        /// The pod.
        pod: Name,
        /// What the server asked us to wait.
        after: Duration,
        /// For a person.
        message: String,
    },
}
