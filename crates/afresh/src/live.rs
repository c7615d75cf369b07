//! The handle, and what it shares with the one that follows.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use crate::LoadError;
use crate::cell::Cell;
use crate::change::{Change, ChangeStream, Changes, Subscription, Unsubscribe};
use crate::health::{Health, Metrics, Trouble};
use crate::version::{Guard, Reader, Version};

/// A configuration that stays current. Cheap to clone; all clones show the same.
///
/// When the last handle (and [`Reader`]) is dropped, following ends: the thread or task, its watches, and the iterators
/// and streams of changes. A callback that holds a handle keeps everything alive; let it hold the values it needs.
///
/// ```
/// # use afresh::Config;
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
/// # let volume = volume(&[("message", "Hello World")]);
/// let settings: afresh::Live<Settings> = Config::directory(volume.path()).load()?;
/// let mut changes = settings.changes();
/// assert_eq!(settings.get().message, "Hello World");
///
/// write(&volume, &[("message", "Hello Grandma")]);
/// changes.next();
/// assert_eq!(settings.get().message, "Hello Grandma");
/// # Ok::<(), afresh::LoadError>(())
/// ```
pub struct Live<T> {
    pub(crate) shared: Arc<Shared<T>>,
    owner: Arc<Owner<T>>,
}

/// What handles, subscribers and the one that follows share.
pub(crate) struct Shared<T> {
    pub(crate) cell: Cell<Version<T>>,
    pub(crate) state: Mutex<State>,
    callbacks: Arc<Callbacks<T>>,
    /// Somebody asked for a look at everything.
    pub(crate) asked: AtomicBool,
    /// Wakes the one that follows.
    pub(crate) bell: OnceLock<Bell>,
}

/// Wakes the one that follows.
pub(crate) type Bell = Box<dyn Fn() + Send + Sync>;

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) metrics: Metrics,
    pub(crate) trouble: Option<Trouble>,
    pub(crate) degraded: Option<String>,
}

/// Ends following when the last handle is dropped.
struct Owner<T>(Arc<Shared<T>>);

impl<T> Drop for Owner<T> {
    fn drop(&mut self) {
        self.0.cell.close();
        self.0.ring();
    }
}

impl<T> Shared<T> {
    pub(crate) fn new(first: T) -> Self {
        let first = Version {
            number: 1,
            since: SystemTime::now(),
            value: first,
        };
        let mut state = State::default();
        state.metrics.reads = 1;
        Self {
            cell: Cell::new(first),
            state: Mutex::new(state),
            callbacks: Arc::new(Callbacks::default()),
            asked: AtomicBool::new(false),
            bell: OnceLock::new(),
        }
    }

    pub(crate) fn ring(&self) {
        if let Some(bell) = self.bell.get() {
            bell();
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new version: current at once, then told to everybody.
    pub(crate) fn publish(&self, value: T) {
        {
            let mut state = self.state();
            state.trouble = None;
            state.metrics.changes += 1;
        }
        let number = self.cell.current().load().number + 1;
        let new = Arc::new(Version {
            number,
            since: SystemTime::now(),
            value,
        });
        let old = self.cell.publish(Arc::clone(&new));
        let panics = self.callbacks.call(&Change { old, new });
        if panics > 0 {
            self.state().metrics.panics += panics;
        }
    }

    /// What is there was not taken; true if that is news.
    pub(crate) fn report(&self, error: Arc<LoadError>) -> bool {
        let mut state = self.state();
        state.metrics.failures += 1;
        let before = state.trouble.take();
        let is_news = before
            .as_ref()
            .is_none_or(|before| before.error.to_string() != error.to_string());
        let since = before.map_or_else(SystemTime::now, |before| before.since);
        state.trouble = Some(Trouble { error, since });
        is_news
    }
}

impl<T> Live<T> {
    pub(crate) fn new(shared: Arc<Shared<T>>) -> Self {
        let owner = Arc::new(Owner(Arc::clone(&shared)));
        Self { shared, owner }
    }

    /// The current version. Never waits, for nobody; cheap enough for every request.
    ///
    /// Values that must belong together are read through one guard.
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World"), ("workers", "4")]);
    /// let settings = Config::<Settings>::directory(volume.path()).load()?;
    /// let now = settings.get();
    /// println!("{} from {} workers", now.message, now.workers);
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    #[inline]
    pub fn get(&self) -> Guard<T> {
        Guard(self.shared.cell.current().0.load())
    }

    /// The current version, to keep.
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World")]);
    /// let settings = Config::<Settings>::directory(volume.path()).load()?;
    /// let kept = settings.snapshot();
    /// drop(settings);
    /// assert_eq!(kept.message, "Hello World");
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn snapshot(&self) -> Arc<Version<T>> {
        self.shared.cell.current().load()
    }

    /// A reader for one thread or task, the cheapest way to read.
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World")]);
    /// let settings = Config::<Settings>::directory(volume.path()).load()?;
    /// let mut reader = settings.reader();
    /// assert_eq!(reader.get().message, "Hello World");
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn reader(&self) -> Reader<T> {
        Reader::new(self.clone())
    }

    /// Changes from now on, for a thread that waits.
    ///
    /// ```no_run
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// let settings = Config::<Settings>::file("/etc/app/app.yaml").load()?;
    /// for change in settings.changes() {
    ///     println!("{} is {} now", change.old.message, change.new.message);
    /// }
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn changes(&self) -> Changes<T> {
        Changes::new(Arc::clone(&self.shared))
    }

    /// Changes from now on, for a task that awaits them, in any runtime.
    ///
    /// ```no_run
    /// use futures::StreamExt;
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    ///
    /// # async fn example() -> Result<(), afresh::LoadError> {
    /// let settings = Config::<Settings>::file("/etc/app/app.yaml").load()?;
    /// let mut changes = settings.stream();
    /// while let Some(change) = changes.next().await {
    ///     println!("{} is {} now", change.old.message, change.new.message);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn stream(&self) -> ChangeStream<T> {
        ChangeStream::new(Arc::clone(&self.shared))
    }

    /// Calls back after each change, on the thread that follows: brief work, please. A panic in it is counted and
    /// otherwise without effect.
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World")]);
    /// let settings = Config::<Settings>::directory(volume.path()).load()?;
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let _subscription = settings.on_change(move |change| tell.send(change.new.message.clone()).unwrap());
    ///
    /// write(&volume, &[("message", "Hello Grandma")]);
    /// assert_eq!(told.recv()?, "Hello Grandma");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_change(&self, callback: impl FnMut(&Change<T>) + Send + 'static) -> Subscription
    where
        T: Send + Sync + 'static,
    {
        let id = self.shared.callbacks.add(Box::new(callback));
        let callbacks: Arc<dyn Unsubscribe> = Arc::clone(&self.shared.callbacks) as _;
        Subscription::new(Arc::downgrade(&callbacks), id)
    }

    /// How it is doing.
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World")]);
    /// let settings = Config::<Settings>::directory(volume.path()).load()?;
    /// assert_eq!(settings.health().version, 1);
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn health(&self) -> Health {
        let state = self.shared.state();
        let current = self.shared.cell.current().load();
        Health {
            version: current.number,
            since: current.since,
            trouble: state.trouble.clone(),
            degraded: state.degraded.clone(),
        }
    }

    /// The counters.
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World")]);
    /// let settings = Config::<Settings>::directory(volume.path()).load()?;
    /// assert!(settings.metrics().reads >= 1);
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn metrics(&self) -> Metrics {
        self.shared.state().metrics
    }

    /// Has everything read again soon, whether something seems to have changed or not; for a SIGHUP, say. Returns at once.
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World")]);
    /// let settings = Config::<Settings>::directory(volume.path()).load()?;
    /// settings.refresh();
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn refresh(&self) {
        self.shared.asked.store(true, Ordering::Release);
        self.shared.ring();
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        let (shared, owner) = (Arc::clone(&self.shared), Arc::clone(&self.owner));
        Self { shared, owner }
    }
}

/// Shows the number of the version only.
impl<T> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Live({:?})", self.get())
    }
}

type Callback<T> = Box<dyn FnMut(&Change<T>) + Send>;

struct Callbacks<T>(Mutex<Registered<T>>);

struct Registered<T> {
    callbacks: Vec<(u64, Callback<T>)>,
    /// Given up while they were being called.
    gone: Vec<u64>,
    next: u64,
}

impl<T> Default for Callbacks<T> {
    fn default() -> Self {
        Self(Mutex::new(Registered {
            callbacks: Vec::new(),
            gone: Vec::new(),
            next: 0,
        }))
    }
}

impl<T> Callbacks<T> {
    fn lock(&self) -> MutexGuard<'_, Registered<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, callback: Callback<T>) -> u64 {
        let mut registered = self.lock();
        registered.next += 1;
        let id = registered.next;
        registered.callbacks.push((id, callback));
        id
    }

    /// Calls each one, without the lock, so that it may subscribe and unsubscribe; how many panicked.
    fn call(&self, change: &Change<T>) -> u64 {
        let mut called = std::mem::take(&mut self.lock().callbacks);
        let mut panics = 0;
        for (id, callback) in &mut called {
            if self.lock().gone.contains(id) {
                continue;
            }
            if catch_unwind(AssertUnwindSafe(|| callback(change))).is_err() {
                panics += 1;
            }
        }
        let mut registered = self.lock();
        let gone = std::mem::take(&mut registered.gone);
        let (kept, dropped): (Vec<_>, Vec<_>) = called.into_iter().partition(|(id, _)| !gone.contains(id));
        let added = std::mem::replace(&mut registered.callbacks, kept);
        registered.callbacks.extend(added);
        drop(registered);
        // What they hold may be a handle, whose end comes back here.
        drop(dropped);
        panics
    }
}

impl<T> Unsubscribe for Callbacks<T> {
    fn unsubscribe(&self, id: u64) {
        let mut registered = self.lock();
        let before = registered.callbacks.len();
        let (kept, dropped): (Vec<_>, Vec<_>) = std::mem::take(&mut registered.callbacks)
            .into_iter()
            .partition(|(of, _)| *of != id);
        registered.callbacks = kept;
        if registered.callbacks.len() == before {
            registered.gone.push(id);
        }
        drop(registered);
        drop(dropped);
    }
}
