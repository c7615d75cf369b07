//! Making Jobs again, so that none is lost on the way: whatever ends in between, a stand-in is left to make it from.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use afresh_engine::engine::{Command, Outcome, Roll};
use afresh_k8s::lean::LeanWorkload;
use afresh_k8s::write::job::{self, Made, Notes};
use afresh_k8s::write::stand_in::{self, StandIn};
use afresh_k8s::write::{Trial, WriteError};
use afresh_model::name::{Name, WorkloadKey};
use afresh_model::workload::Aside;
use serde_json::Value;
use tokio::time::sleep;

use crate::act::Actor;
use crate::replace::Committed;

/// The pauses between attempts to make a Job again that is deleted; the last one is repeated.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(5),
];
/// For so many attempts: about two minutes. Then others have their turn, and it is made from its stand-in when it may be.
const ATTEMPTS: usize = 25;
/// The first pause between two looks at the stand-ins that are left; it grows up to the last.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LONGEST_LOOK: Duration = Duration::from_secs(60);

/// The Jobs that are being made again by this process: their stand-ins are in use.
#[derive(Debug, Default)]
pub(crate) struct Remaking(Mutex<BTreeSet<WorkloadKey>>);

/// As long as it is there, the Job counts as being made again.
struct Busy<'a>(&'a Remaking, &'a WorkloadKey);

impl Remaking {
    fn with<T>(&self, look: impl FnOnce(&mut BTreeSet<WorkloadKey>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn begin<'a>(&'a self, key: &'a WorkloadKey) -> Busy<'a> {
        self.with(|keys| keys.insert(key.clone()));
        Busy(self, key)
    }

    fn contains(&self, key: &WorkloadKey) -> bool {
        self.with(|keys| keys.contains(key))
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.with(|keys| keys.remove(self.1));
    }
}

impl Actor {
    /// First the stand-in, by which the API server shows too that it takes such a Job; then the deletion.
    pub(crate) async fn make_again(
        &self,
        command: &Command,
        roll: &Roll,
        committed: &Committed,
    ) -> Result<Outcome, WriteError> {
        let (key, namespace) = (&command.key, &command.key.namespace);
        let old = self.writer.get_whole(key).await?;
        let lean = LeanWorkload::decode(key.kind, &old.to_string())
            .map_err(|error| WriteError::Unreadable(error.to_string().into()))?;
        // It may have ended meanwhile: its work is done.
        if *lean.observed.uid != *command.uid || lean.observed.aside.is_some() {
            return Err(WriteError::Gone);
        }
        let next = next(&old, roll);
        let _busy = self.remaking.begin(key);
        let name = job::name_for(&key.name, &roll.config.to_string());
        let uid = self.set_up(namespace, &name, &stand_in::of(&next, &name)).await?;
        committed.set(true);
        let deleted = self
            .writer
            .delete_job(namespace, key.name.as_str(), &command.uid, Some(&lean.resource_version))
            .await;
        let made = match deleted {
            // Whether it happened is not known: the next steps find out.
            Ok(()) | Err(WriteError::Unavailable(_) | WriteError::Timeout(_) | WriteError::Unreadable(_)) => {
                self.make(namespace, &next, command).await
            }
            Err(error) => Err(NotMade::AsItWas(error)),
        };
        match made {
            Ok(()) => {
                self.take_down(namespace, &name, &uid).await;
                Ok(Outcome::Written(None))
            }
            Err(NotMade::AsItWas(error)) => {
                committed.set(false);
                self.take_down(namespace, &name, &uid).await;
                Err(error)
            }
            Err(NotMade::Missing(error)) => Err(error),
        }
    }

    /// Makes the stand-in; returns its UID.
    async fn set_up(&self, namespace: &Name, name: &str, stand_in: &Value) -> Result<Box<str>, WriteError> {
        if let Made::New(uid) = self.writer.make_job(namespace, stand_in, Trial::No).await? {
            return Ok(uid);
        }
        // One of a try before this one: the Job is there, so nobody needs it.
        let left = self.writer.list_stand_ins(Some(namespace)).await?;
        let in_the_way = |why: &str| WriteError::Conflict(format!("Job {name}, {why}, is in the way").into());
        let Some(left) = left.iter().find(|left| *left.name == *name) else {
            return Err(in_the_way("which is none of Afresh's"));
        };
        self.writer.delete_job(namespace, name, &left.uid, None).await?;
        match self.writer.make_job(namespace, stand_in, Trial::No).await? {
            Made::New(uid) => Ok(uid),
            Made::Exists => Err(in_the_way("which is being deleted")),
        }
    }

    /// One that stays does no harm, and is found by the next leader.
    async fn take_down(&self, namespace: &Name, name: &str, uid: &str) {
        match self.writer.delete_job(namespace, name, uid, None).await {
            Ok(()) | Err(WriteError::Gone) => {}
            Err(error) => tracing::warn!("Job {namespace}/{name} is of no more use and stays for now: {error}"),
        }
    }

    /// Until it is there: by us, or by somebody else.
    async fn make(&self, namespace: &Name, next: &Value, command: &Command) -> Result<(), NotMade> {
        let mut last = WriteError::Unavailable("the Job before it is still being deleted".into());
        for attempt in 0..ATTEMPTS {
            match self.writer.make_job(namespace, next, Trial::No).await {
                Ok(Made::New(_)) => return Ok(()),
                Ok(Made::Exists) => match self.writer.get_workload(&command.key).await {
                    Ok(there) if *there.observed.uid != *command.uid => return Ok(()),
                    // The deletion did not happen after all.
                    Ok(there) if there.observed.aside != Some(Aside::Leaving) => {
                        return Err(NotMade::AsItWas(WriteError::Conflict("the Job is still there".into())));
                    }
                    _ => {}
                },
                Err(error) => {
                    tracing::warn!(workload = %command.key, attempt, "the Job is deleted and not made again yet: {error}");
                    last = error;
                }
            }
            sleep(PAUSES[attempt.min(PAUSES.len() - 1)]).await;
        }
        Err(NotMade::Missing(last))
    }

    /// Makes every Job of which only a stand-in is left, until there is none: whoever led before ended in between.
    pub(crate) async fn finish_stand_ins(&self, namespaces: &[Option<Name>]) {
        let mut pause = FIRST_LOOK;
        loop {
            let mut left = 0;
            for namespace in namespaces {
                left += match self.writer.list_stand_ins(namespace.as_ref()).await {
                    Ok(stand_ins) => self.finish_each(stand_ins).await,
                    // Where Jobs may not be read, none is made again either.
                    Err(WriteError::Denied(_)) => 0,
                    Err(error) => {
                        tracing::warn!("cannot see whether a Job is to be made again: {error}");
                        1
                    }
                };
            }
            if left == 0 {
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_LOOK);
        }
    }

    async fn finish_each(&self, stand_ins: Vec<StandIn>) -> usize {
        let mut left = 0;
        for stand_in in stand_ins {
            let (key, name) = (&stand_in.key, &stand_in.name);
            if self.remaking.contains(key) {
                continue;
            }
            match self.finish_one(&stand_in).await {
                Ok(true) => self.take_down(&key.namespace, name, &stand_in.uid).await,
                Ok(false) => left += 1,
                Err(error) => {
                    tracing::warn!(workload = %key, "the Job is to be made again from Job {name}, and cannot be yet: {error}");
                    left += 1;
                }
            }
        }
        left
    }

    /// Whether the Job is there.
    async fn finish_one(&self, stand_in: &StandIn) -> Result<bool, WriteError> {
        let key = &stand_in.key;
        match self.writer.make_job(&key.namespace, &stand_in.job, Trial::No).await? {
            Made::New(_) => {
                tracing::info!(workload = %key, "made again from Job {}, which was left behind", stand_in.name);
                Ok(true)
            }
            Made::Exists => match self.writer.get_workload(key).await {
                Ok(there) => {
                    let before = there.observed.uid == stand_in.replaces;
                    Ok(!(before && there.observed.aside == Some(Aside::Leaving)))
                }
                Err(WriteError::Gone) => Ok(false),
                Err(error) => Err(error),
            },
        }
    }
}

/// Why a Job was not made again.
enum NotMade {
    /// It was not deleted either.
    AsItWas(WriteError),
    /// It is deleted, and the new one may not be made.
    Missing(WriteError),
}

fn next(old: &Value, roll: &Roll) -> Value {
    let notes = Notes {
        applied: Some(roll.record.to_string()),
        config: roll.config.to_string(),
    };
    let mut next = job::again(old, &notes);
    if let Some(marks) = &roll.marks {
        marks.edit(&mut next["spec"]["template"]);
    }
    next
}
