//! Alerts after reloads: Slack, Teams, Google Chat or plain text, sent aside so that a slow receiver delays nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use tokio::sync::mpsc;

use super::endpoint::Endpoint;
use super::post::Poster;

/// Alerts that wait to be sent; above that, new ones are dropped and counted.
const QUEUE: usize = 256;

/// Who is told of reloads, and how: Reloader's `ALERT_*` variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alerts {
    /// `ALERT_WEBHOOK_URL`.
    pub url: Endpoint,
    /// `ALERT_SINK`.
    pub sink: Sink,
    /// `ALERT_WEBHOOK_PROXY`.
    pub proxy: Option<Endpoint>,
    /// `ALERT_ADDITIONAL_INFO`: stands before the text.
    pub info: Option<String>,
}

/// In which form an alert is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// A Slack attachment.
    Slack,
    /// A Microsoft Teams text.
    Teams,
    /// A Google Chat text.
    GoogleChat,
    /// Plain text, without the asterisks.
    Raw,
}

impl Sink {
    /// What the value of `ALERT_SINK` means; as in Reloader, any other word is plain text.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word.trim().to_ascii_lowercase().as_str() {
            "slack" => Self::Slack,
            "teams" => Self::Teams,
            "gchat" => Self::GoogleChat,
            _ => Self::Raw,
        }
    }

    /// The content type and the body.
    fn body(self, text: &str) -> (&'static str, String) {
        const JSON: &str = "application/json";
        match self {
            Self::Slack => {
                let attachment = json!({"text": text, "color": "good", "author_name": "Reloader"});
                (JSON, json!({"attachments": [attachment]}).to_string())
            }
            Self::Teams | Self::GoogleChat => (JSON, json!({"text": text}).to_string()),
            Self::Raw => ("text/plain", text.replace('*', "")),
        }
    }
}

/// Takes alerts, without waiting; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct AlertSender {
    queue: mpsc::Sender<String>,
    dropped: Arc<AtomicU64>,
}

/// Sends what was taken. Whoever makes it polls it.
pub(crate) struct AlertTask {
    queue: mpsc::Receiver<String>,
    poster: Poster,
    alerts: Alerts,
}

/// A sender and the task that posts for it.
pub(crate) fn alerts(alerts: Alerts) -> (AlertSender, AlertTask) {
    let (sender, queue) = mpsc::channel(QUEUE);
    let poster = Poster::new(alerts.proxy.as_ref());
    let dropped = Arc::default();
    (
        AlertSender { queue: sender, dropped },
        AlertTask { queue, poster, alerts },
    )
}

impl AlertSender {
    /// Queues an alert.
    pub(crate) fn send(&self, text: String) {
        if self.queue.try_send(text).is_err() {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::warn!(dropped, "an alert was dropped: the receiver is too slow");
        }
    }
}

impl AlertTask {
    /// Posts until all senders are dropped and everything is sent, or has failed. Nothing is tried twice: an alert is
    /// news, and old news confuses.
    pub(crate) async fn run(mut self) {
        while let Some(text) = self.queue.recv().await {
            let text = match &self.alerts.info {
                Some(info) => format!("{info} : {text}"),
                None => text,
            };
            let (content_type, body) = self.alerts.sink.body(&text);
            match self.poster.post(&self.alerts.url, content_type, body).await {
                Ok(()) => tracing::debug!(to = %self.alerts.url, "an alert was sent"),
                Err(error) => tracing::error!("an alert was not delivered: {error}{}", source(&error)),
            }
        }
    }
}

/// The innermost cause: transport errors say little at the outside.
fn source(error: &dyn std::error::Error) -> String {
    let mut innermost = None;
    let mut next = error.source();
    while let Some(cause) = next {
        innermost = Some(cause);
        next = cause.source();
    }
    innermost.map(|cause| format!(": {cause}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn each_sink_has_its_form() {
        let text = "changes in *app*";
        let (content_type, body) = Sink::from_word(" Slack ").body(text);
        assert_eq!(content_type, "application/json");
        assert_eq!(
            serde_json::from_str::<Value>(&body).unwrap(),
            json!({"attachments": [{"text": text, "color": "good", "author_name": "Reloader"}]})
        );
        for word in ["teams", "gchat"] {
            let (content_type, body) = Sink::from_word(word).body(text);
            assert_eq!(content_type, "application/json");
            assert_eq!(
                serde_json::from_str::<Value>(&body).unwrap(),
                json!({"text": "changes in *app*"})
            );
        }
        for word in ["raw", "webhook", "", "slck"] {
            assert_eq!(
                Sink::from_word(word).body(text),
                ("text/plain", "changes in app".to_owned())
            );
        }
    }
}
