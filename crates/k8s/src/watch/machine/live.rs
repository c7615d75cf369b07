//! The second half of a watch: what changes, and how an open watch ends.

use std::time::Duration;

use kube::core::Request;
use tokio::time::Instant;

use super::{Live, Machine, Phase};
use crate::lean::Reader;
use crate::request::{self, CallError, Refusal, malformed, unbuildable};
use crate::watch::backoff::spread;
use crate::watch::failure::{EXPIRED, is_denied, kind_of, retry_after};
use crate::watch::lines::Lines;
use crate::watch::wire::{self, Line};
use crate::watch::{Event, FailureKind};

/// How an open watch ended.
enum End {
    /// The server closed it, or it fell silent.
    Quiet,
    Failed(CallError),
}

impl<R: Reader> Machine<R> {
    // `&mut`, because a body is not `Sync` and the stream must be `Send`.
    pub(super) async fn open(&mut self, initial: bool) -> Result<Live, CallError> {
        let path = Request::new(self.reader.path(self.options.namespace.as_ref()));
        let params = self.options.watch_params(initial, self.lifetime());
        // Without a resource version the list is consistent: never older than what was seen before.
        let from = if initial { "" } else { &self.resource_version };
        let request = if R::METADATA_ONLY {
            path.watch_metadata(&params, from)
        } else {
            path.watch(&params, from)
        };
        let limit = self.options.timing.answer;
        let opening = request::open(&self.client, request.map_err(unbuildable)?);
        let response = tokio::time::timeout(limit, opening)
            .await
            .map_err(|_| CallError::Timeout(limit))??;
        Ok(Live {
            lines: Lines::new(response.into_body()),
            opened: Instant::now(),
            delivered: false,
        })
    }

    fn lifetime(&self) -> Duration {
        let full = self.options.timing.lifetime;
        // Half of the spread of one half: at most a fifth is cut.
        full.mul_f64(0.6) + spread(full.mul_f64(0.4))
    }

    pub(super) async fn resume(&mut self) -> Option<Event<R::Object>> {
        match self.open(false).await {
            Ok(live) => {
                self.polling = false;
                self.phase = Phase::Watching(live);
                self.status.watching();
                None
            }
            Err(error) if is_denied(&error) => self.list_again_later(&error),
            Err(error) => self.failed_to_list(&error),
        }
    }

    /// It may be listed and not watched, as with the rights that Reloader asks for: told once, then listed now and then.
    fn list_again_later(&mut self, error: &CallError) -> Option<Event<R::Object>> {
        self.phase = Phase::Start;
        self.backoff.reset();
        let wait = self.options.timing.poll;
        let told = std::mem::replace(&mut self.polling, true);
        let event = (!told).then(|| self.report(FailureKind::Denied, error, wait));
        self.pause(wait);
        self.status.polling();
        event
    }

    pub(super) async fn watching_step(&mut self) -> Option<Event<R::Object>> {
        let Phase::Watching(live) = &mut self.phase else {
            return None;
        };
        let line = match tokio::time::timeout(self.options.timing.idle, live.lines.next()).await {
            Ok(Ok(Some(line))) => wire::parse(&self.reader, &line),
            Ok(Ok(None)) | Err(_) => return self.ended(End::Quiet),
            Ok(Err(error)) => Err(error),
        };
        match line {
            Ok(Line::Added(object)) => self.change(object, 1, Event::Applied),
            Ok(Line::Modified(object)) => self.change(object, 0, Event::Applied),
            Ok(Line::Deleted(object)) => self.change(object, -1, Event::Deleted),
            Ok(Line::Undecodable(undecodable)) => {
                self.moved(&undecodable.resource_version);
                Some(self.undecodable(undecodable))
            }
            Ok(Line::Bookmark(bookmark)) => self.bookmark(&bookmark.resource_version),
            Ok(Line::Error(refusal)) => self.ended(End::Failed(CallError::Refused(refusal))),
            Err(error) => self.ended(End::Failed(error)),
        }
    }

    fn change(
        &mut self,
        object: R::Object,
        objects: i8,
        event: fn(R::Object) -> Event<R::Object>,
    ) -> Option<Event<R::Object>> {
        if R::resource_version(&object).is_empty() {
            self.phase = Phase::Start;
            return Some(self.failed(&malformed("an object in the watch has no resourceVersion")));
        }
        self.moved(R::resource_version(&object));
        self.status.changed(objects);
        Some(event(object))
    }

    /// Notes where the watch is. Replayed changes do not move it back.
    fn moved(&mut self, resource_version: &str) {
        self.status.heard(resource_version);
        let (now, next) = (number(&self.resource_version), number(resource_version));
        if resource_version.is_empty() || now.zip(next).is_some_and(|(now, next)| next <= now) {
            return;
        }
        resource_version.clone_into(&mut self.resource_version);
        if let Phase::Watching(live) = &mut self.phase {
            live.delivered = true;
        }
    }

    fn bookmark(&mut self, resource_version: &str) -> Option<Event<R::Object>> {
        let (now, next) = (number(&self.resource_version), number(resource_version));
        if now.zip(next).is_some_and(|(now, next)| next < now) {
            // etcd was restored from a backup: a watch from the future would be silent until history catches up.
            return self.ended(End::Failed(CallError::Refused(Refusal {
                code: EXPIRED,
                reason: "Expired".into(),
                message: "the server's history went backwards".into(),
                retry_after: None,
            })));
        }
        self.status.heard(resource_version);
        if !resource_version.is_empty() {
            resource_version.clone_into(&mut self.resource_version);
        }
        None
    }

    /// The open watch is over; where it was sound, the next one is opened at once.
    fn ended(&mut self, end: End) -> Option<Event<R::Object>> {
        let Phase::Watching(live) = std::mem::replace(&mut self.phase, Phase::Resume) else {
            return None;
        };
        let lived = live.opened.elapsed();
        drop(live.lines);
        self.status.restarted();
        if !live.delivered && lived < self.options.timing.sound {
            return Some(match end {
                End::Quiet => {
                    let delay = self.backoff.next();
                    let error = malformed(format_args!("the watch ended after {lived:?} without a change"));
                    self.report(FailureKind::ShortLived, &error, delay)
                }
                End::Failed(error) => self.failed(&error),
            });
        }
        self.backoff.reset();
        let delay = self.options.timing.spacing.saturating_sub(lived);
        match end {
            End::Quiet => {
                self.pause(delay);
                None
            }
            End::Failed(error) => {
                let kind = kind_of(&error);
                if kind == FailureKind::Expired {
                    self.phase = Phase::Start;
                }
                let delay = delay.max(retry_after(&error));
                Some(self.report(kind, &error, delay))
            }
        }
    }
}

fn number(resource_version: &str) -> Option<u64> {
    resource_version.parse().ok()
}
