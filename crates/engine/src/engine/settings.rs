//! What the operator chose.

use std::collections::BTreeSet;
use std::time::Duration;

use afresh_model::name::Name;

use crate::plan::Context;

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What holds for all plans.
    pub context: Context,
    /// The quiet time that ends a burst.
    pub settle: Duration,
    /// How many workloads may be mid-rollout at once; 0 is no limit.
    pub max_rolling: usize,
    /// After this a rollout no longer counts towards `max_rolling`, so that a stuck one does not stop the others.
    pub rollout_timeout: Duration,
    /// How many commands may be under way at once, touches not counted.
    pub concurrency: usize,
    /// Nothing is written: what would have been is taken as done.
    pub dry_run: bool,
}

/// The namespaces whose workloads are kept current.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All but these.
    AllBut(BTreeSet<Name>),
    /// These only.
    Only(BTreeSet<Name>),
}

impl Default for Scope {
    fn default() -> Self {
        Self::AllBut(BTreeSet::new())
    }
}

impl Scope {
    /// Whether workloads of the namespace are kept current.
    #[must_use]
    pub fn includes(&self, namespace: &Name) -> bool {
        match self {
            Self::AllBut(names) => !names.contains(namespace),
            Self::Only(names) => names.contains(namespace),
        }
    }
}
