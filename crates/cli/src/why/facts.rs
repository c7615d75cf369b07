//! What the answer is made from, and the one rule applied to it. Nothing here asks anybody.

use std::collections::BTreeMap;

use afresh_engine::evidence::Pods;
use afresh_engine::plan::{Context, Objects, Plan, View, plan};
use afresh_engine::sight::{Sight, Sighting, Tracked};
use afresh_k8s::lean::Owner;
use afresh_k8s::write::job::Room;
use afresh_model::convention::Conventions;
use afresh_model::name::{ConfigKind, ConfigRef, WorkloadKey, WorkloadKind};
use afresh_model::object::ConfigObject;
use afresh_model::policy::{Policy, Problem, Referenced, Reload};
use afresh_model::time::UnixSeconds;
use afresh_model::usage::{Needs, Use};
use afresh_model::workload::{Observed, Reading, Workload};
use afresh_model::{annotation, reloader};

use super::setup::{Program, Setup};

/// All that was read, at about the same time.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Which workload.
    pub(crate) key: WorkloadKey,
    /// As the API server has it.
    pub(crate) observed: Observed,
    /// Why nobody keeps it current as itself, if it is a Pod of that sort.
    pub(crate) aside: Option<Aside>,
    /// Why the controller never looks at it, whatever it says.
    pub(crate) outside: Option<String>,
    /// What it has room for, if it is a CronJob.
    pub(crate) room: Option<Room>,
    /// How the controller runs.
    pub(crate) setup: Setup,
    /// By which conventions it reads annotations and marks.
    pub(crate) conventions: Conventions,
    /// What holds for the installation.
    pub(crate) context: Context,
    /// Why Secrets cannot be compared; `None` if they can.
    pub(crate) no_digest_key: Option<String>,
    /// The objects that were asked for.
    pub(crate) objects: BTreeMap<ConfigRef, Seen>,
    /// What could not be found out, for a person.
    pub(crate) unknowns: Vec<String>,
    /// The workload's pods, if somebody looked, or why that was not possible.
    pub(crate) pods: Option<Result<Vec<PodFact>, String>>,
    /// The time of the answer.
    pub(crate) now: UnixSeconds,
}

/// A Pod that is not kept current as itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Aside {
    /// Another workload has made it.
    Owned(Owner),
    /// Its containers will not run again.
    Over,
    /// It is being deleted.
    Leaving,
}

/// What became of asking for a config object.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    /// It is there.
    There(ConfigObject, Option<Problem>),
    /// It is there, and the controller's selector leaves it out.
    Unselected,
    /// It is not there.
    Absent,
    /// It could not be read; why.
    Unread(String),
}

/// A pod that may still run.
#[derive(Debug, Clone)]
pub(crate) struct PodFact {
    /// `metadata.creationTimestamp`.
    pub(crate) created: Option<UnixSeconds>,
    /// When all of its containers had started.
    pub(crate) started: Option<UnixSeconds>,
    /// `afresh.dev/touched`.
    pub(crate) touched: Option<Box<str>>,
    /// Not surely mounted with what the CSI classes it uses hold now.
    pub(crate) behind: bool,
}

impl Facts {
    /// The workload, if the controller keeps it current. One that it only resumes from a pause is not.
    pub(crate) fn kept<'a>(&self, reading: &'a Reading) -> Option<&'a Workload> {
        let off = reading.policy.reload.unwrap_or(self.default_reload()) == Reload::Off;
        let kept = !off && self.aside.is_none() && self.outside.is_none();
        reading.workload.as_ref().filter(|_| kept)
    }

    /// Why an object that the template refers to does not count, for no fault of its own.
    pub(crate) fn uncounted(&self, policy: &Policy, object: &ConfigRef) -> Option<String> {
        let kind = object.kind;
        if kind == ConfigKind::SecretProviderClass && !self.setup.config.csi {
            let flag = match self.setup.program {
                Program::Controller => "--csi",
                Program::Reloader => "--enable-csi-integration",
            };
            return Some(format!("the controller is not given {flag}"));
        }
        if !self.conventions.objects.contains(&kind) {
            return Some(format!(
                "the controller is given --resources-to-ignore with {}s in it",
                kind.word()
            ));
        }
        let named = policy.names(kind, &object.name);
        let asked = named || policy.referenced(kind) != Referenced::None;
        (!asked).then(|| {
            format!(
                "Reloader's annotations here ask for no {} that is only referenced",
                kind.word()
            )
        })
    }

    /// The key of the annotation that excludes an object.
    pub(crate) fn excluding(&self, object: &ConfigRef) -> &'static str {
        let key = reloader::Keys::exclude(object.kind);
        let list = self
            .observed
            .annotations
            .get(key)
            .filter(|_| self.conventions.reloader.is_some());
        let theirs = list.is_some_and(|list| list.split(',').any(|item| item.trim() == object.name.as_str()));
        if theirs { key } else { annotation::EXCLUDE }
    }

    /// What counts where no annotation says anything.
    pub(crate) const fn default_reload(&self) -> Reload {
        match self.key.kind {
            WorkloadKind::Pod => Reload::Off,
            _ => self.conventions.default,
        }
    }

    /// The controller's own decision, from what is known.
    pub(crate) fn plan(&self, workload: &Workload) -> Plan {
        let comparable = Comparable::of(self, workload);
        let pods = match &self.pods {
            Some(Ok(pods)) => {
                let seen = Pods::of(pods.iter().filter_map(|pod| pod.created));
                Some(Pods {
                    behind: pods.iter().any(|pod| pod.behind),
                    ..seen.having_started(pods.iter().filter_map(|pod| pod.started))
                })
            }
            _ => None,
        };
        plan(&View {
            workload,
            sighting: Sighting::first(workload, Sight::Listed),
            objects: &comparable,
            context: self.context,
            pods,
        })
    }

    /// The object, if it could be read.
    pub(crate) fn object(&self, object: &ConfigRef) -> Option<&ConfigObject> {
        match self.objects.get(object)? {
            Seen::There(found, _) => Some(found),
            Seen::Absent | Seen::Unselected | Seen::Unread(_) => None,
        }
    }

    /// Whether its content cannot be compared although it is there.
    pub(crate) fn is_opaque(&self, object: &ConfigRef) -> bool {
        object.kind == ConfigKind::Secret && self.no_digest_key.is_some() && self.object(object).is_some()
    }
}

/// The objects as the planner may see them: one that cannot be compared is put as one that never triggers anything, so
/// that the decision about all others stands.
struct Comparable(BTreeMap<ConfigRef, Tracked>);

impl Comparable {
    fn of(facts: &Facts, workload: &Workload) -> Self {
        let needs = |object: &ConfigRef| {
            let usage: Option<&Use> = workload.uses.iter().find(|usage| usage.object == *object);
            usage.map_or(&Needs::Unknown, |usage| &usage.needs)
        };
        let tracked = facts.objects.iter().filter_map(|(name, seen)| {
            let mut object = match seen {
                Seen::There(object, _) => object.clone(),
                Seen::Absent | Seen::Unselected => return None,
                Seen::Unread(_) => unread(),
            };
            // A key that is missing is known without its value.
            let lacks = needs(name).lack(Some(&object)).is_some();
            object.ignored |= matches!(seen, Seen::Unread(_)) || facts.is_opaque(name) && !lacks;
            Some((name.clone(), Tracked::first(object, Sight::Listed)))
        });
        Self(tracked.collect())
    }
}

fn unread() -> ConfigObject {
    ConfigObject {
        content: afresh_model::content::Content::default(),
        immutable: false,
        ignored: true,
        sha1: None,
        matched: true,
        created: None,
        written: None,
        rewritten: false,
        revision: None,
    }
}

impl Objects for Comparable {
    fn get(&self, object: &ConfigRef) -> Option<Tracked> {
        self.0.get(object).cloned()
    }

    fn included(&self, workload: &Workload) -> Vec<ConfigRef> {
        let matching = self
            .0
            .keys()
            .filter(|object| workload.includes(object.kind, &object.name));
        matching.cloned().collect()
    }
}
