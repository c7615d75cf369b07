//! Records that may not be written: Reloader's own rights let it change neither Jobs nor CronJobs, and its image may be
//! swapped for ours without any others.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use afresh_k8s::write::WriteError;
use afresh_model::name::{WorkloadKey, WorkloadKind};
use afresh_model::record::Record;
use afresh_model::workload::Workload;

/// What would stand on the workloads. It is lost with the process; then they are adopted as they are.
#[derive(Debug, Default)]
pub(crate) struct Unwritten(Mutex<BTreeMap<WorkloadKey, Record>>);

impl Unwritten {
    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<WorkloadKey, Record>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn keep(&self, key: &WorkloadKey, record: &Record) {
        let is_first = self.with(|records| {
            let is_first = records.is_empty();
            records.insert(key.clone(), record.clone());
            is_first
        });
        if is_first {
            tracing::warn!(
                "may not patch {}s: what they are brought up to is known as long as this process runs; a change while \
                 none runs is then not seen for them. Allow patch on jobs and cronjobs",
                key.kind.word()
            );
        }
    }

    /// Lays what is known over a workload that bears no record.
    pub(crate) fn fill(&self, key: &WorkloadKey, workload: &mut Workload) {
        if workload.record.is_none() {
            let known = self.with(|records| records.get(key).cloned());
            workload.record = known.filter(|record| record.uid == workload.uid).map(Box::new);
        }
    }

    pub(crate) fn forget(&self, key: &WorkloadKey) {
        self.with(|records| records.remove(key));
    }
}

/// Whether a record could not be written for want of a right that Reloader does not have either.
pub(crate) fn is_beyond_reloader(kind: WorkloadKind, error: &WriteError) -> bool {
    let WriteError::Denied(message) = error else {
        return false;
    };
    matches!(kind, WorkloadKind::Job | WorkloadKind::CronJob) && message.contains("cannot patch resource")
}
