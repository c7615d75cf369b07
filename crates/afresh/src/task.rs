//! Following in a task of the application's runtime.

use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use afresh_volume::{AsyncWatcher, Watcher};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::config::Config;
use crate::driver::Driver;
use crate::live::Shared;
use crate::{Live, LoadError};

/// Reads for the first time, where blocking is allowed, and begins to follow.
pub(crate) async fn start<T: DeserializeOwned + Send + Sync + 'static>(
    config: Config<T>,
) -> Result<Live<T>, LoadError> {
    let bell = Arc::new(Notify::new());
    let mut driver = Driver::new(config);
    let ring = {
        let bell = Arc::clone(&bell);
        move || bell.notify_one()
    };
    #[cfg(feature = "kube")]
    {
        driver.feed = crate::object::Feed::of(&driver.config().layers, ring.clone());
        if let Some(feed) = &driver.feed {
            feed.follow_in_tasks(driver.config().cluster.clone());
        }
    }
    let first = move || {
        let watcher = driver.watcher();
        #[cfg(feature = "kube")]
        if let Some(feed) = &driver.feed {
            feed.first();
        }
        let shared = driver.first(&watcher)?;
        Ok::<_, LoadError>((driver, watcher, shared))
    };
    let first = tokio::task::spawn_blocking(first).await;
    let (driver, watcher, shared) = first.map_err(|error| LoadError::Start(std::io::Error::other(error)))??;
    // Nobody else has seen it yet.
    let _ = shared.bell.set(Box::new(ring));
    let watcher = AsyncWatcher::new(watcher)?;
    let live = Live::new(Arc::clone(&shared));
    tokio::spawn(run(driver, watcher, shared, bell));
    Ok(live)
}

async fn run<T: DeserializeOwned + Send + Sync + 'static>(
    mut driver: Driver<T>,
    mut watcher: AsyncWatcher,
    shared: Arc<Shared<T>>,
    bell: Arc<Notify>,
) {
    let mut due = None;
    while !shared.cell.is_closed() {
        let is_told = tokio::select! {
            told = watcher.next() => {
                // It only fails where the runtime is ending.
                if told.is_err() { return; }
                true
            }
            () = bell.notified() => false,
            () = sleep_until(due) => false,
        };
        if shared.cell.is_closed() {
            return;
        }
        due = driver.turn(drained(watcher.get_mut()), &shared, is_told);
    }
}

/// Takes what else there is to be told: one reading is for all of it.
fn drained(watcher: &mut Watcher) -> &mut Watcher {
    while watcher.try_next().is_some() {}
    watcher
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => pending().await,
    }
}
