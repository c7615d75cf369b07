//! From a change of watched files to the application: settle, read, check, write out, act, verify.
//!
//! ```text
//! watch ─▶ settle ─▶ read ─▶ stage, check ─▶ output ─▶ act ─▶ verify
//!             ▲                  │ bad: the last good stays         │ failed: again, ever later,
//!             └──────────────────┴──── until the content changes ◀──┘ or at once for newer content
//! ```
//! Nothing in here ends for trouble with files, checks or actions; it is told and tried again.

mod act;
mod content;
mod target;

use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use afresh_volume::{AsyncWatcher, AtomicWriter, WatchError, WatchOptions, Watcher, WriteError, Written};
use tokio::time::{Instant, sleep_until};

use crate::action::Action;
use crate::command_line::CommandLine;
pub use act::ActError;
use content::Content;
pub use content::ContentError;
pub use target::{Target, TargetError};

/// A burst is over after so many times its quiet time, whatever still comes.
const LONGEST: u32 = 10;
/// The pauses between tries of actions that fail.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// What is watched, and what follows from a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Directories and files; together they are one content, as in a projected volume: the later wins.
    pub watch: Vec<PathBuf>,
    /// The quiet time that ends a burst of changes.
    pub settle: Duration,
    /// Run against the staged content; where it fails the content is not used.
    pub check: Option<CommandLine>,
    /// Where checked content is written, at one moment.
    pub output: Option<PathBuf>,
    /// What is done after a change, in order.
    pub actions: Vec<Action>,
    /// Run after the actions; where it fails they are done again.
    pub verify: Option<CommandLine>,
    /// How long a check, an action or a verification may take.
    pub timeout: Duration,
    /// Act so often even though nothing changed.
    pub every: Option<Duration>,
}

/// Why content was not taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ContentError),
    /// There is no room to stage it.
    #[error("cannot stage the new content: {source}")]
    Stage {
        /// What the system said.
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The check failed.
    #[error("the check failed: {0}")]
    Check(ActError),
}

/// Why the first content could not be taken, so that there is nothing to go on with.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// There is no content that was ever good.
    #[error("there is no content to begin with: {0}")]
    Take(#[from] TakeError),
    /// Changes could not be seen.
    #[error(transparent)]
    Watch(#[from] WatchError),
}

/// The first content taken, and every change watched from then on.
#[derive(Debug)]
pub struct Pipeline {
    plan: Rc<Plan>,
    watcher: AsyncWatcher,
    /// What the application is to have.
    accepted: Option<Content>,
    /// What failed the check; not tried again.
    rejected: Option<Content>,
}

impl Pipeline {
    /// Watches, and takes what is there. Says whether the output was changed by it.
    ///
    /// # Errors
    /// [`BeginError`] if it cannot be taken, unless the output still holds content that was.
    pub async fn begin(plan: Plan) -> Result<(Self, Written), BeginError> {
        // First the watcher, so that nothing falls between it and the reading.
        let watcher = AsyncWatcher::new(Watcher::new(plan.watch.iter(), WatchOptions::default()))?;
        let mut pipeline = Self {
            plan: Rc::new(plan),
            watcher,
            accepted: None,
            rejected: None,
        };
        let written = match pipeline.take().await {
            Ok(written) => written.unwrap_or(Written::Unchanged),
            Err(error) if pipeline.has_output() => {
                tracing::error!(%error, "the content is not used; the last good one stays");
                Written::Unchanged
            }
            Err(error) => return Err(error.into()),
        };
        Ok((pipeline, written))
    }

    /// Acts on each change, for ever. With `act_first` also on what is there now.
    pub async fn run(mut self, target: Target, act_first: bool) -> Infallible {
        let mut quiet: Option<Quiet> = None;
        let mut due = act_first.then(Instant::now).or_else(|| self.next_periodic());
        let mut attempt: Option<Attempt> = None;
        let mut failures = 0;
        loop {
            tokio::select! {
                event = self.watcher.next() => match event {
                    Ok(event) => {
                        tracing::debug!(path = %event.path.display(), change = ?event.change, "seen");
                        quiet = Some(Quiet::after(quiet, self.plan.settle));
                    }
                    Err(error) => {
                        tracing::error!(%error, "changes are not seen any more");
                        return std::future::pending().await;
                    }
                },
                () = until(quiet.as_ref().map(|quiet| quiet.until)) => {
                    quiet = None;
                    if self.took().await {
                        (due, failures) = (Some(Instant::now()), 0);
                    }
                }
                () = until(due), if attempt.is_none() => {
                    due = None;
                    attempt = Some(Box::pin(act::all(Rc::clone(&self.plan), target.clone())));
                }
                acted = ready(&mut attempt) => {
                    attempt = None;
                    // Newer content meanwhile has set its own time already.
                    due = due.or_else(|| self.after(acted, &mut failures));
                }
            }
        }
    }

    /// When to act again.
    fn after(&self, acted: Result<(), ActError>, failures: &mut u32) -> Option<Instant> {
        match acted {
            Ok(()) => {
                *failures = 0;
                self.next_periodic()
            }
            Err(error) => {
                let pause = (FIRST_PAUSE * (1 << (*failures).min(6))).min(LAST_PAUSE);
                *failures += 1;
                tracing::error!(%error, attempt = u64::from(*failures), again_in = ?pause, "the change could not be acted on");
                Some(Instant::now() + pause)
            }
        }
    }

    fn next_periodic(&self) -> Option<Instant> {
        self.plan.every.map(|every| Instant::now() + every)
    }

    /// Whether there is other content now, and it is good.
    async fn took(&mut self) -> bool {
        match self.take().await {
            Ok(Some(_)) => {
                tracing::info!("new content");
                true
            }
            Ok(None) => {
                tracing::debug!("the content is the same");
                false
            }
            Err(error) => {
                tracing::error!(%error, "the new content is not used; the last good one stays");
                false
            }
        }
    }

    /// Reads, checks and writes out, where the content is neither what is used nor what was found bad.
    async fn take(&mut self) -> Result<Option<Written>, TakeError> {
        let (content, files) = content::read(&self.plan.watch)?;
        if self.accepted == Some(content) {
            self.rejected = None;
            return Ok(None);
        }
        if self.rejected == Some(content) {
            return Ok(None);
        }
        if let Some(check) = &self.plan.check {
            let staged = tempfile::Builder::new().prefix("afresh-").tempdir();
            let staged = staged.map_err(|source| TakeError::Stage { source })?;
            AtomicWriter::write(staged.path(), &files)?;
            if let Err(error) = act::command(check, Some(staged.path()), self.plan.timeout).await {
                self.rejected = Some(content);
                return Err(TakeError::Check(error));
            }
        }
        let written = match &self.plan.output {
            Some(output) => {
                std::fs::create_dir_all(output).map_err(|source| WriteError::Inspect {
                    path: output.clone(),
                    source,
                })?;
                AtomicWriter::write(output, &files)?
            }
            None => Written::Unchanged,
        };
        (self.accepted, self.rejected) = (Some(content), None);
        Ok(Some(written))
    }

    fn has_output(&self) -> bool {
        let output = self.plan.output.as_ref();
        output.is_some_and(|output| output.join(afresh_volume::DATA_DIR).exists())
    }
}

type Attempt = Pin<Box<dyn Future<Output = Result<(), ActError>>>>;

/// When a burst is over.
#[derive(Debug, Clone, Copy)]
struct Quiet {
    until: Instant,
    latest: Instant,
}

impl Quiet {
    fn after(before: Option<Self>, settle: Duration) -> Self {
        let now = Instant::now();
        let latest = before.map_or(now + settle * LONGEST, |before| before.latest);
        Self {
            until: (now + settle).min(latest),
            latest,
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn ready(attempt: &mut Option<Attempt>) -> Result<(), ActError> {
    match attempt {
        Some(attempt) => attempt.await,
        None => std::future::pending().await,
    }
}
