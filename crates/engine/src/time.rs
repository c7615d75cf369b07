//! Monotonic time as an argument.

use std::time::Duration;

use afresh_model::time::UnixSeconds;

/// Milliseconds since the program began, from a monotonic clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    /// This much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// From `earlier` to now; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One moment, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For waiting.
    pub mono: Millis,
    /// For what is written into the cluster.
    pub wall: UnixSeconds,
}

impl Now {
    /// The monotonic time of a moment on the wall clock; now if it has passed.
    #[must_use]
    pub fn until(self, wall: UnixSeconds) -> Millis {
        self.mono.after(Duration::from_secs(wall.since(self.wall)))
    }
}
