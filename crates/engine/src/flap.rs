//! The flap breaker: a workload that keeps changing is rolled at growing intervals.
//!
//! It lives in the workload's record, so a new leader goes on where the last one stopped. Nothing is lost: what is held
//! back lands when its time comes, with the content of that time.

use afresh_model::record::Rolls;
use afresh_model::time::UnixSeconds;

/// Rolls in quick succession that are nobody's worry: a person trying things out.
const FREE: u32 = 3;
/// The first pause, doubled with every further roll.
const FIRST_PAUSE: u64 = 15;
/// The longest pause; also the quiet time after which the count starts anew.
const LONGEST_PAUSE: u64 = 600;

/// The earliest time of the next roll, in the same clock as the record.
#[must_use]
pub fn next_roll(rolls: Rolls) -> Option<UnixSeconds> {
    let last = rolls.last?;
    let pause = pause(rolls.streak);
    (pause > 0).then(|| UnixSeconds(last.0.saturating_add(i64::try_from(pause).unwrap_or(i64::MAX))))
}

/// The count after a roll at `now`.
#[must_use]
pub fn after_roll(rolls: Rolls, now: UnixSeconds) -> Rolls {
    let quiet = rolls.last.is_none_or(|last| now.since(last) >= LONGEST_PAUSE);
    let streak = if quiet { 1 } else { rolls.streak.saturating_add(1) };
    Rolls {
        streak,
        last: Some(now),
    }
}

fn pause(streak: u32) -> u64 {
    match streak.checked_sub(FREE) {
        None => 0,
        Some(doublings) => FIRST_PAUSE.saturating_mul(1 << doublings.min(32)).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_rolls_are_free_then_the_pauses_double_up_to_ten_minutes() {
        let pauses: Vec<u64> = (0..12).map(pause).collect();
        assert_eq!(pauses, [0, 0, 0, 15, 30, 60, 120, 240, 480, 600, 600, 600]);
        assert_eq!(pause(u32::MAX), 600);
    }

    #[test]
    fn ten_quiet_minutes_start_the_count_anew() {
        let rolls = Rolls {
            streak: 9,
            last: Some(UnixSeconds(1_000)),
        };
        assert_eq!(after_roll(rolls, UnixSeconds(1_599)).streak, 10);
        assert_eq!(after_roll(rolls, UnixSeconds(1_600)).streak, 1);
    }

    #[test]
    fn a_workload_that_never_rolled_may_roll_now() {
        assert_eq!(next_roll(Rolls::default()), None);
        assert_eq!(
            next_roll(Rolls {
                streak: 3,
                last: Some(UnixSeconds(100))
            }),
            Some(UnixSeconds(115))
        );
    }
}
