//! An error on its way from a value to the top.

use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};

use crate::tree::At;

/// What is wrong, without the value that is wrong: serde's own messages would quote it.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(super) message: String,
    pub(super) place: Option<At>,
    /// The keys that lead here, the innermost first.
    pub(super) path: Vec<String>,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            place: None,
            path: Vec::new(),
        }
    }

    /// The place of the innermost value is the one that is kept.
    pub(super) fn at(mut self, at: At) -> Self {
        self.place.get_or_insert(at);
        self
    }

    pub(super) fn below(mut self, key: &str) -> Self {
        self.path.push(key.to_owned());
        self
    }

    pub(super) fn expected(expected: &dyn Expected, found: &str) -> Self {
        Self::new(format!("expected {expected}, found {found}"))
    }

    pub(super) fn one_of(names: &[&str]) -> Self {
        Self::new(match names {
            [] => "there is nothing to choose from".to_owned(),
            _ => format!("expected one of {}", quoted(names)),
        })
    }
}

fn quoted(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// The kind of a value in words.
fn word(unexpected: &Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) => "text",
        Unexpected::Bytes(_) => "bytes",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a map",
        _ => "something else",
    }
}

impl de::Error for Fault {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(expected, word(&unexpected))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match unexpected {
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer out of range",
            Unexpected::Str(_) | Unexpected::Char(_) => "other text",
            other => word(&other),
        };
        Self::expected(expected, found)
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::one_of(expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(match expected {
            [] => format!("unknown key `{field}`; there are none"),
            _ => format!("unknown key `{field}`, expected one of {}", quoted(expected)),
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("missing key `{field}`"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("key `{field}` is there twice"))
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}
