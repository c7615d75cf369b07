//! Argo Rollouts that use the template of a Deployment (`spec.workloadRef`): a change of that Deployment is theirs.

use std::collections::BTreeMap;

use afresh_engine::index::{Source, SourceKind};
use afresh_k8s::lean::LeanWorkload;
use afresh_model::name::{WorkloadKey, WorkloadKind};
use afresh_model::workload::Observed;

/// Who borrows from whom.
#[derive(Debug, Default)]
pub(crate) struct Borrowed(BTreeMap<WorkloadKey, LeanWorkload>);

impl Borrowed {
    /// A list begins: whatever borrows is in it.
    pub(crate) fn begin_list(&mut self, source: &Source) {
        if source.kind == SourceKind::Workload(WorkloadKind::Rollout) {
            let outside = |key: &WorkloadKey| source.namespace.as_ref().is_some_and(|own| *own != key.namespace);
            self.0.retain(|key, _| outside(key));
        }
    }

    /// Takes in a workload as it is now.
    pub(crate) fn note(&mut self, workload: &LeanWorkload) {
        if workload.lender.is_some() {
            self.0.insert(workload.key.clone(), workload.clone());
        } else {
            self.forget(&workload.key);
        }
    }

    /// Takes out a workload that is gone.
    pub(crate) fn forget(&mut self, key: &WorkloadKey) {
        if key.kind == WorkloadKind::Rollout {
            self.0.remove(key);
        }
    }

    /// Those that use the template of this one, as they are with it.
    pub(crate) fn renewed(&mut self, lender: &WorkloadKey, observed: &Observed) -> Vec<LeanWorkload> {
        if lender.kind != WorkloadKind::Deployment {
            return Vec::new();
        }
        let borrowers = self.0.values_mut();
        let mine = borrowers.filter(|workload| workload.lender().as_ref() == Some(lender));
        mine.map(|workload| {
            workload.lend(observed);
            workload.clone()
        })
        .collect()
    }
}
