//! One object against what is known of it: is the workload brought up to it, and if not, do its pods run on other content?

use afresh_model::content::Content;
use afresh_model::digest::{Digest, Fingerprint};
use afresh_model::name::{ConfigKind, ConfigRef};
use afresh_model::selection::Selection;
use afresh_model::time::UnixSeconds;
use afresh_model::usage::{Mode, Needs, Use};
use afresh_model::workload::Rollout;

use super::news::{Delta, News};
use super::past::{self, Told, told};
use super::rotation::rotated;
use super::{Objects, View};
use crate::lifecycle::{Appear, Vanish};
use crate::sight::{Change, Tracked};

/// How far, in seconds, the controller's clock may be ahead of the API server's. Erring costs one look at the pods.
pub(super) const CLOCK_SKEW: i64 = 60;
/// How far, in seconds, it may be behind. Erring costs a restart too many, where a change and somebody else's rollout
/// both came within this time after a record and nobody watched.
const CLOCK_BEHIND: i64 = 5;

/// What a change of some keys takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Roll,
    Touch,
    None,
}

/// Keys of an object whose change takes the same.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) class: Class,
    pub(super) selection: &'a Selection,
    pub(super) print: Fingerprint,
}

/// Why an object is not compared at all.
pub(super) fn aside<O: Objects + ?Sized>(view: &View<'_, O>, usage: &Use, tracked: Option<&Tracked>) -> Option<News> {
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

pub(super) fn fingerprint<O: Objects + ?Sized>(
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

pub(super) fn compare<O: Objects + ?Sized>(
    view: &View<'_, O>,
    usage: &Use,
    tracked: Option<&Tracked>,
    part: Part<'_>,
) -> News {
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
pub(super) enum Doubt {
    /// They do, or they may.
    Stale,
    /// They cannot.
    Fresh,
    /// Nobody knows before somebody looks at the pods.
    Open,
}

/// The content differs from the record. Did somebody else's change of the template come after it? Then the pods that
/// this change brings, or brought, have the content already.
pub(super) fn covered<O: Objects + ?Sized>(view: &View<'_, O>, tracked: Option<&Tracked>) -> Doubt {
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
pub(super) fn time_is_silent<O: Objects + ?Sized>(view: &View<'_, O>, tracked: Option<&Tracked>) -> bool {
    let written = tracked.and_then(|tracked| tracked.object.written);
    let recorded = view.workload.record.as_ref().map(|record| record.at);
    written
        .zip(recorded)
        .is_some_and(|(written, recorded)| no_later(written, recorded))
}

/// Whether an object whose time this is was surely not written after our own clock read `then`.
pub(super) const fn no_later(written: UnixSeconds, then: UnixSeconds) -> bool {
    written.0 <= then.0.saturating_add(CLOCK_BEHIND)
}

/// Nothing comparable is recorded. Did the content change since the workload first used it?
pub(super) fn adopted<O: Objects + ?Sized>(view: &View<'_, O>, usage: &Use, tracked: Option<&Tracked>) -> Doubt {
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

pub(super) fn look<O: Objects + ?Sized>(view: &View<'_, O>, tracked: Option<&Tracked>) -> Doubt {
    match view.pods {
        None => Doubt::Open,
        Some(pods) if pods.may_be_stale(tracked.map(|tracked| &tracked.object)) => Doubt::Stale,
        Some(_) => Doubt::Fresh,
    }
}
