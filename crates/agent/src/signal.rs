//! Signals by the names that people write.

use rustix::process::Signal;

/// Every signal that can be sent here, by its name without `SIG`.
const NAMES: &[(&str, Signal)] = &[
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("ABRT", Signal::ABORT),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("PIPE", Signal::PIPE),
    ("ALRM", Signal::ALARM),
    ("TERM", Signal::TERM),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("TSTP", Signal::TSTP),
    ("TTIN", Signal::TTIN),
    ("TTOU", Signal::TTOU),
    ("URG", Signal::URG),
    ("XCPU", Signal::XCPU),
    ("XFSZ", Signal::XFSZ),
    ("VTALRM", Signal::VTALARM),
    ("PROF", Signal::PROF),
    ("WINCH", Signal::WINCH),
    ("IO", Signal::IO),
];

/// A text that names no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no signal: write a name such as HUP, USR1 or SIGTERM")]
pub struct SignalError(String);

/// Reads `HUP`, `SIGHUP`, `hup` or the number.
///
/// # Errors
/// [`SignalError`] for anything else, real-time signals among it.
pub fn parse(text: &str) -> Result<Signal, SignalError> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number: Option<i32> = text.parse().ok();
    let matching = |entry: &&(&str, Signal)| entry.0 == name || Some(entry.1.as_raw()) == number;
    let found = NAMES.iter().find(matching);
    found
        .map(|(_, signal)| *signal)
        .ok_or_else(|| SignalError(text.to_owned()))
}

/// The name without `SIG`, or the number of one without a name.
#[must_use]
pub fn name(number: i32) -> String {
    let found = NAMES.iter().find(|(_, signal)| signal.as_raw() == number);
    found.map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_read_from_every_way_people_write_it() {
        for text in ["HUP", "SIGHUP", "sighup", "hup", "1"] {
            assert_eq!(parse(text), Ok(Signal::HUP), "{text}");
        }
        for (name, signal) in NAMES {
            assert_eq!(parse(name), Ok(*signal));
            assert_eq!(super::name(signal.as_raw()), *name);
        }
    }

    #[test]
    fn what_is_no_signal_is_named_with_the_way_out() {
        for text in ["", "HUPP", "SIG", "0", "-1", "64", "999999999999"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} is no signal")), "{error}");
        }
        assert_eq!(super::name(64), "64");
    }
}
