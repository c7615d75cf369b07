//! The plan in words: what would happen now, and because of what.

use afresh_engine::flap;
use afresh_engine::plan::{Delta, Finding, News, Plan, Verdict as Planned};
use afresh_k8s::write::job::Room;
use afresh_model::annotation::RELOAD;
use afresh_model::convention::Jobs;
use afresh_model::digest::Digest;
use afresh_model::name::WorkloadKind;
use afresh_model::object::Lack;
use afresh_model::policy::{Place, Reload};
use afresh_model::time::UnixSeconds;
use afresh_model::usage::Mode;
use afresh_model::workload::{Aside as Standing, Reading, Replace, Workload};

use super::explanation::{MarkState, ObjectState, ObjectView, Origin, PolicyView, Verdict};
use super::facts::{Aside, Facts};
use super::setup::Program;
use super::words::{in_future, list};

/// The verdict and its reasons.
pub(crate) struct Decision {
    pub(crate) verdict: Verdict,
    pub(crate) summary: String,
    pub(crate) because: Vec<String>,
    pub(crate) not_before: Option<UnixSeconds>,
}

impl Decision {
    fn new(verdict: Verdict, summary: String, because: Vec<String>) -> Self {
        Self {
            verdict,
            summary,
            because,
            not_before: None,
        }
    }
}

/// Why a workload is not kept current at all.
pub(crate) fn left_alone(facts: &Facts, reading: &Reading, policy: &PolicyView) -> Decision {
    let unreadable = reading
        .problems
        .iter()
        .any(|problem| problem.key == RELOAD && problem.place != Place::Object);
    if let Some(reason) = work(facts, reading) {
        return Decision::new(Verdict::LeftAlone, format!("is left alone: {reason}"), Vec::new());
    }
    if let (None, Some(reason)) = (&facts.aside, &facts.outside) {
        return Decision::new(Verdict::LeftAlone, format!("is left alone: {reason}"), Vec::new());
    }
    let reason = match (&facts.aside, policy.reload.from) {
        (Some(Aside::Over), _) => "its containers have ended and will not run again".to_owned(),
        (Some(Aside::Leaving), _) => "it is being deleted".to_owned(),
        (Some(Aside::Owned(owner)), _) => {
            let kind = owner.kind.to_ascii_lowercase();
            let ask = match (&*kind, owner.name.rsplit_once('-')) {
                ("replicaset", Some((deployment, _))) => format!("deployment/{deployment}"),
                _ => format!("{kind}/{}", owner.name),
            };
            format!(
                "{kind}/{} has made it, so it is kept current as a part of that; ask: afresh why {ask}",
                owner.name
            )
        }
        (None, Origin::Default) if unreadable => {
            format!(
                "the annotation {RELOAD} cannot be understood, and the default is {}",
                facts.default_reload().word()
            )
        }
        (None, Origin::Default) if facts.key.kind == WorkloadKind::Pod => {
            format!("no annotation {RELOAD}, and --default-reload is not for Pods; add {RELOAD}: auto to opt in")
        }
        (None, Origin::Default | Origin::Reloader | Origin::Wave) => nobody_asks(facts, policy),
        (None, Origin::Workload) => format!("the workload says {RELOAD}: off"),
        (None, Origin::Template) => format!("the pod template says {RELOAD}: off"),
    };
    Decision::new(Verdict::LeftAlone, format!("is left alone: {reason}"), Vec::new())
}

/// Neither our own annotation nor anybody else's asks for anything.
fn nobody_asks(facts: &Facts, policy: &PolicyView) -> String {
    let asking = policy
        .others
        .iter()
        .filter(|asked| !asked.annotation.contains("exclude"));
    let silent: Vec<String> = asking
        .map(|asked| format!("{}: {}", asked.annotation, asked.value))
        .collect();
    match (&facts.conventions.reloader, facts.setup.program) {
        _ if !silent.is_empty() => {
            format!(
                "no annotation {RELOAD}, and the others ask for nothing: {}",
                list(&silent)
            )
        }
        (Some(keys), Program::Reloader) => format!(
            "no annotation of Reloader's asks for anything; add {}: \"true\" to opt in (or {RELOAD}: auto)",
            keys.auto
        ),
        _ => format!("no annotation {RELOAD}; add {RELOAD}: auto to opt in"),
    }
}

/// Why a Job or a CronJob is left alone, whatever its annotations say.
fn work(facts: &Facts, reading: &Reading) -> Option<String> {
    let reason = match (facts.observed.aside, facts.key.kind) {
        (Some(Standing::Over), _) => "it has ended, and would run again if it was made again",
        (Some(Standing::Leaving), _) => "it is being deleted",
        (Some(Standing::Scheduled), _) => "a CronJob has made it, and the next one is fresh",
        (Some(Standing::StandIn), _) => {
            "it only keeps what another Job is made from, while that one is being made again"
        }
        (Some(Standing::Hook), _) => "Helm runs it, at its own time (helm.sh/hook)",
        (None, WorkloadKind::CronJob) if facts.conventions.jobs == Jobs::Asked => {
            "a CronJob needs nothing: its next run is fresh"
        }
        (None, WorkloadKind::Job)
            if facts.conventions.jobs == Jobs::Asked && reading.policy.reload != Some(Reload::Off) =>
        {
            return Some(format!(
                "a Job would begin its work anew, so it is made again only if it says {RELOAD}: roll, and the controller \
                 is given --workloads with job in it"
            ));
        }
        _ => return None,
    };
    Some(reason.to_owned())
}

/// What a plan comes to.
pub(crate) fn decide(facts: &Facts, workload: &Workload, plan: &Plan, objects: &[ObjectView]) -> Decision {
    match plan.verdict {
        Planned::Roll(config) => roll(facts, workload, plan, objects, config),
        Planned::Blocked => blocked(plan, objects),
        Planned::Touch(_) => touch(facts.key.kind, workload, plan, objects),
        Planned::LookAtPods => {
            let because = named(plan, |news| matches!(news, News::Uncertain));
            let summary = format!(
                "cannot be told from here: {} may have changed since the pods started, and only their age tells",
                list(&because)
            );
            Decision::new(Verdict::Unknown, summary, because)
        }
        Planned::Record if workload.record.is_none() => {
            let summary = "would be adopted now: what its objects hold is written down, nothing is restarted";
            Decision::new(Verdict::Adopt, summary.to_owned(), Vec::new())
        }
        Planned::Record => {
            let summary = "would only have its record written anew: nothing has to be refreshed or restarted";
            Decision::new(Verdict::Record, summary.to_owned(), Vec::new())
        }
        Planned::Nothing => nothing(facts.key.kind, plan, objects),
    }
}

fn roll(facts: &Facts, workload: &Workload, plan: &Plan, objects: &[ObjectView], config: Digest) -> Decision {
    let because = named(plan, |news| matches!(news, News::Roll(_)));
    let reason = match &because[..] {
        [] => "what it uses went back while its pods were being evicted".to_owned(),
        _ => changes(plan, objects, |news| match news {
            News::Roll(delta) => Some(*delta),
            _ => None,
        }),
    };
    if facts.room == Some(Room::None) {
        let summary =
            format!("would only have its record written: {reason}, but it is suspended, and its next run is fresh");
        return Decision::new(Verdict::Record, summary, because);
    }
    let evicting = workload.record.as_ref().and_then(|record| record.evicting.as_ref());
    if let Some(evicting) = evicting.filter(|evicting| evicting.config == config) {
        let summary = format!(
            "is being brought up to date: its pods of {} and before are evicted one by one, because {reason}",
            evicting.since
        );
        return Decision::new(Verdict::Evict, summary, because);
    }
    let rolls = workload.record.as_ref().map(|record| record.rolls).unwrap_or_default();
    match flap::next_roll(rolls, facts.now) {
        Some(next) => {
            let summary = format!(
                "is held: {reason}, but it rolled {} times in quick succession; the next roll is not before {next} ({})",
                rolls.streak,
                in_future(facts.now, next)
            );
            Decision {
                not_before: Some(next),
                ..Decision::new(Verdict::Held, summary, because)
            }
        }
        None if workload.mode == Mode::Evict => {
            let summary = format!("would have its pods evicted one by one now, because {reason}");
            Decision::new(Verdict::Evict, summary, because)
        }
        None => Decision::new(
            Verdict::Roll,
            format!("{} now, because {reason}", rolling(workload)),
            because,
        ),
    }
}

/// What replacing its pods is, in its own terms.
const fn rolling(workload: &Workload) -> &'static str {
    match workload.replace {
        Replace::Spawn => "would have a Job made from it",
        Replace::Recreate => "would be deleted and made again",
        Replace::Template | Replace::RestartAt | Replace::Evict => "would roll",
    }
}

fn touch(kind: WorkloadKind, workload: &Workload, plan: &Plan, objects: &[ObjectView]) -> Decision {
    let because = named(plan, |news| matches!(news, News::Touch(_)));
    let reason = changes(plan, objects, |news| match news {
        News::Touch(delta) => Some(*delta),
        _ => None,
    });
    let enough = match workload.mode {
        _ if kind == WorkloadKind::Pod => "a Pod by itself is never replaced".to_owned(),
        Mode::Touch => format!("{RELOAD}: touch allows no more"),
        Mode::Auto | Mode::Roll | Mode::Evict => "its containers reread the files".to_owned(),
    };
    let summary = format!("would be touched now, without a restart, because {reason}: {enough}");
    Decision::new(Verdict::Touch, summary, because)
}

fn blocked(plan: &Plan, objects: &[ObjectView]) -> Decision {
    let because = named(plan, |news| matches!(news, News::Roll(_)));
    let reason = changes(plan, objects, |news| match news {
        News::Roll(delta) => Some(*delta),
        _ => None,
    });
    let summary = format!(
        "is held: {reason}, but new pods could not start, because {}",
        lacking(plan)
    );
    Decision::new(Verdict::Blocked, summary, because)
}

fn nothing(kind: WorkloadKind, plan: &Plan, objects: &[ObjectView]) -> Decision {
    let missing = named(plan, |news| matches!(news, News::Lacking(_)));
    if !missing.is_empty() {
        let summary = format!(
            "waits: new pods could not start, because {}; nothing is done until that is mended",
            lacking(plan)
        );
        return Decision::new(Verdict::Missing, summary, missing);
    }
    let stale = named(plan, |news| matches!(news, News::Unreachable(_)));
    if !stale.is_empty() {
        let why = match kind {
            WorkloadKind::Pod => "a Pod by itself is never replaced".to_owned(),
            _ => format!("{RELOAD}: touch allows none"),
        };
        let summary = format!(
            "is stale and stays so: {} changed, only new pods would see it, and {why}",
            list(&stale)
        );
        return Decision::new(Verdict::Stale, summary, stale);
    }
    if plan.findings.is_empty() {
        let summary = "has nothing to be kept current with: it uses no ConfigMap and no Secret that counts";
        return Decision::new(Verdict::Unused, summary.to_owned(), Vec::new());
    }
    let opaque = objects
        .iter()
        .filter(|object| matches!(object.state, ObjectState::Unread | ObjectState::NoDigestKey));
    let opaque: Vec<String> = opaque.map(|object| object.object.clone()).collect();
    let summary = if opaque.is_empty() {
        "is current".to_owned()
    } else {
        format!(
            "is current as far as can be told: {} could not be compared",
            list(&opaque)
        )
    };
    Decision::new(Verdict::Current, summary, Vec::new())
}

fn named(plan: &Plan, wanted: impl Fn(&News) -> bool) -> Vec<String> {
    let found = plan.findings.iter().filter(|finding| wanted(&finding.news));
    found.map(|finding| finding.object.to_string()).collect()
}

fn changes(plan: &Plan, objects: &[ObjectView], wanted: impl Fn(&News) -> Option<Delta>) -> String {
    let marked = |finding: &Finding| {
        let name = finding.object.to_string();
        let view = objects.iter().find(|view| view.object == name);
        view.and_then(|view| view.mark.as_ref())
            .is_some_and(|mark| mark.state == MarkState::Older)
    };
    let of = |known: bool| -> Vec<String> {
        let fits = |finding: &&Finding| {
            wanted(&finding.news).is_some_and(|delta| (delta.from.is_some() || marked(finding)) == known)
        };
        plan.findings
            .iter()
            .filter(fits)
            .map(|finding| finding.object.to_string())
            .collect()
    };
    let (sure, maybe) = (of(true), of(false));
    match (&sure[..], &maybe[..]) {
        (_, []) => format!("{} changed", list(&sure)),
        ([], _) => format!("{} may have changed since its pods started", list(&maybe)),
        _ => format!(
            "{} changed and {} may have changed since its pods started",
            list(&sure),
            list(&maybe)
        ),
    }
}

fn lacking(plan: &Plan) -> String {
    let of = |lack: Lack| named(plan, |news| *news == News::Lacking(lack));
    let (objects, keys) = (of(Lack::Object), of(Lack::Key));
    let are = |names: &[String]| if names.len() == 1 { "is" } else { "are" };
    let gone = || format!("{} {} not there", list(&objects), are(&objects));
    let keyless = || {
        let verb = if keys.len() == 1 { "lacks" } else { "lack" };
        format!("{} {verb} a key that is required", list(&keys))
    };
    match (objects.is_empty(), keys.is_empty()) {
        (false, true) => gone(),
        (true, _) => keyless(),
        (false, false) => format!("{} and {}", gone(), keyless()),
    }
}
