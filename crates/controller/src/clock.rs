//! The only place that reads clocks, for the engine to be given the time.

use std::time::{SystemTime, UNIX_EPOCH};

use afresh_engine::time::{Millis, Now};
use afresh_model::time::UnixSeconds;
use tokio::time::{Duration, Instant};

/// Monotonic time since the start, and the wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    wall: Wall,
}

#[derive(Debug, Clone, Copy)]
enum Wall {
    /// The system's, read each time: it may be set right while we run, and goes on while a machine sleeps.
    System,
    /// It was this at the start and goes with the monotonic clock, so that a paused test clock moves both.
    From(Duration),
}

impl Clock {
    /// Starts at the given time since the Unix epoch, or at the system's.
    pub(crate) fn start(wall: Option<Duration>) -> Self {
        Self {
            started: Instant::now(),
            wall: wall.map_or(Wall::System, Wall::From),
        }
    }

    pub(crate) fn now(self) -> Now {
        let wall = match self.wall {
            Wall::System => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Wall::From(start) => start + self.started.elapsed(),
        };
        Now {
            mono: self.millis(),
            wall: UnixSeconds(i64::try_from(wall.as_secs()).unwrap_or(i64::MAX)),
        }
    }

    pub(crate) fn millis(self) -> Millis {
        Millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn instant(self, at: Millis) -> Instant {
        self.started + Duration::from_millis(at.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// A machine that slept: the wall clock went on without the monotonic one, here the other way round.
    #[tokio::test(start_paused = true)]
    async fn the_wall_clock_is_the_systems_however_the_monotonic_one_went() {
        let clock = Clock::start(None);
        let before = clock.now();
        tokio::time::advance(HOUR).await;
        let after = clock.now();
        assert_eq!(after.mono.since(before.mono), HOUR);
        assert!(after.wall.since(before.wall) < 60, "{before:?} {after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_given_the_time_goes_on_from_there() {
        let clock = Clock::start(Some(HOUR));
        tokio::time::advance(HOUR).await;
        assert_eq!(clock.now().wall, UnixSeconds(7_200));
    }
}
