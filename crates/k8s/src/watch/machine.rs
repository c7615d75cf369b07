//! The state machine of a watch.

use std::time::Duration;

use kube::Client;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::failure::{kind_of, retry_after};
use super::lines::Lines;
use super::options::{InitialList, WatchOptions};
use super::{Event, FailureKind, WatchFailure, WatchStatus};
use crate::lean::{Reader, Undecodable};
use crate::request::CallError;

mod list;
mod live;

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

    fn undecodable(&self, undecodable: Undecodable) -> Event<R::Object> {
        self.status.undecodable();
        Event::Undecodable(undecodable)
    }
}
