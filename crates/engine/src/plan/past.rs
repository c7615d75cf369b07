//! What is known of the past where no record of ours tells it: Reloader's marks, and what appeared or vanished.

use afresh_model::reloader::marks::Mark;
use afresh_model::usage::Use;

use super::compare::{Doubt, fingerprint, look, no_later};
use super::{Objects, View};
use crate::sight::{Change, Tracked};

/// What Reloader's marks say of content that our record does not know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing: it is as if there were none.
    Nothing,
    /// The pods are on this content.
    Current,
    /// They were made for other content, or nobody knows.
    Past(Doubt),
    /// They were replaced when the object was gone, and it is back.
    Back,
}

/// What the marks say of the object.
pub(super) fn told<O: Objects + ?Sized>(view: &View<'_, O>, usage: &Use, tracked: Option<&Tracked>) -> Told {
    let Some(marks) = &view.workload.marks else {
        return Told::Nothing;
    };
    let others = view.workload.uses.iter().map(|usage| &usage.object);
    match (marks.of(&usage.object, others), tracked) {
        (Mark::None, _) => Told::Nothing,
        (Mark::Deleted, None) | (Mark::Unsure, None) => Told::Current,
        (Mark::Deleted, Some(_)) => Told::Back,
        (Mark::At(hash), Some(tracked)) if tracked.object.sha1 == Some(hash) => Told::Current,
        (Mark::At(_), _) => Told::Past(since_marked(view, tracked)),
        (Mark::Unsure, Some(_)) => Told::Past(look(view, tracked)),
    }
}

/// The content differs from the mark: it changed after that was made. Did somebody else's rollout come after the change?
fn since_marked<O: Objects + ?Sized>(view: &View<'_, O>, tracked: Option<&Tracked>) -> Doubt {
    let Some(tracked) = tracked else { return Doubt::Stale };
    let template = view.sighting.template;
    if tracked.changed.surely_before(template) {
        return Doubt::Fresh;
    }
    if tracked.changed.surely_after(template) {
        return Doubt::Stale;
    }
    let marked = view.workload.marks.as_ref().and_then(|marks| marks.observed_at());
    let silent = tracked
        .object
        .written
        .zip(marked)
        .is_some_and(|(written, marked)| no_later(written, marked));
    if silent {
        Doubt::Stale
    } else {
        look(view, Some(tracked))
    }
}

/// Whether the object came into being after the workload was last brought up to what there was.
pub(super) fn appeared<O: Objects + ?Sized>(view: &View<'_, O>, tracked: &Tracked) -> bool {
    match tracked.change {
        Change::Created => true,
        Change::Modified => false,
        Change::Found => {
            let recorded = view.workload.record.as_ref().map(|record| record.at);
            tracked
                .object
                .created
                .zip(recorded)
                .is_some_and(|(created, recorded)| created > recorded)
        }
    }
}

/// Whether the workload was brought up to content of an object that has vanished since.
pub(super) fn had<O: Objects + ?Sized>(view: &View<'_, O>, usage: &Use) -> bool {
    let record = view.workload.record.as_ref();
    let known = record.map_or(&[][..], |record| record.applied.of(&usage.object));
    if known.is_empty() {
        return matches!(told(view, usage, None), Told::Past(_));
    }
    let classes = usage.classes(view.workload.mode, false);
    let selections = [classes.roll, classes.touch, classes.unreachable];
    let gone = selections
        .iter()
        .map(|selection| fingerprint(view, &usage.object, None, selection));
    // A record of other keys says nothing of these.
    gone.into_iter().any(|gone| {
        known
            .iter()
            .any(|known| known.basis == gone.basis && known.digest != gone.digest)
    })
}
