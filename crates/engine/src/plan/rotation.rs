//! What a SecretProviderClass says whose content is not what the workload was brought up to.

use afresh_model::time::UnixSeconds;
use afresh_model::usage::Use;
use afresh_model::workload::Rollout;

use super::compare::{CLOCK_SKEW, Doubt, adopted, covered};
use super::news::News;
use super::past::{Told, told};
use super::{Objects, View};
use crate::sight::{Change, Tracked};

/// The content of a SecretProviderClass differs from the record, or is not recorded. The error is that it has to wait.
pub(super) fn rotated<O: Objects + ?Sized>(
    view: &View<'_, O>,
    usage: &Use,
    tracked: Option<&Tracked>,
    recorded: bool,
) -> Result<Doubt, News> {
    let known = match (recorded, told(view, usage, tracked)) {
        (true, _) => Known::Recorded,
        (false, Told::Current) => return Ok(Doubt::Fresh),
        (false, Told::Past(doubt)) => Known::Marked(doubt),
        (false, Told::Nothing | Told::Back) => Known::No,
    };
    match (mounted(view, tracked, known), known) {
        (Mounted::Known(doubt), _) | (Mounted::AsAnyOther, Known::Marked(doubt)) => Ok(doubt),
        (Mounted::Unclear(news), _) => Err(news),
        (Mounted::AsAnyOther, Known::Recorded) => Ok(covered(view, tracked)),
        (Mounted::AsAnyOther, Known::No) => Ok(adopted(view, usage, tracked)),
    }
}

/// What a workload was brought up to of a SecretProviderClass, where that is not its content now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Nobody knows.
    No,
    /// Reloader's mark says that it was other content, and this is what follows from the times.
    Marked(Doubt),
    /// The record says that it was other content.
    Recorded,
}

/// What the mounts of a SecretProviderClass say, whose content differs from what is known or of which nothing is known.
enum Mounted {
    /// Enough.
    Known(Doubt),
    /// That it has to wait.
    Unclear(News),
    /// That their versions were written into running pods, as a ConfigMap's files are.
    AsAnyOther,
}

/// A pod that mounts a volume gets the newest versions, and so is often the first to tell of them. That pod is current,
/// and whatever else a rollout brings; pods that were there before are not.
fn mounted<O: Objects + ?Sized>(view: &View<'_, O>, tracked: Option<&Tracked>, known: Known) -> Mounted {
    let Some(tracked) = tracked else {
        return Mounted::AsAnyOther;
    };
    let written = tracked.object.written;
    let record = view.workload.record.as_ref().filter(|_| known == Known::Recorded);
    let lags = |written: UnixSeconds, at: UnixSeconds| written.0 < at.0.saturating_sub(CLOCK_SKEW);
    if written
        .zip(record)
        .is_some_and(|(written, record)| lags(written, record.at))
    {
        return Mounted::Unclear(News::Unseen); // all that is left is a pod that has not yet got what is recorded
    }
    if written.is_none() || !tracked.object.is_as_made() {
        return Mounted::AsAnyOther;
    }
    if known == Known::No && tracked.change != Change::Modified {
        return Mounted::Known(Doubt::Fresh); // it is as it was first mounted
    }
    match view.pods {
        _ if view.workload.rollout == Rollout::InProgress => Mounted::Unclear(News::Arriving),
        None => Mounted::Known(Doubt::Open),
        Some(pods) if pods.behind => Mounted::Known(Doubt::Stale),
        Some(_) => Mounted::Known(Doubt::Fresh),
    }
}
