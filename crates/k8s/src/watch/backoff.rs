//! Delays that grow while things fail.

use std::time::Duration;

/// Doubles from the first delay to the last; each is cut by up to half, so that many clients spread.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    last: Duration,
    streak: u32,
}

impl Backoff {
    pub(super) const fn new(first: Duration, last: Duration) -> Self {
        Self { first, last, streak: 0 }
    }

    /// Failures since the last reset.
    pub(super) const fn streak(&self) -> u32 {
        self.streak
    }

    pub(super) const fn reset(&mut self) {
        self.streak = 0;
    }

    /// Counts a failure without asking for a delay.
    pub(super) const fn count(&mut self) {
        self.streak = self.streak.saturating_add(1);
    }

    /// Counts a failure; the delay before the next attempt.
    pub(super) fn next(&mut self) -> Duration {
        // 2^16 is beyond any useful ratio of the two delays.
        let factor = 1u32 << self.streak.min(16);
        self.count();
        spread(self.first.saturating_mul(factor).min(self.last))
    }
}

/// A duration between half of `full` and `full`, at random.
pub(super) fn spread(full: Duration) -> Duration {
    let part = u32::try_from(crate::random::number() >> 32).unwrap_or(0);
    full.mul_f64(0.5 + f64::from(part) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_last_and_stay_there() {
        let (first, last) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(first, last);
        for full in [100, 200, 400, 800, 1000, 1000].map(Duration::from_millis) {
            let delay = backoff.next();
            assert!(delay >= full / 2 && delay <= full, "{delay:?} of {full:?}");
        }
        for _ in 0..100 {
            assert!(backoff.next() <= last);
        }
        backoff.reset();
        assert!(backoff.next() <= first);
    }

    #[test]
    fn delays_differ() {
        let delays: std::collections::BTreeSet<_> = (0..32).map(|_| spread(Duration::from_secs(1))).collect();
        assert!(delays.len() > 1);
    }
}
