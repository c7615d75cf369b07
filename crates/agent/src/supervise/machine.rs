//! What the supervisor does next, as a pure function of what happened: no process, no clock.
//!
//! ```text
//!             ┌────────────── changed environment, restart ─────────────┐
//!             │                                                         ▼
//! Waiting ─▶ Running ──ended by itself──▶ over, or Waiting        Stopping ──ended──▶ start the newest
//!    ▲        ▲   └── renewed, and failed at once: start the last good ──┐    └─ grace over: kill
//!    └────────┴───────────────────────────────────────────────────────────┘
//! ```

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::outcome::Outcome;

/// When the program is started again though nothing changed: the words of a pod's `restartPolicy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Restart {
    /// Its end is the supervisor's end: whoever runs the container decides.
    #[default]
    Never,
    /// After an end with a status other than 0.
    OnFailure,
    /// After every end.
    Always,
}

/// What follows when the program, restarted with a new environment, fails at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BadStart {
    /// It is started with the last environment it lived with; the new one is tried again when it changes.
    #[default]
    LastGood,
    /// As if it had failed at any other time.
    End,
}

/// How the program is stopped and started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// What asks it to end.
    pub stop_signal: Signal,
    /// How long it may take to end before it and its group are killed.
    pub grace: Duration,
    /// Whether its end is the end.
    pub restart: Restart,
    /// How long a restarted program must live for its environment to count as good.
    pub trial: Duration,
    /// What follows when it does not.
    pub bad_start: BadStart,
}

/// Why the program is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// For the first time.
    First,
    /// Something changed.
    Renewed,
    /// What changed was bad.
    FellBack,
    /// It ended, and is to be started again.
    Again,
}

impl Why {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::First, Self::Renewed, Self::FellBack, Self::Again];

    /// As people see it: `first`, `changed`, `fell-back`, `ended`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Renewed => "changed",
            Self::FellBack => "fell-back",
            Self::Again => "ended",
        }
    }
}

/// How far a program is, as it is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    /// It waits for content to be started with.
    #[default]
    NotStarted,
    /// It is being started.
    Starting,
    /// It runs.
    Running,
    /// It was asked to end, and is to be started again.
    Stopping,
    /// It ended, and is started again after a pause.
    Waiting,
    /// It ended for good.
    Over,
}

impl Phase {
    /// As people see it: `not-started`, `starting`, `running`, `stopping`, `waiting`, `ended`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotStarted => "not-started",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Waiting => "waiting",
            Self::Over => "ended",
        }
    }
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step<E> {
    /// Start the program with this environment, then say [`Machine::started`] or [`Machine::not_started`].
    Start(E, Why),
    Send(Signal),
    /// Kill it with its whole group.
    Kill,
    /// It is over, with this exit status.
    Finish(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No process; the next one is started then.
    Waiting {
        until: Instant,
    },
    /// A [`Step::Start`] is being carried out.
    Starting(Why),
    Running {
        since: Instant,
        trial: bool,
    },
    Stopping {
        kill_at: Option<Instant>,
    },
    Over,
}

/// How often a start that fails for want of memory or processes is repeated.
const STARTS: u32 = 5;
const FIRST_START_DELAY: Duration = Duration::from_millis(100);
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LAST_DELAY: Duration = Duration::from_secs(60);

/// The state of one supervised program, whose environment is an `E`.
#[derive(Debug)]
pub(crate) struct Machine<E> {
    policy: Policy,
    state: State,
    newest: E,
    /// What the process runs with.
    running: E,
    /// What a process lived with.
    good: Option<E>,
    /// The newest was bad: until something changes, the last good one is used.
    fell_back: bool,
    /// Asked to end: nothing is started any more.
    ending: bool,
    /// Ends, or starts, that failed in a row.
    failures: u32,
}

impl<E: Clone + PartialEq> Machine<E> {
    /// A program that is to be started now, by the step that is returned.
    pub(crate) fn new(policy: Policy, environment: E) -> (Self, Step<E>) {
        let machine = Self {
            policy,
            state: State::Starting(Why::First),
            running: environment.clone(),
            newest: environment.clone(),
            good: None,
            fell_back: false,
            ending: false,
            failures: 0,
        };
        (machine, Step::Start(environment, Why::First))
    }

    pub(crate) fn started(&mut self, now: Instant) {
        if let State::Starting(why) = self.state {
            self.state = State::Running {
                since: now,
                trial: why == Why::Renewed,
            };
        }
    }

    /// The program could not be started.
    pub(crate) fn not_started(&mut self, now: Instant, outcome: Outcome) -> Option<Step<E>> {
        let State::Starting(why) = self.state else { return None };
        if why == Why::First || self.ending {
            return Some(self.finish(outcome.code()));
        }
        if let Some(step) = self.fall_back(why) {
            return Some(step);
        }
        self.failures += 1;
        if self.failures > STARTS {
            return Some(self.finish(outcome.code()));
        }
        self.wait(now, FIRST_START_DELAY);
        None
    }

    /// The process ended.
    pub(crate) fn ended(&mut self, now: Instant, outcome: Outcome) -> Option<Step<E>> {
        match self.state {
            State::Running { .. } | State::Stopping { .. } if self.ending => Some(self.finish(outcome.code())),
            State::Stopping { .. } => Some(self.start(Why::Renewed)),
            State::Running { since, trial } => self.ended_by_itself(now, since, trial, outcome),
            State::Waiting { .. } | State::Starting(_) | State::Over => None,
        }
    }

    fn ended_by_itself(&mut self, now: Instant, since: Instant, trial: bool, outcome: Outcome) -> Option<Step<E>> {
        let failed = outcome != Outcome::Exited(0);
        if trial
            && failed
            && now < since + self.policy.trial
            && let Some(step) = self.fall_back(Why::Renewed)
        {
            return Some(step);
        }
        let again = match self.policy.restart {
            Restart::Never => false,
            Restart::OnFailure => failed,
            Restart::Always => true,
        };
        if !again {
            return Some(self.finish(outcome.code()));
        }
        let lived = now.saturating_duration_since(since);
        self.failures = if lived >= LAST_DELAY { 1 } else { self.failures + 1 };
        self.wait(now, FIRST_DELAY);
        None
    }

    /// A signal that the supervisor itself got.
    pub(crate) fn signal(&mut self, signal: Signal) -> Option<Step<E>> {
        self.ending |= [Signal::TERM, Signal::INT, Signal::QUIT].contains(&signal);
        match self.state {
            State::Running { .. } => Some(Step::Send(signal)),
            State::Stopping { kill_at } => {
                if self.ending {
                    // Whoever asked has a patience of its own.
                    self.state = State::Stopping { kill_at: None };
                }
                // Many programs take a second one for an order to end in disorder.
                let told = signal == self.policy.stop_signal && kill_at.is_some();
                (!told).then_some(Step::Send(signal))
            }
            State::Waiting { .. } if self.ending => Some(self.finish(Outcome::Killed(signal.as_raw()).code())),
            State::Waiting { .. } | State::Starting(_) | State::Over => None,
        }
    }

    /// Another environment; the program is restarted if it does not run with it already.
    pub(crate) fn environment(&mut self, now: Instant, environment: E) -> Option<Step<E>> {
        if environment == self.newest {
            return None;
        }
        self.newest = environment;
        let current = self.newest == self.running && matches!(self.state, State::Running { .. });
        if current {
            self.fell_back = false;
            return None;
        }
        self.renew(now)
    }

    /// Restarts the program with the newest environment.
    pub(crate) fn renew(&mut self, now: Instant) -> Option<Step<E>> {
        if self.ending {
            return None;
        }
        self.fell_back = false;
        match self.state {
            State::Running { .. } => {
                self.good = Some(self.running.clone());
                self.failures = 0;
                let kill_at = Some(now + self.policy.grace);
                self.state = State::Stopping { kill_at };
                Some(Step::Send(self.policy.stop_signal))
            }
            State::Waiting { .. } => Some(self.start(Why::Renewed)),
            State::Stopping { .. } | State::Starting(_) | State::Over => None,
        }
    }

    /// How far the program is.
    pub(crate) fn phase(&self) -> Phase {
        match self.state {
            State::Waiting { .. } => Phase::Waiting,
            State::Starting(_) => Phase::Starting,
            State::Running { .. } => Phase::Running,
            State::Stopping { .. } => Phase::Stopping,
            State::Over => Phase::Over,
        }
    }

    /// When [`Machine::tick`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Running { since, trial: true } => Some(since + self.policy.trial),
            State::Stopping { kill_at } => kill_at,
            State::Running { .. } | State::Starting(_) | State::Over => None,
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Step<E>> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        match self.state {
            State::Waiting { .. } => Some(self.start(Why::Again)),
            State::Running { since, .. } => {
                self.good = Some(self.running.clone());
                self.state = State::Running { since, trial: false };
                None
            }
            State::Stopping { .. } => {
                self.state = State::Stopping { kill_at: None };
                Some(Step::Kill)
            }
            State::Starting(_) | State::Over => None,
        }
    }

    /// Whether the program is being stopped only to be started again.
    pub(crate) fn is_renewing(&self) -> bool {
        matches!(self.state, State::Stopping { .. }) && !self.ending
    }

    /// Whether nothing is started any more.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending || self.state == State::Over
    }

    /// Whether the newest environment was given up for the last good one.
    pub(crate) fn fell_back(&self) -> bool {
        self.fell_back
    }

    fn start(&mut self, why: Why) -> Step<E> {
        let good = self.good.as_ref().filter(|_| self.fell_back);
        self.running = good.unwrap_or(&self.newest).clone();
        self.state = State::Starting(why);
        Step::Start(self.running.clone(), why)
    }

    /// The last good environment, if that is another one than what just failed.
    fn fall_back(&mut self, why: Why) -> Option<Step<E>> {
        let other = self.good.as_ref().is_some_and(|good| *good != self.running);
        if why != Why::Renewed || self.policy.bad_start == BadStart::End || !other {
            return None;
        }
        self.fell_back = true;
        Some(self.start(Why::FellBack))
    }

    fn wait(&mut self, now: Instant, first: Duration) {
        let factor = 1 << self.failures.saturating_sub(1).min(10);
        let until = now + (first * factor).min(LAST_DELAY);
        self.state = State::Waiting { until };
    }

    fn finish(&mut self, code: u8) -> Step<E> {
        self.state = State::Over;
        Step::Finish(code)
    }
}

#[cfg(test)]
mod tests;
