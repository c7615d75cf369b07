//! The first half of a watch: what there is, in pages or streamed, or that the kind is not served.

use std::time::Duration;

use kube::core::Request;

use super::{Empty, Machine, Pages, Phase};
use crate::lean::{Page, Reader, Undecodable};
use crate::request::{self, CallError, Refusal, malformed, unbuildable};
use crate::watch::failure::{NOT_FOUND, is_denied, kind_of, place, refuses_streaming};
use crate::watch::options::{InitialList, Presence};
use crate::watch::wire::{self, Line};
use crate::watch::{Event, FailureKind, WatchFailure};

/// Broken streamed lists in a row after which pages are tried: something between us and the server may not stream.
const BROKEN_STREAMS: u32 = 2;

impl<R: Reader> Machine<R> {
    pub(super) async fn start(&mut self) -> Option<Event<R::Object>> {
        if let Err(error) = self.discover().await {
            return self.failed_to_list(&error);
        }
        match self.initial {
            InitialList::Streaming => match self.open(true).await {
                Ok(live) => {
                    self.phase = Phase::Initial(live);
                    Some(self.begin())
                }
                Err(error) if refuses_streaming(&error) => Some(self.page_from_now_on(&error)),
                Err(error) if is_denied(&error) => {
                    // To list may be allowed where to watch is not.
                    self.initial = InitialList::Paged(InitialList::PAGE);
                    Some(self.failed(&error))
                }
                Err(error) => self.failed_to_list(&error),
            },
            InitialList::Paged(size) => match self.fetch_page(size, "").await {
                Ok(pages) => {
                    self.phase = Phase::Pages(pages);
                    Some(self.begin())
                }
                Err(error) => self.failed_to_list(&error),
            },
        }
    }

    /// Asks for the name of the collection, if only the server knows it.
    async fn discover(&mut self) -> Result<(), CallError> {
        let Some(path) = self.reader.discovery() else {
            return Ok(());
        };
        let request = http::Request::get(path).body(Vec::new()).map_err(unbuildable)?;
        let answer = request::fetch(&self.client, request, self.options.timing.answer).await?;
        self.reader.discovered(&answer).map_err(|unserved| {
            CallError::Refused(Refusal {
                code: NOT_FOUND,
                reason: "NotFound".into(),
                message: unserved.to_string().into(),
                retry_after: None,
            })
        })
    }

    fn begin(&mut self) -> Event<R::Object> {
        self.absence.told = false;
        self.absence.backoff.reset();
        self.status.begun();
        Event::Begin
    }

    pub(super) fn failed_to_list(&mut self, error: &CallError) -> Option<Event<R::Object>> {
        if self.is_absent(error) {
            self.absent(error)
        } else {
            Some(self.failed(error))
        }
    }

    /// Whether an error says that there are no such objects, for now. One that comes before the first list and may
    /// concern this kind alone (no rights, an API server of its own that is away) must not keep all others waiting.
    fn is_absent(&self, error: &CallError) -> bool {
        let CallError::Refused(refusal) = error else {
            return false;
        };
        self.options.presence == Presence::Optional
            && (refusal.code == NOT_FOUND
                || matches!(refusal.code, 403 | 503) && (self.absence.told || !self.status.is_synced()))
    }

    /// Told once, as a list without objects; then the kind is looked for now and then, in silence.
    fn absent(&mut self, error: &CallError) -> Option<Event<R::Object>> {
        self.phase = Phase::Start;
        self.backoff.reset();
        if std::mem::replace(&mut self.absence.told, true) {
            self.look_again();
            return None;
        }
        self.phase = Phase::Empty(Empty::Synced(error.clone()));
        Some(Event::Begin)
    }

    pub(super) fn empty_step(&mut self) -> Option<Event<R::Object>> {
        match std::mem::replace(&mut self.phase, Phase::Start) {
            Phase::Empty(Empty::Synced(error)) => {
                self.status.absent();
                self.phase = Phase::Empty(Empty::Why(error));
                Some(Event::Synced)
            }
            Phase::Empty(Empty::Why(error)) => {
                let kind = match kind_of(&error) {
                    FailureKind::Refused => FailureKind::Absent,
                    other => other,
                };
                Some(Event::Failed(WatchFailure {
                    kind,
                    message: error.to_string().into(),
                    streak: 0,
                    retry_in: self.look_again(),
                }))
            }
            other => {
                self.phase = other;
                None
            }
        }
    }

    fn look_again(&mut self) -> Duration {
        self.status.absent();
        let delay = self.absence.backoff.next();
        self.pause(delay);
        delay
    }

    fn page_from_now_on(&mut self, error: &CallError) -> Event<R::Object> {
        self.initial = InitialList::Paged(InitialList::PAGE);
        self.phase = Phase::Start;
        self.report(FailureKind::NoStreaming, error, Duration::ZERO)
    }

    pub(super) async fn page_step(&mut self) -> Option<Event<R::Object>> {
        let Phase::Pages(pages) = &mut self.phase else {
            return None;
        };
        if let Some(item) = pages.items.next() {
            return Some(self.listed(item));
        }
        if pages.token.is_empty() {
            self.resource_version = std::mem::take(&mut pages.resource_version).into();
            self.phase = Phase::Resume;
            self.status.synced();
            return Some(Event::Synced);
        }
        let token = pages.token.clone();
        let size = match self.initial {
            InitialList::Paged(size) => size,
            InitialList::Streaming => InitialList::PAGE,
        };
        match self.fetch_page(size, &token).await {
            Ok(next) => {
                self.phase = Phase::Pages(next);
                None
            }
            // Anything but an expired token leaves the token good: the same page is asked for again.
            Err(error) => self.failed_to_list(&error),
        }
    }

    async fn fetch_page(&mut self, size: u32, token: &str) -> Result<Pages<R::Object>, CallError> {
        let path = Request::new(self.reader.path(self.options.namespace.as_ref()));
        let params = self.options.list_params(size, token);
        let request = if R::METADATA_ONLY {
            path.list_metadata(&params)
        } else {
            path.list(&params)
        };
        let answer = request::fetch(&self.client, request.map_err(unbuildable)?, self.options.timing.answer).await?;
        let page = Page::read(&answer, |json| self.reader.decode(json)).map_err(|error| malformed(place(&error)))?;
        if page.continue_token.is_empty() && page.resource_version.is_empty() {
            return Err(malformed("a list has no resourceVersion"));
        }
        self.status.heard("");
        Ok(Pages {
            items: page.items.into_iter(),
            token: page.continue_token,
            resource_version: page.resource_version,
        })
    }

    fn listed(&self, item: Result<R::Object, Undecodable>) -> Event<R::Object> {
        self.status.listed();
        match item {
            Ok(object) => Event::Listed(object),
            Err(undecodable) => self.undecodable(undecodable),
        }
    }

    pub(super) async fn initial_step(&mut self) -> Option<Event<R::Object>> {
        let Phase::Initial(live) = &mut self.phase else {
            return None;
        };
        let silence = self.options.timing.answer;
        let line = match tokio::time::timeout(silence, live.lines.next()).await {
            Ok(Ok(Some(line))) => wire::parse(&self.reader, &line),
            Ok(Ok(None)) => Err(malformed("the watch ended before the list was complete")),
            Ok(Err(error)) => Err(error),
            // A server that ignores the request for initial events sends them, and then nothing.
            Err(_) => {
                self.broken_streams = BROKEN_STREAMS;
                Err(CallError::Timeout(silence))
            }
        };
        match line {
            Ok(Line::Added(object) | Line::Modified(object)) => Some(self.listed(Ok(object))),
            Ok(Line::Undecodable(undecodable)) if !undecodable.deleted => Some(self.listed(Err(undecodable))),
            Ok(Line::Bookmark(bookmark)) if bookmark.end.0 => self.initial_done(&bookmark.resource_version),
            Ok(Line::Bookmark(_)) => None,
            Ok(Line::Error(refusal)) => Some(self.initial_failed(&CallError::Refused(refusal))),
            Ok(Line::Deleted(_) | Line::Undecodable(_)) => {
                Some(self.initial_failed(&malformed("an object was deleted from a list that is not complete")))
            }
            Err(error) => Some(self.initial_failed(&error)),
        }
    }

    fn initial_done(&mut self, resource_version: &str) -> Option<Event<R::Object>> {
        let Phase::Initial(live) = std::mem::replace(&mut self.phase, Phase::Start) else {
            return None;
        };
        if resource_version.is_empty() {
            return Some(self.initial_failed(&malformed("the end of the list has no resourceVersion")));
        }
        self.broken_streams = 0;
        resource_version.clone_into(&mut self.resource_version);
        self.phase = Phase::Watching(live);
        self.status.heard(resource_version);
        self.status.synced();
        self.status.watching();
        Some(Event::Synced)
    }

    fn initial_failed(&mut self, error: &CallError) -> Event<R::Object> {
        self.broken_streams += 1;
        if self.broken_streams >= BROKEN_STREAMS {
            self.initial = InitialList::Paged(InitialList::PAGE);
        }
        self.phase = Phase::Start;
        self.failed(error)
    }
}
