//! The flap breaker: a workload that keeps changing is rolled at growing intervals.
//!
//! It lives in the workload's record, so a new leader goes on where the last one stopped. Nothing is lost: what is held
//! back lands when its time comes, with the content of that time.

use std::time::Duration;

use afresh_model::record::Rolls;
use afresh_model::time::UnixSeconds;

/// Rolls in quick succession that are nobody's worry: a person trying things out.
const FREE: u32 = 3;
/// The first pause, doubled with every further roll.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
/// The longest pause; also the quiet time that has to follow a pause before the count starts anew.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The earliest time of the next roll, in the same clock as the record; `None` if it may be now.
///
/// A last roll that is still to come was written by another clock, or by a person: nobody waits for that.
#[must_use]
pub fn next_roll(rolls: Rolls, now: UnixSeconds) -> Option<UnixSeconds> {
    let last = rolls.last.filter(|&last| last <= now)?;
    let next = UnixSeconds(last.0.saturating_add_unsigned(pause(rolls.streak).as_secs()));
    (next > now).then_some(next)
}

/// The count after a roll at `now`.
#[must_use]
pub fn after_roll(rolls: Rolls, now: UnixSeconds) -> Rolls {
    let quiet = |last| now.since(last) >= quiet_after(rolls.streak).as_secs();
    let quiet = rolls.last.is_none_or(quiet);
    let streak = if quiet { 1 } else { rolls.streak.saturating_add(1) };
    Rolls {
        streak,
        last: Some(now),
    }
}

/// How long after the last of so many the next one has to wait.
pub(crate) fn pause(streak: u32) -> Duration {
    match streak.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_PAUSE.saturating_mul(1 << doublings.min(16)).min(LONGEST_PAUSE),
    }
}

/// How long after the last of so many the count starts anew. Whoever was held back has not been quiet meanwhile.
pub(crate) fn quiet_after(streak: u32) -> Duration {
    pause(streak) + LONGEST_PAUSE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_rolls_are_free_then_the_pauses_double_up_to_ten_minutes() {
        let pauses: Vec<u64> = (0..12).map(|streak| pause(streak).as_secs()).collect();
        assert_eq!(pauses, [0, 0, 0, 15, 30, 60, 120, 240, 480, 600, 600, 600]);
        assert_eq!(pause(u32::MAX).as_secs(), 600);
    }

    #[test]
    fn ten_quiet_minutes_start_the_count_anew() {
        let rolls = |streak| Rolls {
            streak,
            last: Some(UnixSeconds(1_000)),
        };
        assert_eq!(after_roll(rolls(2), UnixSeconds(1_599)).streak, 3);
        assert_eq!(after_roll(rolls(2), UnixSeconds(1_600)).streak, 1);
        assert_eq!(
            after_roll(rolls(9), UnixSeconds(2_199)).streak,
            10,
            "it was held back for ten"
        );
        assert_eq!(after_roll(rolls(9), UnixSeconds(2_200)).streak, 1);
    }

    #[test]
    fn what_never_stops_changing_stays_at_the_longest_pause() {
        let (mut rolls, mut now, mut pauses) = (Rolls::default(), UnixSeconds(1_000), Vec::new());
        for _ in 0..20 {
            let next = next_roll(rolls, now).unwrap_or(now);
            pauses.push(next.since(now));
            now = next;
            rolls = after_roll(rolls, now);
        }
        assert_eq!(pauses[..10], [0, 0, 0, 15, 30, 60, 120, 240, 480, 600]);
        assert!(pauses[10..].iter().all(|&pause| pause == 600), "{pauses:?}");
    }

    #[test]
    fn a_workload_that_never_rolled_may_roll_now() {
        let now = UnixSeconds(101);
        assert_eq!(next_roll(Rolls::default(), now), None);
        let rolls = Rolls {
            streak: 3,
            last: Some(UnixSeconds(100)),
        };
        assert_eq!(next_roll(rolls, now), Some(UnixSeconds(115)));
        assert_eq!(next_roll(rolls, UnixSeconds(115)), None);
    }

    #[test]
    fn a_last_roll_that_is_still_to_come_holds_nobody_back() {
        let rolls = Rolls {
            streak: 9,
            last: Some(UnixSeconds(4_000_000_000)),
        };
        assert_eq!(next_roll(rolls, UnixSeconds(100)), None);
        let next = after_roll(rolls, UnixSeconds(100));
        assert_eq!((next.streak, next.last), (10, Some(UnixSeconds(100))));
    }
}
