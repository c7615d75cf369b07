//! How often something was tried, and when it is tried again.

use std::time::Duration;

use tokio::time::Instant;

/// The first pause; each is twice the one before.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause: whoever mends what failed does not wait longer for it to be noticed.
const LONGEST: Duration = Duration::from_secs(60);

/// The tries for one content.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Attempt {
    /// How many actions have succeeded.
    pub(super) done: usize,
    failures: u32,
    due: Option<Instant>,
}

impl Attempt {
    /// Counts a failure, and returns the pause until the next try.
    pub(crate) fn failed(&mut self) -> Duration {
        let pause = pause(self.failures);
        self.failures = self.failures.saturating_add(1);
        self.due = Instant::now().checked_add(pause);
        pause
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// When it is tried again, as seen from `turn`; `None` if nothing has failed, or if that time has come and there was
    /// nothing to try.
    pub(super) fn due_after(&self, turn: Instant) -> Option<Instant> {
        self.due.filter(|at| *at > turn)
    }

    /// Whether it may be tried at `turn`.
    pub(super) fn is_due(&self, turn: Instant) -> bool {
        self.due.is_none_or(|at| at <= turn)
    }
}

fn pause(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.min(16)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute() {
        let seconds: Vec<u64> = (0..9).map(|failures| pause(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pause(u32::MAX), LONGEST);
    }

    #[test]
    fn at_any_time_it_is_either_due_or_waited_for_or_was_never_tried() {
        let mut attempt = Attempt::default();
        let now = Instant::now();
        assert!(attempt.is_due(now) && attempt.due_after(now).is_none());
        assert_eq!(attempt.failed(), FIRST);
        assert_eq!(attempt.failures(), 1);
        let due = attempt.due.unwrap();
        for (turn, is_due) in [(now, false), (due - Duration::from_nanos(1), false), (due, true)] {
            assert_eq!(attempt.is_due(turn), is_due);
            assert_eq!(attempt.due_after(turn), (!is_due).then_some(due));
        }
    }
}
