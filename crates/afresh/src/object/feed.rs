//! What is known of the objects that are followed.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use afresh_k8s::content::Entries;
use tokio::sync::watch;

use super::{Cluster, Object, follow};
use crate::LoadError;
use crate::error::missing;
use crate::source::{Kind, Source};

/// How long the first answer may take.
const FIRST_ANSWER: Duration = Duration::from_secs(30);

/// The objects of one configuration. Dropped, it ends those who follow them.
pub(crate) struct Feed {
    board: Arc<Board>,
    /// Counts how often a look was asked for; closed, it is over.
    asked: watch::Sender<u64>,
}

/// Where those who follow write down what they know.
pub(super) struct Board {
    pub(super) objects: Vec<Object>,
    known: Mutex<Known>,
    changed: Condvar,
    ring: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Known {
    /// The namespace of the connection.
    namespace: Option<String>,
    objects: BTreeMap<usize, Seen>,
}

/// The last that was seen of an object.
struct Seen {
    content: Result<Option<Entries>, String>,
    /// Why it may be old.
    trouble: Option<String>,
}

impl Feed {
    /// `None` if no source is an object.
    pub(crate) fn of(layers: &[Source], ring: impl Fn() + Send + Sync + 'static) -> Option<Arc<Self>> {
        let object = |layer: &Source| match &layer.kind {
            Kind::Object(object) => Some(object.clone()),
            _ => None,
        };
        let objects: Vec<_> = layers.iter().filter_map(object).collect();
        (!objects.is_empty()).then(|| {
            let board = Board {
                objects,
                known: Mutex::default(),
                changed: Condvar::new(),
                ring: Box::new(ring),
            };
            Arc::new(Self {
                board: Arc::new(board),
                asked: watch::Sender::new(0),
            })
        })
    }

    /// Follows them in a thread with a small runtime of its own.
    pub(crate) fn follow_in_a_thread(&self, cluster: Cluster) -> Result<(), LoadError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(LoadError::Start)?;
        let following = follow::all(cluster, Arc::clone(&self.board), self.asked.subscribe());
        let thread = std::thread::Builder::new().name("afresh-kube".to_owned());
        let thread = thread.spawn(move || runtime.block_on(following));
        thread.map(drop).map_err(LoadError::Start)
    }

    /// Follows them in a task of the current runtime.
    pub(crate) fn follow_in_tasks(&self, cluster: Cluster) {
        tokio::spawn(follow::all(cluster, Arc::clone(&self.board), self.asked.subscribe()));
    }

    /// Blocks until something is known of every object, or for half a minute.
    pub(crate) fn first(&self) {
        let deadline = Instant::now() + FIRST_ANSWER;
        let mut known = self.board.lock();
        while known.objects.len() < self.board.objects.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return;
            }
            let waited = self.board.changed.wait_timeout(known, left);
            known = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Asks for a GET of every object that is not watched.
    pub(crate) fn refresh(&self) {
        self.asked.send_modify(|asked| *asked = asked.wrapping_add(1));
    }

    /// The entries of the object that is the `index`th source of its kind.
    pub(crate) fn entries(&self, index: usize) -> Result<Entries, LoadError> {
        let known = self.board.lock();
        let Some(object) = self.board.objects.get(index) else {
            return Err(missing("an object that nobody follows".into()));
        };
        let name = object.named(known.namespace.as_deref());
        match known.objects.get(&index).map(|seen| &seen.content) {
            Some(Ok(Some(entries))) => Ok(entries.clone()),
            Some(Ok(None)) => Err(missing(name.into())),
            Some(Err(message)) => Err(object.failed(name, message)),
            None => Err(object.failed(name, format!("no answer from the API server within {FIRST_ANSWER:?}"))),
        }
    }

    /// `configmap/prod/web`.
    pub(crate) fn name(&self, object: &Object) -> String {
        object.named(self.board.lock().namespace.as_deref())
    }

    /// Why what is known may be old.
    pub(crate) fn degraded(&self) -> Option<String> {
        let known = self.board.lock();
        known.objects.iter().find_map(|(index, seen)| {
            let object = self.board.objects.get(*index)?;
            let trouble = seen.trouble.as_ref()?;
            Some(format!("{}: {trouble}", object.named(known.namespace.as_deref())))
        })
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connected(&self, namespace: &str) {
        self.lock().namespace = Some(namespace.to_owned());
    }

    /// Whether anything has been seen or told of it.
    pub(super) fn is_known(&self, index: usize) -> bool {
        self.lock().objects.contains_key(&index)
    }

    /// This is the object now; `None` if there is none.
    pub(super) fn saw(&self, index: usize, content: Option<Entries>) {
        self.write(index, |seen| {
            *seen = Seen {
                content: Ok(content),
                trouble: None,
            };
        });
    }

    /// It is there but cannot be read.
    pub(super) fn unreadable(&self, index: usize, message: String) {
        self.write(index, |seen| {
            *seen = Seen {
                content: Err(message),
                trouble: None,
            };
        });
    }

    /// Nothing newer can be had; what is known stays.
    pub(super) fn troubled(&self, index: usize, message: String) {
        self.write(index, |seen| {
            if seen.content.is_err() {
                seen.content = Err(message.clone());
            }
            seen.trouble = Some(message);
        });
    }

    fn write(&self, index: usize, change: impl FnOnce(&mut Seen)) {
        let mut known = self.lock();
        let unknown = || Seen {
            content: Err("not read yet".to_owned()),
            trouble: None,
        };
        change(known.objects.entry(index).or_insert_with(unknown));
        drop(known);
        self.changed.notify_all();
        (self.ring)();
    }
}
