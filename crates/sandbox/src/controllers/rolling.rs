//! The arithmetic of a Deployment's rolling update: pure, so that its bounds can be checked.

use super::pods;
use serde_json::Value;

use crate::object;

/// One ReplicaSet, as far as the arithmetic cares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    /// `spec.replicas`.
    pub(super) wanted: i64,
    /// `status.availableReplicas`.
    pub(super) available: i64,
}

/// How far an update may stray from the wanted number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) replicas: i64,
    pub(super) surge: i64,
    pub(super) unavailable: i64,
}

impl Bounds {
    /// `spec.strategy.rollingUpdate` of a Deployment; both zero means one unavailable (deploymentutil.ResolveFenceposts).
    pub(super) fn of(deployment: &Value) -> Self {
        let replicas = object::integer(deployment, &["spec", "replicas"]).unwrap_or(1);
        let rolling = |key| object::at(deployment, &["spec", "strategy", "rollingUpdate", key]);
        let surge = pods::scaled(rolling("maxSurge"), replicas, true);
        let unavailable = pods::scaled(rolling("maxUnavailable"), replicas, false).min(replicas);
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        Self {
            replicas,
            surge,
            unavailable,
        }
    }

    fn min_available(self) -> i64 {
        self.replicas - self.unavailable
    }

    /// The next size of the new set.
    pub(super) fn grow(self, new: Set, old: &[Set]) -> i64 {
        if new.wanted >= self.replicas {
            return self.replicas;
        }
        let total = new.wanted + old.iter().map(|set| set.wanted).sum::<i64>();
        let room = (self.replicas + self.surge - total).max(0);
        new.wanted + room.min(self.replicas - new.wanted)
    }

    /// The next sizes of the old sets, which come oldest first: unhealthy pods go first, then as many as may.
    pub(super) fn shrink(self, new: Set, old: &[Set]) -> Vec<i64> {
        let mut sizes: Vec<i64> = old.iter().map(|set| set.wanted).collect();
        let total = new.wanted + sizes.iter().sum::<i64>();
        let mut budget = (total - self.min_available() - (new.wanted - new.available)).max(0);
        for (size, set) in sizes.iter_mut().zip(old) {
            let unhealthy = (*size - set.available).clamp(0, budget);
            *size -= unhealthy;
            budget -= unhealthy;
        }
        let available = new.available + old.iter().map(|set| set.available).sum::<i64>();
        let mut spare = (available - self.min_available()).clamp(0, budget);
        for size in &mut sizes {
            let going = (*size).min(spare);
            *size -= going;
            spare -= going;
        }
        sizes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const QUARTER: Bounds = Bounds {
        replicas: 4,
        surge: 1,
        unavailable: 1,
    };

    fn set(wanted: i64, available: i64) -> Set {
        Set { wanted, available }
    }

    #[test]
    fn a_rollout_ends_and_never_leaves_its_bounds() {
        for (replicas, surge, unavailable) in [(4, 1, 1), (3, 0, 1), (1, 1, 0), (10, 3, 2), (2, 2, 2)] {
            let bounds = Bounds {
                replicas,
                surge,
                unavailable,
            };
            let (mut new, mut old) = (set(0, 0), set(replicas, replicas));
            for _ in 0..100 {
                new.wanted = bounds.grow(new, &[old]);
                old.wanted = bounds.shrink(new, &[old])[0];
                assert!(new.wanted + old.wanted <= replicas + surge, "{bounds:?}");
                old.available = old.available.min(old.wanted);
                assert!(new.available + old.available >= replicas - unavailable, "{bounds:?}");
                // One new pod becomes available at a time.
                new.available = (new.available + 1).min(new.wanted);
            }
            assert_eq!((new.wanted, old.wanted), (replicas, 0), "{bounds:?}");
        }
    }

    #[test]
    fn unhealthy_old_pods_go_before_healthy_ones() {
        assert_eq!(QUARTER.shrink(set(1, 0), &[set(4, 3)]), [3]);
        assert_eq!(QUARTER.shrink(set(1, 1), &[set(4, 4)]), [2]);
    }

    #[test]
    fn zero_surge_and_zero_unavailable_mean_one_unavailable() {
        let rolling = json!({"maxSurge": 0, "maxUnavailable": "10%"});
        let bounds = Bounds::of(&json!({"spec": {"replicas": 3, "strategy": {"rollingUpdate": rolling}}}));
        assert_eq!(
            bounds,
            Bounds {
                replicas: 3,
                surge: 0,
                unavailable: 1
            }
        );
    }
}
