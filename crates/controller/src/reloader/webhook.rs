//! Webhook mode (`--webhook-url`): a POST after every change, and no workload is ever touched.
//!
//! The body says nothing of what changed, so what counts is that a POST begins after the change. One that fails is
//! repeated with growing pauses, for ever; changes that come meanwhile are covered by the next one that arrives.

use std::time::Duration;

use afresh_engine::time::Millis;
use tokio::sync::watch;
use tokio::time::sleep;

use super::endpoint::Endpoint;
use super::post::Poster;

/// As Reloader sends it.
const BODY: &str = r#"{"webhook":"update successful"}"#;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A standby that takes over posts for what it saw so shortly before: the last leader may have died on it. Longer than
/// any term of a Lease.
const INHERITED: Duration = Duration::from_secs(60);

/// Notes changes; the task posts.
#[derive(Debug)]
pub(crate) struct Webhook {
    changed: watch::Sender<u64>,
    /// When the last change came that this replica, a standby, left to the leader.
    left: Option<Millis>,
}

/// Posts. Whoever makes it polls it.
pub(crate) struct WebhookTask {
    changed: watch::Receiver<u64>,
    url: Endpoint,
    poster: Poster,
}

/// Both halves.
pub(crate) fn webhook(url: Endpoint) -> (Webhook, WebhookTask) {
    let (changed, seen) = watch::channel(0);
    let task = WebhookTask {
        changed: seen,
        url,
        poster: Poster::new(None),
    };
    (Webhook { changed, left: None }, task)
}

impl Webhook {
    /// Something changed.
    pub(crate) fn change(&mut self, leading: bool, now: Millis) {
        if leading {
            self.notify();
        } else {
            self.left = Some(now);
        }
    }

    fn notify(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// This replica leads from now on.
    pub(crate) fn lead(&mut self, now: Millis) {
        if self.left.take().is_some_and(|left| now.since(left) <= INHERITED) {
            self.notify();
        }
    }
}

impl WebhookTask {
    /// Posts until its other half is dropped.
    pub(crate) async fn run(mut self) {
        while self.changed.changed().await.is_ok() {
            let mut pause = FIRST_PAUSE;
            while let Err(error) = self.poster.post(&self.url, "application/json", BODY.to_owned()).await {
                tracing::warn!(retry_in_ms = pause.as_millis(), "webhook: {error}");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            tracing::info!(to = %self.url, "the webhook was called");
        }
    }
}
