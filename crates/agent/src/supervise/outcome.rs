//! How a program ended.

use std::fmt;
use std::io;

/// How a program ended, or why it never began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With this status.
    Exited(u8),
    /// By the signal of this number.
    Killed(i32),
    /// It could not be started; the status is a shell's: 127 where it was not found, else 126.
    NotStarted(u8),
}

impl Outcome {
    /// What stands for it as the supervisor's own exit status: 128 and more for signals, as in shells and containers.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Exited(code) | Self::NotStarted(code) => code,
            Self::Killed(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }

    pub(super) fn not_started(error: &io::Error) -> Self {
        Self::NotStarted(if error.kind() == io::ErrorKind::NotFound {
            127
        } else {
            126
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit status {code}"),
            Self::Killed(number) => write!(f, "signal {number}"),
            Self::NotStarted(_) => f.write_str("not started"),
        }
    }
}
