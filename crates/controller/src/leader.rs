//! Leader election: the engine's pure decision, and the Lease it is about.

use std::time::Duration;

use afresh_engine::lease::{Decision, Observation, Terms, acts_until};
use afresh_engine::time::Millis;
use afresh_k8s::lease::{LeaseClient, LeaseView};
use afresh_k8s::write::WriteError;
use futures::Stream;
use tokio::time::{sleep, timeout};

use crate::clock::Clock;

/// Whether this replica may act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Term {
    /// There is no election.
    Alone,
    /// Until then.
    Leading(Millis),
    /// Another one leads, as far as the Lease says who.
    Standby(Option<String>),
    /// Neither: the Lease can be neither read nor written.
    Trouble(String),
}

impl Term {
    /// Until when this replica may act.
    pub(crate) const fn until(&self) -> Option<Millis> {
        match self {
            // A year: the engine's clock is in milliseconds and nothing waits so long.
            Self::Alone => Some(Millis(u64::MAX / 4)),
            Self::Leading(until) => Some(*until),
            Self::Standby(_) | Self::Trouble(_) => None,
        }
    }

    pub(crate) const fn leads(&self) -> bool {
        matches!(self, Self::Alone | Self::Leading(_))
    }

    /// Who leads instead.
    pub(crate) fn other(&self) -> Option<&str> {
        match self {
            Self::Standby(holder) => holder.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn trouble(&self) -> Option<&str> {
        match self {
            Self::Trouble(message) => Some(message),
            _ => None,
        }
    }
}

/// Follows the Lease. Each item is the term as of now; the stream never ends.
pub(crate) fn follow(lease: LeaseClient, me: String, terms: Terms, clock: Clock) -> impl Stream<Item = Term> + Send {
    let elector = Elector {
        lease,
        me,
        terms,
        clock,
        seen: Observation::new(clock.millis()),
        until: None,
        begun: false,
    };
    futures::stream::unfold(elector, |mut elector| async {
        let term = elector.next().await;
        Some((term, elector))
    })
}

/// What one look at the Lease came to.
enum Attempt {
    /// We hold it now.
    Held,
    /// Somebody else does.
    Lost(Option<String>),
}

struct Elector {
    lease: LeaseClient,
    me: String,
    terms: Terms,
    clock: Clock,
    seen: Observation,
    until: Option<Millis>,
    begun: bool,
}

impl Elector {
    async fn next(&mut self) -> Term {
        if std::mem::replace(&mut self.begun, true) {
            sleep(self.terms.retry).await;
        }
        let sent = self.clock.millis();
        let attempt = timeout(self.terms.retry.max(Duration::from_secs(1)) * 2, self.attempt()).await;
        match attempt {
            Ok(Ok(Attempt::Held)) => {
                let until = acts_until(sent, self.terms);
                self.until = Some(until);
                Term::Leading(until)
            }
            Ok(Ok(Attempt::Lost(holder))) => {
                self.until = None;
                Term::Standby(holder)
            }
            Ok(Err(error)) => self.failed(error.to_string()),
            Err(_) => self.failed("the API server does not answer".to_owned()),
        }
    }

    async fn attempt(&mut self) -> Result<Attempt, WriteError> {
        let view = self.lease.get().await?;
        let seen = view.as_ref().map(|view| &view.seen);
        let written = match self.seen.decide(seen, &self.me, self.clock.millis()) {
            Decision::Wait => return Ok(Attempt::Lost(seen.and_then(|seen| seen.holder.clone()))),
            Decision::Acquire | Decision::Renew => self.write(view.as_ref()).await,
        };
        match written {
            Ok(()) => Ok(Attempt::Held),
            // Somebody was faster: whoever it was, the next look will show.
            Err(WriteError::Conflict(_) | WriteError::Gone) => Ok(Attempt::Lost(None)),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, view: Option<&LeaseView>) -> Result<(), WriteError> {
        match view {
            Some(view) => self.lease.update(view, &self.me, self.terms.duration).await.map(drop),
            None => self.lease.create(&self.me, self.terms.duration).await.map(drop),
        }
    }

    /// A failed renewal ends a term only when its time is over.
    fn failed(&mut self, message: String) -> Term {
        match self.until {
            Some(until) if self.clock.millis() < until => Term::Leading(until),
            _ => {
                self.until = None;
                Term::Trouble(message)
            }
        }
    }
}

/// Gives the Lease up, if we hold it, so that another replica need not wait for it to expire.
pub(crate) async fn release(lease: &LeaseClient, me: &str) -> Result<(), WriteError> {
    match lease.get().await? {
        Some(view) if view.seen.holder.as_deref() == Some(me) => lease.release(&view).await.map(drop),
        _ => Ok(()),
    }
}
