//! Who leads: a pure decision over what the Lease says and when we saw it say so.
//!
//! Expiry is counted on our own clock from the moment *we* saw the record change (as client-go does), never by
//! comparing two machines' wall clocks. A leader stops acting [`Terms::renew_deadline`] after its last renewal, which
//! is before [`Terms::duration`], the earliest moment another may take over.

use std::time::Duration;

use crate::time::Millis;

/// The times of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long others wait after a renewal before they take over.
    pub duration: Duration,
    /// How long after its last renewal a leader still acts.
    pub renew_deadline: Duration,
    /// How often a leader renews and others look.
    pub retry: Duration,
}

impl Default for Terms {
    /// 15, 10 and 2 seconds, as kube-controller-manager.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            duration: seconds(15),
            renew_deadline: seconds(10),
            retry: seconds(2),
        }
    }
}

/// What the Lease said when it was last read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `spec.holderIdentity`; `None` where the Lease is absent or was released.
    pub holder: Option<String>,
    /// `spec.leaseDurationSeconds`: the holder's own terms count.
    pub duration: Duration,
    /// A text that differs after every write: the resource version.
    pub version: String,
}

/// What to do about the Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Write our name into it.
    Acquire,
    /// Write a new renew time into it.
    Renew,
    /// Somebody else holds it; look again after [`Terms::retry`].
    Wait,
}

/// What we remember between two looks at the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    version: Option<String>,
    changed: Millis,
}

impl Observation {
    /// Nothing was seen yet.
    #[must_use]
    pub const fn new(now: Millis) -> Self {
        Self {
            version: None,
            changed: now,
        }
    }

    /// Takes note of what was read at `now`, and decides.
    pub fn decide(&mut self, seen: Option<&Seen>, me: &str, now: Millis) -> Decision {
        let Some(seen) = seen else { return Decision::Acquire };
        if self.version.as_deref() != Some(&seen.version) {
            self.version = Some(seen.version.clone());
            self.changed = now;
        }
        match seen.holder.as_deref() {
            None | Some("") => Decision::Acquire,
            Some(holder) if holder == me => Decision::Renew,
            Some(_) if now.since(self.changed) >= seen.duration => Decision::Acquire,
            Some(_) => Decision::Wait,
        }
    }
}

/// Until when a leader may act: from the moment it *sent* its last successful write.
#[must_use]
pub fn acts_until(sent: Millis, terms: Terms) -> Millis {
    sent.after(terms.renew_deadline)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(holder: &str, version: &str) -> Seen {
        let holder = (!holder.is_empty()).then(|| holder.to_owned());
        Seen {
            holder,
            duration: Duration::from_secs(15),
            version: version.to_owned(),
        }
    }

    #[test]
    fn an_absent_or_released_lease_is_free() {
        let mut view = Observation::new(Millis(0));
        assert_eq!(view.decide(None, "a", Millis(0)), Decision::Acquire);
        assert_eq!(view.decide(Some(&seen("", "1")), "a", Millis(0)), Decision::Acquire);
    }

    #[test]
    fn our_own_lease_is_renewed() {
        assert_eq!(
            Observation::new(Millis(0)).decide(Some(&seen("a", "1")), "a", Millis(9)),
            Decision::Renew
        );
    }

    #[test]
    fn anothers_lease_is_free_only_after_it_stood_still_for_its_whole_duration_under_our_eyes() {
        let mut view = Observation::new(Millis(0));
        assert_eq!(view.decide(Some(&seen("b", "1")), "a", Millis(100_000)), Decision::Wait);
        assert_eq!(view.decide(Some(&seen("b", "1")), "a", Millis(114_999)), Decision::Wait);
        assert_eq!(view.decide(Some(&seen("b", "2")), "a", Millis(115_000)), Decision::Wait);
        assert_eq!(view.decide(Some(&seen("b", "2")), "a", Millis(129_999)), Decision::Wait);
        assert_eq!(
            view.decide(Some(&seen("b", "2")), "a", Millis(130_000)),
            Decision::Acquire
        );
    }

    proptest! {
        /// A leader that renews at `sent` and is cut off; a standby that looks at any times whatsoever.
        #[test]
        fn no_two_act_at_once(sent in 0..60_000u64, looks in prop::collection::vec(0..120_000u64, 1..60)) {
            let terms = Terms::default();
            let mut looks = looks;
            looks.sort_unstable();
            let mut view = Observation::new(Millis(0));
            for look in looks {
                // The write becomes visible at the earliest when it was sent.
                let version = if look >= sent { "2" } else { "1" };
                if view.decide(Some(&seen("leader", version)), "standby", Millis(look)) == Decision::Acquire {
                    prop_assume!(look >= sent); // before, the leader had not renewed and is another story
                    prop_assert!(Millis(look) > acts_until(Millis(sent), terms));
                    break;
                }
            }
        }
    }
}
