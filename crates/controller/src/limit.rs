//! A rate limit for touches: each one is a write that every watcher of pods sees.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// Lets a number of calls per second through, with a burst of twice that; the others wait in line.
#[derive(Debug)]
pub(crate) struct Limit {
    spacing: Duration,
    burst: u32,
    /// When the next call would be due if there were no burst.
    next: Mutex<Instant>,
}

impl Limit {
    pub(crate) fn per_second(calls: u32) -> Self {
        let calls = calls.max(1);
        Self {
            spacing: Duration::from_secs(1) / calls,
            burst: calls * 2,
            next: Mutex::new(Instant::now()),
        }
    }

    pub(crate) async fn wait(&self) {
        let due = {
            let mut next = self.next.lock().await;
            let now = Instant::now();
            let credit = self.spacing * self.burst;
            let due = (*next).max(now.checked_sub(credit).unwrap_or(now));
            *next = due + self.spacing;
            due
        };
        sleep_until(due).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_the_rate_holds() {
        let limit = Limit::per_second(10);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let start = Instant::now();
        for _ in 0..21 {
            limit.wait().await;
        }
        assert_eq!(start.elapsed().as_millis(), 0);
        for _ in 0..10 {
            limit.wait().await;
        }
        assert_eq!(start.elapsed().as_millis(), 1_000);
    }
}
