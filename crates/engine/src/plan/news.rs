//! What a plan says: what is to be done, and what was found about each object.

use afresh_model::digest::Digest;
use afresh_model::name::ConfigRef;
use afresh_model::object::Lack;
use afresh_model::record::Applied;
use afresh_model::time::UnixSeconds;

/// What is to be done, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is to be done.
    pub verdict: Verdict,
    /// What was found about each object, in their order.
    pub findings: Vec<Finding>,
    /// What the workload will have been brought up to when it is done.
    pub applied: Applied,
    /// The digest of the files that its pods should hold, where refreshing them is worth anything.
    pub files: Option<Digest>,
    /// When the newest change was written that takes new pods, by the API server's clock: pods made later have it.
    /// `None` where that cannot be told.
    pub changed: Option<UnixSeconds>,
}

/// What is to be done about a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it is current, or nothing can be done.
    Nothing,
    /// Nothing for now: new pods could not start.
    Blocked,
    /// Only write down what it is brought up to.
    Record,
    /// Refresh the files in its pods; the digest of what they should hold.
    Touch(Digest),
    /// Replace its pods; the digest for its template.
    Roll(Digest),
    /// First find out how old its pods are.
    LookAtPods,
}

/// What was found about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The object.
    pub object: ConfigRef,
    /// What is the matter with it.
    pub news: News,
}

/// What is the matter with an object, from the harmless to the grave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The workload is brought up to it.
    Current,
    /// It never triggers anything (`afresh.dev/ignore`).
    Ignored,
    /// The workload searches, and the object does not say that it is to be found (`reloader.stakater.com/match`).
    Unmatched,
    /// It is outside of what is watched, or an included object that is not there, or gone where that counts for nothing.
    Unseen,
    /// A pod that is just being rolled out was the first to get it; when the rollout is over, the pods tell.
    Arriving,
    /// Seen for the first time: recorded as it is.
    Adopted,
    /// Changed, but somebody else's rollout of the workload came after the change, or it has no pods.
    Covered,
    /// Changed; nothing that the policy allows reaches the process.
    Unreachable(Delta),
    /// Changed; the files have to be refreshed.
    Touch(Delta),
    /// Changed; new pods are needed.
    Roll(Delta),
    /// It may have changed since the pods started.
    Uncertain,
    /// New pods could not start for want of it.
    Lacking(Lack),
}

/// From which content to which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta {
    /// What was applied; `None` where that is not known.
    pub from: Option<Digest>,
    /// What is.
    pub to: Digest,
}

impl News {
    /// The graver news of an object is told.
    pub(super) const fn grade(self) -> u8 {
        match self {
            Self::Current => 0,
            Self::Ignored | News::Unmatched => 1,
            Self::Unseen => 2,
            Self::Arriving => 3,
            Self::Adopted => 4,
            Self::Covered => 5,
            Self::Unreachable(_) => 6,
            Self::Touch(_) => 7,
            Self::Uncertain => 8,
            Self::Roll(_) => 9,
            Self::Lacking(_) => 10,
        }
    }
}
