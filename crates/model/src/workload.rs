//! What is kept of a workload, made from what the API says of it.

use std::time::Duration;

use crate::annotation;
use crate::annotation::Annotations;
use crate::convention::{Conventions, Jobs};
use crate::digest::TemplateHash;
use crate::name::{ConfigKind, Name, WorkloadKey, WorkloadKind};
use crate::pattern::{self, Pattern};
use crate::policy::{Place, Policy, Problem, Reload};
use crate::record::Record;
use crate::reference::{Reference, references};
use crate::reloader::marks::{Marks, Stamps};
use crate::reloader::pause::Pause;
use crate::template::PodTemplate;
use crate::time::{Revision, UnixSeconds};
use crate::usage::{Mode, Use, uses};

/// A workload that is kept current.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// `metadata.uid`: a workload made anew under the same name is another one.
    pub uid: Box<str>,
    /// How it is kept current.
    pub mode: Mode,
    /// Its own quiet time.
    pub settle: Option<Duration>,
    /// The objects it uses, sorted.
    pub uses: Box<[Use]>,
    /// Globs of `afresh.dev/include`.
    pub include: Box<[Pattern]>,
    /// `afresh.dev/exclude`, for what the globs find.
    pub exclude: Box<[Pattern]>,
    /// What it was last brought up to; `None` if it has never been adopted.
    pub record: Option<Box<Record>>,
    /// Its pod template, less `afresh.dev/config`.
    pub template: TemplateHash,
    /// The marks of Reloader, where they are kept (`afresh reloader`).
    pub marks: Option<Box<Marks>>,
    /// Whether it is paused, or to be paused at a roll.
    pub pause: Option<Box<Pause>>,
    /// `metadata.creationTimestamp`.
    pub created: Option<UnixSeconds>,
    /// `metadata.resourceVersion`.
    pub revision: Option<Revision>,
    /// The label selector of its pods, as a query; empty for a Pod.
    pub selector: Box<str>,
    /// By what means its pods are replaced.
    pub replace: Replace,
    /// The UID of the controller that owns it, where it is a Pod that is evicted.
    pub owner: Option<Box<str>>,
    /// Whether its own controller is still replacing pods.
    pub rollout: Rollout,
}

/// By what means the pods of a workload are replaced.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Replace {
    /// Its pod template is changed, and its own controller does the rest.
    #[default]
    Template,
    /// `spec.restartAt` of an Argo Rollout is set; the template stays as it is.
    RestartAt,
    /// A Job is deleted and made again: its template cannot be changed.
    Recreate,
    /// A Job is made from a CronJob at once.
    Spawn,
    /// Its pods are evicted one by one: its template belongs to another operator.
    Evict,
}

impl Replace {
    /// A word for logs and messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Template => "its template",
            Self::RestartAt => "spec.restartAt",
            Self::Recreate => "making it again",
            Self::Spawn => "a Job of its own",
            Self::Evict => "evicting its pods",
        }
    }
}

/// Why a workload is never kept current as itself, whatever its annotations say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aside {
    /// A Job that has ended: making it again would run it again.
    Over,
    /// It is being deleted.
    Leaving,
    /// A Job that a CronJob has made: the next one is fresh.
    Scheduled,
    /// A Job that Helm runs at a moment of a release (`helm.sh/hook`).
    Hook,
    /// A Job that only keeps what another one is to be made from.
    StandIn,
}

/// The state of a workload's rollout, from its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rollout {
    /// All pods are of the current template and available.
    Complete,
    /// Pods are being replaced.
    InProgress,
    /// Its controller has given up waiting (`ProgressDeadlineExceeded`).
    Failed,
    /// It is scaled to zero, and no pod is left.
    Idle,
}

/// A workload as the API writes it, less what does not matter.
#[derive(Debug, Clone)]
pub struct Observed {
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.annotations`; of all of them those of Afresh are enough.
    pub annotations: Annotations,
    /// The pod template.
    pub template: PodTemplate,
    /// Its hash, as [`crate::template::hash`] makes it.
    pub template_hash: TemplateHash,
    /// `metadata.creationTimestamp`.
    pub created: Option<UnixSeconds>,
    /// `metadata.resourceVersion`.
    pub revision: Option<Revision>,
    /// `spec.selector` as a query.
    pub selector: Box<str>,
    /// By what means its pods are replaced, before its annotations are asked.
    pub replace: Replace,
    /// `spec.paused`.
    pub paused: bool,
    /// Why it is left alone whatever it says, if it is.
    pub aside: Option<Aside>,
    /// The UID of the controller that owns it, where it is a Pod.
    pub owner: Option<Box<str>>,
    /// From `status`; a Pod is complete when it is ready.
    pub rollout: Rollout,
}

/// How an observed workload is read: everything there is to say of it.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The policy, before the default.
    pub policy: Policy,
    /// All references.
    pub references: Vec<Reference>,
    /// What is wrong with its annotations.
    pub problems: Vec<Problem>,
    /// The workload; `None` if it is left alone.
    pub workload: Option<Workload>,
}

impl Observed {
    /// Reads the annotations and references of the workload of that name. A Pod by itself speaks for itself: the default is meant for what has a
    /// template.
    #[must_use]
    pub fn read(&self, key: &WorkloadKey, conventions: &Conventions) -> Reading {
        let kind = key.kind;
        let (policy, mut problems) = conventions.policy(key, &self.annotations, &self.template.metadata.annotations);
        let mode = self.mode(kind, &policy, conventions).unwrap_or_else(|problem| {
            problems.push(problem);
            Mode::of(Reload::Touch, false)
        });
        let pause = self.pause(kind, mode.is_some(), conventions, &mut problems);
        let Some(mode) = mode else {
            return Reading {
                policy,
                references: references(&self.template.spec),
                problems,
                workload: pause.map(|pause| self.only_to_resume(kind, pause)),
            };
        };
        problems.extend(self.unknown_hot_containers(&policy));
        let record = self.record().unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        let references = references(&self.template.spec);
        let globs = policy.include.iter().filter(|pattern| !pattern.is_exact());
        let uses: Box<[Use]> = uses(&references, &policy).into();
        let marks = conventions.strategy.and_then(|strategy| {
            let bearable = kind.can_roll() && mode != Mode::Evict;
            Marks::read(&self.template, self.template_hash, strategy, &uses).filter(|_| bearable)
        });
        let workload = Workload {
            uid: self.uid.clone(),
            mode,
            settle: policy.settle,
            uses,
            include: globs.cloned().collect(),
            exclude: policy.exclude.clone().into(),
            record: record.map(Box::new),
            template: Stamps::of(&self.template).hash(self.template_hash),
            marks: marks.map(Box::new),
            pause,
            created: self.created,
            revision: self.revision,
            selector: self.selector.clone(),
            replace: if mode == Mode::Evict {
                Replace::Evict
            } else {
                self.replace
            },
            owner: self.owner.clone().filter(|_| mode == Mode::Evict),
            rollout: self.rollout,
        };
        Reading {
            policy,
            references,
            problems,
            workload: Some(workload),
        }
    }

    fn unknown_hot_containers(&self, policy: &Policy) -> Vec<Problem> {
        let spec = &self.template.spec;
        let all = spec.containers.iter().chain(&spec.init_containers);
        let names: Vec<&str> = all.map(|container| &*container.name).collect();
        policy.unknown_hot_containers(&names)
    }

    /// What a Deployment says of being paused. Where it is left alone only what is to be resumed matters: nobody is to
    /// stay paused because an annotation was taken away.
    fn pause(
        &self,
        kind: WorkloadKind,
        kept: bool,
        conventions: &Conventions,
        problems: &mut Vec<Problem>,
    ) -> Option<Box<Pause>> {
        let keys = conventions.reloader.as_ref()?;
        let period = self.annotations.get(&*keys.pause_period).map(String::as_str);
        let mut tell = |message| {
            if kept {
                problems.push(Problem {
                    key: keys.pause_period.clone(),
                    place: Place::Workload,
                    message,
                });
            }
        };
        if kind != WorkloadKind::Deployment {
            if period.is_some() {
                tell("only a Deployment can be paused; this is rolled without a pause".to_owned());
            }
            return None;
        }
        let paused_at = self.annotations.get(&*keys.paused_at).map(String::as_str);
        let (pause, problem) = Pause::read(self.paused, period, paused_at);
        problem.into_iter().for_each(tell);
        pause.filter(|pause| kept || pause.is_ours()).map(Box::new)
    }

    /// A workload that is left alone but for its pause.
    fn only_to_resume(&self, kind: WorkloadKind, pause: Box<Pause>) -> Workload {
        Workload {
            uid: self.uid.clone(),
            mode: if kind.can_roll() { Mode::Auto } else { Mode::Touch },
            settle: None,
            uses: Box::default(),
            include: Box::default(),
            exclude: Box::default(),
            record: None,
            template: Stamps::of(&self.template).hash(self.template_hash),
            marks: None,
            pause: Some(pause),
            created: self.created,
            revision: self.revision,
            selector: self.selector.clone(),
            replace: self.replace,
            owner: None,
            rollout: self.rollout,
        }
    }

    /// `None` leaves it alone; what cannot be evicted is only touched.
    fn mode(&self, kind: WorkloadKind, policy: &Policy, conventions: &Conventions) -> Result<Option<Mode>, Problem> {
        let default = match kind {
            WorkloadKind::Pod => Reload::Off,
            _ => conventions.default,
        };
        let reload = policy.reload.unwrap_or(default);
        if self.aside.is_some() || self.is_work(policy, reload, conventions.jobs) {
            return Ok(None);
        }
        let problem = |message: &str| Problem {
            key: annotation::RELOAD.into(),
            place: Place::Workload,
            message: message.to_owned(),
        };
        match (reload, kind) {
            (Reload::Evict, WorkloadKind::Pod) if self.owner.is_none() => Err(problem(
                "evict: no controller owns this Pod, so it would not come back; it is only touched. Let a Deployment make it",
            )),
            (Reload::Evict, WorkloadKind::Pod) => Ok(Some(Mode::Evict)),
            (Reload::Evict, _) if self.selector.is_empty() => Err(problem(
                "evict: it has no label selector, so its pods cannot be found; nothing restarts them. Write auto or roll",
            )),
            // Its pods are those of its Jobs: there is nothing to touch.
            (Reload::Auto, _) if self.replace == Replace::Spawn => Ok(Some(Mode::Roll)),
            _ => Ok(Mode::of(reload, kind.can_roll())),
        }
    }

    /// Whether it is a piece of work that is left to run on: what is half done begins anew only for those who ask, and
    /// a CronJob's next run is fresh by itself.
    fn is_work(&self, policy: &Policy, reload: Reload, jobs: Jobs) -> bool {
        match (self.replace, jobs) {
            (Replace::Recreate, Jobs::Asked) => policy.reload.is_none() || reload == Reload::Auto,
            (Replace::Spawn, Jobs::Asked) => true,
            _ => false,
        }
    }

    fn record(&self) -> Result<Option<Record>, Problem> {
        record_of(&self.uid, &self.annotations)
    }
}

/// The record that stands in the annotations of the workload of this UID; `None` if there is none of its own.
///
/// # Errors
/// If the annotation is no record.
pub fn record_of(uid: &str, annotations: &Annotations) -> Result<Option<Record>, Problem> {
    let Some(text) = annotations.get(annotation::APPLIED) else {
        return Ok(None);
    };
    let problem = |message| Problem {
        key: annotation::APPLIED.into(),
        place: Place::Workload,
        message,
    };
    let record = Record::parse(text).map_err(|error| problem(error.to_string()))?;
    // A Job made again carries the record of the one before: there was no moment at which to write another.
    let before = annotations.get(annotation::REPLACES);
    let own = *record.uid == *uid || before.is_some_and(|before| **before == *record.uid);
    Ok(own.then_some(record))
}

impl Workload {
    /// Whether a glob of `afresh.dev/include` brings in the object.
    #[must_use]
    pub fn includes(&self, kind: ConfigKind, name: &Name) -> bool {
        pattern::includes(&self.include, &self.exclude, kind, name)
    }

    /// Whether both use the same objects in the same way.
    #[must_use]
    pub fn uses_alike(&self, other: &Self) -> bool {
        self.uses == other.uses && self.include == other.include && self.exclude == other.exclude
    }
}
