//! Disturbances on demand: aimed ones for one request or watch, and seeded ones for whole runs.
//!
//! Aimed faults come first; where none matches, the seeded rates draw. Every draw depends only on the seed, on the verb
//! and resource, and on how many such requests came before, so a schedule replays even if different kinds interleave
//! differently. [`Faults::quiet`] ends all of it, and cuts short the waits that are under way.

mod seeded;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use seeded::Rates;

use crate::request::{Attributes, Filter};
use crate::signal::{Changes, Signal};
use seeded::Schedule;

/// What befalls a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFault {
    /// Answered with this code; nothing is done.
    Status {
        /// The HTTP status code.
        code: u16,
        /// Seconds for the `Retry-After` header and the body's `retryAfterSeconds`.
        retry_after: Option<u32>,
    },
    /// Answered 409 Conflict as by a concurrent writer; nothing is done.
    Conflict,
    /// Answered rightly, but only after this time.
    Delay(Duration),
    /// Kept back until [`Faults::release`]: then it is done and answered rightly. So that something else can happen just
    /// before it ([`Faults::held`]).
    Hold,
    /// The connection fails before the request arrives; nothing is done.
    ConnectionError,
    /// The request is done, and then the connection fails.
    ReplyLost,
    /// No answer ever comes; nothing is done.
    Hang,
    /// The client is to die here: no answer comes, and [`Faults::crashed`] resolves.
    Crash {
        /// Whether the request is done before.
        done: bool,
    },
}

/// What befalls a watch that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFault {
    /// Answered 200, then closed without an event.
    CloseAtOnce,
    /// Closed properly after this many events.
    DropAfter(usize),
    /// The connection breaks in the middle of the event after this many.
    BreakAfter(usize),
    /// Silent for a time after this many events; the events come later.
    Stall {
        /// Events before the silence.
        after: usize,
        /// How long the silence lasts.
        lasting: Duration,
    },
    /// Answered with HTTP status 410.
    StatusGone,
    /// Answered 200, then an ERROR event bearing a Status 410.
    ErrorEventGone,
}

/// How the events of a watch are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Every event comes twice, one right after the other.
    pub duplicate: bool,
    /// Events are held back so long: kinds overtake each other, never the events of one watch.
    pub delay: Duration,
}

/// What was injected, for counting and for finding a fault's effect in a failing run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Injected {
    /// A request was disturbed.
    Request(Attributes, RequestFault),
    /// A watch was disturbed.
    Watch(Attributes, WatchFault),
    /// The history was compacted after this request.
    Compaction(Attributes),
}

/// The handle by which tests disturb the sandbox; clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
    /// Grows whenever disturbances end, which cuts waits short.
    quieted: Arc<Signal>,
    /// Counts the crashes asked for.
    crashes: Arc<Signal>,
    /// Grows whenever all watches are to break.
    breaks: Arc<Signal>,
    /// How many requests are kept back just now.
    held: Arc<AtomicUsize>,
    /// Grows whenever one is kept back.
    holds: Arc<Signal>,
    /// Grows whenever they are let go.
    releases: Arc<Signal>,
}

/// One request that is kept back, for as long as somebody waits for its answer.
struct Held<'a>(&'a AtomicUsize);

impl<'a> Held<'a> {
    fn new(held: &'a AtomicUsize) -> Self {
        held.fetch_add(1, Ordering::SeqCst);
        Self(held)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug, Default)]
struct Plan {
    requests: VecDeque<(usize, Filter, RequestFault)>,
    watches: VecDeque<(usize, Filter, WatchFault)>,
    deliveries: Vec<(Filter, Delivery)>,
    schedule: Option<Schedule>,
    injected: Vec<Injected>,
}

impl Faults {
    /// Disturbs the next `count` requests that the filter means. Faults for the same request are used in the order given.
    pub fn next_requests(&self, count: usize, filter: Filter, fault: RequestFault) {
        self.plan().requests.push_back((count, filter, fault));
    }

    /// Disturbs the next `count` watches that the filter means.
    pub fn next_watches(&self, count: usize, filter: Filter, fault: WatchFault) {
        self.plan().watches.push_back((count, filter, fault));
    }

    /// Delivers the events of all watches that the filter means in this way, until [`Faults::quiet`].
    pub fn deliver(&self, filter: Filter, delivery: Delivery) {
        self.plan().deliveries.push((filter, delivery));
    }

    /// Draws disturbances from a seed until [`Faults::quiet`].
    pub fn seeded(&self, seed: u64, rates: Rates) {
        self.plan().schedule = Some(Schedule::new(seed, rates));
    }

    /// Resolves when a request is kept back by [`RequestFault::Hold`].
    pub async fn held(&self) {
        let mut holds = self.holds.subscribe();
        while self.held.load(Ordering::SeqCst) == 0 {
            holds.changed().await;
        }
    }

    /// Lets go all requests that are kept back.
    pub fn release(&self) {
        self.releases.tell();
    }

    pub(crate) async fn hold(&self) {
        let (mut released, mut quieted) = (self.releases.subscribe(), self.quieted.subscribe());
        let _held = Held::new(&self.held);
        self.holds.tell();
        tokio::select! {
            biased; // so that a seeded run replays
            () = released.changed() => {}
            () = quieted.changed() => {}
        }
    }

    /// Breaks every watch that is open, as a restart of the API server does.
    pub fn break_watches(&self) {
        self.breaks.tell();
    }

    pub(crate) fn breaks(&self) -> Changes {
        self.breaks.subscribe()
    }

    /// Ends every disturbance, those under way as well. What was injected stays known.
    pub fn quiet(&self) {
        let mut plan = self.plan();
        let injected = std::mem::take(&mut plan.injected);
        *plan = Plan {
            injected,
            ..Plan::default()
        };
        drop(plan);
        self.quieted.tell();
    }

    /// What was injected so far, in order.
    #[must_use]
    pub fn injected(&self) -> Vec<Injected> {
        self.plan().injected.clone()
    }

    pub(crate) fn on_request(&self, request: &Attributes) -> Option<RequestFault> {
        let mut plan = self.plan();
        let aimed = take(&mut plan.requests, request);
        let fault = aimed.or_else(|| plan.schedule.as_mut().and_then(|schedule| schedule.request(request)))?;
        plan.injected.push(Injected::Request(request.clone(), fault));
        Some(fault)
    }

    pub(crate) fn on_watch(&self, request: &Attributes) -> Option<WatchFault> {
        let mut plan = self.plan();
        let aimed = take(&mut plan.watches, request);
        let fault = aimed.or_else(|| plan.schedule.as_mut().and_then(|schedule| schedule.watch(request)))?;
        plan.injected.push(Injected::Watch(request.clone(), fault));
        Some(fault)
    }

    pub(crate) fn on_delivery(&self, request: &Attributes) -> Delivery {
        let mut plan = self.plan();
        let aimed = plan
            .deliveries
            .iter()
            .rev()
            .find(|(filter, _)| filter.matches(request))
            .map(|(_, way)| *way);
        aimed
            .or_else(|| plan.schedule.as_mut().map(|schedule| schedule.delivery(request)))
            .unwrap_or_default()
    }

    /// Whether the history is to be compacted after this request.
    pub(crate) fn compacts(&self, request: &Attributes) -> bool {
        let mut plan = self.plan();
        let compacts = request.verb.is_write() && plan.schedule.as_mut().is_some_and(|s| s.compaction(request));
        if compacts {
            plan.injected.push(Injected::Compaction(request.clone()));
        }
        compacts
    }

    /// Resolves at the next [`RequestFault::Crash`]: whoever runs the client then drops it.
    pub async fn crashed(&self) {
        self.crashes.subscribe().changed().await;
    }

    pub(crate) fn crash(&self) {
        self.crashes.tell();
    }

    /// Waits, unless the disturbances end before.
    pub(crate) async fn pause(&self, duration: Duration) {
        let mut quieted = self.quieted.subscribe();
        tokio::select! {
            biased; // so that a seeded run replays
            () = tokio::time::sleep(duration) => {}
            () = quieted.changed() => {}
        }
    }

    /// Waits until the disturbances end.
    pub(crate) async fn until_quiet(&self) {
        self.quieted.subscribe().changed().await;
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Uses up one of the first matching faults.
fn take<F: Copy>(aimed: &mut VecDeque<(usize, Filter, F)>, request: &Attributes) -> Option<F> {
    aimed.retain(|(count, _, _)| *count > 0);
    let (count, _, fault) = aimed.iter_mut().find(|(_, filter, _)| filter.matches(request))?;
    *count -= 1;
    Some(*fault)
}
