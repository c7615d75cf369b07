//! From a change of watched files to the application.
//!
//! ```text
//! watch ─▶ settle ─▶ read ─▶ stage, check ─▶ output ─▶ act ─▶ verify
//!             ▲                  │ rejected: the last good stays    │ failed: again, ever later,
//!             └──────────────────┴──── until the content changes ◀──┘ or at once for newer content
//! ```
//! Nothing here ends for trouble with files, checks or actions: it is told, counted and tried again. Newer content ends
//! pauses and the actions that were to follow at once, and a step that has begun a second later.

pub(crate) mod attempt;
mod news;
mod step;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use afresh_model::digest::Digest;
use afresh_volume::stale_sub_path;
use tokio::time::Instant;

use crate::command;
use crate::content::{Content, Sums};
use crate::output::Output;
use crate::plan::Plan;
use crate::progress::{Next, Progress};
use crate::staged::Staged;
use crate::status::{self, Outcome, Status};
use crate::target::Target;
use attempt::Attempt;
use news::News;
use step::StepError;

/// What is watched, how far the application has been brought, and what is to be done next.
#[derive(Debug)]
pub struct Pipeline {
    plan: Plan,
    news: News,
    output: Option<Output>,
    progress: Progress<Digest>,
    /// The newest content.
    seen: Option<Sums>,
    attempt: Attempt,
    /// When the newest look at everything began: what was due by then was done in it, what is due later is waited for.
    turn: Instant,
    /// When the actions are due although nothing changed.
    periodic: Option<Instant>,
    /// What was told last of paths that cannot be read.
    unreadable: Option<String>,
    stale: BTreeSet<PathBuf>,
    status: Arc<Status>,
}

impl Pipeline {
    /// Begins to watch. With an output, what it holds is what the application has.
    #[must_use]
    pub fn new(plan: Plan, status: Arc<Status>) -> Self {
        if plan.check.is_some() {
            Staged::clear(&plan.staging);
        }
        let output = plan.output.clone().map(Output);
        let held = output.as_ref().and_then(Output::holds);
        let acted = output.as_ref().and_then(Output::acted);
        if let Some(output) = output.as_ref().filter(|_| held.is_some()) {
            tracing::info!(output = %output.path().display(), "the output holds content from an earlier start");
            status.update(|facts| facts.in_use = Some(0));
        }
        Self {
            news: News::new(&plan),
            progress: Progress::new(output.is_some(), plan.act_at_start, held, acted),
            output,
            seen: None,
            attempt: Attempt::default(),
            turn: Instant::now(),
            periodic: None,
            unreadable: None,
            stale: BTreeSet::new(),
            status,
            plan,
        }
    }

    /// Returns when there is content that the application can use. Until then it waits for it: for a path to appear, or
    /// for rejected content to be mended.
    pub async fn begin(&mut self) {
        loop {
            self.take().await;
            if self.progress.in_use().is_some() {
                return;
            }
            self.news.next(self.attempt.due_after(self.turn), None).await;
        }
    }

    /// To be called when the application is started after [`begin`](Self::begin): it starts with what is in use, so
    /// nothing is to be done for that.
    pub fn application_starts(&mut self) {
        if !self.plan.act_at_start {
            self.progress.acted();
            self.record();
        }
    }

    /// Acts on each change, for ever.
    pub async fn run(mut self, target: &Target) -> Infallible {
        self.schedule();
        loop {
            let now = self.take().await;
            if self.progress.next(now) == Next::Act && self.attempt.is_due(self.turn) {
                self.act(target).await;
            }
            self.tell();
            self.news.next(self.attempt.due_after(self.turn), self.periodic).await;
            if self.periodic.is_some_and(|at| at <= Instant::now()) {
                tracing::debug!("the actions are due although nothing changed");
                self.progress.act();
                self.attempt = Attempt::default();
                self.schedule();
            }
        }
    }

    /// Reads what is there and, if it is new, has it checked and written. Returns which content was read.
    async fn take(&mut self) -> Option<Digest> {
        self.turn = Instant::now();
        self.look_for_stale_mounts();
        let read = self.read();
        let now = read.as_ref().map(|content| content.sums.digest());
        if let Some(content) = read
            && self.progress.next(now) == Next::Accept
            && self.attempt.is_due(self.turn)
        {
            self.accept(content).await;
        }
        self.tell();
        now
    }

    /// The content of all paths, if it can be read; a difference is told and begins a new attempt.
    fn read(&mut self) -> Option<Content> {
        match Content::read(&self.plan.watch, self.plan.max_size) {
            Ok(content) => {
                if self.unreadable.take().is_some() {
                    tracing::info!("all paths can be read");
                }
                self.compare(&content);
                Some(content)
            }
            Err(error) => {
                let reason = error.to_string();
                if self.unreadable.as_ref() != Some(&reason) {
                    if self.progress.in_use().is_some() {
                        tracing::warn!(%reason, "there is no content to be read; what is in use stays");
                    } else {
                        tracing::warn!(%reason, "there is no content to be read yet; waiting for it");
                    }
                    self.unreadable = Some(reason);
                }
                if !error.awaits_news() && self.attempt.is_due(self.turn) {
                    self.attempt.failed();
                }
                None
            }
        }
    }

    fn compare(&mut self, content: &Content) {
        if self.seen.as_ref() == Some(&content.sums) {
            tracing::debug!("the content is the same");
            return;
        }
        let difference = content.sums.since(self.seen.as_ref().unwrap_or(&Sums::default()));
        if self.seen.is_some() {
            self.status.changed();
            let names = |names: &[String]| Some(names.join(" ")).filter(|names| !names.is_empty());
            tracing::info!(
                added = names(&difference.added),
                changed = names(&difference.changed),
                removed = names(&difference.removed),
                "the content has changed"
            );
        } else {
            tracing::info!(files = content.files.len() as u64, "watching");
        }
        self.progress.saw(content.sums.digest());
        self.seen = Some(content.sums.clone());
        self.attempt = Attempt::default();
        self.status.update(|facts| {
            facts.generation += 1;
            facts.files = content.files.len();
            (facts.rejected, facts.failing) = (None, None);
        });
    }

    /// Has new content checked and written.
    async fn accept(&mut self, content: Content) {
        let digest = content.sums.digest();
        // Without an output the application has the first content already, whatever a check would say.
        let is_checked = self.output.is_some() || self.progress.in_use().is_some();
        if is_checked {
            let checked = step::unless_overtaken(check(&self.plan, &content), &mut self.news).await;
            match checked {
                Some(Ok(())) => self.passed(),
                Some(Err(StepError::Command(error))) if error.is_verdict() => {
                    return self.reject(digest, &error.into());
                }
                Some(Err(error)) => return self.failed("check", &flag("--check", self.plan.check.as_ref()), &error),
                None => return tracing::info!("the check is given up for newer content"),
            }
        }
        if let Some(output) = &self.output {
            if let Err(error) = output.write(&content.files) {
                let what = flag("--output", Some(&output.path().display()));
                self.failed("output", &what, &error.into());
                return;
            }
            self.status.step("output", Outcome::Ok);
            tracing::info!(output = %output.path().display(), "written");
        }
        let is_first = self.progress.accept(digest);
        self.attempt = Attempt::default();
        self.status.update(|facts| {
            facts.in_use = Some(facts.generation);
            (facts.rejected, facts.failing) = (None, None);
        });
        if is_first && self.progress.is_current() {
            self.record();
        } else if self.plan.actions.is_empty() {
            self.done();
        }
    }

    fn passed(&self) {
        if let Some(check) = &self.plan.check {
            self.status.step("check", Outcome::Ok);
            tracing::info!(%check, "the check passed");
        }
    }

    fn reject(&mut self, digest: Digest, error: &StepError) {
        let reason = format!("the check failed: {error}");
        let what = flag("--check", self.plan.check.as_ref());
        self.progress.reject(digest);
        self.status.step("check", Outcome::Rejected);
        if self.progress.in_use().is_some() {
            tracing::error!(what, %reason, "the new content is not used; the last good one stays until it changes");
        } else {
            tracing::error!(what, %reason, "there is no good content yet; waiting until it changes");
        }
        self.status.update(|facts| facts.rejected = Some(reason));
    }

    /// Does the actions from the first that has not succeeded, then verifies.
    async fn act(&mut self, target: &Target) {
        self.progress.act();
        while let Some(action) = self.plan.actions.get(self.attempt.done).cloned() {
            if self.news.have_come() {
                return;
            }
            let begun = Instant::now();
            let performed = step::perform(&action, target, self.plan.timeout);
            match step::unless_overtaken(performed, &mut self.news).await {
                Some(Ok(())) => {}
                Some(Err(error)) => return self.failed(action.kind(), &action.to_string(), &error),
                None => return tracing::info!(%action, "given up for newer content"),
            }
            self.attempt.done += 1;
            self.status.step(action.kind(), Outcome::Ok);
            let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(%action, millis, "done");
        }
        self.verify().await;
    }

    async fn verify(&mut self) {
        if let Some(verify) = &self.plan.verify.clone() {
            let verified = step::verify(verify, self.plan.timeout);
            match step::unless_overtaken(verified, &mut self.news).await {
                Some(Ok(())) => self.status.step("verify", Outcome::Ok),
                Some(Err(error)) => {
                    // Once more from the beginning: the application has not taken it.
                    self.attempt.done = 0;
                    return self.failed("verify", &flag("--verify", Some(verify)), &error);
                }
                None => return tracing::info!(%verify, "given up for newer content"),
            }
        }
        self.done();
    }

    /// The application has the content, and all actions have succeeded.
    fn done(&mut self) {
        self.progress.acted();
        self.record();
        self.attempt = Attempt::default();
        self.schedule();
        self.status.update(|facts| {
            facts.failing = None;
            facts.last_success = Some(status::now());
        });
    }

    /// `what` is the step as it was asked for: one of several actions, or a flag with its value.
    fn failed(&mut self, step: &'static str, what: &str, error: &StepError) {
        let pause = self.attempt.failed();
        self.status.step(step, Outcome::Failed);
        let attempts = self.attempt.failures();
        let reason = error.to_string();
        tracing::error!(step, what, %reason, attempt = u64::from(attempts), again_in = ?pause, "failed; it is tried again");
        self.status
            .update(|facts| facts.failing = Some(format!("{what}: {reason}")));
    }

    /// Writes beside the output that nothing is left to do for it, so that a later start does not do it again.
    fn record(&self) {
        if let Some(output) = &self.output
            && let Some(digest) = self.progress.in_use()
            && let Err(error) = output.record(digest)
        {
            tracing::warn!(%error, "after a restart of the agent the actions may be done once more");
        }
    }

    fn schedule(&mut self) {
        self.periodic = self.plan.every.and_then(|every| Instant::now().checked_add(every));
    }

    fn look_for_stale_mounts(&mut self) {
        let is_stale = |path: &&PathBuf| stale_sub_path(path).unwrap_or(false);
        let stale: BTreeSet<PathBuf> = self.plan.watch.iter().filter(is_stale).cloned().collect();
        for path in stale.difference(&self.stale) {
            tracing::error!(
                path = %path.display(),
                "this subPath mount shows old content until its container starts again; mount the whole volume instead, \
                 and let --output give the application the files where it wants them"
            );
        }
        self.stale = stale;
    }

    /// Brings what people see up to date.
    fn tell(&mut self) {
        let degraded = self.news.degraded();
        self.status.update(|facts| {
            facts.is_current = self.progress.is_current();
            facts.attempts = self.attempt.failures();
            facts.unreadable.clone_from(&self.unreadable);
            if !self.progress.is_rejected() {
                facts.rejected = None;
            }
            facts.stale = self.stale.iter().cloned().collect();
            facts.degraded = degraded;
        });
    }
}

/// A flag with its value, as people gave it.
fn flag(name: &str, value: Option<&impl fmt::Display>) -> String {
    value.map_or_else(|| name.to_owned(), |value| format!("{name} {value}"))
}

/// Runs the check on the content, where only the check sees it.
async fn check(plan: &Plan, content: &Content) -> Result<(), StepError> {
    let Some(check) = &plan.check else {
        return Ok(());
    };
    let staged = Staged::write(&plan.staging, &content.files)?;
    command::run(check, Some(staged.path()), plan.timeout).await?;
    Ok(())
}
