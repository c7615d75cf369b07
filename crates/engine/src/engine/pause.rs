//! Paused Deployments: all there is to know stands on them, so whoever leads ends their pause in time.

use afresh_model::reloader::pause::Release;

use super::*;

impl Engine {
    /// The pause that is to end now. It comes before anything else: a roll that is refused for ever must not keep a
    /// workload paused.
    pub(super) fn pause_to_end(&self, id: WorkloadId, now: Now) -> Option<End> {
        let workload = self.index.workload(id)?.workload;
        let resume = match workload.pause.as_ref()?.release(now.wall)? {
            Release::Resume => true,
            Release::Forget => false,
            Release::ResumeAt(_) => return None,
        };
        Some(End {
            resume,
            seen: workload.revision,
        })
    }

    /// Sees to it that the workload is considered when its pause is over, whatever else it waits for.
    pub(super) fn wake_to_end_pause(&mut self, id: WorkloadId, now: Now) {
        let pause = self.index.workload(id).and_then(|known| known.workload.pause);
        let Some(Release::ResumeAt(at)) = pause.and_then(|pause| pause.release(now.wall)) else {
            return;
        };
        let due = now.until(at);
        if self.agenda.wait(id).is_none_or(|(_, other)| other > due) {
            self.agenda.at(id, due, Why::Paused);
        }
    }
}

/// Whether the workload should not be paused, by whatever clock.
pub(super) fn is_over_due(workload: &Workload) -> bool {
    let release = workload
        .pause
        .as_ref()
        .and_then(|pause| pause.release(UnixSeconds(i64::MAX)));
    release.is_some()
}
