//! Following: wait for a sign of change, read everything, publish what is new and good.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use afresh_volume::Watcher;
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::gather::Gather;
use crate::live::Shared;
use crate::tree::Node;
use crate::{Live, LoadError, de};

/// After a change everything is read once more: a file that was written and written back while it was being read looks
/// to the watcher as if nothing had happened.
const CONFIRM: Duration = Duration::from_millis(100);

/// The pauses after which reading is tried again when files cannot be read: doubled each time.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// Reads the sources, and knows what the last good reading was.
pub(crate) struct Driver<T> {
    config: Config<T>,
    last: Node,
    failures: u32,
    #[cfg(feature = "kube")]
    pub(crate) feed: Option<Arc<crate::object::Feed>>,
}

/// What one reading came to.
pub(crate) enum Outcome<T> {
    New(T, Node),
    Same,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Driver<T> {
    pub(crate) fn new(config: Config<T>) -> Self {
        Self {
            config,
            last: Node::empty(),
            failures: 0,
            #[cfg(feature = "kube")]
            feed: None,
        }
    }

    /// Reads for the first time and begins to follow in a thread.
    pub(crate) fn start(config: Config<T>) -> Result<Live<T>, LoadError> {
        let mut driver = Self::new(config);
        // First the watcher, then the reading, so that nothing falls between them.
        let mut watcher = driver.watcher();
        let waker = watcher.waker()?;
        let ring = move || waker.wake();
        #[cfg(feature = "kube")]
        driver.follow_objects_in_a_thread(ring.clone())?;
        let shared = driver.first(&watcher)?;
        // Nobody else has seen it yet.
        let _ = shared.bell.set(Box::new(ring));
        let live = Live::new(Arc::clone(&shared));
        thread::Builder::new()
            .name("afresh".to_owned())
            .spawn(move || driver.run(watcher, &shared))
            .map_err(LoadError::Start)?;
        Ok(live)
    }

    pub(crate) fn watcher(&self) -> Watcher {
        let paths = self.config.layers.iter().filter_map(|layer| layer.path());
        Watcher::new(paths, self.config.watch)
    }

    /// The first reading, which must be good.
    pub(crate) fn first(&mut self, watcher: &Watcher) -> Result<Arc<Shared<T>>, LoadError> {
        let (value, tree) = match self.read(true)? {
            Outcome::New(value, tree) => (value, tree),
            // Not asked for, so it does not come.
            Outcome::Same => return Err(LoadError::Panicked { message: String::new() }),
        };
        self.last = tree;
        let shared = Arc::new(Shared::new(value));
        shared.state().degraded = self.degraded(watcher);
        Ok(shared)
    }

    /// Why changes are noticed late.
    fn degraded(&self, watcher: &Watcher) -> Option<String> {
        let by_files = watcher.degraded().map(str::to_owned);
        #[cfg(feature = "kube")]
        return by_files.or_else(|| self.feed.as_ref()?.degraded());
        #[cfg(not(feature = "kube"))]
        by_files
    }

    fn run(mut self, mut watcher: Watcher, shared: &Shared<T>) {
        let mut due = None;
        loop {
            let pause = due.map(|due: Instant| due.saturating_duration_since(Instant::now()));
            let waited = watcher.wait(pause);
            if shared.cell.is_closed() {
                return;
            }
            due = match waited {
                Ok(told) => {
                    let is_told = told.is_some();
                    while watcher.try_next().is_some() {}
                    self.turn(&mut watcher, shared, is_told)
                }
                Err(error) => self.fail(shared, error.into()),
            };
        }
    }

    /// Reads once; when to read again without a sign.
    pub(crate) fn turn(&mut self, watcher: &mut Watcher, shared: &Shared<T>, is_told: bool) -> Option<Instant> {
        let is_asked = shared.asked.swap(false, Ordering::AcqRel);
        #[cfg(feature = "kube")]
        if is_asked && let Some(feed) = &self.feed {
            feed.refresh();
        }
        if is_asked {
            watcher.refresh();
        }
        {
            let mut state = shared.state();
            state.metrics.reads += 1;
            state.metrics.overflows = watcher.overflows();
            state.degraded = self.degraded(watcher);
        }
        match self.read(false) {
            Ok(outcome) => {
                self.failures = 0;
                match outcome {
                    Outcome::New(value, tree) => {
                        self.last = tree;
                        shared.publish(value);
                    }
                    // What was wrong has gone back to what is served.
                    Outcome::Same => shared.state().trouble = None,
                }
                is_told.then(|| Instant::now() + CONFIRM)
            }
            Err(error) => {
                let retry = error.is_worth_a_retry();
                let due = self.fail(shared, error);
                let confirm = is_told.then(|| Instant::now() + CONFIRM);
                if retry { due } else { confirm }
            }
        }
    }

    /// Keeps the last good version and says so; when to try again.
    fn fail(&mut self, shared: &Shared<T>, error: LoadError) -> Option<Instant> {
        let error = Arc::new(error);
        if shared.report(Arc::clone(&error)) {
            for report in &mut self.config.reports {
                if catch_unwind(AssertUnwindSafe(|| report(&error))).is_err() {
                    shared.state().metrics.panics += 1;
                }
            }
        }
        let pause = FIRST_RETRY.saturating_mul(1 << self.failures.min(10)).min(LAST_RETRY);
        self.failures = self.failures.saturating_add(1);
        Some(Instant::now() + pause)
    }

    /// Reads all sources into the application's type. `must` = also if nothing is different.
    fn read(&self, must: bool) -> Result<Outcome<T>, LoadError> {
        #[cfg(feature = "kube")]
        let mut gather = Gather::new(self.config.watch.limits, self.feed.as_deref());
        #[cfg(not(feature = "kube"))]
        let mut gather = Gather::new(self.config.watch.limits);
        let tree = gather.tree(&self.config.layers)?;
        if !must && tree == self.last {
            return Ok(Outcome::Same);
        }
        // The application's own code: `Deserialize` and the checks.
        let read = catch_unwind(AssertUnwindSafe(|| {
            let value: T = de::from_tree(&tree, &gather.sources)?;
            self.config
                .checks
                .iter()
                .try_for_each(|check| check(&value))
                .map_err(LoadError::Rejected)?;
            Ok(value)
        }));
        let value = read.unwrap_or_else(|panic| Err(panicked(&*panic)))?;
        Ok(Outcome::New(value, tree))
    }

    #[cfg(feature = "kube")]
    fn follow_objects_in_a_thread(&mut self, ring: impl Fn() + Send + Sync + 'static) -> Result<(), LoadError> {
        self.feed = crate::object::Feed::of(&self.config.layers, ring);
        if let Some(feed) = &self.feed {
            feed.follow_in_a_thread(self.config.cluster.clone())?;
            feed.first();
        }
        Ok(())
    }

    #[cfg(feature = "kube")]
    pub(crate) fn config(&self) -> &Config<T> {
        &self.config
    }
}

fn panicked(panic: &(dyn Any + Send)) -> LoadError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    LoadError::Panicked {
        message: text.unwrap_or("it did not say why").to_owned(),
    }
}
