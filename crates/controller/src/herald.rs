//! From the engine's notices to Kubernetes Events.

use afresh_engine::notice::{Notice, Reason, Subject};
use afresh_k8s::event::{self, Regarding, Severity};

/// The Event of a notice.
pub(crate) fn event(notice: &Notice) -> event::Notice {
    event::Notice {
        regarding: match &notice.subject {
            Subject::Workload(key, uid) => Regarding::workload(key, uid),
            Subject::Object(key) => Regarding::config(key),
        },
        severity: if notice.reason.is_warning() {
            Severity::Warning
        } else {
            Severity::Normal
        },
        reason: notice.reason.word(),
        action: action(notice.reason),
        note: notice.note.clone(),
    }
}

/// What was done, as `Event.action` wants it.
const fn action(reason: Reason) -> &'static str {
    match reason {
        Reason::Rolled => "Roll",
        Reason::Touched => "Touch",
        Reason::Failed => "Retry",
        Reason::Flapping => "HoldBack",
        Reason::Evicting | Reason::Evicted | Reason::EvictionRefused => "Evict",
        Reason::Missing | Reason::Unreachable | Reason::InvalidAnnotation => "Report",
    }
}
