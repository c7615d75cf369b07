//! Wall-clock time that follows tokio's clock, so that a test with a paused runtime also pauses what the server stamps.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The sandbox's wall clock: a base instant plus the time tokio says has passed since.
#[derive(Clone, Debug)]
pub struct Clock {
    base: Timestamp,
    start: Instant,
}

impl Clock {
    /// A clock that reads `base` now.
    #[must_use]
    pub fn starting_at(base: Timestamp) -> Self {
        Self {
            base,
            start: Instant::now(),
        }
    }

    /// The current wall-clock time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    /// The wall-clock time at a tokio instant; instants before the clock began read as its base.
    #[must_use]
    pub fn at(&self, instant: Instant) -> Timestamp {
        let elapsed: Duration = instant.saturating_duration_since(self.start);
        let elapsed = SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::ZERO);
        self.base.checked_add(elapsed).unwrap_or(self.base)
    }

    /// The current time as the API server writes `metav1.Time`: RFC 3339, whole seconds, UTC.
    #[must_use]
    pub fn stamp(&self) -> String {
        seconds(self.now())
    }

    /// The current time as the API server writes `metav1.MicroTime`.
    #[must_use]
    pub fn micro_stamp(&self) -> String {
        self.now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
    }
}

/// `metav1.Time`: RFC 3339 cut to whole seconds, UTC.
#[must_use]
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_paused_runtime_moves_the_wall_clock_only_when_it_advances() {
        let clock = Clock::starting_at("2030-01-02T03:04:05.9Z".parse().unwrap());
        assert_eq!(clock.stamp(), "2030-01-02T03:04:05Z");
        tokio::time::advance(Duration::from_secs(55)).await;
        assert_eq!(clock.stamp(), "2030-01-02T03:05:00Z");
        assert_eq!(clock.micro_stamp(), "2030-01-02T03:05:00.900000Z");
    }
}
