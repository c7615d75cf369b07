//! Kubernetes Events, written aside: what is published never waits, and where the server is slow, is dropped.

mod repeat;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use afresh_model::name::{ConfigKey, Name, WorkloadKey};
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::lean::{LeanClass, LeanConfigMap, LeanSecret, Watched};
use crate::write::{WriteError, Writer};
use repeat::{Known, Repeats};

/// `reportingController` of every Event.
pub const REPORTING_CONTROLLER: &str = "afresh.dev/controller";

/// Events that wait to be sent; above that, new ones are dropped.
const QUEUE: usize = 256;

/// Longest `note` and `reportingInstance` that the API server takes, in bytes.
const MAX_NOTE: usize = 1024;
const MAX_INSTANCE: usize = 128;

/// How much of an object's name stands in the name of its Event, so that the whole is a valid name.
const MAX_NAME_PART: usize = 200;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// `Normal`.
    Normal,
    /// `Warning`.
    Warning,
}

impl Severity {
    const fn word(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// The object that an Event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Regarding {
    api_version: &'static str,
    kind: &'static str,
    namespace: Name,
    name: Name,
    uid: Option<Box<str>>,
    /// Where the uid can be read, if it is not known.
    path: Option<String>,
}

impl Regarding {
    /// A workload, or a Pod.
    #[must_use]
    pub fn workload(key: &WorkloadKey, uid: &str) -> Self {
        Self {
            api_version: key.kind.api_version(),
            kind: key.kind.api_kind(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: Some(uid.into()),
            path: None,
        }
    }

    /// A ConfigMap or Secret. Its uid, by which `kubectl describe` finds Events, is not kept; it is read when needed.
    #[must_use]
    pub fn config(key: &ConfigKey) -> Self {
        let collection = match key.kind {
            afresh_model::name::ConfigKind::ConfigMap => LeanConfigMap::path(Some(&key.namespace)),
            afresh_model::name::ConfigKind::Secret => LeanSecret::path(Some(&key.namespace)),
            afresh_model::name::ConfigKind::SecretProviderClass => LeanClass::path(Some(&key.namespace)),
        };
        Self {
            api_version: match key.kind {
                afresh_model::name::ConfigKind::SecretProviderClass => "secrets-store.csi.x-k8s.io/v1",
                _ => "v1",
            },
            kind: key.kind.api_kind(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: None,
            path: Some(format!("{collection}/{}", key.name)),
        }
    }
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Notice {
    /// About which object.
    pub regarding: Regarding,
    /// How bad it is.
    pub severity: Severity,
    /// Why, in UpperCamelCase: `Rolled`.
    pub reason: &'static str,
    /// What was done, in UpperCamelCase: `Roll`.
    pub action: &'static str,
    /// In words; cut at 1024 bytes.
    pub note: String,
}

/// What became of Events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Written as new objects.
    pub created: u64,
    /// Written as one more of the same.
    pub repeated: u64,
    /// Not written, because too many waited.
    pub dropped: u64,
    /// Not written, because the API server did not take them.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    created: AtomicU64,
    repeated: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

/// Publishes Events; cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    queue: mpsc::Sender<(Notice, Timestamp)>,
    counters: Arc<Counters>,
}

/// Writes what is published. Whoever makes it owns it: [`run`](Self::run) must be spawned, and joined in the end.
pub struct EventTask {
    queue: mpsc::Receiver<(Notice, Timestamp)>,
    counters: Arc<Counters>,
    writer: Writer,
    instance: String,
    repeats: Repeats,
}

/// A recorder and the task that writes for it. `instance` names this process, such as the pod's name.
#[must_use]
pub fn recorder(writer: Writer, instance: &str) -> (Recorder, EventTask) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let counters = Arc::new(Counters::default());
    let instance = if instance.is_empty() { "afresh" } else { instance };
    let task = EventTask {
        queue: receiver,
        counters: counters.clone(),
        writer,
        instance: cut(instance, MAX_INSTANCE),
        repeats: Repeats::default(),
    };
    let recorder = Recorder {
        queue: sender,
        counters,
    };
    (recorder, task)
}

impl Recorder {
    /// Publishes a notice, without waiting.
    pub fn publish(&self, notice: Notice) {
        if self.queue.try_send((notice, Timestamp::now())).is_err() {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What became of everything published so far.
    #[must_use]
    pub fn counts(&self) -> EventCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EventCounts {
            created: read(&self.counters.created),
            repeated: read(&self.counters.repeated),
            dropped: read(&self.counters.dropped),
            failed: read(&self.counters.failed),
        }
    }
}

impl EventTask {
    /// Writes until all recorders are dropped and everything published is written.
    pub async fn run(mut self) {
        while let Some((notice, at)) = self.queue.recv().await {
            let counter = match self.write(notice, at).await {
                Ok(true) => &self.counters.created,
                Ok(false) => &self.counters.repeated,
                Err(error) => {
                    tracing::debug!(%error, "an Event was not written");
                    &self.counters.failed
                }
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a new object was written, rather than one more of the same.
    async fn write(&mut self, notice: Notice, at: Timestamp) -> Result<bool, WriteError> {
        let key = repeat::key(&notice);
        if let Some(known) = self.repeats.again(&key) {
            let body = json!({"series": {"count": known.count, "lastObservedTime": micro(at)}});
            let path = format!("{}/{}", events_path(&notice.regarding.namespace), known.name);
            match self.writer.patch(&path, &body, "application/json").await {
                Ok(_) => return Ok(false),
                // The API server forgets Events after an hour, or sooner.
                Err(WriteError::Gone) => self.repeats.forget(&key),
                Err(error) => return Err(error),
            }
        }
        let name = event_name(&notice.regarding.name);
        let body = self.event(&notice, &name, at).await;
        let path = events_path(&notice.regarding.namespace);
        self.writer.send(Method::POST, &path, &body).await?;
        self.repeats.first(key, Known::new(name));
        Ok(true)
    }

    async fn event(&self, notice: &Notice, name: &str, at: Timestamp) -> Value {
        let about = &notice.regarding;
        let uid = match (&about.uid, &about.path) {
            (Some(uid), _) => Some(uid.to_string()),
            (None, Some(path)) => self.writer.uid(path).await,
            (None, None) => None,
        };
        let mut regarding = json!({
            "apiVersion": about.api_version,
            "kind": about.kind,
            "namespace": about.namespace.to_string(),
            "name": about.name.to_string(),
        });
        if let Some(uid) = uid {
            regarding["uid"] = uid.into();
        }
        json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"namespace": about.namespace.to_string(), "name": name},
            "eventTime": micro(at),
            "reportingController": REPORTING_CONTROLLER,
            "reportingInstance": self.instance,
            "action": notice.action,
            "reason": notice.reason,
            "regarding": regarding,
            "note": cut(&notice.note, MAX_NOTE),
            "type": notice.severity.word(),
        })
    }
}

fn events_path(namespace: &Name) -> String {
    format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events")
}

/// The object's name and 16 random digits, as client-go names Events.
fn event_name(object: &Name) -> String {
    let part: String = object.as_str().chars().take(MAX_NAME_PART).collect();
    let part = part.trim_end_matches(['-', '.']);
    format!("{part}.{:016x}", crate::random::number())
}

fn micro(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// At most so many bytes, and still text.
fn cut(text: &str, limit: usize) -> String {
    const MORE: &str = "…";
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit - MORE.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MORE}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("äöüäöü", 8), "äö…");
        assert!(cut(&"ä".repeat(2000), MAX_NOTE).len() <= MAX_NOTE);
    }

    #[test]
    fn the_longest_name_gives_a_valid_name() {
        for object in [
            "a",
            &"a-".repeat(126),
            &format!("{}-.x", "a".repeat(198)),
            &"a".repeat(253),
        ] {
            let object = object.trim_end_matches('-').parse::<Name>();
            let Ok(object) = object else { continue };
            let name = event_name(&object);
            assert!(name.parse::<Name>().is_ok(), "{name}");
        }
    }
}
