//! The environment while the program runs: read again when its sources change.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use afresh_volume::{AsyncWatcher, WatchError, Watcher};
use tokio::time::{Instant, sleep_until};

use super::name_skipped;
use crate::WatchArgs;
use crate::environment::{Environment, Sources};
use crate::supervise::ChildHandle;

/// A burst is over after so many times its quiet time, whatever still comes.
const LONGEST: u32 = 10;

/// Watches the sources of an environment.
#[derive(Debug)]
pub(super) struct Watch {
    sources: Sources,
    settle: Duration,
    watcher: Watcher,
}

impl Watch {
    pub(super) fn begin(sources: Sources, args: &WatchArgs) -> Self {
        let watcher = Watcher::new(sources.paths(), args.options());
        Self {
            sources,
            settle: args.settle,
            watcher,
        }
    }

    /// Tells the program's supervisor each new environment. Trouble with the sources never stops the program: it keeps
    /// what it has until they can be read again.
    pub(super) async fn run(self, first: Arc<Environment>, child: ChildHandle) -> Infallible {
        if self.sources.is_empty() {
            return std::future::pending().await;
        }
        let mut watcher = match AsyncWatcher::new(self.watcher) {
            Ok(watcher) => watcher,
            Err(error) => return blind(&error).await,
        };
        let mut current = first;
        let mut is_unreadable = false;
        loop {
            if let Err(error) = burst(&mut watcher, self.settle).await {
                return blind(&error).await;
            }
            match self.sources.read() {
                Ok((environment, skipped)) => {
                    if std::mem::take(&mut is_unreadable) {
                        tracing::info!("the environment can be read again");
                    }
                    name_skipped(&skipped);
                    current = tell(&child, &current, environment).await;
                }
                Err(error) => {
                    is_unreadable = true;
                    tracing::error!(%error, "the new environment cannot be read; the program keeps the one it has");
                }
            }
        }
    }
}

async fn tell(child: &ChildHandle, current: &Arc<Environment>, environment: Environment) -> Arc<Environment> {
    let changed = environment.changed(current);
    if changed.is_empty() {
        tracing::debug!("files changed, but no variable");
        return Arc::clone(current);
    }
    tracing::info!(variables = changed.join(" "), "the environment has changed");
    let environment = Arc::new(environment);
    if let Err(error) = child.environment(Arc::clone(&environment)).await {
        tracing::warn!(%error, "the program was not restarted");
    }
    environment
}

/// Waits for a change, and until the burst that it begins is over.
async fn burst(watcher: &mut AsyncWatcher, settle: Duration) -> Result<(), WatchError> {
    watcher.next().await?;
    let latest = Instant::now() + settle * LONGEST;
    loop {
        let quiet = (Instant::now() + settle).min(latest);
        tokio::select! {
            next = watcher.next() => drop(next?),
            () = sleep_until(quiet) => return Ok(()),
        }
    }
}

async fn blind(error: &WatchError) -> Infallible {
    tracing::error!(%error, "changes of the environment are not seen any more; the program goes on");
    std::future::pending().await
}
