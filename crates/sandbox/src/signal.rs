//! Something that happens now and then, and those who wait for it, woken first come first served. tokio's own `watch`
//! wakes its waiters in random order, so that two runs of one seed would differ.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

#[derive(Debug, Default)]
struct Shared {
    count: AtomicU64,
    notify: Notify,
}

/// The side that tells.
#[derive(Debug, Default)]
pub(crate) struct Signal(Arc<Shared>);

impl Signal {
    /// It happened once more.
    pub(crate) fn tell(&self) {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        self.0.notify.notify_waiters();
    }

    /// Waits for what happens from now on.
    pub(crate) fn subscribe(&self) -> Changes {
        Changes {
            seen: self.0.count.load(Ordering::SeqCst),
            shared: self.0.clone(),
        }
    }
}

/// The side that waits.
#[derive(Debug, Clone)]
pub struct Changes {
    shared: Arc<Shared>,
    seen: u64,
}

impl Changes {
    /// Waits until something happened since the last time.
    pub async fn changed(&mut self) {
        loop {
            // It counts from its creation on, so nothing is missed between looking and waiting.
            let notified = self.shared.notify.notified();
            let count = self.shared.count.load(Ordering::SeqCst);
            if count != self.seen {
                self.seen = count;
                return;
            }
            notified.await;
        }
    }

    /// Forgets what happened up to now.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.count.load(Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn waiters_are_woken_in_the_order_in_which_they_came() {
        let (signal, woken) = (Signal::default(), Arc::new(Mutex::new(Vec::new())));
        let waiters: Vec<_> = (0..20)
            .map(|number| {
                let (mut changes, woken) = (signal.subscribe(), woken.clone());
                tokio::spawn(async move {
                    changes.changed().await;
                    woken.lock().unwrap().push(number);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        signal.tell();
        for waiter in waiters {
            waiter.await.unwrap();
        }
        assert_eq!(*woken.lock().unwrap(), (0..20).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_happened_before_waiting_is_not_missed_unless_it_is_forgotten() {
        let signal = Signal::default();
        let mut changes = signal.subscribe();
        signal.tell();
        changes.changed().await;
        signal.tell();
        changes.mark_unchanged();
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(1), changes.changed());
        assert!(waiting.await.is_err());
    }
}
