//! The one rule: compare what a workload's config objects say now with what the workload was last brought up to, and
//! choose the cheapest thing that is enough.
//!
//! [`plan`] is a pure function of state. It is called by the controller and by `afresh why`; there is no second one.

use afresh_model::content::Content;
use afresh_model::digest::{Digest, Fingerprint, KeyId};
use afresh_model::name::{ConfigKind, ConfigRef};
use afresh_model::object::Lack;
use afresh_model::record::Applied;
use afresh_model::reloader::marks::Mark;
use afresh_model::selection::Selection;
use afresh_model::time::UnixSeconds;
use afresh_model::usage::{Mode, Needs, Use};
use afresh_model::workload::{Rollout, Workload};

use crate::evidence::Pods;
use crate::lifecycle::{Appear, Lifecycle, Vanish};
use crate::sight::{Change, Sighting, Tracked};

/// Where the planner looks up config objects, all in the workload's own namespace.
pub trait Objects {
    /// The object, if it exists.
    fn get(&self, object: &ConfigRef) -> Option<Tracked>;
    /// Objects that the globs of the workload's `afresh.dev/include` match and its excludes do not.
    fn included(&self, workload: &Workload) -> Vec<ConfigRef>;
}

/// What holds for all workloads alike.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Names the digest key of this installation.
    pub key: KeyId,
    /// Since when this installation is responsible: workloads older than this are adopted as they are.
    pub installed: Option<UnixSeconds>,
    /// Config objects are watched by a selector, so that one we do not see may well exist.
    pub partial: bool,
    /// What it means that an object appears or vanishes.
    pub lifecycle: Lifecycle,
}

/// What a plan is made from.
pub struct View<'a, O: ?Sized> {
    /// The workload.
    pub workload: &'a Workload,
    /// When its parts last changed.
    pub sighting: Sighting,
    /// The objects.
    pub objects: &'a O,
    /// What holds for all.
    pub context: Context,
    /// Its pods, if somebody looked.
    pub pods: Option<Pods>,
}

/// What is to be done, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is to be done.
    pub verdict: Verdict,
    /// What was found about each object, in their order.
    pub findings: Vec<Finding>,
    /// What the workload will have been brought up to when it is done.
    pub applied: Applied,
    /// The digest of the files that its pods should hold, where refreshing them is worth anything.
    pub files: Option<Digest>,
    /// When the newest change was written that takes new pods, by the API server's clock: pods made later have it.
    /// `None` where that cannot be told.
    pub changed: Option<UnixSeconds>,
}

/// What is to be done about a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it is current, or nothing can be done.
    Nothing,
    /// Nothing for now: new pods could not start.
    Blocked,
    /// Only write down what it is brought up to.
    Record,
    /// Refresh the files in its pods; the digest of what they should hold.
    Touch(Digest),
    /// Replace its pods; the digest for its template.
    Roll(Digest),
    /// First find out how old its pods are.
    LookAtPods,
}

/// What was found about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The object.
    pub object: ConfigRef,
    /// What is the matter with it.
    pub news: News,
}

/// What is the matter with an object, from the harmless to the grave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The workload is brought up to it.
    Current,
    /// It never triggers anything (`afresh.dev/ignore`).
    Ignored,
    /// The workload searches, and the object does not say that it is to be found (`reloader.stakater.com/match`).
    Unmatched,
    /// It is outside of what is watched, or an included object that is not there, or gone where that counts for nothing.
    Unseen,
    /// A pod that is just being rolled out was the first to get it; when the rollout is over, the pods tell.
    Arriving,
    /// Seen for the first time: recorded as it is.
    Adopted,
    /// Changed, but somebody else's rollout of the workload came after the change, or it has no pods.
    Covered,
    /// Changed; nothing that the policy allows reaches the process.
    Unreachable(Delta),
    /// Changed; the files have to be refreshed.
    Touch(Delta),
    /// Changed; new pods are needed.
    Roll(Delta),
    /// It may have changed since the pods started.
    Uncertain,
    /// New pods could not start for want of it.
    Lacking(Lack),
}

/// From which content to which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta {
    /// What was applied; `None` where that is not known.
    pub from: Option<Digest>,
    /// What is.
    pub to: Digest,
}

/// How far, in seconds, the controller's clock may be ahead of the API server's. Erring costs one look at the pods.
const CLOCK_SKEW: i64 = 60;
/// How far, in seconds, it may be behind. Erring costs a restart too many, where a change and somebody else's rollout
/// both came within this time after a record and nobody watched.
const CLOCK_BEHIND: i64 = 5;

/// Compares and decides.
#[must_use]
pub fn plan<O: Objects + ?Sized>(view: &View<'_, O>) -> Plan {
    let mut draft = Draft::default();
    for usage in &view.workload.uses {
        draft.consider(view, usage);
    }
    for object in view.objects.included(view.workload) {
        if !view.workload.uses.iter().any(|usage| usage.object == object) {
            draft.consider(view, &Use::included(object));
        }
    }
    let verdict = draft.verdict(view.workload);
    let changed = newest_change(view, &draft.findings);
    let files = (!draft.files.is_empty()).then(|| draft.files.config_digest());
    Plan {
        verdict,
        findings: draft.findings,
        applied: draft.applied,
        files,
        changed,
    }
}

#[derive(Default)]
struct Draft {
    findings: Vec<Finding>,
    applied: Applied,
    /// The part of `applied` that a touch brings about.
    files: Applied,
}

impl Draft {
    fn consider<O: Objects + ?Sized>(&mut self, view: &View<'_, O>, usage: &Use) {
        let tracked = view.objects.get(&usage.object);
        let tracked = tracked.as_ref();
        if let Some(news) = aside(view, usage, tracked) {
            self.carry_over(view.workload, &usage.object);
            self.findings.push(Finding {
                object: usage.object.clone(),
                news,
            });
            return;
        }
        let immutable = tracked.is_some_and(|tracked| tracked.object.immutable);
        let classes = usage.classes(view.workload.mode, immutable);
        let mut worst = News::Current;
        for (class, selection) in [
            (Class::Roll, &classes.roll),
            (Class::Touch, &classes.touch),
            (Class::None, &classes.unreachable),
        ] {
            if selection.is_empty() {
                continue;
            }
            let print = fingerprint(view, &usage.object, tracked, selection);
            let part = Part {
                class,
                selection,
                print,
            };
            let news = compare(view, usage, tracked, part);
            worst = if grade(&news) > grade(&worst) { news } else { worst };
            self.apply(view.workload, &usage.object, print, class, &news);
        }
        self.findings.push(Finding {
            object: usage.object.clone(),
            news: worst,
        });
    }

    fn apply(&mut self, workload: &Workload, object: &ConfigRef, print: Fingerprint, class: Class, news: &News) {
        // What cannot be reached stays recorded as it was, so that it stays visible.
        let old = workload
            .record
            .as_ref()
            .and_then(|record| record.applied.digest(object, print.basis));
        let digest = match news {
            // The same keys are refreshed too, and they have one place in the record: the touch must find its end.
            News::Unreachable(_) if self.applied.digest(object, print.basis).is_some() => return,
            News::Unreachable(_) | News::Unseen | News::Arriving => old,
            _ => Some(print.digest),
        };
        if let Some(digest) = digest {
            self.applied.set(object, Fingerprint { digest, ..print });
        }
        if class == Class::Touch {
            self.files.set(object, print);
        }
    }

    fn carry_over(&mut self, workload: &Workload, object: &ConfigRef) {
        let old = workload
            .record
            .as_ref()
            .map_or(&[][..], |record| record.applied.of(object));
        for &print in old {
            self.applied.set(object, print);
        }
    }

    fn verdict(&self, workload: &Workload) -> Verdict {
        let record = workload.record.as_deref();
        let any = |wanted: fn(&News) -> bool| self.findings.iter().any(|finding| wanted(&finding.news));
        let lacking = any(|news| matches!(news, News::Lacking(_)));
        if any(|news| matches!(news, News::Roll(_))) || is_mixed(workload) {
            return if lacking {
                Verdict::Blocked
            } else {
                Verdict::Roll(self.applied.config_digest())
            };
        }
        if any(|news| matches!(news, News::Uncertain)) {
            return Verdict::LookAtPods;
        }
        if any(|news| matches!(news, News::Touch(_))) {
            return Verdict::Touch(self.files.config_digest());
        }
        let recorded = record.is_some_and(|record| record.applied.contains(&self.applied));
        if recorded || self.applied.is_empty() {
            Verdict::Nothing
        } else {
            Verdict::Record
        }
    }
}

/// Its pods are being evicted one by one, so some run on what is recorded and some on what came then: also where the
/// content has gone back, only new pods are surely right.
fn is_mixed(workload: &Workload) -> bool {
    let under_way = workload.record.as_ref().is_some_and(|record| record.evicting.is_some());
    under_way && workload.mode != Mode::Touch
}

fn newest_change<O: Objects + ?Sized>(view: &View<'_, O>, findings: &[Finding]) -> Option<UnixSeconds> {
    if is_mixed(view.workload) {
        return None; // what went back meanwhile is no finding
    }
    let mut newest = None;
    for finding in findings {
        if matches!(finding.news, News::Roll(_) | News::Uncertain) {
            let tracked = view.objects.get(&finding.object)?;
            if time_is_silent(view, Some(&tracked)) {
                return None;
            }
            newest = newest.max(Some(tracked.object.written?));
        }
    }
    newest
}

/// What a change of some keys takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Roll,
    Touch,
    None,
}

/// Keys of an object whose change takes the same.
#[derive(Clone, Copy)]
struct Part<'a> {
    class: Class,
    selection: &'a Selection,
    print: Fingerprint,
}

/// Why an object is not compared at all.
fn aside<O: Objects + ?Sized>(view: &View<'_, O>, usage: &Use, tracked: Option<&Tracked>) -> Option<News> {
    if tracked.is_some_and(|tracked| tracked.object.ignored) {
        return Some(News::Ignored);
    }
    if usage.only_matched && tracked.is_some_and(|tracked| !tracked.object.matched) {
        return Some(News::Unmatched);
    }
    let lack = || {
        usage
            .needs
            .lack(tracked.map(|tracked| &tracked.object))
            .map(News::Lacking)
    };
    if tracked.is_none() {
        if usage.object.kind == ConfigKind::SecretProviderClass {
            return Some(News::Unseen); // no pod mounts it just now, which says nothing of the class
        }
        match view.context.lifecycle.vanish {
            Vanish::Counts if past::had(view, usage) => return None,
            Vanish::Kept => return lack().or(Some(News::Unseen)),
            Vanish::Counts | Vanish::Optional => {}
        }
        if view.context.partial || usage.needs == Needs::Unknown {
            return Some(News::Unseen);
        }
    }
    lack()
}

fn fingerprint<O: Objects + ?Sized>(
    view: &View<'_, O>,
    object: &ConfigRef,
    tracked: Option<&Tracked>,
    selection: &Selection,
) -> Fingerprint {
    let key = (object.kind == ConfigKind::Secret).then_some(view.context.key);
    match tracked {
        Some(tracked) => tracked.object.content.fingerprint(selection, key),
        None => Content::default().fingerprint(selection, key),
    }
}

fn compare<O: Objects + ?Sized>(view: &View<'_, O>, usage: &Use, tracked: Option<&Tracked>, part: Part<'_>) -> News {
    let Part { class, print, .. } = part;
    let record = view.workload.record.as_deref();
    let from = record.and_then(|record| record.applied.digest(&usage.object, print.basis));
    let delta = Delta { from, to: print.digest };
    let doubt = match from {
        Some(digest) if digest == print.digest => return News::Current,
        _ if usage.object.kind == ConfigKind::SecretProviderClass => {
            match rotated(view, usage, tracked, from.is_some()) {
                Ok(doubt) => doubt,
                Err(news) => return news,
            }
        }
        Some(digest) if is_back(view, usage, tracked, digest, part) => return News::Adopted,
        Some(_) => covered(view, tracked),
        None => match told(view, usage, tracked) {
            Told::Nothing => adopted(view, usage, tracked),
            Told::Current => Doubt::Fresh,
            Told::Back if view.context.lifecycle.appear == Appear::Adopted => Doubt::Fresh,
            Told::Back => look(view, tracked),
            Told::Past(doubt) => doubt,
        },
    };
    let doubt = match (doubt, view.workload.rollout) {
        // Nothing is there to be replaced, unless it is just being scaled up.
        (Doubt::Stale, Rollout::Idle) => look(view, tracked),
        (doubt, _) => doubt,
    };
    match (doubt, class) {
        (Doubt::Stale, Class::Roll) => News::Roll(delta),
        (Doubt::Stale, Class::Touch) => News::Touch(delta),
        (Doubt::Stale, Class::None) => News::Unreachable(delta),
        (Doubt::Open, _) => News::Uncertain,
        (Doubt::Fresh, _) if from.is_some() => News::Covered,
        (Doubt::Fresh, _) => News::Adopted,
    }
}

/// Whether the object was recorded as gone, is back, and that counts for nothing.
fn is_back<O: Objects + ?Sized>(
    view: &View<'_, O>,
    usage: &Use,
    tracked: Option<&Tracked>,
    recorded: Digest,
    part: Part<'_>,
) -> bool {
    let adopts = view.context.lifecycle.appear == Appear::Adopted;
    tracked.is_some_and(|tracked| adopts && past::appeared(view, tracked))
        && fingerprint(view, &usage.object, None, part.selection).digest == recorded
}

/// Whether the pods may run older content than the object holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// They do, or they may.
    Stale,
    /// They cannot.
    Fresh,
    /// Nobody knows before somebody looks at the pods.
    Open,
}

/// The content differs from the record. Did somebody else's change of the template come after it? Then the pods that
/// this change brings, or brought, have the content already.
fn covered<O: Objects + ?Sized>(view: &View<'_, O>, tracked: Option<&Tracked>) -> Doubt {
    let recorded = view.workload.record.as_ref().and_then(|record| record.template);
    if view.workload.mode == Mode::Evict {
        // Whose template it is replaces its pods by rules of its own, or not at all: only their ages tell.
        let silent = tracked.is_none() || time_is_silent(view, tracked);
        return if silent { Doubt::Stale } else { look(view, tracked) };
    }
    if let Some(tracked) = tracked {
        let template = view.sighting.template;
        if tracked.changed.surely_before(template) {
            return Doubt::Fresh;
        }
        if tracked.changed.surely_after(template) {
            return Doubt::Stale;
        }
    }
    if tracked.is_none() || recorded == Some(view.workload.template) || time_is_silent(view, tracked) {
        return Doubt::Stale;
    }
    look(view, tracked)
}

/// The content differs from the record, so it changed after that was written. Where the object's own time is older, the
/// change was the removal of a key, which moves no time in `managedFields`: nothing says whether pods came before it.
fn time_is_silent<O: Objects + ?Sized>(view: &View<'_, O>, tracked: Option<&Tracked>) -> bool {
    let written = tracked.and_then(|tracked| tracked.object.written);
    let recorded = view.workload.record.as_ref().map(|record| record.at);
    written
        .zip(recorded)
        .is_some_and(|(written, recorded)| no_later(written, recorded))
}

/// Whether an object whose time this is was surely not written after our own clock read `then`.
const fn no_later(written: UnixSeconds, then: UnixSeconds) -> bool {
    written.0 <= then.0.saturating_add(CLOCK_BEHIND)
}

/// Nothing comparable is recorded. Did the content change since the workload first used it?
fn adopted<O: Objects + ?Sized>(view: &View<'_, O>, usage: &Use, tracked: Option<&Tracked>) -> Doubt {
    let Some(tracked) = tracked else { return Doubt::Fresh };
    if view.context.lifecycle.appear == Appear::Adopted && past::appeared(view, tracked) {
        return Doubt::Fresh;
    }
    let needed = matches!(usage.needs, Needs::Object(_));
    // No container could start before the object was there, so one that is as it was made has been seen by all.
    let untouched = match tracked.change {
        Change::Created => true,
        Change::Found => tracked.object.is_as_made(),
        Change::Modified => false,
    };
    if tracked.changed.surely_before(view.sighting.uses) {
        return Doubt::Fresh;
    }
    if needed && untouched {
        return remade(view, tracked);
    }
    if tracked.changed.surely_after(view.sighting.uses) {
        return look(view, Some(tracked));
    }
    if since_responsible(view, tracked) {
        look(view, Some(tracked))
    } else {
        Doubt::Fresh
    }
}

/// The object is as it was made, after the workload that cannot start without it: for the first time, or was another one
/// of that name there, on which its pods run?
fn remade<O: Objects + ?Sized>(view: &View<'_, O>, tracked: &Tracked) -> Doubt {
    let later = tracked.object.created > view.workload.created;
    if view.workload.record.is_some() || !later || !since_responsible(view, tracked) {
        return Doubt::Fresh;
    }
    match view.pods {
        None => Doubt::Open,
        Some(pods) if pods.ran_before(&tracked.object) => Doubt::Stale,
        Some(_) => Doubt::Fresh,
    }
}

/// Whether the object was written when this installation was already answerable for the workload.
fn since_responsible<O: Objects + ?Sized>(view: &View<'_, O>, tracked: &Tracked) -> bool {
    let workload = view.workload;
    let marked = workload.marks.as_ref().and_then(|marks| marks.observed_at());
    let from = match (
        workload.record.as_ref().map(|record| record.at).or(marked),
        workload.created,
        view.context.installed,
    ) {
        // Our own clock wrote this one, or Reloader's: it names its last reload only, whichever object that was for,
        // so what changed after it was missed. The API server's clock wrote the others.
        (Some(at), _, _) => UnixSeconds(at.0.saturating_sub(CLOCK_SKEW)),
        (None, Some(created), Some(installed)) if created >= installed => created,
        _ => return false,
    };
    tracked.object.written.is_some_and(|written| written >= from)
}

fn look<O: Objects + ?Sized>(view: &View<'_, O>, tracked: Option<&Tracked>) -> Doubt {
    match view.pods {
        None => Doubt::Open,
        Some(pods) if pods.may_be_stale(tracked.map(|tracked| &tracked.object)) => Doubt::Stale,
        Some(_) => Doubt::Fresh,
    }
}

/// The graver news of an object is told.
const fn grade(news: &News) -> u8 {
    match news {
        News::Current => 0,
        News::Ignored | News::Unmatched => 1,
        News::Unseen => 2,
        News::Arriving => 3,
        News::Adopted => 4,
        News::Covered => 5,
        News::Unreachable(_) => 6,
        News::Touch(_) => 7,
        News::Uncertain => 8,
        News::Roll(_) => 9,
        News::Lacking(_) => 10,
    }
}

mod past;
mod rotation;

use past::{Told, told};
use rotation::rotated;

#[cfg(test)]
mod tests;
