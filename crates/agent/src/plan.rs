//! What is watched and what follows from a change, checked as a whole.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::WatchArgs;
use crate::action::Action;
use crate::command_line::CommandLine;
use crate::size::Size;
use crate::source::{Follow, Objects, SourcePlan};

/// What is watched, and what follows from a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Directories and files; together they are one set of files.
    pub watch: Vec<PathBuf>,
    /// The quiet time that ends a burst of changes.
    pub settle: Duration,
    /// The pause between two looks at everything; `None` = only events make it look.
    pub poll: Option<Duration>,
    /// The most that one watched path may hold.
    pub max_size: Size,
    /// Run against staged content; where it fails the content is not used.
    pub check: Option<CommandLine>,
    /// Under which directory content is staged.
    pub staging: PathBuf,
    /// Where accepted content is written, at one moment.
    pub output: Option<PathBuf>,
    /// What is done after a change, in order.
    pub actions: Vec<Action>,
    /// Run after the actions; where it goes on failing they are done again.
    pub verify: Option<CommandLine>,
    /// How long a check, an action or the verification may take.
    pub timeout: Duration,
    /// Act so often even though nothing changed.
    pub every: Option<Duration>,
    /// Act on what is there at the start, too.
    pub act_at_start: bool,
}

/// Flags that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No path.
    #[error("nothing is watched: give --watch PATH, or --source OBJECT with --source-dir DIR")]
    NothingWatched,
    /// Nothing follows.
    #[error("nothing follows from a change: give --on-change ACTION, --output DIR or both")]
    NothingToDo,
    /// Verifying what?
    #[error("{0} needs an action: give --on-change ACTION")]
    NeedsAction(&'static str),
    /// The output would be its own input.
    #[error(
        "--output {output} and {watch}, which is watched, lie within one another: the agent would answer its own writing"
    )]
    OutputWatched {
        /// The output.
        output: PathBuf,
        /// The watched path.
        watch: PathBuf,
    },
    /// One path twice.
    #[error("--watch {0} is given twice")]
    Twice(PathBuf),
    /// A signal, to whom?
    #[error("signal needs somebody to send it to: give --process NAME")]
    SignalNobody,
    /// Only its starter can start it again.
    #[error(
        "restart is for `afresh run -- COMMAND`, which starts the program itself; beside a program that runs by itself \
         write signal:TERM, and the kubelet starts its container again"
    )]
    RestartNobody,
    /// Written where?
    #[error("--source needs a directory for the files: give --source-dir DIR")]
    NoSourceDir,
    /// Nothing is written there.
    #[error("--source-dir needs something to write: give --source OBJECT, such as configmap/NAME")]
    NoSource,
    /// One source twice.
    #[error("--source {0} is given twice")]
    SourceTwice(String),
    /// The small program.
    #[error(
        "--source needs a Kubernetes client, and this small program is built without one: use the `afresh` program \
         (`afresh agent`, `afresh run`)"
    )]
    NotBuiltIn,
}

impl Plan {
    /// The plan of these flags.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn of(args: &WatchArgs) -> Result<Self, PlanError> {
        let mut watch = args.watch.clone();
        let directory = args.source.source_dir.iter();
        watch.extend(directory.filter(|directory| !args.watch.contains(directory)).cloned());
        let plan = Self {
            watch,
            settle: args.settle,
            poll: args.options().poll,
            max_size: args.max_size,
            check: args.check.clone(),
            staging: args.staging.clone().unwrap_or_else(std::env::temp_dir),
            output: args.output.clone(),
            actions: args.on_change.clone(),
            verify: args.verify.clone(),
            timeout: args.timeout,
            every: args.every,
            act_at_start: args.act_at_start,
        };
        plan.validate(args.source.source_dir.is_some())?;
        Ok(plan)
    }

    /// Files that the agent brings itself are enough: the application may look at them by itself.
    fn validate(&self, brings_files: bool) -> Result<(), PlanError> {
        if self.watch.is_empty() {
            return Err(PlanError::NothingWatched);
        }
        for (index, path) in self.watch.iter().enumerate() {
            if self.watch[..index].contains(path) {
                return Err(PlanError::Twice(path.clone()));
            }
        }
        if let Some(output) = &self.output {
            let within = |watch: &Path| watch.starts_with(output) || output.starts_with(watch);
            if let Some(watch) = self.watch.iter().find(|watch| within(watch)) {
                return Err(PlanError::OutputWatched {
                    output: output.clone(),
                    watch: watch.clone(),
                });
            }
        }
        if !self.actions.is_empty() {
            return Ok(());
        }
        match (&self.verify, self.every, self.act_at_start, &self.output) {
            (Some(_), ..) => Err(PlanError::NeedsAction("--verify")),
            (_, Some(_), ..) => Err(PlanError::NeedsAction("--every")),
            (_, _, true, _) => Err(PlanError::NeedsAction("--act-at-start")),
            (.., None) if !brings_files => Err(PlanError::NothingToDo),
            _ => Ok(()),
        }
    }

    /// Refuses what only makes sense with a program of our own, or with a process that was named.
    ///
    /// # Errors
    /// [`PlanError::SignalNobody`], [`PlanError::RestartNobody`].
    pub fn for_a_neighbour(self, is_named: bool) -> Result<Self, PlanError> {
        for action in &self.actions {
            match action {
                Action::Restart => return Err(PlanError::RestartNobody),
                Action::Signal(_) if !is_named => return Err(PlanError::SignalNobody),
                Action::Signal(_) | Action::Exec(_) | Action::Http(_) => {}
            }
        }
        Ok(self)
    }
}

impl SourcePlan {
    /// What is to be followed, and by what; `None` if nothing is.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn of(all: &WatchArgs, objects: Objects) -> Result<Option<(Self, Follow)>, PlanError> {
        let args = &all.source;
        if args.source.is_empty() {
            return if args.source_dir.is_none() {
                Ok(None)
            } else {
                Err(PlanError::NoSource)
            };
        }
        let Objects::BuiltIn(follow) = objects else {
            return Err(PlanError::NotBuiltIn);
        };
        for (index, source) in args.source.iter().enumerate() {
            if args.source[..index].contains(source) {
                return Err(PlanError::SourceTwice(source.to_string()));
            }
        }
        let plan = Self {
            sources: args.source.clone(),
            directory: args.source_dir.clone().ok_or(PlanError::NoSourceDir)?,
            max_size: all.max_size,
            kubeconfig: args.kubeconfig.clone(),
            context: args.context.clone(),
            server: args.server.clone(),
        };
        Ok(Some((plan, follow)))
    }
}
