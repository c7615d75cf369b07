//! `deployment.reloader.stakater.com/pause-period`: a Deployment is paused at its first roll and resumed after a while,
//! so that what changes meanwhile is one rollout.
//!
//! All there is to know stands on the Deployment: `spec.paused` and `paused-at`. Whoever looks at it resumes it in time,
//! whoever paused it.

use std::time::Duration;

use crate::reloader::go;
use crate::time::UnixSeconds;

/// How far the clock that wrote `paused-at` may be ahead of ours, in seconds. Beyond that the time says nothing.
const CLOCK_AHEAD: i64 = 60;

/// What a Deployment says of being paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// For how long it is to be paused at a roll.
    pub period: Option<Duration>,
    /// Who paused it.
    pub state: State,
}

/// Whether a Deployment is paused, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is not.
    Running,
    /// Somebody else resumed it: `paused-at` is left over.
    Resumed,
    /// By a person: it has no `paused-at`.
    ByPerson,
    /// By us or by Reloader, since then; `None` if that time cannot be read.
    ByUs(Option<UnixSeconds>),
}

/// What is to be done about a pause, sooner or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Resume it now.
    Resume,
    /// Resume it then.
    ResumeAt(UnixSeconds),
    /// Take out the `paused-at` that is left over.
    Forget,
}

impl Pause {
    /// Reads `spec.paused` and the two annotations; and what is wrong with the period. `None` if nothing is said at all.
    #[must_use]
    pub fn read(paused: bool, period: Option<&str>, paused_at: Option<&str>) -> (Option<Self>, Option<String>) {
        let (period, problem) = match period.map(|text| go::duration(text.trim())) {
            None => (None, None),
            Some(Ok(period)) => (Some(period), None),
            Some(Err(problem)) => (None, Some(format!("{problem}; it is rolled without a pause"))),
        };
        let state = match (paused, paused_at) {
            (false, None) => State::Running,
            (false, Some(_)) => State::Resumed,
            (true, None) => State::ByPerson,
            (true, Some(since)) => State::ByUs(since.trim().parse().ok()),
        };
        let silent = period.is_none() && state == State::Running;
        ((!silent).then_some(Self { period, state }), problem)
    }

    /// Whether a roll pauses it: there is a period, and it is not paused already.
    #[must_use]
    pub fn begins(&self) -> bool {
        self.period.is_some_and(|period| !period.is_zero()) && !self.is_paused()
    }

    /// Whether it is paused, by whomever.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        matches!(self.state, State::ByPerson | State::ByUs(_))
    }

    /// Whether it is paused, and we are to resume it.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        matches!(self.state, State::ByUs(_))
    }

    /// What is to be done about it. Without a period or a time it is resumed at once: nobody is to stay paused.
    #[must_use]
    pub fn release(&self, now: UnixSeconds) -> Option<Release> {
        let since = match self.state {
            State::Running | State::ByPerson => return None,
            State::Resumed => return Some(Release::Forget),
            State::ByUs(since) => since.filter(|since| since.0 <= now.0.saturating_add(CLOCK_AHEAD)),
        };
        let due = since.zip(self.period).map(|(since, period)| {
            let seconds = period.as_secs() + u64::from(period.subsec_nanos() > 0);
            UnixSeconds(since.0.saturating_add_unsigned(seconds))
        });
        Some(match due {
            Some(due) if due > now => Release::ResumeAt(due),
            _ => Release::Resume,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_767_225_600);
    const AGO_30: &str = "2025-12-31T23:59:30Z";

    /// Section 3.4 of the behaviour to match, and its defects.
    #[rstest]
    #[case::not_paused(false, Some("1m"), None, true, None)]
    #[case::nothing_said_but_a_period_of_nothing(false, Some("0s"), None, false, None)]
    #[case::a_negative_period_is_none(false, Some("-1m"), None, false, None)]
    #[case::a_person_paused_it(true, Some("1m"), None, false, None)]
    #[case::a_person_paused_it_and_there_is_no_period(true, None, None, false, None)]
    #[case::by_us_and_not_yet_over(true, Some("1m"), Some(AGO_30), false, Some(Release::ResumeAt(UnixSeconds(NOW.0 + 30))))]
    #[case::by_us_and_over(true, Some("10s"), Some(AGO_30), false, Some(Release::Resume))]
    #[case::the_period_was_taken_away(true, None, Some(AGO_30), false, Some(Release::Resume))]
    #[case::the_period_cannot_be_read(true, Some("5d"), Some(AGO_30), false, Some(Release::Resume))]
    #[case::the_time_cannot_be_read(true, Some("1m"), Some("yesterday"), false, Some(Release::Resume))]
    #[case::the_time_is_far_ahead(true, Some("1m"), Some("2030-01-01T00:00:00Z"), false, Some(Release::Resume))]
    #[case::a_clock_was_a_little_ahead(
        true, Some("1m"), Some("2026-01-01T00:00:05Z"), false, Some(Release::ResumeAt(UnixSeconds(NOW.0 + 65))))]
    #[case::part_of_a_second(
        true, Some("30500ms"), Some(AGO_30), false, Some(Release::ResumeAt(UnixSeconds(NOW.0 + 1))))]
    #[case::a_person_resumed_it(false, Some("1m"), Some(AGO_30), true, Some(Release::Forget))]
    fn a_pause_is_read_from_the_deployment_alone(
        #[case] paused: bool,
        #[case] period: Option<&str>,
        #[case] paused_at: Option<&str>,
        #[case] begins: bool,
        #[case] release: Option<Release>,
    ) {
        let (pause, _) = Pause::read(paused, period, paused_at);
        let pause = pause.unwrap();
        assert_eq!((pause.begins(), pause.release(NOW)), (begins, release));
    }

    #[test]
    fn nothing_said_is_nothing_kept() {
        assert_eq!(Pause::read(false, None, None), (None, None));
    }

    #[test]
    fn a_period_that_cannot_be_read_is_told_and_pauses_nothing() {
        let (pause, problem) = Pause::read(false, Some("5d"), None);
        assert_eq!(pause, None);
        let problem = problem.unwrap();
        assert!(problem.starts_with("\"5d\" is not a duration: write"), "{problem}");
        assert!(problem.ends_with("it is rolled without a pause"), "{problem}");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_we_paused_is_always_released(
            period in proptest::option::of("\\PC{0,12}"), paused_at in "\\PC{0,24}", now: i64
        ) {
            let (pause, _) = Pause::read(true, period.as_deref(), Some(&paused_at));
            prop_assert!(pause.unwrap().release(UnixSeconds(now)).is_some());
        }
    }
}
