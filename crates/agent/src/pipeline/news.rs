//! Changes of the watched paths, a burst at a time.

use std::time::Duration;

use afresh_volume::{AsyncWatcher, DEFAULT_POLL, Event, WatchOptions, Watcher};
use tokio::time::{Instant, sleep, sleep_until};

use crate::plan::Plan;

/// A burst is over after so many times its quiet time, whatever still comes.
const LONGEST: u32 = 10;

/// What is seen of the watched paths.
#[derive(Debug)]
pub(super) struct News {
    watcher: Source,
    settle: Duration,
    /// Whether a burst has begun that nobody has waited out.
    are_pending: bool,
}

#[derive(Debug)]
enum Source {
    /// To be registered with the runtime.
    New(Option<Watcher>),
    Registered(AsyncWatcher),
}

impl News {
    pub(super) fn new(plan: &Plan) -> Self {
        let options = WatchOptions {
            poll: plan.poll,
            limits: plan.max_size.limits(),
            ..WatchOptions::default()
        };
        Self {
            watcher: Source::New(Some(Watcher::new(plan.watch.iter(), options))),
            settle: plan.settle,
            are_pending: false,
        }
    }

    /// Returns when a burst of changes is over, or one of the times has come.
    pub(super) async fn next(&mut self, due: Option<Instant>, periodic: Option<Instant>) {
        if !self.are_pending {
            let deadline = due.into_iter().chain(periodic).min();
            tokio::select! {
                () = self.change() => {}
                () = until(deadline) => return,
            }
        }
        self.burst().await;
    }

    /// Returns at a change; whoever calls again waits the burst out.
    pub(super) async fn come(&mut self) {
        if !self.are_pending {
            self.change().await;
        }
    }

    /// Whether there was a change that nobody has waited out. Does not wait.
    pub(super) fn have_come(&mut self) -> bool {
        while let Some(event) = self.watcher().and_then(Watcher::try_next) {
            self.saw(&event);
        }
        self.are_pending
    }

    /// Why changes are found by the slow poll only.
    pub(super) fn degraded(&mut self) -> Option<String> {
        self.watcher()?.degraded().map(str::to_owned)
    }

    fn watcher(&mut self) -> Option<&mut Watcher> {
        match &mut self.watcher {
            Source::New(watcher) => watcher.as_mut(),
            Source::Registered(watcher) => Some(watcher.get_mut()),
        }
    }

    fn saw(&mut self, event: &Event) {
        tracing::debug!(path = %event.path.display(), change = ?event.change, "seen");
        self.are_pending = true;
    }

    /// Waits until it has been quiet.
    async fn burst(&mut self) {
        let latest = Instant::now() + self.settle * LONGEST;
        loop {
            let quiet = (Instant::now() + self.settle).min(latest);
            tokio::select! {
                () = self.change() => {}
                () = sleep_until(quiet) => break,
            }
        }
        self.are_pending = false;
    }

    /// The next change. If events cannot be waited for, everything is looked at again and again.
    async fn change(&mut self) {
        if let Source::New(watcher) = &mut self.watcher
            && let Some(watcher) = watcher.take()
        {
            match AsyncWatcher::new(watcher) {
                Ok(watcher) => self.watcher = Source::Registered(watcher),
                Err(error) => tracing::error!(%error, "changes are looked for every ten seconds"),
            }
        }
        let Source::Registered(watcher) = &mut self.watcher else {
            sleep(DEFAULT_POLL).await;
            self.are_pending = true;
            return;
        };
        match watcher.next().await {
            Ok(event) => self.saw(&event),
            Err(error) => {
                tracing::error!(%error, "changes are looked for every ten seconds");
                sleep(DEFAULT_POLL).await;
                self.are_pending = true;
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
