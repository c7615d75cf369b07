//! Faults drawn from a seed.

use std::collections::HashMap;
use std::time::Duration;

use super::{Delivery, RequestFault, WatchFault};
use crate::random::Random;
use crate::request::Attributes;

/// How likely each disturbance is, from 0 (never) to 1 (always).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// 429 with a Retry-After of one second.
    pub throttled: f64,
    /// 500 or 503.
    pub server_error: f64,
    /// 409 on a write, as by a concurrent writer.
    pub conflict: f64,
    /// The connection fails before the request arrives.
    pub connection_error: f64,
    /// A write is done, but its answer is lost.
    pub reply_lost: f64,
    /// The answer comes late, by up to `max_delay`.
    pub slow: f64,
    /// The longest delay of an answer or a delivery.
    pub max_delay: Duration,
    /// A watch closes at once.
    pub watch_closed: f64,
    /// A watch closes after a few events.
    pub watch_dropped: f64,
    /// A watch breaks in the middle of an event.
    pub watch_broken: f64,
    /// A watch falls silent, by up to ten times `max_delay`.
    pub watch_stalled: f64,
    /// A watch is answered with HTTP 410.
    pub watch_gone: f64,
    /// A watch gets an ERROR event with a Status 410.
    pub watch_error_event: f64,
    /// The history is compacted after a write.
    pub compaction: f64,
    /// Events are delivered twice.
    pub duplicate: f64,
    /// Events are held back, by up to `max_delay`, so that kinds overtake each other.
    pub late_delivery: f64,
}

impl Rates {
    /// Nothing ever happens.
    pub const NONE: Self = Self {
        throttled: 0.0,
        server_error: 0.0,
        conflict: 0.0,
        connection_error: 0.0,
        reply_lost: 0.0,
        slow: 0.0,
        max_delay: Duration::ZERO,
        watch_closed: 0.0,
        watch_dropped: 0.0,
        watch_broken: 0.0,
        watch_stalled: 0.0,
        watch_gone: 0.0,
        watch_error_event: 0.0,
        compaction: 0.0,
        duplicate: 0.0,
        late_delivery: 0.0,
    };

    /// A bad day: about one request in five is disturbed, and most watches sooner or later.
    pub const STORMY: Self = Self {
        throttled: 0.03,
        server_error: 0.04,
        conflict: 0.03,
        connection_error: 0.03,
        reply_lost: 0.04,
        slow: 0.08,
        max_delay: Duration::from_secs(2),
        watch_closed: 0.15,
        watch_dropped: 0.5,
        watch_broken: 0.15,
        watch_stalled: 0.15,
        watch_gone: 0.1,
        watch_error_event: 0.15,
        compaction: 0.05,
        duplicate: 0.1,
        late_delivery: 0.2,
    };
}

/// A seed, its rates, and a generator for each verb and resource.
#[derive(Debug)]
pub(super) struct Schedule {
    seed: u64,
    rates: Rates,
    generators: HashMap<String, Random>,
}

impl Schedule {
    pub(super) fn new(seed: u64, rates: Rates) -> Self {
        Self {
            seed,
            rates,
            generators: HashMap::new(),
        }
    }

    fn draw(&mut self, what: &str, request: &Attributes) -> &mut Random {
        let Attributes {
            verb,
            group,
            resource,
            subresource,
            ..
        } = request;
        let label = format!("{what} {} {group}/{resource}/{subresource}", verb.name());
        let seed = self.seed;
        self.generators
            .entry(label)
            .or_insert_with_key(|label| Random::labelled(seed, label))
    }

    pub(super) fn request(&mut self, request: &Attributes) -> Option<RequestFault> {
        let (rates, is_write) = (self.rates, request.verb.is_write());
        let random = self.draw("request", request);
        if random.chance(rates.throttled) {
            return Some(RequestFault::Status {
                code: 429,
                retry_after: Some(1),
            });
        }
        if random.chance(rates.server_error) {
            let code = if random.chance(0.5) { 500 } else { 503 };
            return Some(RequestFault::Status {
                code,
                retry_after: None,
            });
        }
        if random.chance(rates.connection_error) {
            return Some(RequestFault::ConnectionError);
        }
        if is_write && random.chance(rates.conflict) {
            return Some(RequestFault::Conflict);
        }
        if is_write && random.chance(rates.reply_lost) {
            return Some(RequestFault::ReplyLost);
        }
        random
            .chance(rates.slow)
            .then(|| RequestFault::Delay(random.between(Duration::ZERO, rates.max_delay)))
    }

    pub(super) fn watch(&mut self, request: &Attributes) -> Option<WatchFault> {
        let rates = self.rates;
        let random = self.draw("watch", request);
        let after = usize::try_from(random.below(8)).unwrap_or(0);
        let lasting = random.between(Duration::ZERO, rates.max_delay.saturating_mul(10));
        let faults = [
            (rates.watch_closed, WatchFault::CloseAtOnce),
            (rates.watch_dropped, WatchFault::DropAfter(after)),
            (rates.watch_broken, WatchFault::BreakAfter(after)),
            (rates.watch_stalled, WatchFault::Stall { after, lasting }),
            (rates.watch_gone, WatchFault::StatusGone),
            (rates.watch_error_event, WatchFault::ErrorEventGone),
        ];
        faults
            .into_iter()
            .find(|(rate, _)| random.chance(*rate))
            .map(|(_, fault)| fault)
    }

    pub(super) fn delivery(&mut self, request: &Attributes) -> Delivery {
        let rates = self.rates;
        let random = self.draw("delivery", request);
        let duplicate = random.chance(rates.duplicate);
        let late = random.chance(rates.late_delivery);
        let delay = if late {
            random.between(Duration::ZERO, rates.max_delay)
        } else {
            Duration::ZERO
        };
        Delivery { duplicate, delay }
    }

    pub(super) fn compaction(&mut self, request: &Attributes) -> bool {
        let rate = self.rates.compaction;
        self.draw("compaction", request).chance(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Verb;

    fn request(verb: Verb, resource: &str) -> Attributes {
        Attributes {
            verb,
            group: String::new(),
            resource: resource.into(),
            subresource: String::new(),
            namespace: String::new(),
            name: String::new(),
            user_agent: String::new(),
            uri: String::new(),
        }
    }

    #[test]
    fn a_schedule_replays_however_the_kinds_interleave() {
        let (maps, pods) = (request(Verb::Patch, "configmaps"), request(Verb::Patch, "pods"));
        let mut one = Schedule::new(3, Rates::STORMY);
        let alone: Vec<_> = (0..200).map(|_| one.request(&maps)).collect();
        let mut two = Schedule::new(3, Rates::STORMY);
        let mixed: Vec<_> = (0..200)
            .map(|_| {
                two.request(&pods);
                two.request(&maps)
            })
            .collect();
        assert_eq!(alone, mixed);
        assert!(alone.iter().any(Option::is_some) && alone.iter().any(Option::is_none));
        let mut other = Schedule::new(4, Rates::STORMY);
        assert_ne!(alone, (0..200).map(|_| other.request(&maps)).collect::<Vec<_>>());
    }

    #[test]
    fn reads_are_never_in_conflict_and_no_rates_mean_no_faults() {
        let list = request(Verb::List, "pods");
        let mut storm = Schedule::new(
            1,
            Rates {
                conflict: 1.0,
                reply_lost: 1.0,
                ..Rates::NONE
            },
        );
        assert!((0..50).all(|_| storm.request(&list).is_none()));
        let mut calm = Schedule::new(1, Rates::NONE);
        let watch = request(Verb::Watch, "pods");
        assert!((0..50).all(|_| calm.watch(&watch).is_none() && calm.request(&watch).is_none()));
    }
}
