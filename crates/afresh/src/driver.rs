//! Following: wait for a sign of change, read everything, publish what is new and good.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use afresh_volume::{State, Watcher};
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::gather::Gather;
use crate::live::Shared;
use crate::tree::{Node, Sources};
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
        let (tree, sources) = self.gather()?;
        let value = self.build(&tree, &sources)?;
        self.last = tree;
        let shared = Arc::new(Shared::new(value));
        shared.state().degraded = self.degraded(watcher);
        Ok(shared)
    }

    /// Why changes are noticed late, or not at all.
    fn degraded(&self, watcher: &Watcher) -> Option<String> {
        let stale = watcher.states().find(|(_, state)| **state == State::Stale);
        let stale = stale.map(|(path, _)| {
            let path = path.display();
            format!(
                "{path} is a subPath mount gone stale: only a new container sees what it is now; mount the whole volume"
            )
        });
        let by_files = stale.or_else(|| watcher.degraded().map(str::to_owned));
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
        let confirm = is_told.then(|| Instant::now() + CONFIRM);
        match self.newer() {
            Ok(newer) => {
                self.failures = 0;
                match newer {
                    Some((value, tree)) => {
                        self.last = tree;
                        shared.publish(value);
                    }
                    // What was wrong has gone back to what is served.
                    None => shared.state().trouble = None,
                }
                confirm
            }
            Err(error) => {
                let is_worth_a_retry = error.is_worth_a_retry();
                let again = self.fail(shared, error);
                if is_worth_a_retry { again } else { confirm }
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

    /// What the sources say now, if it is good and not what they said before.
    fn newer(&self) -> Result<Option<(T, Node)>, LoadError> {
        let (tree, sources) = self.gather()?;
        if tree == self.last {
            return Ok(None);
        }
        let value = self.build(&tree, &sources)?;
        Ok(Some((value, tree)))
    }

    fn gather(&self) -> Result<(Node, Sources), LoadError> {
        #[cfg(feature = "kube")]
        let mut gather = Gather::new(self.config.watch.limits, self.feed.as_deref());
        #[cfg(not(feature = "kube"))]
        let mut gather = Gather::new(self.config.watch.limits);
        let tree = gather.tree(&self.config.layers)?;
        Ok((tree, gather.sources))
    }

    /// Runs the application's own code: `Deserialize` and the checks.
    fn build(&self, tree: &Node, sources: &Sources) -> Result<T, LoadError> {
        let built = catch_unwind(AssertUnwindSafe(|| {
            let value: T = de::from_tree(tree, sources)?;
            let checked = self.config.checks.iter().try_for_each(|check| check(&value));
            checked.map_err(LoadError::Rejected).map(|()| value)
        }));
        built.unwrap_or_else(|panic| Err(panicked(&*panic)))
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
