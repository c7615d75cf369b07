//! The follower: one watch per source, one directory.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use afresh_k8s::client::{ConnectOptions, Connection, RequestCounts, connect};
use afresh_k8s::content::{ConfigMapContent, ObjectContent, SecretContent};
use afresh_k8s::lean::Watched;
use afresh_k8s::watch::{Event, FailureKind, WatchFailure, WatchOptions, WatchPhase, WatchStatus, watch};
use afresh_model::name::Name;
use afresh_volume::{AtomicWriter, DATA_DIR, Files, Snapshot, WriteError, Written};
use futures::stream::{AbortHandle, SelectAll, Stream, StreamExt as _, abortable, select_all};
use tokio::time::{Instant, sleep_until};

use super::merge::{Collision, merge};
use super::seen::{Presence, STREAK, Seen, Turn};
use super::{Following, Kind, NoCluster, Opening, Scope, Source, SourcePlan};
use crate::pipeline::attempt::Attempt;
use crate::size::Size;
use crate::status::{Outcome, SourceFacts, SourcesFacts, Status};

/// Objects that change together are written together: so long it must be quiet, and so long it may take. What follows
/// from their change waits for `--settle` besides.
const QUIET: Duration = Duration::from_millis(10);
const LATEST: Duration = Duration::from_millis(100);

/// Which source, and what its watch says.
type News = (usize, Event<ObjectContent>);

/// Follows the sources and keeps the directory on their content, for ever. It ends only if it cannot be told which
/// cluster is meant. Everything else is told, counted and tried again, and the files stay as they are.
#[must_use]
pub fn follow(plan: SourcePlan, status: Arc<Status>, opening: Opening) -> Following {
    Box::pin(async move {
        let options = ConnectOptions {
            kubeconfig: plan.kubeconfig.clone(),
            context: plan.context.clone(),
            server: plan.server.clone(),
        };
        let connected = connect(&options, &RequestCounts::default()).await;
        let connection = connected.map_err(|error| error.to_string());
        let begun = connection.and_then(|connection| begin(plan, connection, status, opening));
        match begun {
            Ok((follower, news)) => match follower.run(news).await {},
            Err(reason) => NoCluster { reason },
        }
    })
}

fn begin(
    plan: SourcePlan,
    connection: Connection,
    status: Arc<Status>,
    opening: Opening,
) -> Result<(Follower, SelectAll<Watching>), String> {
    let own: Name = connection.namespace.parse().map_err(|error| format!("{error}"))?;
    let watches: Vec<WatchStatus> = plan.sources.iter().map(|_| WatchStatus::new()).collect();
    tracing::info!(
        server = connection.server,
        sources = plan.sources.len() as u64,
        directory = %plan.directory.display(),
        "following objects"
    );
    let mut lists = Lists {
        connection,
        own,
        sources: plan.sources.clone(),
        ends: Vec::new(),
    };
    let streams: Vec<Watching> = (0..watches.len())
        .filter_map(|index| lists.begin(index, &watches))
        .collect();
    let seen = plan.sources.into_iter().map(|source| Seen::new(source, plan.max_size));
    let board = Arc::new(Board {
        seen: Mutex::new(seen.collect()),
        watches,
        unwritten: Mutex::new(None),
    });
    status.sources_told_by({
        let board = Arc::clone(&board);
        move || board.facts()
    });
    let follower = Follower {
        holds_earlier: holds_content(&plan.directory),
        directory: plan.directory,
        board,
        lists,
        anew: BTreeSet::new(),
        status,
        opening,
        collisions: BTreeSet::new(),
        attempt: Attempt::default(),
        again: None,
    };
    Ok((follower, select_all(streams)))
}

type Watching = Pin<Box<dyn Stream<Item = News> + Send>>;

/// What begins the watches, each of which begins with a list.
struct Lists {
    connection: Connection,
    own: Name,
    sources: Vec<Source>,
    /// Ends the watch that was begun last for each source.
    ends: Vec<AbortHandle>,
}

impl Lists {
    /// Begins a source's watch, anew if there is one.
    fn begin(&mut self, index: usize, watches: &[WatchStatus]) -> Option<Watching> {
        let (source, status) = (self.sources.get(index)?, watches.get(index)?);
        let events = watching(&self.connection, source, &self.own, index, status.clone());
        let (events, end) = abortable(events);
        match self.ends.get_mut(index) {
            Some(before) => std::mem::replace(before, end).abort(),
            None => self.ends.push(end),
        }
        Some(Box::pin(events))
    }
}

fn watching(connection: &Connection, source: &Source, own: &Name, index: usize, status: WatchStatus) -> Watching {
    let (kind, options) = match source {
        Source::Object { kind, namespace, name } => {
            let options = WatchOptions {
                namespace: Some(namespace.as_ref().unwrap_or(own).clone()),
                fields: Some(format!("metadata.name={name}")),
                ..WatchOptions::default()
            };
            (kind, options)
        }
        Source::Selection { kind, scope, labels } => {
            let options = WatchOptions {
                namespace: match scope {
                    Scope::Own => Some(own.clone()),
                    Scope::Namespace(namespace) => Some(namespace.clone()),
                    Scope::All => None,
                },
                labels: Some(labels.to_string()),
                ..WatchOptions::default()
            };
            (kind, options)
        }
    };
    match kind {
        Kind::ConfigMap => objects::<ConfigMapContent>(connection, options, index, status),
        Kind::Secret => objects::<SecretContent>(connection, options, index, status),
    }
}

fn objects<K: Watched + Into<ObjectContent>>(
    connection: &Connection,
    options: WatchOptions,
    index: usize,
    status: WatchStatus,
) -> Watching {
    let events = watch::<K>(connection.client.clone(), options, status);
    Box::pin(events.map(move |event| (index, plain(event))))
}

/// The same event, whichever the kind.
fn plain<K: Into<ObjectContent>>(event: Event<K>) -> Event<ObjectContent> {
    match event {
        Event::Begin => Event::Begin,
        Event::Listed(object) => Event::Listed(object.into()),
        Event::Synced => Event::Synced,
        Event::Applied(object) => Event::Applied(object.into()),
        Event::Deleted(object) => Event::Deleted(object.into()),
        Event::Undecodable(object) => Event::Undecodable(object),
        Event::Failed(failure) => Event::Failed(failure),
    }
}

/// What is known of all sources: written by the follower, read by whoever asks for the state.
struct Board {
    seen: Mutex<Vec<Seen>>,
    watches: Vec<WatchStatus>,
    /// Why the directory could not be written.
    unwritten: Mutex<Option<String>>,
}

impl Board {
    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        // What is known is whole after every event.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unwritten(&self) -> MutexGuard<'_, Option<String>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing newer can be had of a source.
    fn trouble(&self, index: usize) -> Option<String> {
        let watch = self.watches.get(index)?.snapshot();
        let is_broken = watch.phase == WatchPhase::Waiting && watch.streak >= STREAK;
        watch.last_failure.filter(|_| is_broken).map(String::from)
    }

    fn facts(&self) -> SourcesFacts {
        let seen = self.seen();
        let sources = seen.iter().enumerate().map(|(index, seen)| SourceFacts {
            source: seen.source.to_string(),
            state: match (seen.presence, seen.has_content()) {
                (Presence::Unknown, _) => "unknown",
                (Presence::Present, _) => "present",
                (Presence::Absent, true) => "gone",
                (Presence::Absent, false) => "missing",
            },
            has_content: seen.has_content(),
            objects: seen.objects().count(),
            trouble: self.trouble(index).or_else(|| seen.too_large()).or_else(|| {
                let unreadable = seen.unreadable.iter().next();
                unreadable.map(|((namespace, name), reason)| format!("{namespace}/{name} cannot be read: {reason}"))
            }),
        });
        SourcesFacts {
            sources: sources.collect(),
            unwritten: self.unwritten().clone(),
        }
    }
}

struct Follower {
    directory: PathBuf,
    /// Whether the directory held whole content before anything was written.
    holds_earlier: bool,
    board: Arc<Board>,
    lists: Lists,
    /// What is to be listed anew.
    anew: BTreeSet<usize>,
    status: Arc<Status>,
    opening: Opening,
    /// What was told of keys that two objects hold.
    collisions: BTreeSet<Collision>,
    attempt: Attempt,
    /// When a write that failed is tried again.
    again: Option<Instant>,
}

impl Follower {
    async fn run(mut self, mut news: SelectAll<Watching>) -> Infallible {
        loop {
            tokio::select! {
                Some((index, event)) = news.next() => {
                    self.take(index, event);
                    self.take_burst(&mut news).await;
                }
                () = until(self.again) => {}
            }
            for index in std::mem::take(&mut self.anew) {
                news.extend(self.lists.begin(index, &self.board.watches));
            }
            self.bring();
        }
    }

    /// What comes along with an event.
    async fn take_burst(&mut self, news: &mut SelectAll<Watching>) {
        let latest = Instant::now() + LATEST;
        loop {
            let quiet = (Instant::now() + QUIET).min(latest);
            tokio::select! {
                // An event that is there already never keeps the burst from ending.
                biased;
                () = sleep_until(latest) => return,
                Some((index, event)) = news.next() => self.take(index, event),
                () = sleep_until(quiet) => return,
            }
        }
    }

    fn take(&mut self, index: usize, event: Event<ObjectContent>) {
        let mut all = self.board.seen();
        let Some(seen) = all.get_mut(index) else { return };
        if let Event::Failed(failure) = &event {
            self.failed(seen, failure);
        }
        let turn = seen.take(event);
        let source = seen.source.to_string();
        match turn {
            None => {}
            Some(Turn::Appeared) => tracing::info!(source, "it is there"),
            Some(Turn::Missing) => tracing::warn!(source, "it does not exist; waiting for it"),
            Some(Turn::Gone) => tracing::warn!(source, "it is gone; its last content stays until it is back"),
            Some(Turn::TooLarge(reason)) => tracing::error!(source, reason, "it is too large; its last content stays"),
            Some(Turn::Fits) => {
                tracing::info!(source, "it is no longer too large");
                self.anew.insert(index);
            }
            Some(Turn::Unreadable(reason)) => {
                tracing::error!(source, reason, "an object cannot be read; its last content stays");
            }
        }
    }

    /// Told once for each time that it is in trouble; what is denied does not pass by itself.
    fn failed(&self, seen: &Seen, failure: &WatchFailure) {
        self.status.source_failed(failure.kind.word());
        let (source, reason) = (seen.source.to_string(), &*failure.message);
        let is_denied = failure.kind == FailureKind::Denied && failure.streak == 1;
        if is_denied || failure.streak == STREAK {
            tracing::error!(source, reason, again_in = ?failure.retry_in, "it cannot be followed now; what is written stays");
        } else {
            tracing::debug!(source, reason, streak = u64::from(failure.streak), "its watch failed");
        }
    }

    /// Brings the directory to what is known, if that is enough.
    fn bring(&mut self) {
        let all = self.board.seen();
        let is_whole = all.iter().all(Seen::has_content);
        let is_known = |(index, seen): (usize, &Seen)| {
            seen.presence != Presence::Unknown || seen.too_large().is_some() || self.board.trouble(index).is_some()
        };
        let is_known = all.iter().enumerate().all(is_known);
        let (files, collisions) = merge(all.iter().flat_map(Seen::objects));
        drop(all);
        if is_whole {
            self.tell_collisions(collisions);
            self.write(&files);
        } else if is_known && self.holds_earlier {
            self.bring_with_earlier(files);
        }
    }

    /// What was good enough before a restart of the container is so now, and what can be had of it is brought up to date.
    /// Nothing says which file came from a source that cannot be had: so all stay that nobody else has.
    fn bring_with_earlier(&mut self, files: Files) {
        if !self.opening.is_open() {
            tracing::warn!(
                directory = %self.directory.display(),
                "not every source can be had: beginning with what an earlier start has written"
            );
        }
        match Snapshot::read_with(&self.directory, &Size::ANY.limits()) {
            Ok(earlier) => {
                let mut all = earlier.into_files();
                all.extend(files);
                self.write(&all);
            }
            // The watcher of the directory tells of that.
            Err(_) => drop(self.opening.open()),
        }
    }

    fn tell_collisions(&mut self, collisions: BTreeSet<Collision>) {
        for Collision { key, used, hidden } in collisions.difference(&self.collisions) {
            tracing::warn!(
                key,
                used,
                hidden,
                "two objects hold the same key; that of the later source is used"
            );
        }
        self.collisions = collisions;
    }

    fn write(&mut self, files: &Files) {
        match write(&self.directory, files) {
            Ok(written) => {
                self.attempt = Attempt::default();
                self.again = None;
                *self.board.unwritten() = None;
                if written == Written::Changed {
                    self.status.step("source", Outcome::Ok);
                    tracing::info!(directory = %self.directory.display(), files = files.len() as u64, "written");
                }
                self.opening.open();
            }
            Err(error) => {
                let pause = self.attempt.failed();
                self.again = Instant::now().checked_add(pause);
                self.status.step("source", Outcome::Failed);
                let reason = error.to_string();
                tracing::error!(reason, again_in = ?pause, "the objects cannot be written; it is tried again");
                *self.board.unwritten() = Some(reason);
            }
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Why the directory could not be brought up to date.
#[derive(Debug, thiserror::Error)]
enum BringError {
    #[error("cannot make {path}: {source}")]
    Make { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Write(#[from] WriteError),
}

fn write(directory: &Path, files: &Files) -> Result<Written, BringError> {
    fs::create_dir_all(directory).map_err(|source| BringError::Make {
        path: directory.to_owned(),
        source,
    })?;
    Ok(AtomicWriter::write(directory, files)?)
}

fn holds_content(directory: &Path) -> bool {
    let is_written = fs::symlink_metadata(directory.join(DATA_DIR)).is_ok();
    is_written && Snapshot::read_with(directory, &Size::ANY.limits()).is_ok()
}
