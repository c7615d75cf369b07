//! Reading and patching a workload of any kind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use afresh_model::name::{WorkloadKey, WorkloadKind};
use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde_json::{Value, json};

use super::{JSON, METADATA, STRATEGIC_MERGE_PATCH, WriteError, Writer, decoded, demand_uid, text};
use crate::discovery;
use crate::lean::{LeanWorkload, Receipt};

/// The names of collections that had to be asked for, one for each kind of one's own.
#[derive(Clone, Default)]
pub(super) struct Plurals(Arc<Mutex<BTreeMap<WorkloadKind, Box<str>>>>);

impl Plurals {
    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<WorkloadKind, Box<str>>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether a patch is only tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// The answer is what it would be (`dryRun=All`).
    Yes,
    /// It is really done.
    No,
}

impl Writer {
    /// Merges `body` into the workload that has this uid; the answer is the workload as it is then. One that uses the
    /// template of another is answered without it ([`LeanWorkload::lender`]).
    ///
    /// A Pod is patched through `pods/status`, which takes annotations and needs no right to change pods.
    ///
    /// # Errors
    /// See [`WriteError`]. [`WriteError::Gone`] also if there is another workload of the same name.
    pub async fn patch_workload(&self, key: &WorkloadKey, uid: &str, body: Value) -> Result<LeanWorkload, WriteError> {
        self.patch_or_try(key, uid, body, Trial::No).await
    }

    /// As [`Self::patch_workload`] for a patch that writes a record. Only the record is read from the answer: reading a whole
    /// workload is the most expensive part of a change, and its own watch brings it anyway.
    ///
    /// # Errors
    /// See [`Self::patch_workload`].
    pub async fn record_workload(&self, key: &WorkloadKey, uid: &str, body: Value) -> Result<Receipt, WriteError> {
        let answer = self.patch_as(key, uid, body, METADATA, Trial::No).await?;
        decoded(Receipt::decode(text(&answer)?))
    }

    /// As [`Self::patch_workload`], and perhaps only tried.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn patch_or_try(
        &self,
        key: &WorkloadKey,
        uid: &str,
        body: Value,
        trial: Trial,
    ) -> Result<LeanWorkload, WriteError> {
        let answer = self.patch_as(key, uid, body, JSON, trial).await?;
        decoded(LeanWorkload::decode(key.kind, text(&answer)?))
    }

    async fn patch_as(
        &self,
        key: &WorkloadKey,
        uid: &str,
        mut body: Value,
        accept: &str,
        trial: Trial,
    ) -> Result<Vec<u8>, WriteError> {
        demand_uid(&mut body, uid);
        let subresource = if key.kind == WorkloadKind::Pod { "/status" } else { "" };
        let path = format!("{}{subresource}", self.path(key).await?);
        let answer = self.patch_at(&path, &body, accept, trial).await;
        self.unless_gone(key, answer)
    }

    /// As [`Self::patch_workload`], but lists with a key are merged by it (a strategic merge patch), so that one variable
    /// of one container can be set. Only built-in kinds can be patched so.
    ///
    /// # Errors
    /// See [`Self::patch_workload`].
    pub async fn merge_lists_of_workload(
        &self,
        key: &WorkloadKey,
        uid: &str,
        mut body: Value,
    ) -> Result<LeanWorkload, WriteError> {
        demand_uid(&mut body, uid);
        let path = self.path(key).await?;
        let request = Request::patch(format!("{path}?fieldManager={}", self.manager))
            .header(CONTENT_TYPE, STRATEGIC_MERGE_PATCH)
            .header(ACCEPT, JSON);
        let answer = self.call(request, body.to_string().into_bytes()).await?;
        decoded(LeanWorkload::decode(key.kind, text(&answer)?))
    }

    /// The workload as it is, with the template that it uses, whosever that is.
    ///
    /// # Errors
    /// See [`WriteError`]; [`WriteError::Gone`] if there is none.
    pub async fn get_workload(&self, key: &WorkloadKey) -> Result<LeanWorkload, WriteError> {
        let answer = self.read(key).await?;
        let mut workload = decoded(LeanWorkload::decode(key.kind, text(&answer)?))?;
        match self.lend(&mut workload).await {
            Ok(()) | Err(WriteError::Gone) => Ok(workload),
            Err(error) => Err(error),
        }
    }

    /// The workload in full, to make another one of it.
    ///
    /// # Errors
    /// See [`WriteError`]; [`WriteError::Gone`] if there is none.
    pub async fn get_whole(&self, key: &WorkloadKey) -> Result<Value, WriteError> {
        let answer = self.read(key).await?;
        serde_json::from_slice(&answer).map_err(|_| WriteError::Unreadable("it is not JSON".into()))
    }

    /// Reads the template that a workload borrows; nothing is done for one that has its own.
    ///
    /// # Errors
    /// See [`WriteError`]; [`WriteError::Gone`] if there is no such template.
    pub async fn lend(&self, workload: &mut LeanWorkload) -> Result<(), WriteError> {
        let Some(lender) = workload.lender() else {
            return Ok(());
        };
        let answer = self.read(&lender).await?;
        let lender = decoded(LeanWorkload::decode(lender.kind, text(&answer)?))?;
        workload.lend(&lender.observed);
        Ok(())
    }

    async fn read(&self, key: &WorkloadKey) -> Result<Vec<u8>, WriteError> {
        let path = self.path(key).await?;
        let answer = self.get(&path).await;
        self.unless_gone(key, answer)
    }

    /// A kind that was defined anew may have another name.
    fn unless_gone<T>(&self, key: &WorkloadKey, answer: Result<T, WriteError>) -> Result<T, WriteError> {
        if matches!(answer, Err(WriteError::Gone)) {
            self.plurals.with(|known| known.remove(&key.kind));
        }
        answer
    }

    async fn path(&self, key: &WorkloadKey) -> Result<String, WriteError> {
        let plural = match key.kind.plural() {
            Some(plural) => plural.into(),
            None => self.plural(key.kind).await?,
        };
        let collection = discovery::collection(key.kind, &plural, Some(&key.namespace));
        Ok(format!("{collection}/{}", key.name))
    }

    async fn plural(&self, kind: WorkloadKind) -> Result<Box<str>, WriteError> {
        if let Some(known) = self.plurals.with(|known| known.get(&kind).cloned()) {
            return Ok(known);
        }
        let answer = self.get(&discovery::path(kind)).await?;
        // Without its kind there is no such object either.
        let plural = discovery::plural(kind, &answer).map_err(|_| WriteError::Gone)?;
        self.plurals.with(|known| known.insert(kind, plural.clone()));
        Ok(plural)
    }
}

/// A merge patch of the annotations of a workload's pod template, wherever that is.
#[must_use]
pub fn template_annotations(kind: WorkloadKind, annotations: &Value) -> Value {
    let metadata = json!({ "metadata": { "annotations": annotations } });
    let path = kind.template_path();
    path.into_iter()
        .rev()
        .fold(metadata, |inner, field| json!({ field: inner }))
}

#[cfg(test)]
mod tests {
    use afresh_model::name::CustomKind;

    use super::*;

    #[test]
    fn a_template_is_patched_where_it_is() {
        let web: CustomKind = "a.b/v1/Web=spec.pod".parse().unwrap();
        assert_eq!(
            template_annotations(WorkloadKind::Custom(web.intern()), &json!({"a": "b"})),
            json!({"spec": {"pod": {"metadata": {"annotations": {"a": "b"}}}}})
        );
        let cron = template_annotations(WorkloadKind::CronJob, &json!({}));
        assert!(cron["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["annotations"].is_object());
    }
}
