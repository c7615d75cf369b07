//! Plays the script, prints what happens, and judges it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use afresh_k8s::client::RequestCounts;
use tokio::time::{Instant, timeout};

use super::observer::{By, Counts, Observer, Seen};
use super::page::{Page, When, duration};
use super::picture::{self, Picture};
use super::reads::{Object, Place};
use super::script::{Act, Expect, Step};
use super::stage::{NAMESPACE, Stage};
use super::summary::{Reactions, Summary};

/// A step that has not come to its end after this has failed: before the kubelet looks by its own timer, after a minute.
const LIMIT: Duration = Duration::from_secs(50);
/// After a step, so long nothing more may happen: several times what Afresh waits for a burst to end.
const QUIET: Duration = Duration::from_millis(1_000);
/// While somebody is waited for, pods are looked at so often, so times are right to this.
const OFTEN: Duration = Duration::from_millis(5);
/// And so often if it takes long: then it is the kubelet's own timer.
const SELDOM: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(5);
/// More objects than this in one look are a burst.
const BURST: usize = 3;

/// The play: the stage, who looks, and what is told.
pub(super) struct Show {
    pub(super) stage: Stage,
    pub(super) page: Page,
    observer: Observer,
    picture: Picture,
    revision: Option<u64>,
    /// The script's change that times count from; none when a person plays.
    start: Option<Instant>,
    last_line: Instant,
    /// Whether times count: not where the controller was down on purpose.
    timed: bool,
    reactions: Reactions,
}

/// What came of a step, or of all.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement(pub(super) Vec<String>);

impl Show {
    pub(super) fn new(stage: Stage, page: Page) -> Self {
        Self {
            stage,
            page,
            observer: Observer::default(),
            picture: Picture::default(),
            revision: None,
            start: None,
            last_line: Instant::now(),
            timed: true,
            reactions: Reactions::default(),
        }
    }

    /// Waits until every pod of every workload runs.
    pub(super) async fn warm_up(&mut self) -> anyhow::Result<()> {
        let ready =
            |show: &Self| !show.picture.workloads.is_empty() && show.picture.workloads.values().all(|w| w.settled);
        let done = self.watch_until(LIMIT, ready).await?;
        anyhow::ensure!(done, "the workloads did not start within {}", duration(LIMIT));
        Ok(())
    }

    /// Plays one step and says what is wrong with what came of it.
    pub(super) async fn play(&mut self, number: usize, step: &Step) -> anyhow::Result<Judgement> {
        self.page.title(&format!("{number}  {}", step.title))?;
        let (counts, pods) = (self.observer.counts().clone(), self.pods());
        self.start = Some(Instant::now());
        self.timed = !step.acts.iter().any(|act| matches!(act, Act::Kill));
        for act in &step.acts {
            self.act(act).await?;
        }
        let wanted = after(&counts, &step.expect);
        self.watch_until(LIMIT, |show| show.has_reached(&wanted)).await?;
        self.watch_until(QUIET, |_| false).await?;
        let judgement = self.judge(&step.expect, &wanted, &pods);
        self.conclude(step, &judgement)?;
        Ok(judgement)
    }

    /// Plays all steps, says at the end what came of them, and what is wrong with it.
    pub(super) async fn play_all(&mut self, steps: &[Step]) -> anyhow::Result<Judgement> {
        let (mut problems, mut good, mut wanted) = (Vec::new(), 0, Counts::default());
        for (n, step) in steps.iter().enumerate() {
            let judgement = self.play(n + 1, step).await?;
            good += usize::from(judgement.is_good());
            problems.extend(
                judgement
                    .0
                    .into_iter()
                    .map(|problem| format!("step {}: {problem}", n + 1)),
            );
            wanted = after(&wanted, &step.expect);
        }
        let have = self.observer.counts();
        let now = Instant::now();
        Summary {
            steps: steps.len(),
            good,
            rolls: [&wanted.rolls, &have.rolls],
            touches: [&wanted.touches, &have.touches],
            reactions: &self.reactions,
            requests: requests(&self.stage.requests),
            plain: self.observer.stale_since("plain").map(|since| now - since),
        }
        .print(&mut self.page)?;
        for problem in &problems {
            self.page.verdict(false, problem, "")?;
        }
        Ok(Judgement(problems))
    }

    /// Looks on for ever, and tells what others do.
    pub(super) async fn watch_on(&mut self) -> anyhow::Result<()> {
        self.start = None;
        loop {
            self.watch_until(Duration::from_secs(3_600), |_| false).await?;
        }
    }

    /// Where a file of some pod of a workload lies on disk.
    pub(super) fn file_of(&self, workload: &str, path: &str) -> Option<PathBuf> {
        let workload = self.picture.workloads.get(workload)?;
        let pod = workload.pods.keys().next()?;
        let volume = workload.reads.keys().find_map(|place| match place {
            Place::File { volume, path: found } if found == path => Some(volume),
            _ => None,
        })?;
        Some(
            self.stage
                .sandbox
                .node()
                .volume_path(NAMESPACE, pod, volume)?
                .join(path),
        )
    }

    async fn act(&mut self, act: &Act) -> anyhow::Result<()> {
        let before = Instant::now();
        match act {
            Act::Start => {
                self.stage.start_controller().await?;
                let when = self.since_start(before);
                self.page.deed(&when, "start", "afresh", "the controller starts")?;
            }
            Act::Kill => {
                self.stage.kill_controller();
                self.page
                    .deed(&When::Unsaid, "kill", "afresh", "the controller is killed")?;
            }
            Act::Write(writes) => {
                // Counted from before the first request, so that times are rather too long than too short.
                self.start = Some(before);
                for write in writes {
                    self.stage.write(write).await?;
                    if write.patch.get("metadata").is_some() {
                        let object = Object {
                            kind: write.kind,
                            name: write.name.clone(),
                        };
                        self.page.deed(
                            &When::After(Duration::ZERO),
                            "write",
                            &object.to_string(),
                            "a new label",
                        )?;
                    }
                }
                self.look(before)?;
            }
            Act::Wait => {
                self.watch_until(QUIET, |_| false).await?;
            }
        }
        Ok(())
    }

    /// Looks and tells until something holds; whether it came to hold in time.
    async fn watch_until(&mut self, limit: Duration, holds: impl Fn(&Self) -> bool) -> anyhow::Result<bool> {
        let end = Instant::now() + limit;
        let mut revisions = self.stage.sandbox.revisions();
        loop {
            revisions.mark_unchanged();
            self.stage.check_controller().await?;
            let now = Instant::now();
            self.look(now)?;
            if holds(self) {
                return Ok(true);
            }
            if now >= end {
                return Ok(false);
            }
            let pause = match self.observer.waiting_since() {
                Some(since) if now - since < LONG => OFTEN,
                Some(_) => SELDOM,
                None => end - now,
            };
            // Either a write or the time wakes; which of them does not matter.
            drop(timeout(pause.min(end - now), revisions.changed()).await);
        }
    }

    fn look(&mut self, at: Instant) -> anyhow::Result<()> {
        let revision = self.stage.sandbox.revision();
        if self.revision != Some(revision) {
            self.picture = picture::take(&self.stage.sandbox, NAMESPACE);
            self.revision = Some(revision);
        }
        let sandbox = &self.stage.sandbox;
        let seen = self.observer.look(at, &self.picture, |pod, place| {
            picture::sees(sandbox, NAMESPACE, pod, place)
        });
        if self.timed {
            seen.iter().for_each(|seen| self.reactions.note(seen));
        }
        self.tell(at, &seen)
    }

    fn tell(&mut self, at: Instant, seen: &[Seen]) -> anyhow::Result<()> {
        if seen.is_empty() {
            return Ok(());
        }
        let is_write = |seen: &Seen| matches!(seen, Seen::Written { .. } | Seen::Removed { .. });
        let (change, other) = match self.start {
            Some(start) => (When::After(Duration::ZERO), When::After(at - start)),
            None => {
                if seen.iter().any(is_write) && self.last_line.elapsed() >= QUIET {
                    self.page.blank()?;
                }
                let clock = When::Clock(time_of_day(&self.stage.sandbox.now().to_string()));
                (clock.clone(), clock)
            }
        };
        let written = |seen: &Seen| match seen {
            Seen::Written { object, .. } => Some(object.clone()),
            _ => None,
        };
        let objects: Vec<Object> = seen.iter().filter_map(written).collect();
        let is_burst = objects.len() > BURST;
        if is_burst {
            self.page.burst(&change, &objects.iter().collect::<Vec<_>>())?;
        }
        for seen in seen {
            if !(is_burst && written(seen).is_some()) {
                let when = if is_write(seen) { &change } else { &other };
                self.page.seen(when, seen)?;
            }
        }
        self.last_line = Instant::now();
        Ok(())
    }

    fn since_start(&self, at: Instant) -> When {
        match self.start.map(|start| at - start) {
            Some(time) if time >= Duration::from_millis(1) => When::After(time),
            _ => When::Unsaid,
        }
    }

    /// The UIDs of the pods of each workload.
    fn pods(&self) -> BTreeMap<String, BTreeSet<String>> {
        let uids = |(name, workload): (&String, &picture::Workload)| {
            (name.clone(), workload.uids().into_iter().map(str::to_owned).collect())
        };
        self.picture.workloads.iter().map(uids).collect()
    }

    fn has_reached(&self, wanted: &Counts) -> bool {
        let counts = self.observer.counts();
        let enough = |have: &BTreeMap<String, usize>, want: &BTreeMap<String, usize>| {
            want.iter()
                .all(|(name, count)| have.get(name).is_some_and(|have| have >= count))
        };
        enough(&counts.rolls, &wanted.rolls) && enough(&counts.touches, &wanted.touches) && self.left().is_empty()
    }

    /// What is not as it should be in the end, whatever has been done for it.
    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for (name, workload) in self.picture.workloads.iter().filter(|(_, workload)| workload.opted_in) {
            if !workload.adopted {
                left.push(format!("{name} was not adopted"));
            }
            if self.observer.is_rolling(name) {
                left.push(format!("{name} has not come to the end of its roll"));
            }
            if self.observer.stale_since(name).is_some() {
                left.push(format!("{name} does not see the current content"));
            }
        }
        left
    }

    fn judge(&self, expect: &Expect, wanted: &Counts, pods: &BTreeMap<String, BTreeSet<String>>) -> Judgement {
        let have = self.observer.counts();
        let mut problems = self.left();
        problems.extend(differences("rolled", &have.rolls, &wanted.rolls));
        problems.extend(differences("touched", &have.touches, &wanted.touches));
        for (name, now) in self.pods() {
            let Some(old) = pods.get(&name) else { continue };
            if expect.rolls.contains_key(&*name) {
                if !old.is_disjoint(&now) {
                    problems.push(format!("{name} has kept some of its old pods"));
                }
            } else if old != &now {
                problems.push(format!("pods of {name} were replaced"));
            }
        }
        Judgement(problems)
    }

    fn conclude(&mut self, step: &Step, judgement: &Judgement) -> std::io::Result<()> {
        if !judgement.0.is_empty() {
            return self.page.verdict(false, &judgement.0.join("; "), "");
        }
        let names = |map: &BTreeMap<&str, usize>| map.keys().copied().collect::<Vec<_>>().join(", ");
        let text = match (step.expect.rolls.is_empty(), step.expect.touches.is_empty()) {
            (true, true) => "nothing touched, nothing restarted".to_owned(),
            (true, false) => format!("{} touched, nothing restarted", names(&step.expect.touches)),
            (false, true) => format!("{} rolled once, nothing else", names(&step.expect.rolls)),
            (false, false) => format!(
                "{} rolled, {} touched",
                names(&step.expect.rolls),
                names(&step.expect.touches)
            ),
        };
        self.page.verdict(true, &text, step.remark)
    }
}

impl Judgement {
    pub(super) fn is_good(&self) -> bool {
        self.0.is_empty()
    }
}

impl Reactions {
    fn note(&mut self, seen: &Seen) {
        match seen {
            Seen::Fresh {
                by: By::Touch,
                after: Some(after),
                ..
            } => self.files.push(*after),
            Seen::Fresh {
                by: By::Roll,
                after: Some(after),
                ..
            } => self.pods.push(*after),
            Seen::Rolled {
                by_afresh: true,
                after: Some(after),
                ..
            } => self.rolls.push(*after),
            _ => {}
        }
    }
}

/// The counts that a step has to end with.
fn after(before: &Counts, expect: &Expect) -> Counts {
    let mut wanted = before.clone();
    for (name, count) in &expect.rolls {
        *wanted.rolls.entry((*name).to_owned()).or_default() += count;
    }
    for (name, count) in &expect.touches {
        *wanted.touches.entry((*name).to_owned()).or_default() += count;
    }
    wanted
}

fn differences(what: &str, have: &BTreeMap<String, usize>, want: &BTreeMap<String, usize>) -> Vec<String> {
    let count = |map: &BTreeMap<String, usize>, name: &String| map.get(name).copied().unwrap_or(0);
    let names: BTreeSet<&String> = have.keys().chain(want.keys()).collect();
    let differ = names.into_iter().filter(|name| count(have, name) != count(want, name));
    differ
        .map(|name| {
            format!(
                "{name} was {what} {} times in all, expected {}",
                count(have, name),
                count(want, name)
            )
        })
        .collect()
}

/// The time of an RFC 3339 timestamp, in UTC as that is.
fn time_of_day(timestamp: &str) -> String {
    let time = timestamp.split('T').nth(1).unwrap_or_default();
    format!("{}Z", time.get(..8).unwrap_or_default())
}

/// What the controller asked of the API server.
fn requests(counts: &RequestCounts) -> String {
    let mut verbs: BTreeMap<&str, u64> = BTreeMap::new();
    for count in counts.snapshot() {
        *verbs.entry(count.verb).or_default() += count.sent;
    }
    let sum: u64 = verbs.values().sum();
    let verbs: Vec<String> = verbs.iter().map(|(verb, count)| format!("{verb} {count}")).collect();
    format!("{sum} requests by the controller ({})", verbs.join(", "))
}
