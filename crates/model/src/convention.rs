//! Whose words count: our own annotations always, those of Reloader and wave where they are honoured.

use std::collections::BTreeSet;

use crate::name::ConfigKind;
use crate::policy::Reload;
use crate::reloader;
use crate::reloader::marks::Strategy;

/// By which conventions annotations are read; the same for every workload and config object of one controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conventions {
    /// What counts where no annotation says anything.
    pub default: Reload,
    /// The keys of Reloader's annotations, where they are honoured.
    pub reloader: Option<reloader::Keys>,
    /// By which marks a reload shows in the pod template, where Reloader's are kept (`afresh reloader`).
    pub strategy: Option<Strategy>,
    /// Whether `wave.pusher.com/update-on-config-change` is honoured.
    pub wave: bool,
    /// What becomes of Jobs and CronJobs.
    pub jobs: Jobs,
    /// The kinds of config object that count. References to others say nothing.
    pub objects: BTreeSet<ConfigKind>,
}

/// What becomes of Jobs and CronJobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Jobs {
    /// A Job is made again only where it says so itself (`afresh.dev/reload: roll`). A CronJob needs nothing: its next
    /// run is fresh.
    #[default]
    Asked,
    /// As Reloader has it: a Job is made again, and a CronJob has a Job made at once, as other workloads are rolled.
    Always,
}

impl Conventions {
    /// Our own annotations and nobody else's.
    #[must_use]
    pub fn native(default: Reload) -> Self {
        Self {
            default,
            reloader: None,
            strategy: None,
            wave: false,
            jobs: Jobs::Asked,
            objects: ConfigKind::ALL.into(),
        }
    }
}

impl Default for Conventions {
    /// All of them, with Reloader's own keys; what says nothing is left alone.
    fn default() -> Self {
        Self {
            reloader: Some(reloader::Keys::default()),
            wave: true,
            ..Self::native(Reload::Off)
        }
    }
}
