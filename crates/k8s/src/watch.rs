//! The guarded watch: a stream of changes that never ends, never spins and recovers from everything.
//!
//! kube 5.0.0's own `watcher` has two holes: a watch that opens and closes at once is retried without any delay, and
//! a watch that is refused with HTTP status 410 is retried for ever and never lists again. Both happen inside one poll
//! of its stream, where no wrapper can step in, so nothing here calls it; the state machine is our own:
//!
//! ```text
//!            ┌───────────── 410, history went backwards ─────────────┐
//!            ▼                                                       │
//! Start ──stream, or page by page──▶ Synced ──▶ Watching ──end──▶ Resume (from the last resourceVersion)
//!   ▲                                              ▲                 │
//!   └── any failure: wait, growing, with jitter    └─────────────────┘
//! ```
//! - A change is passed on as soon as its line is there; waiting happens only between two requests.
//! - Lists are streamed (KEP-3157), so that no page is ever held; where the server refuses or stalls, paged.
//! - A silent connection is given up after [`Timing::idle`]; opening and listing have deadlines.
//! - A kind that may be listed and not watched is listed every [`Timing::poll`].
//! - A kind that may be absent ([`Presence`]) and is, has no objects; it is looked for again.
//! - What cannot be decoded is an event of its own and stops nothing.

mod backoff;
mod failure;
mod lines;
mod machine;
mod options;
mod status;
mod wire;

use std::time::Duration;

use futures::Stream;
use kube::Client;

pub use options::{InitialList, Presence, Timing, WatchOptions};
pub use status::{WatchPhase, WatchSnapshot, WatchStatus};

use crate::lean::{Of, Reader, Undecodable, Watched};
use machine::Machine;

/// What a watch tells.
///
/// A full list comes as `Begin`, any number of `Listed` and `Undecodable`, `Synced`; what was known before and was
/// not in it, is gone. A list that is broken off begins anew with `Begin`.
#[derive(Debug)]
pub enum Event<K> {
    /// A list begins.
    Begin,
    /// An object of the list.
    Listed(K),
    /// The list is complete.
    Synced,
    /// An object is new or changed. After a lost connection an object may come again as it was.
    Applied(K),
    /// An object is gone; this is its last state.
    Deleted(K),
    /// An object that is there, or has changed, but cannot be read.
    Undecodable(Undecodable),
    /// Something went wrong; the watch goes on by itself.
    Failed(WatchFailure),
}

/// What went wrong with a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchFailure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// In words.
    pub message: Box<str>,
    /// How many failures there were since the watch last worked, this one included; 0 if it worked just before.
    pub streak: u32,
    /// When the next request is sent.
    pub retry_in: Duration,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// 401 or 403: a rule is missing, or credentials are wrong.
    Denied,
    /// 410: the server has forgotten where we were; the list comes again.
    Expired,
    /// 429.
    Throttled,
    /// Another error status.
    Refused,
    /// No connection, or it broke.
    Connection,
    /// No answer in time.
    Timeout,
    /// The watch ended right after it was opened.
    ShortLived,
    /// The server does not stream lists; they are paged from now on.
    NoStreaming,
    /// What came is not a watch, or not a list.
    Malformed,
    /// The server does not serve the kind; told once, and it is looked for again.
    Absent,
}

impl FailureKind {
    /// As a label of a metric.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Throttled => "throttled",
            Self::Refused => "refused",
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::ShortLived => "short-lived",
            Self::NoStreaming => "no-streaming",
            Self::Malformed => "malformed",
            Self::Absent => "absent",
        }
    }
}

/// Watches all objects of a kind that `options` select. `status` tells from outside how it is going.
///
/// The stream never ends. Nothing happens while it is not polled.
pub fn watch<K: Watched>(
    client: Client,
    options: WatchOptions,
    status: WatchStatus,
) -> impl Stream<Item = Event<K>> + Send + use<K> {
    watch_by(client, Of::<K>::default(), options, status)
}

/// The same for a kind that is not known by its type.
pub fn watch_by<R: Reader>(
    client: Client,
    reader: R,
    options: WatchOptions,
    status: WatchStatus,
) -> impl Stream<Item = Event<R::Object>> + Send + use<R> {
    futures::stream::unfold(Machine::new(client, reader, options, status), |mut machine| async {
        let event = machine.next().await;
        Some((event, machine))
    })
}
