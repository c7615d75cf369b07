//! Replacing a workload's pods, each kind by its own means.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use afresh_engine::engine::{Command, Outcome, Roll};
use afresh_k8s::lean::LeanWorkload;
use afresh_k8s::write::job::{self, Made, Notes};
use afresh_k8s::write::{Trial, WriteError, template_annotations};
use afresh_model::annotation::{APPLIED, CONFIG};
use afresh_model::name::{Name, WorkloadKind};
use afresh_model::record::Record;
use afresh_model::reloader::marker::LAST_RELOADED_FROM;
use afresh_model::reloader::marking::Marking;
use afresh_model::time::UnixSeconds;
use afresh_model::workload::Replace;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::act::{Actor, record_body};
use crate::body;

/// How long a CronJob waits that must not run twice at once, before it is looked at again.
const BUSY: Duration = Duration::from_secs(10);
/// The pauses between attempts to make a Job again that is deleted; the last one is repeated.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(5),
];
/// For so many attempts: about ten minutes.
const ATTEMPTS: usize = 120;

/// Whether an action has gone so far that it must be brought to its end, whoever leads by then.
#[derive(Debug, Default)]
pub(crate) struct Committed(AtomicBool);

impl Committed {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, committed: bool) {
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
            Replace::Evict => self.patch(command, record_body(&roll.record)).await,
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

    /// First the API server is asked whether it would take the Job, because from the deletion on there is no way back.
    async fn make_again(&self, command: &Command, roll: &Roll, committed: &Committed) -> Result<Outcome, WriteError> {
        let (key, namespace) = (&command.key, &command.key.namespace);
        let old = self.writer.get_whole(key).await?;
        let lean = LeanWorkload::decode(key.kind, &old.to_string())
            .map_err(|error| WriteError::Unreadable(error.to_string().into()))?;
        // It may have ended meanwhile: its work is done.
        if *lean.observed.uid != *command.uid || lean.observed.aside.is_some() {
            return Err(WriteError::Gone);
        }
        let notes = Notes {
            applied: Some(roll.record.to_string()),
            config: roll.config.to_string(),
        };
        let mut next = job::again(&old, &notes);
        if let Some(marks) = &roll.marks {
            marks.edit(&mut next["spec"]["template"]);
        }
        let mut trial = next.clone();
        trial["metadata"]["name"] = json!(job::name_for(&key.name, &notes.config));
        self.writer.make_job(namespace, &trial, Trial::Yes).await?;
        committed.set(true);
        let deleted = self
            .writer
            .delete_job(namespace, &key.name, &command.uid, &lean.resource_version)
            .await;
        match deleted {
            // Whether it happened is not known: the next steps find out.
            Ok(()) | Err(WriteError::Unavailable(_) | WriteError::Timeout(_) | WriteError::Unreadable(_)) => {}
            Err(error) => {
                committed.set(false);
                return Err(error);
            }
        }
        self.make(namespace, &next, command).await
    }

    /// Until it is there: by us, or by somebody else.
    async fn make(&self, namespace: &Name, next: &Value, command: &Command) -> Result<Outcome, WriteError> {
        let mut last = WriteError::Gone;
        for attempt in 0..ATTEMPTS {
            match self.writer.make_job(namespace, next, Trial::No).await {
                Ok(Made::New) => return Ok(Outcome::Written(None)),
                Ok(Made::Exists) => match self.writer.get_workload(&command.key).await {
                    Ok(there) if *there.observed.uid != *command.uid => return Ok(Outcome::Written(None)),
                    // The deletion did not happen after all.
                    Ok(there) if there.observed.aside.is_none() => {
                        return Err(WriteError::Conflict("the Job is still there".into()));
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
        Err(last)
    }

    /// The Job's name follows from what it is made for, so one content brings one Job however often it is tried.
    async fn spawn(&self, command: &Command, roll: &Roll) -> Result<Outcome, WriteError> {
        let key = &command.key;
        let cron_job = self.writer.get_whole(key).await?;
        if cron_job["metadata"]["uid"] != *command.uid {
            return Err(WriteError::Gone);
        }
        if cron_job["spec"]["suspend"] != true {
            let name = job::name_for(&key.name, &roll.config.to_string());
            let active = cron_job["status"]["active"].as_array().into_iter().flatten();
            let others = active.filter(|job| job["name"] != *name).count() > 0;
            let alone = !matches!(cron_job["spec"]["concurrencyPolicy"].as_str(), None | Some("Allow"));
            if alone && others {
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
        self.patch(command, record_body(&roll.record)).await
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
