//! The names of signals.

use std::fmt;
use std::str::FromStr;

use rustix::process::Signal;

/// Those that mean something to a program; in the order of their usual numbers.
const NAMES: &[(&str, Signal)] = &[
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("ABRT", Signal::ABORT),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("ALRM", Signal::ALARM),
    ("TERM", Signal::TERM),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("WINCH", Signal::WINCH),
    ("IO", Signal::IO),
];

/// A signal that has a name everywhere, such as `HUP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalName(Signal);

impl SignalName {
    /// `SIGTERM`.
    pub const TERM: Self = Self(Signal::TERM);

    /// The signal itself.
    #[must_use]
    pub fn signal(self) -> Signal {
        self.0
    }
}

/// A word that names no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no signal: write one of {list}", list = list())]
pub struct SignalError(String);

fn list() -> String {
    NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// `HUP`, `SIGHUP` or `hup`. Numbers differ between machines, so they are refused.
impl FromStr for SignalName {
    type Err = SignalError;

    fn from_str(text: &str) -> Result<Self, SignalError> {
        let upper = text.to_ascii_uppercase();
        let short = upper.strip_prefix("SIG").unwrap_or(&upper);
        let found = NAMES.iter().find(|(name, _)| *name == short);
        found
            .map(|(_, signal)| Self(*signal))
            .ok_or_else(|| SignalError(text.to_owned()))
    }
}

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, signal)| *signal == self.0);
        f.write_str(name.map_or("?", |(name, _)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_written_as_people_write_it() {
        for text in ["HUP", "SIGHUP", "hup", "sighup"] {
            assert_eq!(text.parse::<SignalName>().unwrap().to_string(), "HUP", "{text}");
        }
        for (name, _) in NAMES {
            assert_eq!(name.parse::<SignalName>().unwrap().to_string(), *name);
        }
    }

    #[test]
    fn what_is_no_signal_is_named_with_what_would_be_one() {
        for text in ["", "SIG", "1", "HUPP", "RTMIN"] {
            let message = text.parse::<SignalName>().unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("{text:?} is no signal: write one of HUP, INT")),
                "{message}"
            );
        }
    }
}
