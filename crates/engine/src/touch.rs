//! Which pods to touch when.
//!
//! A touch makes the kubelet sync the pod now. It may come too early: under the Watch strategy a moment before the
//! kubelet's own watch brings the new object, under the Cache strategy up to its TTL before (kubelet.md sections 5 and
//! 7), and nothing in the API tells. So each pod is touched again, after each pause of a schedule. What has happened
//! stands on the pod (`afresh.dev/touched`), so a new leader goes on where the last one stopped.

use std::time::Duration;

use afresh_model::digest::Digest;
use afresh_model::name::Name;
use afresh_model::time::UnixSeconds;
use serde::{Deserialize, Serialize};

/// A pod made this long after the first touch has surely started on the new content.
const NEWBORN: u64 = 10;

/// A pod that may have to be touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.name`.
    pub name: Name,
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.creationTimestamp`.
    pub created: Option<UnixSeconds>,
    /// `afresh.dev/touched`, as it is.
    pub touched: Option<Box<str>>,
}

/// The value of `afresh.dev/touched`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// The digest of the files that the pod should have.
    pub config: String,
    /// How many touches it got for them.
    pub count: u32,
    /// When the first of them was.
    first: String,
    /// When the last of them was.
    at: String,
}

impl Touched {
    /// Reads the annotation; what cannot be read counts as never touched.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text)
            .ok()
            .filter(|touched: &Self| touched.count > 0)
    }

    /// Whether it was written by another clock, or by a person: nobody waits for that to come.
    fn is_ahead_of(&self, now: UnixSeconds) -> bool {
        self.first.parse::<UnixSeconds>().is_ok_and(|first| first > now)
    }

    fn next(before: Option<Self>, config: Digest, now: UnixSeconds) -> Self {
        let at = now.to_string();
        match before {
            Some(before) => Self {
                count: before.count.saturating_add(1),
                at,
                ..before
            },
            None => Self {
                config: config.to_string(),
                count: 1,
                first: at.clone(),
                at,
            },
        }
    }
}

/// One pod to touch now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// The pod's name.
    pub pod: Name,
    /// Its UID.
    pub uid: Box<str>,
    /// The annotation's new value.
    pub value: String,
}

/// What one look at the pods comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// Touch these, now.
    pub now: Vec<Touch>,
    /// And look again then; `None` if nothing is left to do after `now`.
    pub again: Option<UnixSeconds>,
}

impl Pass {
    /// Whether every pod can be taken as fresh.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.now.is_empty() && self.again.is_none()
    }
}

/// Plans one pass. `schedule` holds the pauses after the first touch, counted from it, in growing order.
#[must_use]
pub fn pass(pods: &[Pod], config: Digest, schedule: &[Duration], now: UnixSeconds) -> Pass {
    let wanted = config.to_string();
    let current = |pod: &Pod| {
        pod.touched
            .as_deref()
            .and_then(Touched::parse)
            .filter(|touched| touched.config == wanted && !touched.is_ahead_of(now))
    };
    let known: Vec<(&Pod, Option<Touched>)> = pods.iter().map(|pod| (pod, current(pod))).collect();
    let first = known
        .iter()
        .filter_map(|(_, touched)| touched.as_ref()?.first.parse::<UnixSeconds>().ok())
        .min();
    let mut plan = Pass {
        now: Vec::new(),
        again: None,
    };
    for (pod, touched) in known {
        match due(pod, touched.as_ref(), first, schedule) {
            None => {}
            Some(at) if at <= now => {
                let next = Touched::next(touched, config, now);
                if let Some(&pause) = schedule.get(next.count as usize - 1) {
                    earliest(
                        &mut plan.again,
                        next.first.parse().map_or(now, |first| later(first, pause)),
                    );
                }
                if let Ok(value) = serde_json::to_string(&next) {
                    plan.now.push(Touch {
                        pod: pod.name.clone(),
                        uid: pod.uid.clone(),
                        value,
                    });
                }
            }
            Some(at) => earliest(&mut plan.again, at),
        }
    }
    plan
}

/// When the pod is to be touched next; `None` if it needs no more.
fn due(pod: &Pod, touched: Option<&Touched>, first: Option<UnixSeconds>, schedule: &[Duration]) -> Option<UnixSeconds> {
    let Some(touched) = touched else {
        let newborn = matches!((pod.created, first), (Some(created), Some(first)) if created.since(first) >= NEWBORN);
        return (!newborn).then_some(UnixSeconds(i64::MIN));
    };
    let pause = *schedule.get(usize::try_from(touched.count).ok()?.checked_sub(1)?)?;
    Some(
        touched
            .first
            .parse()
            .map_or(UnixSeconds(i64::MIN), |first| later(first, pause)),
    )
}

/// Whole seconds, rounded up: API times have no finer ones.
fn later(time: UnixSeconds, pause: Duration) -> UnixSeconds {
    let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
    UnixSeconds(time.0.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX)))
}

fn earliest(slot: &mut Option<UnixSeconds>, at: UnixSeconds) {
    *slot = Some(slot.map_or(at, |known| known.min(at)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const SCHEDULE: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(65)];

    fn config(name: &str) -> Digest {
        Digest::of(name, &[])
    }

    fn pod(name: &str, created: i64) -> Pod {
        Pod {
            name: name.parse().unwrap(),
            uid: format!("uid-{name}").into(),
            created: Some(UnixSeconds(created)),
            touched: None,
        }
    }

    fn carry_out(pods: &mut [Pod], plan: &Pass) {
        for touch in &plan.now {
            let pod = pods.iter_mut().find(|pod| pod.uid == touch.uid).unwrap();
            pod.touched = Some(touch.value.clone().into());
        }
    }

    #[test]
    fn every_pod_is_touched_at_once_and_again_by_the_schedule() {
        let mut pods = [pod("a", 0), pod("b", 0)];
        let mut touches = Vec::new();
        let mut now = UnixSeconds(1_000);
        loop {
            let plan = pass(&pods, config("new"), &SCHEDULE, now);
            carry_out(&mut pods, &plan);
            touches.extend(plan.now.iter().map(|touch| (touch.pod.to_string(), now.0 - 1_000)));
            let Some(again) = plan.again else { break };
            now = again;
        }
        let expected = [0, 2, 65]
            .into_iter()
            .flat_map(|at| ["a", "b"].map(|pod| (pod.to_owned(), at)));
        assert_eq!(touches, expected.collect::<Vec<_>>());
        assert!(pass(&pods, config("new"), &SCHEDULE, now).is_done());
    }

    #[test]
    fn newer_content_starts_over() {
        let mut pods = [pod("a", 0)];
        let plan = pass(&pods, config("one"), &[], UnixSeconds(10));
        carry_out(&mut pods, &plan);
        assert!(pass(&pods, config("one"), &[], UnixSeconds(10)).is_done());
        assert_eq!(pass(&pods, config("two"), &[], UnixSeconds(10)).now.len(), 1);
    }

    #[test]
    fn a_pod_born_well_after_the_first_touch_is_left_alone() {
        let mut pods = vec![pod("old", 0)];
        let plan = pass(&pods, config("new"), &SCHEDULE, UnixSeconds(100));
        carry_out(&mut pods, &plan);
        pods.extend([pod("soon-after", 105), pod("later", 110)]);
        let plan = pass(&pods, config("new"), &SCHEDULE, UnixSeconds(101));
        assert_eq!(
            plan.now.iter().map(|touch| touch.pod.as_str()).collect::<Vec<_>>(),
            ["soon-after"]
        );
    }

    #[test]
    fn a_first_touch_that_is_still_to_come_is_not_waited_for() {
        let ahead =
            json!({"config": config("new").to_string(), "count": 1, "first": "2099-01-01T00:00:00Z", "at": "x"});
        let mut pods = [Pod {
            touched: Some(ahead.to_string().into()),
            ..pod("a", 0)
        }];
        for now in [1_000, 1_002, 1_065] {
            let plan = pass(&pods, config("new"), &SCHEDULE, UnixSeconds(now));
            assert_eq!(plan.now.len(), 1, "{now}");
            carry_out(&mut pods, &plan);
        }
        assert!(pass(&pods, config("new"), &SCHEDULE, UnixSeconds(1_066)).is_done());
    }

    #[test]
    fn without_pods_there_is_nothing_to_do() {
        assert!(pass(&[], config("new"), &SCHEDULE, UnixSeconds(0)).is_done());
    }

    proptest! {
        #[test]
        fn no_annotation_panics_and_every_pass_ends(text in "\\PC*", count: u32, at in "\\PC*") {
            let record = json!({"config": config("new").to_string(), "count": count, "first": at, "at": at});
            for touched in [text, record.to_string()] {
                let mut pods = [Pod { touched: Some(touched.into()), ..pod("a", 0) }];
                for now in [0, 2, 65, 130, 195] {
                    let plan = pass(&pods, config("new"), &SCHEDULE, UnixSeconds(now));
                    carry_out(&mut pods, &plan);
                }
                prop_assert!(pass(&pods, config("new"), &SCHEDULE, UnixSeconds(300)).is_done());
            }
        }
    }
}
