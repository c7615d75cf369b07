//! Which pod to evict next.
//!
//! Pods of a template that another operator owns are replaced one at a time: a pod made at or before a given time goes,
//! and the next one only when everything newer is ready and nobody is missing. What has happened stands in the cluster
//! (the pods' ages), so a pass can be repeated, or done by the next leader, at any point.

use afresh_model::name::Name;
use afresh_model::time::UnixSeconds;

/// A pod of a workload, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.name`.
    pub name: Name,
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.creationTimestamp`; `None` counts as old.
    pub created: Option<UnixSeconds>,
    /// Its condition `Ready` is `True`.
    pub ready: bool,
    /// It is being deleted.
    pub leaving: bool,
    /// Some controller owns it, and makes another one in its place.
    pub owned: bool,
}

/// What one look at the pods comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// No pod is left that is to go.
    Done,
    /// Evict this one.
    Evict {
        /// Its name.
        pod: Name,
        /// Its UID.
        uid: Box<str>,
    },
    /// First the pods that are there have to become ready, or missing ones be made.
    Wait,
}

/// Decides the next step. `wanted` is how many pods there should be, where that is known.
///
/// Pods that are not ready go first: they serve nobody, and may be what the change is to mend. Among equals the youngest
/// goes first, as in a StatefulSet's own rollout: the oldest is often the one that leads.
///
/// A pod that no controller owns would not come back: it is never evicted, and does not count.
#[must_use]
pub fn next(pods: &[Pod], since: UnixSeconds, wanted: Option<u64>) -> Step {
    let owned = || pods.iter().filter(|pod| pod.owned);
    let staying = || owned().filter(|pod| !pod.leaving);
    let is_old = |pod: &&Pod| pod.created.is_none_or(|created| created <= since);
    let Some(next) = staying()
        .filter(is_old)
        .min_by_key(|pod| (pod.ready, std::cmp::Reverse((pod.created, &pod.name))))
    else {
        return Step::Done;
    };
    let complete = match wanted {
        Some(wanted) => staying().count() as u64 >= wanted,
        None => !owned().any(|pod| pod.leaving),
    };
    if complete && staying().all(|pod| pod.ready || is_old(&pod)) {
        Step::Evict {
            pod: next.name.clone(),
            uid: next.uid.clone(),
        }
    } else {
        Step::Wait
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SINCE: UnixSeconds = UnixSeconds(100);

    fn pod(name: &str, created: i64) -> Pod {
        Pod {
            name: name.parse().unwrap(),
            uid: format!("uid-{name}").into(),
            created: Some(UnixSeconds(created)),
            ready: true,
            leaving: false,
            owned: true,
        }
    }

    fn evicted(step: &Step) -> &str {
        match step {
            Step::Evict { pod, .. } => pod.as_str(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pods_that_are_newer_stay_and_the_same_second_is_old() {
        assert_eq!(next(&[pod("a", 101)], SINCE, Some(1)), Step::Done);
        assert_eq!(next(&[], SINCE, Some(3)), Step::Done);
        assert_eq!(evicted(&next(&[pod("a", 100)], SINCE, Some(1))), "a");
        let unknown = Pod {
            created: None,
            ..pod("a", 0)
        };
        assert_eq!(evicted(&next(&[unknown], SINCE, Some(1))), "a");
    }

    #[test]
    fn the_next_pod_waits_until_the_one_before_is_ready_again() {
        let starting = Pod {
            ready: false,
            ..pod("new", 120)
        };
        let mut pods = vec![pod("a", 1), pod("b", 2)];
        assert_eq!(
            next(&pods, SINCE, Some(3)),
            Step::Wait,
            "its replacement is not there yet"
        );
        pods.push(starting);
        assert_eq!(
            next(&pods, SINCE, Some(3)),
            Step::Wait,
            "its replacement is not ready yet"
        );
        pods[2].ready = true;
        assert_eq!(evicted(&next(&pods, SINCE, Some(3))), "b");
    }

    #[test]
    fn where_nobody_says_how_many_there_should_be_a_pod_that_leaves_is_waited_for() {
        let leaving = Pod {
            leaving: true,
            ..pod("a", 1)
        };
        let pods = [leaving, pod("b", 2)];
        assert_eq!(next(&pods, SINCE, None), Step::Wait);
        assert_eq!(evicted(&next(&pods, SINCE, Some(1))), "b");
    }

    #[test]
    fn a_pod_that_crashes_on_the_old_content_goes_first_and_does_not_hold_the_others_up() {
        let crashing = |name| Pod {
            ready: false,
            ..pod(name, 1)
        };
        let pods = [pod("well", 50), crashing("b"), crashing("a")];
        assert_eq!(evicted(&next(&pods, SINCE, Some(3))), "b");
    }

    #[test]
    fn new_content_that_does_not_start_stops_at_the_first_pod() {
        let crashing = Pod {
            ready: false,
            ..pod("new", 120)
        };
        assert_eq!(next(&[crashing, pod("a", 1), pod("b", 1)], SINCE, Some(3)), Step::Wait);
    }

    #[test]
    fn a_pod_that_would_not_come_back_is_left_alone() {
        let bare = Pod {
            owned: false,
            ready: false,
            ..pod("bare", 1)
        };
        assert_eq!(next(&[bare.clone(), pod("new", 120)], SINCE, Some(1)), Step::Done);
        assert_eq!(evicted(&next(&[bare, pod("old", 1)], SINCE, Some(1))), "old");
    }

    /// What a workload's controller and its nodes do meanwhile.
    #[derive(Debug, Clone, Copy)]
    enum Event {
        /// The first pod that leaves is gone.
        Gone,
        /// A missing pod is made.
        Made,
        /// The first pod that is not ready becomes so.
        Ready,
        /// We look, and do what we find.
        Pass,
    }

    fn happen(event: Event, pods: &mut Vec<Pod>, wanted: usize, knows: bool, clock: &mut i64) -> usize {
        *clock += 1;
        let staying = pods.iter().filter(|pod| !pod.leaving).count();
        match event {
            Event::Gone => {
                if let Some(place) = pods.iter().position(|pod| pod.leaving) {
                    pods.remove(place);
                }
            }
            Event::Made if staying < wanted => pods.push(Pod {
                ready: false,
                ..pod(&format!("made-{clock}"), *clock)
            }),
            Event::Made => {}
            Event::Ready => {
                if let Some(pod) = pods.iter_mut().find(|pod| !pod.ready && !pod.leaving) {
                    pod.ready = true;
                }
            }
            Event::Pass => {
                let known = knows.then_some(wanted as u64);
                if let Step::Evict { uid, .. } = next(pods, SINCE, known) {
                    let gone = pods.iter_mut().find(|pod| pod.uid == uid).unwrap();
                    assert!(!gone.leaving && gone.created.unwrap() <= SINCE);
                    gone.leaving = true;
                    return 1;
                }
            }
        }
        0
    }

    proptest! {
        #[test]
        fn never_more_than_one_pod_is_missing_and_every_old_one_goes_once(
            ages in prop::collection::vec(1i64..=100, 1..6),
            events in prop::collection::vec(
                prop::sample::select(vec![Event::Gone, Event::Made, Event::Ready, Event::Pass]), 0..200),
        ) {
            let wanted = ages.len();
            let mut pods: Vec<Pod> = ages.iter().enumerate().map(|(n, age)| pod(&format!("old-{n}"), *age)).collect();
            let mut clock = 200;
            let mut evictions = 0;
            let rest = [Event::Pass, Event::Gone, Event::Made, Event::Ready].into_iter().cycle().take(4 * (wanted + 1));
            for event in events.into_iter().chain(rest) {
                evictions += happen(event, &mut pods, wanted, true, &mut clock);
                let ready = pods.iter().filter(|pod| pod.ready && !pod.leaving).count();
                prop_assert!(ready + 1 >= wanted, "{pods:?}");
            }
            prop_assert_eq!(next(&pods, SINCE, Some(wanted as u64)), Step::Done);
            prop_assert_eq!(evictions, wanted);
        }

        #[test]
        fn a_pass_that_is_repeated_before_anything_happens_evicts_nobody_else(
            pods in prop::collection::vec((1i64..=120, any::<bool>(), any::<bool>()), 0..6),
        ) {
            let mut pods: Vec<Pod> = pods.into_iter().enumerate().map(|(n, (created, ready, leaving))| {
                Pod { ready, leaving, ..pod(&format!("p-{n}"), created) }
            }).collect();
            let wanted = pods.iter().filter(|pod| !pod.leaving).count();
            for known in [Some(wanted as u64), None] {
                if let Step::Evict { uid, .. } = next(&pods, SINCE, known) {
                    pods.iter_mut().find(|pod| pod.uid == uid).unwrap().leaving = true;
                    let again = next(&pods, SINCE, known);
                    prop_assert!(!matches!(again, Step::Evict { .. }), "{again:?}");
                }
            }
        }
    }
}
