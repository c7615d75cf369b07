//! The supervisor: starts a program and is a proper init to it, and restarts it in place when its environment changed.
//!
//! - Every signal goes to the program, the terminal and standard input are its own, orphans are reaped, and its exit
//!   status is the supervisor's.
//! - A restart asks the program to end, waits, kills what is left, and starts it anew: the pod, its address and its
//!   volumes stay, and the kubelet counts nothing.
//! - What is decided is in `machine`, which is pure; what is done is here.

mod handle;
mod machine;
mod outcome;
mod process;
mod reap;
mod signals;
mod terminal;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

pub use handle::{ChildEnd, ChildError, ChildHandle, ChildStatus};
pub use machine::{BadStart, Phase, Policy, Restart, Why};
pub use outcome::Outcome;
pub use process::Program;

use crate::children;
use crate::environment::Environment;
use handle::{Answer, Request};
use machine::{Machine, Step};
use process::{News, Process};
use reap::Reaper;
pub(crate) use reap::orphans;
use signals::{Got, Signals};
use terminal::Terminal;

/// Why nothing could be supervised.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// Signals cannot be caught, so that none could be passed on.
    #[error("cannot catch signals: {source}")]
    Signals {
        /// What the system said.
        source: io::Error,
    },
}

/// Starts `program` with `environment` on top of the inherited one, and stays until it has ended for good. Returns the
/// exit status that the supervisor should end with.
///
/// To be awaited on the thread that started the runtime, once per process: signals, children and the terminal are the
/// whole process's.
///
/// # Errors
/// [`SuperviseError`]. A program that cannot be started is no error but status 127 or 126.
pub async fn supervise(
    program: Program,
    environment: Arc<Environment>,
    policy: Policy,
    end: ChildEnd,
) -> Result<u8, SuperviseError> {
    let signals = Signals::catch().map_err(|source| SuperviseError::Signals { source })?;
    let grace = policy.grace;
    let (machine, first) = Machine::new(policy, environment);
    let supervisor = Supervisor {
        program,
        machine,
        grace,
        signals,
        reaper: Reaper::new(),
        terminal: Terminal::find(),
        process: None,
        answers: Vec::new(),
        end,
    };
    Ok(supervisor.run(first).await)
}

struct Supervisor {
    program: Program,
    machine: Machine<Arc<Environment>>,
    /// How long a program may take to end.
    grace: Duration,
    signals: Signals,
    reaper: Reaper,
    terminal: Option<Terminal>,
    process: Option<Process>,
    /// Who waits for the next start.
    answers: Vec<Answer>,
    end: ChildEnd,
}

impl Supervisor {
    async fn run(mut self, first: Step<Arc<Environment>>) -> u8 {
        let mut step = Some(first);
        loop {
            while let Some(now) = step.take() {
                match now {
                    Step::Finish(code) => return self.finish(code),
                    Step::Start(environment, why) => step = self.start(&environment, why).await,
                    Step::Send(signal) => drop(self.send(signal)),
                    Step::Kill => self.kill(),
                }
            }
            self.show();
            step = self.next().await;
        }
    }

    /// Lets others see how far the program is.
    fn show(&self) {
        let (phase, fell_back) = (self.machine.phase(), self.machine.fell_back());
        self.end.status.send_if_modified(|status| {
            let is_new = (status.phase, status.fell_back) != (phase, fell_back);
            (status.phase, status.fell_back) = (phase, fell_back);
            is_new
        });
    }

    /// Waits until something happens, and says what follows.
    async fn next(&mut self) -> Option<Step<Arc<Environment>>> {
        let deadline = self.machine.deadline();
        tokio::select! {
            biased;
            got = self.signals.next() => match got {
                Got::Signal(signal) => self.signalled(signal),
                Got::Child => self.look(),
            },
            Some(request) = self.end.requests.recv() => self.asked(request),
            () = until(deadline) => self.machine.tick(Instant::now()),
        }
    }

    async fn start(&mut self, environment: &Environment, why: Why) -> Option<Step<Arc<Environment>>> {
        if why != Why::First {
            self.reaper.clear().await;
        }
        let now = Instant::now();
        match Process::start(&self.program, environment.variables()) {
            Ok(process) => {
                self.machine.started(now);
                if let Some(terminal) = &mut self.terminal {
                    terminal.give(process.pid());
                    // It may have asked for the terminal before it had it.
                    process.resume_group();
                }
                self.started(process, why);
                // What came while it was started is not told again.
                self.look()
            }
            Err(error) => {
                let outcome = Outcome::not_started(&error);
                let program = self.program.name.display().to_string();
                tracing::error!(
                    program,
                    error = children::why_not(&error),
                    "the program cannot be started"
                );
                self.tell(|status| status.last = Some(outcome));
                let reason = error.to_string();
                self.answer(&Err(ChildError::NotStarted { reason }));
                self.machine.not_started(now, outcome)
            }
        }
    }

    fn started(&mut self, process: Process, why: Why) {
        let pid = process.pid().as_raw_nonzero().get();
        match why {
            Why::First => tracing::info!(pid, "the program is started"),
            Why::Renewed => tracing::info!(pid, "the program is restarted in place"),
            Why::FellBack => tracing::error!(
                pid,
                "the program failed with its new environment and is started with the last good one until that changes"
            ),
            Why::Again => tracing::info!(pid, "the program is started again"),
        }
        self.tell(|status| {
            status.pid = Some(pid);
            status.started(why);
        });
        self.process = Some(process);
        self.answer(&Ok(()));
    }

    fn signalled(&mut self, signal: Signal) -> Option<Step<Arc<Environment>>> {
        if signal == Signal::CONT
            && let (Some(terminal), Some(process)) = (&mut self.terminal, &self.process)
        {
            terminal.give(process.pid());
            process.resume_group();
        }
        let step = self.machine.signal(signal);
        if matches!(step, Some(Step::Finish(_))) {
            tracing::info!("ending, as asked, while the program was not running");
        }
        step
    }

    /// Looks at the children: ours first, because its end may decide about the others.
    fn look(&mut self) -> Option<Step<Arc<Environment>>> {
        let step = match self.process.as_ref().and_then(Process::news) {
            Some(News::Ended(outcome)) => self.ended(outcome),
            Some(News::Stopped(signal)) => {
                self.stopped(signal);
                None
            }
            None => None,
        };
        self.reaper.reap();
        step
    }

    fn ended(&mut self, outcome: Outcome) -> Option<Step<Arc<Environment>>> {
        let process = self.process.take()?;
        let now = Instant::now();
        let step = self.machine.ended(now, outcome);
        if !matches!(step, Some(Step::Finish(_))) {
            // Before it is reaped, while the group is still its own.
            process.kill_group();
        }
        process.reap();
        self.tell(|status| {
            status.pid = None;
            status.last = Some(outcome);
        });
        match self.machine.deadline().filter(|_| step.is_none()) {
            Some(then) => {
                let again_in = then.saturating_duration_since(now);
                tracing::warn!(how = %outcome, ?again_in, "the program has ended and is started again after a pause");
            }
            None => tracing::info!(how = %outcome, "the program has ended"),
        }
        step
    }

    /// Where the program was stopped from the terminal, the shell that waits for us has to see us stopped.
    fn stopped(&mut self, signal: i32) {
        let (Some(terminal), Some(process)) = (&mut self.terminal, &self.process) else {
            return;
        };
        if [Signal::TTIN, Signal::TTOU]
            .iter()
            .any(|other| other.as_raw() == signal)
        {
            terminal.give(process.pid());
            process.resume_group();
        } else {
            terminal.stop();
        }
    }

    fn asked(&mut self, request: Request) -> Option<Step<Arc<Environment>>> {
        let now = Instant::now();
        match request {
            Request::Signal(signal, answer) => {
                let sent = self.send(signal);
                // Whoever asked may be gone.
                let _ = answer.send(sent);
                None
            }
            Request::Restart(answer) => {
                self.answers.push(answer);
                let step = self.machine.renew(now);
                self.answer_if_idle(step.as_ref());
                step
            }
            Request::Environment(environment, answer) => {
                self.answers.push(answer);
                let step = self.machine.environment(now, environment);
                self.answer_if_idle(step.as_ref());
                step
            }
        }
    }

    /// Where nothing is going to be started, nobody has to wait for it.
    fn answer_if_idle(&mut self, step: Option<&Step<Arc<Environment>>>) {
        if step.is_none() && !self.machine.is_renewing() {
            let answer = if self.machine.is_ending() {
                Err(ChildError::Ending)
            } else {
                Ok(())
            };
            self.answer(&answer);
        }
    }

    fn send(&self, signal: Signal) -> Result<(), ChildError> {
        let process = self.process.as_ref().ok_or(ChildError::NotRunning)?;
        let sent = process.send(signal);
        sent.map_err(|error| {
            let signal = signal.as_raw();
            let reason = error.to_string();
            tracing::warn!(signal, reason, "a signal could not be sent to the program");
            ChildError::Send { signal, reason }
        })
    }

    fn kill(&mut self) {
        tracing::warn!(grace = ?self.grace, "the program has not ended in time and is killed");
        if let Some(process) = &self.process {
            process.kill_group();
        }
    }

    fn answer(&mut self, answer: &Result<(), ChildError>) {
        for waiting in self.answers.drain(..) {
            let _ = waiting.send(answer.clone());
        }
    }

    fn tell(&self, change: impl FnOnce(&mut ChildStatus)) {
        self.end.status.send_modify(change);
    }

    fn finish(&mut self, code: u8) -> u8 {
        self.answer(&Err(ChildError::Ending));
        code
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
