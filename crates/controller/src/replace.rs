//! Replacing a workload's pods, each kind by its own means.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use afresh_engine::engine::{Command, Outcome, Roll};
use afresh_k8s::lean::{LeanRun, LeanWorkload};
use afresh_k8s::write::job::{self, Notes, Room};
use afresh_k8s::write::{Trial, WriteError, template_annotations};
use afresh_model::annotation::{APPLIED, CONFIG};
use afresh_model::name::WorkloadKind;
use afresh_model::record::Record;
use afresh_model::reloader::marker::LAST_RELOADED_FROM;
use afresh_model::reloader::marking::Marking;
use afresh_model::time::UnixSeconds;
use afresh_model::workload::Replace;
use serde_json::{Value, json};

use crate::act::{Actor, record_body};
use crate::body;
use crate::unwritten::is_beyond_reloader;

/// How long a CronJob waits that must not run twice at once, before it is looked at again.
const BUSY: Duration = Duration::from_secs(10);

/// Whether an action has gone so far that it must be brought to its end, whoever leads by then.
#[derive(Debug, Default)]
pub(crate) struct Committed(AtomicBool);

impl Committed {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, committed: bool) {
        self.0.store(committed, Ordering::Relaxed);
    }
}

impl Actor {
    pub(crate) async fn roll(
        &self,
        command: &Command,
        roll: &Roll,
        committed: &Committed,
    ) -> Result<Outcome, WriteError> {
        match roll.replace {
            Replace::Template => self.change_template(command, roll).await,
            Replace::RestartAt => self.restart(command, roll).await,
            Replace::Recreate => self.make_again(command, roll, committed).await,
            Replace::Spawn => self.spawn(command, roll).await,
            // The record comes first; the pods follow one by one.
            Replace::Evict => self.patch_record(command, record_body(&roll.record)).await,
        }
    }

    /// The action and its record in one patch: there is no moment at which only one of them is true.
    async fn change_template(&self, command: &Command, roll: &Roll) -> Result<Outcome, WriteError> {
        if !matches!(command.key.kind, WorkloadKind::Rollout | WorkloadKind::Custom(_)) {
            return self.change_built_in(command, roll).await;
        }
        let mut body = record_body(&roll.record);
        let template = template_annotations(command.key.kind, &json!({ CONFIG: roll.config.to_string() }));
        for (field, value) in template.as_object().into_iter().flatten() {
            body[field] = value.clone();
        }
        if let Some(marks) = &roll.marks {
            self.mark_in(command, marks, &mut body).await?;
        }
        if let WorkloadKind::Custom(_) = command.key.kind {
            self.must_keep(command, roll, body.clone()).await?;
        }
        self.patch(command, body).await
    }

    async fn change_built_in(&self, command: &Command, roll: &Roll) -> Result<Outcome, WriteError> {
        let (key, uid) = (&command.key, &command.uid);
        let body = body::roll(roll, self.paused_at());
        if roll.marks.is_none() && roll.pause.is_none() {
            return self.patch_record(command, body).await;
        }
        if roll.marks.as_ref().and_then(Marking::spec).is_none() {
            return self.patch(command, body).await;
        }
        self.answered(self.writer.merge_lists_of_workload(key, uid, body).await)
    }

    /// The server merges no lists of a kind that it does not know: they are written whole, as they are at this version.
    async fn mark_in(&self, command: &Command, marks: &Marking, body: &mut Value) -> Result<(), WriteError> {
        let whole = self.writer.get_whole(&command.key).await?;
        let path = command.key.kind.template_path();
        let mut template = path.iter().fold(&whole, |value, field| &value[*field]).clone();
        marks.edit(&mut template);
        let place = path.iter().fold(&mut *body, |value, field| &mut value[*field]);
        if let Some(text) = marks.annotation() {
            place["metadata"]["annotations"][LAST_RELOADED_FROM] = text.into();
        }
        if marks.spec().is_some() {
            place["spec"]["containers"] = template["spec"]["containers"].take();
        }
        body["metadata"]["resourceVersion"] = whole["metadata"]["resourceVersion"].clone();
        Ok(())
    }

    /// A definition that does not know `metadata.annotations` of its template drops them without a word: then the record
    /// would say that it is done, and no pod would be replaced.
    async fn must_keep(&self, command: &Command, roll: &Roll, body: Value) -> Result<(), WriteError> {
        let (key, config) = (&command.key, roll.config.to_string());
        let would = self.writer.patch_or_try(key, &command.uid, body, Trial::Yes).await?;
        if would.observed.template.metadata.annotations.get(CONFIG) == Some(&config) {
            return Ok(());
        }
        let path = key.kind.template_path().join(".");
        Err(WriteError::Denied(
            format!(
                "the API server drops annotations of {path}, so its pods cannot be replaced by them: let the schema of \
                 {} keep {path}.metadata.annotations (x-kubernetes-preserve-unknown-fields), or write afresh.dev/reload: \
                 evict",
                key.kind.api_kind()
            )
            .into(),
        ))
    }

    /// Argo replaces the pods that are older than the time. A try whose answer was lost is seen by its record, so that
    /// nothing is restarted twice; and what somebody else wrote in between is looked at first.
    async fn restart(&self, command: &Command, roll: &Roll) -> Result<Outcome, WriteError> {
        let now = self.writer.get_workload(&command.key).await?;
        if *now.observed.uid != *command.uid {
            return Err(WriteError::Gone);
        }
        if records(&now, &roll.record) {
            return Ok(self.written(now));
        }
        let mut body = record_body(&roll.record);
        body["metadata"]["resourceVersion"] = json!(now.resource_version);
        // Only pods of before this second count as older.
        let at = UnixSeconds(self.clock.now().wall.0.saturating_add(1));
        body["spec"] = json!({ "restartAt": at.to_string() });
        self.patch(command, body).await
    }

    /// The Job's name follows from what it is made for, so one content brings one Job however often it is tried.
    async fn spawn(&self, command: &Command, roll: &Roll) -> Result<Outcome, WriteError> {
        let key = &command.key;
        let cron_job = self.writer.get_whole(key).await?;
        if cron_job["metadata"]["uid"] != *command.uid {
            return Err(WriteError::Gone);
        }
        let room = job::room(&cron_job);
        if room != Room::None {
            let name = job::name_for(&key.name, &roll.config.to_string());
            if room == Room::One && self.runs(command, &name).await? {
                return Ok(Outcome::Waits { after: BUSY });
            }
            let notes = Notes {
                applied: None,
                config: roll.config.to_string(),
            };
            let mut job = job::from_cron_job(&cron_job, &name, &notes);
            if let Some(marks) = &roll.marks {
                marks.edit(&mut job["spec"]["template"]);
            }
            self.writer.make_job(&key.namespace, &job, Trial::No).await?;
        }
        self.write_record(command, &roll.record).await
    }

    /// Whether a Job of the CronJob runs, other than this one. Its status tells only of those that its controller made.
    async fn runs(&self, command: &Command, but: &str) -> Result<bool, WriteError> {
        let jobs: Vec<LeanRun> = self.writer.list_all(Some(&command.key.namespace)).await?;
        let own = |job: &LeanRun| job.owner.as_ref().is_some_and(|owner| owner.uid == command.uid);
        Ok(jobs.iter().any(|job| own(job) && !job.over && *job.name != *but))
    }

    /// A record by itself, without an action.
    pub(crate) async fn write_record(&self, command: &Command, record: &Record) -> Result<Outcome, WriteError> {
        match self.patch_record(command, record_body(record)).await {
            Err(error) if self.conventions.strategy.is_some() && is_beyond_reloader(command.key.kind, &error) => {
                self.unwritten.keep(&command.key, record);
                Ok(Outcome::Written(None))
            }
            answer => answer,
        }
    }

    /// A patch after which nothing is another but the record, and what does not count in the template.
    async fn patch_record(&self, command: &Command, body: Value) -> Result<Outcome, WriteError> {
        let answer = self.writer.record_workload(&command.key, &command.uid, body).await;
        let receipt = match answer {
            Ok(receipt) => receipt,
            Err(WriteError::Unreadable(_)) => return Ok(Outcome::Written(None)),
            Err(error) => return Err(error),
        };
        Ok(match receipt.revision {
            Some(revision) => Outcome::Recorded {
                record: receipt.record().ok().flatten().map(Box::new),
                revision,
            },
            None => Outcome::Written(None),
        })
    }

    /// The key that says since when a Deployment is paused.
    pub(crate) fn paused_at(&self) -> Option<&str> {
        self.conventions.reloader.as_ref().map(|keys| &*keys.paused_at)
    }

    pub(crate) fn answered(&self, answer: Result<LeanWorkload, WriteError>) -> Result<Outcome, WriteError> {
        match answer {
            Ok(workload) => Ok(self.written(workload)),
            Err(WriteError::Unreadable(_)) => Ok(Outcome::Written(None)),
            Err(error) => Err(error),
        }
    }

    /// What the engine takes in of an answer. A template that is borrowed is not part of it.
    pub(crate) fn written(&self, workload: LeanWorkload) -> Outcome {
        let LeanWorkload {
            key, observed, lender, ..
        } = workload;
        let reading = observed.read(&key, &self.conventions).workload;
        Outcome::Written(reading.filter(|_| lender.is_none()).map(Box::new))
    }
}

/// Whether a workload says already what the record would say.
fn records(workload: &LeanWorkload, wanted: &Record) -> bool {
    let text = workload.observed.annotations.get(APPLIED);
    let record = text.and_then(|text| Record::parse(text).ok());
    record.is_some_and(|record| record.uid == wanted.uid && record.applied.contains(&wanted.applied))
}
