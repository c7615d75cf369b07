//! The only place that reads clocks, for the engine to be given the time.

use std::time::{SystemTime, UNIX_EPOCH};

use afresh_engine::time::{Millis, Now};
use afresh_model::time::UnixSeconds;
use tokio::time::{Duration, Instant};

/// Monotonic time since the start, and a wall clock that goes with it (so that a paused test clock moves both).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    wall: Duration,
}

impl Clock {
    /// Starts at the given time since the Unix epoch, or at the system's.
    pub(crate) fn start(wall: Option<Duration>) -> Self {
        let wall = wall.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        Self {
            started: Instant::now(),
            wall,
        }
    }

    pub(crate) fn now(self) -> Now {
        let elapsed = self.started.elapsed();
        let wall = (self.wall + elapsed).as_secs();
        Now {
            mono: self.millis(),
            wall: UnixSeconds(i64::try_from(wall).unwrap_or(i64::MAX)),
        }
    }

    pub(crate) fn millis(self) -> Millis {
        Millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn instant(self, at: Millis) -> Instant {
        self.started + Duration::from_millis(at.0)
    }
}
