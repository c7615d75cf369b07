//! The state machine of a watch.

use std::time::Duration;

use kube::Client;
use kube::core::Request;
use tokio::time::Instant;

use super::backoff::{Backoff, spread};
use super::lines::Lines;
use super::options::{InitialList, Presence, WatchOptions};
use super::wire::{self, Line};
use super::{Event, FailureKind, WatchFailure, WatchStatus};
use crate::lean::{Page, Reader, Undecodable};
use crate::request::{self, CallError, Refusal, malformed, unbuildable};

/// Broken streamed lists in a row after which pages are tried: something between us and the server may not stream.
const BROKEN_STREAMS: u32 = 2;

pub(super) struct Machine<R: Reader> {
    client: Client,
    reader: R,
    options: WatchOptions,
    status: WatchStatus,
    backoff: Backoff,
    phase: Phase<R::Object>,
    /// Where the next watch begins.
    resource_version: String,
    /// How the next list is fetched; once paged it stays paged.
    initial: InitialList,
    broken_streams: u32,
    /// The last attempt to watch was forbidden, and that was told.
    polling: bool,
    absence: Absence,
    not_before: Option<Instant>,
}

enum Phase<K> {
    /// Nothing is known: list.
    Start,
    /// The server does not serve the kind: that is told as a list without objects.
    Empty(Empty),
    /// Pages are being fetched and handed out.
    Pages(Pages<K>),
    /// The list is streaming in.
    Initial(Live),
    /// The list is complete: watch from the resource version.
    Resume,
    /// Changes are streaming in.
    Watching(Live),
}

/// What is to be told next of a kind that is not served.
enum Empty {
    Synced(CallError),
    Why(CallError),
}

/// For how long, and how often, a kind that may be absent was looked for in vain.
struct Absence {
    backoff: Backoff,
    told: bool,
}

struct Pages<K> {
    items: std::vec::IntoIter<Result<K, Undecodable>>,
    /// The next page; empty on the last one.
    token: Box<str>,
    resource_version: Box<str>,
}

/// An open watch.
struct Live {
    lines: Lines,
    opened: Instant,
    /// It brought a change, so it works.
    delivered: bool,
}

/// How an open watch ended.
enum End {
    /// The server closed it, or it fell silent.
    Quiet,
    Failed(CallError),
}

impl<R: Reader> Machine<R> {
    pub(super) fn new(client: Client, reader: R, options: WatchOptions, status: WatchStatus) -> Self {
        let backoff = Backoff::new(options.timing.first_delay, options.timing.last_delay);
        let absence = Absence {
            backoff: Backoff::new(options.timing.first_delay, options.timing.absent),
            told: false,
        };
        Self {
            client,
            reader,
            initial: options.initial,
            options,
            status,
            backoff,
            phase: Phase::Start,
            resource_version: String::new(),
            broken_streams: 0,
            polling: false,
            absence,
            not_before: None,
        }
    }

    pub(super) async fn next(&mut self) -> Event<R::Object> {
        loop {
            if let Some(moment) = self.not_before.take() {
                tokio::time::sleep_until(moment).await;
            }
            let event = match &mut self.phase {
                Phase::Start => self.start().await,
                Phase::Empty(_) => self.empty_step(),
                Phase::Pages(_) => self.page_step().await,
                Phase::Initial(_) => self.initial_step().await,
                Phase::Resume => self.resume().await,
                Phase::Watching(_) => self.watching_step().await,
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    async fn start(&mut self) -> Option<Event<R::Object>> {
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

    fn failed_to_list(&mut self, error: &CallError) -> Option<Event<R::Object>> {
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

    fn empty_step(&mut self) -> Option<Event<R::Object>> {
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

    async fn page_step(&mut self) -> Option<Event<R::Object>> {
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

    fn undecodable(&self, undecodable: Undecodable) -> Event<R::Object> {
        self.status.undecodable();
        Event::Undecodable(undecodable)
    }

    // `&mut`, because a body is not `Sync` and the stream must be `Send`.
    async fn open(&mut self, initial: bool) -> Result<Live, CallError> {
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

    async fn initial_step(&mut self) -> Option<Event<R::Object>> {
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

    async fn resume(&mut self) -> Option<Event<R::Object>> {
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

    async fn watching_step(&mut self) -> Option<Event<R::Object>> {
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

    /// A request failed: wait, and where the server has forgotten us, list again.
    fn failed(&mut self, error: &CallError) -> Event<R::Object> {
        let kind = kind_of(error);
        let delay = if kind == FailureKind::Expired {
            self.phase = Phase::Start;
            // The first time this is ordinary: the answer is to list, now.
            if self.backoff.streak() == 0 {
                self.backoff.count();
                Duration::ZERO
            } else {
                self.backoff.next()
            }
        } else {
            self.backoff.next()
        };
        let delay = delay.max(retry_after(error));
        self.report(kind, error, delay)
    }

    fn report(&mut self, kind: FailureKind, error: &CallError, delay: Duration) -> Event<R::Object> {
        self.pause(delay);
        let failure = WatchFailure {
            kind,
            message: error.to_string().into(),
            streak: self.backoff.streak(),
            retry_in: delay,
        };
        self.status.failed(&failure);
        Event::Failed(failure)
    }

    fn pause(&mut self, delay: Duration) {
        self.not_before = (!delay.is_zero()).then(|| Instant::now() + delay);
    }
}

/// The server does not know the path: the kind is not served.
const NOT_FOUND: u16 = 404;

/// HTTP 410 Gone: the resource version, or the token of a page, is too old.
const EXPIRED: u16 = 410;

/// Longest wait that a server can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

fn number(resource_version: &str) -> Option<u64> {
    resource_version.parse().ok()
}

fn retry_after(error: &CallError) -> Duration {
    match error {
        CallError::Refused(refusal) => refusal.retry_after.unwrap_or_default().min(MAX_RETRY_AFTER),
        _ => Duration::ZERO,
    }
}

/// Invalid, bad or unknown: how servers answer `sendInitialEvents` that do not have it, or have it switched off.
fn refuses_streaming(error: &CallError) -> bool {
    matches!(error, CallError::Refused(refusal) if matches!(refusal.code, 400 | 405 | 422 | 501))
}

fn is_denied(error: &CallError) -> bool {
    kind_of(error) == FailureKind::Denied
}

fn kind_of(error: &CallError) -> FailureKind {
    match error {
        CallError::Refused(refusal) => match refusal.code {
            401 | 403 => FailureKind::Denied,
            EXPIRED => FailureKind::Expired,
            429 => FailureKind::Throttled,
            _ => FailureKind::Refused,
        },
        CallError::Connection(_) => FailureKind::Connection,
        CallError::Timeout(_) => FailureKind::Timeout,
        CallError::TooLarge | CallError::Malformed(_) | CallError::Request(_) => FailureKind::Malformed,
    }
}

/// Where a list could not be read; the message itself could quote a value.
fn place(error: &serde_json::Error) -> String {
    format!("the list is broken at line {} column {}", error.line(), error.column())
}
