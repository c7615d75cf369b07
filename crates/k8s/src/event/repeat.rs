//! Which Events were written lately, so that one more of the same is a count and no new object.

use std::collections::HashMap;
use std::time::Duration;

use afresh_model::digest::Digest;
use tokio::time::Instant;

use super::Notice;

/// The same notice within this time of the last one is one more of the same.
const WINDOW: Duration = Duration::from_secs(600);

/// Events that are remembered.
const CAPACITY: usize = 512;

/// An Event that was written.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) count: u32,
    last: Instant,
}

impl Known {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            count: 1,
            last: Instant::now(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Repeats(HashMap<Digest, Known>);

/// Equal for notices that say the same of the same object.
pub(super) fn key(notice: &Notice) -> Digest {
    let about = &notice.regarding;
    let parts = [
        about.kind,
        about.namespace.as_str(),
        about.name.as_str(),
        about.uid.as_deref().unwrap_or_default(),
        notice.reason,
        notice.action,
        &notice.note,
    ];
    Digest::of("afresh/event/1", &parts.map(str::as_bytes))
}

impl Repeats {
    /// Counts one more of the same; `None` if there was none lately.
    pub(super) fn again(&mut self, key: &Digest) -> Option<Known> {
        let known = self.0.get_mut(key)?;
        if known.last.elapsed() >= WINDOW {
            self.0.remove(key);
            return None;
        }
        known.count = known.count.saturating_add(1);
        known.last = Instant::now();
        Some(known.clone())
    }

    pub(super) fn first(&mut self, key: Digest, known: Known) {
        if self.0.len() >= CAPACITY {
            self.0.retain(|_, known| known.last.elapsed() < WINDOW);
        }
        if self.0.len() >= CAPACITY {
            let oldest = self.0.iter().min_by_key(|(_, known)| known.last).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(key, known);
    }

    pub(super) fn forget(&mut self, key: &Digest) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_capacity_is_remembered_and_the_oldest_goes_first() {
        let mut repeats = Repeats::default();
        let key = |n: usize| Digest::of("test", &[&n.to_be_bytes()]);
        for n in 0..CAPACITY + 10 {
            tokio::time::advance(Duration::from_millis(1)).await;
            repeats.first(key(n), Known::new(n.to_string()));
        }
        assert_eq!(repeats.0.len(), CAPACITY);
        assert!(repeats.again(&key(9)).is_none());
        assert_eq!(repeats.again(&key(10)).map(|known| known.count), Some(2));
    }
}
