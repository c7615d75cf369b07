//! Facts in, explanation out.

use std::time::Duration;

use afresh_engine::plan::{Plan, Verdict as Planned};
use afresh_engine::touch::Touched;
use afresh_k8s::write::job::Room;
use afresh_model::annotation::{APPLIED, EXCLUDE, HOT, INCLUDE, RELOAD, SETTLE};
use afresh_model::digest::Digest;
use afresh_model::name::{ConfigKind, WorkloadKind};
use afresh_model::pattern::Pattern;
use afresh_model::policy::{Dialect, Hot, Policy, Reload};
use afresh_model::record::Record;
use afresh_model::reloader::pause::{Release, State};
use afresh_model::workload::{Reading, Rollout, Workload};

use super::dialect;
use super::explanation::{
    ControllerView, Explanation, ObjectState, ObjectView, Origin, PodsView, PolicyView, RecordView, RolloutView,
    Setting, Takes,
};
use super::facts::{Facts, Seen};
use super::objects::objects;
use super::setup::Source;
use super::verdict::{decide, left_alone};
use super::words::{in_future, length};

/// Explains what would happen now, by the controller's own rule.
pub(crate) fn explain(facts: &Facts) -> Explanation {
    let reading = facts.observed.read(&facts.key, &facts.conventions);
    let workload = facts.kept(&reading);
    let plan = workload.map(|workload| facts.plan(workload));
    let kept = workload.zip(plan.as_ref());
    let policy = policy(facts, &reading);
    let objects = objects(facts, &reading, kept);
    let decision = match kept {
        Some((workload, plan)) => decide(facts, workload, plan, &objects),
        None => left_alone(facts, &reading, &policy),
    };
    Explanation {
        kind: facts.key.kind.word(),
        namespace: facts.key.namespace.to_string(),
        name: facts.key.name.to_string(),
        at: facts.now.to_string(),
        controller: ControllerView {
            program: facts.setup.program.word(),
            known: facts.setup.source.to_string(),
        },
        verdict: decision.verdict,
        summary: decision.summary,
        because: decision.because,
        not_before: decision.not_before.map(|time| time.to_string()),
        notes: notes(facts, workload, policy.reload.from, &objects),
        policy,
        record: workload.and_then(|workload| workload.record.as_deref()).map(record),
        rollout: match facts.observed.rollout {
            // A Pod that is not ready has nobody who replaces it.
            _ if facts.key.kind == WorkloadKind::Pod => RolloutView::Complete,
            Rollout::Complete | Rollout::Idle => RolloutView::Complete,
            Rollout::InProgress => RolloutView::InProgress,
            Rollout::Failed => RolloutView::Failed,
        },
        objects,
        pods: plan.as_ref().and_then(|plan| pods(facts, plan)),
        problems: problems(facts, &reading),
    }
}

fn policy(facts: &Facts, reading: &Reading) -> PolicyView {
    let policy = &reading.policy;
    let bad = |key: &str| reading.problems.iter().any(|problem| problem.key == key);
    let origin = |key: &str, understood: bool| {
        let (own, template) = (
            &facts.observed.annotations,
            &facts.observed.template.metadata.annotations,
        );
        match (own.contains_key(key), template.contains_key(key)) {
            _ if !understood => Origin::Default,
            (true, _) => Origin::Workload,
            (false, true) => Origin::Template,
            (false, false) => Origin::Default,
        }
    };
    let texts = |patterns: &[Pattern]| patterns.iter().map(ToString::to_string).collect();
    // Whose lists the others are, their own annotations say.
    let (own, _) = Policy::parse(
        &facts.observed.annotations,
        &facts.observed.template.metadata.annotations,
    );
    // A container that is not there is a problem, and the value still counts.
    let hot_understood = policy.hot != Hot::Unsaid || !bad(HOT);
    PolicyView {
        reload: Setting {
            value: policy.reload.unwrap_or(facts.default_reload()).word(),
            from: match policy.dialect {
                Dialect::Afresh => origin(RELOAD, policy.reload.is_some()),
                Dialect::Reloader => Origin::Reloader,
                Dialect::Wave => Origin::Wave,
            },
        },
        hot: Setting {
            value: match &policy.hot {
                Hot::Unsaid if reading.references.iter().any(|own| own.reread_by.is_some()) => "agent".to_owned(),
                Hot::Unsaid | Hot::None => "false".to_owned(),
                Hot::All => "true".to_owned(),
                Hot::Containers(names) => join(names),
            },
            from: origin(HOT, hot_understood),
        },
        settle: Setting {
            value: policy.settle.map(duration),
            from: origin(SETTLE, policy.settle.is_some()),
        },
        include: Setting {
            value: texts(&own.include),
            from: origin(INCLUDE, true),
        },
        exclude: Setting {
            value: texts(&own.exclude),
            from: origin(EXCLUDE, true),
        },
        others: dialect::asked(facts),
    }
}

fn join<T: ToString>(parts: &[T]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn duration(duration: Duration) -> String {
    format!("{duration:?}")
}

fn record(record: &Record) -> RecordView {
    RecordView {
        at: record.at.to_string(),
        streak: record.rolls.streak,
        rolled_at: record.rolls.last.map(|time| time.to_string()),
    }
}

fn pods(facts: &Facts, plan: &Plan) -> Option<PodsView> {
    let pods = facts.pods.as_ref()?.as_ref().ok()?;
    let touched = |files: Digest| {
        let wanted = files.to_string();
        let current = |text: &str| Touched::parse(text).is_some_and(|touched| touched.config == wanted);
        pods.iter()
            .filter(|pod| pod.touched.as_deref().is_some_and(current))
            .count()
    };
    Some(PodsView {
        count: pods.len(),
        oldest: pods
            .iter()
            .filter_map(|pod| pod.created)
            .min()
            .map(|time| time.to_string()),
        touched: match plan.verdict {
            Planned::Touch(files) => Some(touched(files)),
            _ => None,
        },
    })
}

fn problems(facts: &Facts, reading: &Reading) -> Vec<String> {
    let own = reading.problems.iter().map(ToString::to_string);
    let of_objects = facts.objects.iter().filter_map(|(object, seen)| match seen {
        Seen::There(_, Some(problem)) => Some(format!("{object}: {problem}")),
        _ => None,
    });
    own.chain(of_objects).collect()
}

fn notes(facts: &Facts, workload: Option<&Workload>, reload: Origin, objects: &[ObjectView]) -> Vec<String> {
    let mut notes = facts.setup.notes.clone();
    let Some(workload) = workload else { return notes };
    if facts.setup.config.dry_run {
        notes.push("the controller runs with --dry-run: it only tells what it would do".to_owned());
    }
    if let Some(why) = &facts.no_digest_key {
        if objects.iter().any(|object| object.state == ObjectState::NoDigestKey) {
            notes.push(format!("Secrets cannot be compared, ConfigMaps are: {why}"));
        } else if workload.record.is_none() {
            notes.push(format!(
                "since when Afresh is answerable for this workload is not known: {why}"
            ));
        }
    }
    if facts.room == Some(Room::One) {
        notes.push("its concurrencyPolicy lets one Job run at a time: one that runs is waited for".to_owned());
    }
    notes.extend(pause(facts, workload));
    notes.extend(objects.iter().filter_map(out_of_reach));
    notes.extend(facts.unknowns.iter().cloned());
    if let Some(Err(why)) = &facts.pods {
        notes.push(format!("the pods could not be looked at: {why}"));
    }
    if workload.record.is_none()
        && facts
            .observed
            .annotations
            .get(APPLIED)
            .is_some_and(|text| Record::parse(text).is_ok())
    {
        notes.push(format!(
            "its annotation {APPLIED} was written on another workload (another uid), so it counts as never adopted"
        ));
    }
    let is_known = facts.setup.source != Source::Nowhere;
    if reload == Origin::Default && facts.default_reload() != Reload::Off && !is_known {
        notes.push(format!(
            "this holds if the controller runs with --default-reload {}",
            facts.default_reload().word()
        ));
    }
    let classes = workload.uses.iter().map(|usage| usage.object.kind);
    if !is_known && classes.into_iter().any(|kind| kind == ConfigKind::SecretProviderClass) {
        notes.push("SecretProviderClasses count if the controller runs with --csi".to_owned());
    }
    match workload.rollout {
        Rollout::Complete | Rollout::Idle => {}
        Rollout::InProgress if facts.key.kind == WorkloadKind::Pod => {}
        Rollout::InProgress => notes.push("its own controller is replacing pods right now".to_owned()),
        Rollout::Failed => notes.push("its last rollout failed: its own controller has given up waiting".to_owned()),
    }
    notes
}

/// What becomes of a pause, or of a roll under a pause.
fn pause(facts: &Facts, workload: &Workload) -> Option<String> {
    let pause = workload.pause.as_ref()?;
    let key = facts
        .conventions
        .reloader
        .as_ref()
        .map_or("", |keys| &keys.pause_period);
    let period = length(pause.period.unwrap_or_default().as_secs());
    match (pause.state, pause.release(facts.now)) {
        (State::ByPerson, _) => Some("somebody has paused it: pods are replaced only when it is resumed".to_owned()),
        (_, Some(Release::ResumeAt(at))) => Some(format!(
            "it is paused until {at} ({}) by {key}: pods are replaced then",
            in_future(facts.now, at)
        )),
        (_, Some(Release::Resume)) => Some("its pause is over: the controller resumes it now".to_owned()),
        _ if pause.begins() => Some(format!(
            "a roll pauses it for {period} by {key}, so that more changes are one rollout"
        )),
        _ => None,
    }
}

/// What stays old although something is done, or nothing has to be.
fn out_of_reach(object: &ObjectView) -> Option<String> {
    if object.state == ObjectState::Unreachable {
        return None; // the verdict says so
    }
    let old = object.content.iter().find(|content| {
        content.takes == Takes::Unreachable && content.applied.is_some() && content.applied != content.current
    })?;
    Some(format!(
        "{}: the running pods stay on old content ({}): only new ones would see the change",
        object.object, old.keys
    ))
}
