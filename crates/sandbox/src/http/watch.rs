//! Watch: a stream of events from a position in the history, with whatever disturbs it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::TransportError;
use super::negotiate::View;
use crate::api::{Query, VersionMatch};
use crate::faults::WatchFault;
use crate::object;
use crate::request::Call;
use crate::sandbox::Sandbox;
use crate::signal::Changes;
use crate::status::{ApiError, Cause};
use crate::store::{Change, Kind};

/// The real server picks between 30 and 60 minutes for clients that do not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1_800);
/// "Far future": longer than any test.
const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// One open watch.
pub(crate) struct Watcher {
    sandbox: Sandbox,
    call: Call,
    view: View,
    query: Query,
    cursor: u64,
    revisions: Changes,
    breaks: Changes,
    deadline: Instant,
    bookmark_at: Option<Instant>,
    queue: VecDeque<Value>,
    delivered: usize,
    fault: Option<WatchFault>,
    closing: bool,
}

impl Watcher {
    /// Opens a watch; initial events are queued from the present state.
    pub(crate) fn open(
        sandbox: &Sandbox,
        call: &Call,
        view: View,
        query: Query,
        fault: Option<WatchFault>,
    ) -> Result<Self, ApiError> {
        let parameters = &call.parameters;
        let initial = parameters.get("sendInitialEvents").map(|value| value == "true");
        check_match(&query, initial)?;
        let bookmarks = parameters.flag("allowWatchBookmarks");
        let timeout = parameters
            .get("timeoutSeconds")
            .and_then(|text| text.parse().ok())
            .filter(|s| *s > 0_u64);
        let now = Instant::now();
        let server = sandbox.server();
        let current = server.store.revision();
        let mut watcher = Self {
            sandbox: sandbox.clone(),
            call: call.clone(),
            view,
            cursor: query.version.unwrap_or(0),
            query,
            revisions: server.revisions(),
            breaks: sandbox.faults().breaks(),
            deadline: now + timeout.map_or(DEFAULT_TIMEOUT, Duration::from_secs),
            bookmark_at: bookmarks.then(|| now + sandbox.bookmark_interval()),
            queue: VecDeque::new(),
            delivered: 0,
            fault,
            closing: false,
        };
        // Without a position a watch starts with what there is; with one, only if asked.
        if initial.unwrap_or(watcher.cursor == 0) {
            let resource = &call.resource;
            let present = server.store.list(resource.storage()).map(|(_, value)| value);
            let present = present.filter(|value| watcher.query.matches(resource, value));
            watcher.queue = present
                .map(|value| event("ADDED", &view.object(resource, value)))
                .collect();
            watcher.cursor = current;
            if initial == Some(true) && bookmarks {
                watcher
                    .queue
                    .push_back(event("BOOKMARK", &view.bookmark(resource, current, true)));
            }
        } else if watcher.cursor == 0 {
            watcher.cursor = current;
        }
        drop(server);
        Ok(watcher)
    }

    /// The watch as a stream of lines.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Bytes, TransportError>> + Send {
        futures::stream::unfold(Some(self), |watcher| async move {
            let mut watcher = watcher?;
            match watcher.next().await {
                Some(Ok(line)) => Some((Ok(line), Some(watcher))),
                Some(Err(error)) => Some((Err(error), None)),
                None => None,
            }
        })
    }

    async fn next(&mut self) -> Option<Result<Bytes, TransportError>> {
        match self.fault {
            Some(WatchFault::CloseAtOnce) => return None,
            Some(WatchFault::ErrorEventGone) if !self.closing => {
                self.queue = VecDeque::from([gone(self.cursor, self.cursor)]);
                self.closing = true;
            }
            Some(WatchFault::DropAfter(after)) if self.delivered >= after => return None,
            Some(WatchFault::Stall { after, lasting }) if self.delivered >= after => {
                self.fault = None;
                self.sandbox.faults().pause(lasting).await;
            }
            _ => {}
        }
        let mut breaks = self.breaks.clone();
        let event = tokio::select! {
            biased;
            event = self.event() => event?,
            () = breaks.changed() => return Some(Err(TransportError::Reset)),
        };
        let mut line = event.to_string().into_bytes();
        line.push(b'\n');
        if self.fault == Some(WatchFault::BreakAfter(self.delivered)) {
            return Some(Err(TransportError::Reset));
        }
        self.delivered += 1;
        Some(Ok(Bytes::from(line)))
    }

    async fn event(&mut self) -> Option<Value> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if self.closing {
                return None;
            }
            // Marked before reading, so that a write between reading and waiting is not missed.
            self.revisions.mark_unchanged();
            self.fill();
            if self.queue.is_empty() {
                self.wait().await?;
            } else {
                self.disturb_delivery().await;
            }
        }
    }

    /// Queues what happened since the cursor.
    fn fill(&mut self) {
        let server = self.sandbox.server();
        match server.store.since(self.cursor) {
            Err(compacted) => {
                self.queue.push_back(gone(self.cursor, compacted.oldest));
                self.closing = true;
            }
            Ok(changes) => {
                let resource = &self.call.resource;
                let seen = changes
                    .filter(|change| change.storage == *resource.storage())
                    .filter_map(|change| shown(&self.query, &self.call, self.view, change));
                self.queue.extend(seen);
                self.cursor = self.cursor.max(server.store.revision());
            }
        }
    }

    async fn disturb_delivery(&mut self) {
        let delivery = self.sandbox.faults().on_delivery(&self.call.attributes);
        if delivery.duplicate {
            self.queue = self.queue.drain(..).flat_map(|event| [event.clone(), event]).collect();
        }
        if !delivery.delay.is_zero() {
            self.sandbox.faults().pause(delivery.delay).await;
        }
    }

    /// Waits for a write, a bookmark's time or the end; nothing means the end.
    async fn wait(&mut self) -> Option<()> {
        let bookmark_at = self.bookmark_at.unwrap_or_else(|| Instant::now() + NEVER);
        tokio::select! {
            biased; // so that a seeded run replays
            () = self.revisions.changed() => Some(()),
            () = tokio::time::sleep_until(bookmark_at) => {
                self.bookmark_at = Some(Instant::now() + self.sandbox.bookmark_interval());
                self.queue.push_back(event("BOOKMARK", &self.view.bookmark(&self.call.resource, self.cursor, false)));
                Some(())
            }
            () = tokio::time::sleep_until(self.deadline) => None,
        }
    }
}

/// The event a watcher sees of a change: entering or leaving the selection looks like creation or deletion.
fn shown(query: &Query, call: &Call, view: View, change: &Arc<Change>) -> Option<Value> {
    let resource = &call.resource;
    let before = change.before.as_ref().filter(|before| query.matches(resource, before));
    let after = query.matches(resource, &change.after) && change.kind != Kind::Deleted;
    match (before, after) {
        (None, false) => None,
        (None, true) => Some(event("ADDED", &view.object(resource, &change.after))),
        (Some(_), true) => Some(event("MODIFIED", &view.object(resource, &change.after))),
        (Some(_), false) if change.kind == Kind::Deleted => {
            Some(event("DELETED", &view.object(resource, &change.after)))
        }
        (Some(before), false) => {
            let mut last = Value::clone(before);
            object::set(
                &mut last,
                &["metadata", "resourceVersion"],
                json!(change.revision.to_string()),
            );
            Some(event("DELETED", &view.object(resource, &last)))
        }
    }
}

fn event(kind: &str, object: &Value) -> Value {
    json!({"type": kind, "object": object})
}

/// The ERROR event of a position that is no longer kept, as the real server sends it inside a 200.
fn gone(asked: u64, oldest: u64) -> Value {
    event(
        "ERROR",
        &ApiError::expired(format!("too old resource version: {asked} ({oldest})")).to_status(),
    )
}

fn check_match(query: &Query, initial: Option<bool>) -> Result<(), ApiError> {
    let why = match (initial, query.version_match) {
        (Some(_), Some(VersionMatch::NotOlderThan)) | (None, None) => return Ok(()),
        (Some(_), _) => "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        (None, Some(_)) => "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
    };
    Err(ApiError::list_options(Cause::forbidden("resourceVersionMatch", why)))
}
