//! Whose words count: our own annotations always, those of Reloader and wave where they are honoured.

use std::collections::BTreeSet;

use crate::annotation::Annotations;
use crate::name::{ConfigKind, WorkloadKey, WorkloadKind};
use crate::policy::{Dialect, Place, Policy, Problem, Referenced, Reload, parse_ignore};
use crate::reloader::marks::Strategy;
use crate::reloader::{self, Sources, exactly_true};
use crate::wave;

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

    /// The policy of a workload, and what is wrong with its annotations. Our own annotations win: `afresh.dev/reload`
    /// decides how, and what others name or exclude still adds to it. Of theirs, none is read on a Pod: neither Reloader
    /// nor wave knows pods that nobody rolls, and a template's annotations stand on each of its pods.
    #[must_use]
    pub fn policy(&self, key: &WorkloadKey, workload: &Annotations, template: &Annotations) -> (Policy, Vec<Problem>) {
        let (mut policy, mut problems) = Policy::parse(workload, template);
        if key.kind != WorkloadKind::Pod {
            if let Some(keys) = &self.reloader {
                let sources = Sources { workload, template };
                problems.append(&mut self.lay_reloader_over(keys, sources, &mut policy));
            }
            if self.wave {
                let ours = policy.reload.is_some() && policy.dialect == Dialect::Afresh;
                let asked = wave::read(workload, &key.namespace, &self.objects, &mut policy, &mut problems);
                if asked && !ours {
                    (policy.reload, policy.dialect) = (Some(Reload::Auto), Dialect::Wave);
                }
            }
        }
        self.leave_out_kinds(&mut policy);
        (policy, problems)
    }

    fn lay_reloader_over(&self, keys: &reloader::Keys, sources: Sources<'_>, policy: &mut Policy) -> Vec<Problem> {
        let all = self.default != Reload::Off;
        let asked = reloader::read(keys, all, &self.objects, sources, policy);
        if policy.reload.is_some() {
            return asked.problems;
        }
        let nothing = asked
            .referenced
            .iter()
            .all(|(_, referenced)| *referenced == Referenced::None);
        if asked.opted_in {
            (policy.reload, policy.dialect) = (Some(Reload::Auto), Dialect::Reloader);
        } else if all && nothing {
            (policy.reload, policy.dialect) = (Some(Reload::Off), Dialect::Reloader);
        }
        if asked.opted_in || all {
            let limits = asked.referenced.into_iter();
            policy.referenced = limits
                .filter(|(_, referenced)| *referenced != Referenced::All)
                .collect();
        }
        asked.problems
    }

    fn leave_out_kinds(&self, policy: &mut Policy) {
        policy.include.retain(|pattern| self.objects.contains(&pattern.kind()));
        for kind in ConfigKind::ALL {
            if !self.objects.contains(&kind) {
                policy.referenced.insert(kind, Referenced::None);
            }
        }
    }

    /// What a config object's annotations say of it.
    #[must_use]
    pub fn marks(&self, annotations: &Annotations) -> Marks {
        let mut problems = Vec::new();
        let ours = parse_ignore(annotations).unwrap_or_else(|problem| {
            problems.push(problem);
            false
        });
        let mut theirs = |key: fn(&reloader::Keys) -> &reloader::Key| {
            let Some(key) = self.reloader.as_ref().map(key) else {
                return false;
            };
            exactly_true(annotations.get(&**key)).unwrap_or_else(|message| {
                let (key, place) = (key.clone(), Place::Object);
                problems.push(Problem { key, place, message });
                false
            })
        };
        Marks {
            ignored: theirs(|keys| &keys.ignore) || ours,
            matched: theirs(|keys| &keys.matching),
            problem: problems.into_iter().next(),
        }
    }
}

/// What a config object's annotations say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    /// It never triggers anything.
    pub ignored: bool,
    /// It counts for workloads that search.
    pub matched: bool,
    /// The first thing that is wrong with them.
    pub problem: Option<Problem>,
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
