//! What may follow from a change.

use std::fmt;
use std::str::FromStr;

use crate::command_line::{CommandLine, CommandLineError};
use crate::http::{HttpRequest, HttpRequestError};
use crate::signal::{SignalError, SignalName};

/// One action of `--on-change`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send a signal to the process: `signal:HUP`.
    Signal(SignalName),
    /// Run a command: `exec:nginx -s reload`.
    Exec(CommandLine),
    /// Send a request: `http:POST http://127.0.0.1:9090/-/reload`.
    Http(HttpRequest),
    /// Start the program again, in place: `restart`.
    Restart,
}

impl Action {
    /// Its kind: `signal`, `exec`, `http` or `restart`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Signal(_) => "signal",
            Self::Exec(_) => "exec",
            Self::Http(_) => "http",
            Self::Restart => "restart",
        }
    }
}

/// A text that is no action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// An unknown kind.
    #[error("{0:?} is no action: write signal:HUP, exec:COMMAND, http:POST URL or restart")]
    Unknown(String),
    /// Not a signal.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// Not a command.
    #[error("exec: {0}")]
    Exec(#[from] CommandLineError),
    /// Not a request.
    #[error("http: {0}")]
    Http(#[from] HttpRequestError),
}

impl FromStr for Action {
    type Err = ActionError;

    fn from_str(text: &str) -> Result<Self, ActionError> {
        match text.split_once(':') {
            Some(("signal", name)) => Ok(Self::Signal(name.trim().parse()?)),
            Some(("exec", command)) => Ok(Self::Exec(command.parse()?)),
            Some(("http", request)) => Ok(Self::Http(request.parse()?)),
            None if text == "restart" => Ok(Self::Restart),
            _ => Err(ActionError::Unknown(text.to_owned())),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(signal) => write!(f, "signal:{signal}"),
            Self::Exec(command) => write!(f, "exec:{command}"),
            Self::Http(request) => write!(f, "http:{request}"),
            Self::Restart => f.write_str("restart"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("signal:HUP")]
    #[case("exec:nginx -s reload")]
    #[case("http:POST http://127.0.0.1:9090/-/reload")]
    #[case("restart")]
    fn an_action_is_read_and_written_the_same(#[case] text: &str) {
        assert_eq!(text.parse::<Action>().unwrap().to_string(), text);
    }

    #[rstest]
    #[case("reload", "\"reload\" is no action: write signal:HUP")]
    #[case("", "\"\" is no action: write signal:HUP")]
    #[case("restart:now", "\"restart:now\" is no action")]
    #[case("kill:HUP", "\"kill:HUP\" is no action")]
    #[case("signal:", "\"\" is no signal: write one of HUP")]
    #[case("exec:", "exec: the command is missing")]
    #[case("http:POST", "http: \"POST\" is no request: write POST http://HOST:PORT/PATH")]
    fn what_is_wrong_is_named(#[case] text: &str, #[case] message: &str) {
        let error = text.parse::<Action>().unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}
