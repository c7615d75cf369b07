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
    /// When the first of them had started all of its containers; `None` if none has, or if that was not looked at.
    pub started: Option<UnixSeconds>,
    /// It is known that they were brought up to what there is, though nothing says any more which of them were: those
    /// made within the second of a change were made for it.
    pub brought_up: bool,
}

impl Pods {
    /// Gathers the creation times of the pods that are not going away.
    #[must_use]
    pub fn of(created: impl IntoIterator<Item = UnixSeconds>) -> Self {
        let none = Self {
            oldest: None,
            newest: None,
            behind: false,
            started: None,
            brought_up: false,
        };
        created.into_iter().fold(none, |pods, created| Self {
            oldest: Some(pods.oldest.map_or(created, |oldest| oldest.min(created))),
            newest: pods.newest.max(Some(created)),
            behind: true,
            ..pods
        })
    }

    /// The same with when each pod, of those that have, had started all of its containers.
    #[must_use]
    pub fn having_started(self, started: impl IntoIterator<Item = UnixSeconds>) -> Self {
        Self {
            started: started.into_iter().min(),
            ..self
        }
    }

    /// Whether some pod ran before the object was made. If it cannot start without the object, it started on another one
    /// of that name. Within the same second it counts as later: that is how everything is made that is applied together.
    #[must_use]
    pub fn ran_before(self, object: &ConfigObject) -> bool {
        self.started
            .zip(object.created)
            .is_some_and(|(started, created)| started < created)
    }

    /// Whether some pod may have started on older content. API times have whole seconds: within the same one the pod
    /// counts as older, because a restart too many is better than a change missed; unless all were brought up to it.
    #[must_use]
    pub fn may_be_stale(self, object: Option<&ConfigObject>) -> bool {
        let Some(oldest) = self.oldest else { return false };
        match object.and_then(|object| object.written) {
            Some(written) => written > oldest || written == oldest && !self.brought_up,
            None => true,
        }
    }
}
