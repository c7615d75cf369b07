//! What the pods of a workload prove, where revisions prove nothing.

use afresh_model::object::ConfigObject;
use afresh_model::time::UnixSeconds;

/// The pods of a workload when somebody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pods {
    /// When the oldest one that is not going away was created; `None` if there is none.
    pub oldest: Option<UnixSeconds>,
    /// When the newest one was.
    pub newest: Option<UnixSeconds>,
    /// Whether one of them was not surely mounted with what the CSI classes it uses hold now.
    pub behind: bool,
}

impl Pods {
    /// Gathers the creation times of the pods that are not going away.
    #[must_use]
    pub fn of(created: impl IntoIterator<Item = UnixSeconds>) -> Self {
        let none = Self {
            oldest: None,
            newest: None,
            behind: false,
        };
        created.into_iter().fold(none, |pods, created| Self {
            oldest: Some(pods.oldest.map_or(created, |oldest| oldest.min(created))),
            newest: pods.newest.max(Some(created)),
            behind: true,
        })
    }

    /// Whether some pod may have started on older content. API times have whole seconds: within the same one the pod
    /// counts as older, because a restart too many is better than a change missed.
    #[must_use]
    pub fn may_be_stale(self, object: Option<&ConfigObject>) -> bool {
        let Some(oldest) = self.oldest else { return false };
        match object.and_then(|object| object.written) {
            Some(written) => written >= oldest,
            None => true,
        }
    }
}
