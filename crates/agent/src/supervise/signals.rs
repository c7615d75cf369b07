//! The signals that the supervisor gets and passes on.

use std::fs;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// All that can be caught and passed on, except those that are about the supervisor itself: its children, its own
/// faults, its writing to a closed pipe or to a terminal from the background.
const FORWARDED: [Signal; 15] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::TERM,
    Signal::CONT,
    Signal::TSTP,
    Signal::URG,
    Signal::VTALARM,
    Signal::PROF,
    Signal::WINCH,
    Signal::IO,
    Signal::POWER,
];

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Got {
    /// To be passed on.
    Signal(Signal),
    /// Something is new with a child.
    Child,
}

/// All of them. Signals of one kind that come at once count as one, as everywhere.
#[derive(Debug)]
pub(super) struct Signals {
    forwarded: Vec<(Signal, tokio::signal::unix::Signal)>,
    child: tokio::signal::unix::Signal,
}

impl Signals {
    /// Begins to catch them. What was ignored from the start, as by `nohup`, stays ignored here and in the program.
    pub(super) fn catch() -> io::Result<Self> {
        let ignored = ignored();
        let caught = FORWARDED
            .into_iter()
            .filter(|number| ignored & bit(*number) == 0)
            .map(|number| Ok((number, signal(SignalKind::from_raw(number.as_raw()))?)));
        Ok(Self {
            forwarded: caught.collect::<io::Result<_>>()?,
            child: signal(SignalKind::child())?,
        })
    }

    /// The next one. Cancelling loses none.
    pub(super) async fn next(&mut self) -> Got {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Got> {
        for (number, stream) in &mut self.forwarded {
            if Pin::new(stream).poll_recv(context).is_ready() {
                return Poll::Ready(Got::Signal(*number));
            }
        }
        self.child.poll_recv(context).map(|_| Got::Child)
    }
}

fn bit(number: Signal) -> u64 {
    1 << (number.as_raw() - 1)
}

/// `SigIgn` of `/proc/self/status`: a bit per signal.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
