//! Label selectors as kubectl's `--selector` takes them, checked before the API server sees them.

use std::fmt;
use std::str::FromStr;

/// The longest name and the longest value of a label, and the longest prefix.
const MAX_LABEL: usize = 63;
const MAX_PREFIX: usize = 253;

/// A label selector that the API server accepts (`k8s.io/apimachinery/pkg/labels`, but for `<` and `>`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSelector(String);

/// A text that is no label selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// It is empty, or has an empty part: that would select everything.
    #[error(
        "there is no label in it: write LABEL=VALUE, LABEL!=VALUE, LABEL in (A,B), LABEL or !LABEL, parted by commas"
    )]
    Empty,
    /// What should be a label's key.
    #[error("{0:?} is no key of a label: write NAME or example.com/NAME")]
    Key(String),
    /// What should be a label's value.
    #[error("{0:?} is no value of a label: at most 63 letters, digits, '-', '_' and '.'")]
    Value(String),
    /// A set of values without its parentheses.
    #[error("{0:?} needs its values in parentheses: write LABEL in (A,B)")]
    Set(String),
}

impl LabelSelector {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LabelSelector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let text = text.trim();
        for requirement in requirements(text) {
            check(requirement.trim())?;
        }
        Ok(Self(text.to_owned()))
    }
}

/// Parts a text at its commas outside of parentheses.
fn requirements(text: &str) -> Vec<&str> {
    let mut is_inside = false;
    let parts = text.split(move |c| {
        match c {
            '(' => is_inside = true,
            ')' => is_inside = false,
            _ => {}
        }
        c == ',' && !is_inside
    });
    parts.collect()
}

fn check(requirement: &str) -> Result<(), SelectorError> {
    if requirement.is_empty() {
        return Err(SelectorError::Empty);
    }
    if let Some(label) = requirement.strip_prefix('!') {
        return key(label.trim());
    }
    if let Some((label, other)) = requirement.split_once('=') {
        let label = label.strip_suffix('!').unwrap_or(label);
        key(label.trim())?;
        return value(other.strip_prefix('=').unwrap_or(other).trim());
    }
    match requirement.split_once(char::is_whitespace) {
        None => key(requirement),
        Some((label, rest)) => {
            key(label)?;
            set(requirement, rest.trim_start())
        }
    }
}

/// `in (a,b)` or `notin (a,b)`.
fn set(requirement: &str, rest: &str) -> Result<(), SelectorError> {
    let unclear = || SelectorError::Set(requirement.to_owned());
    let values = rest.strip_prefix("notin").or_else(|| rest.strip_prefix("in"));
    let values = values.map(str::trim_start).and_then(|rest| rest.strip_prefix('('));
    let values = values.and_then(|rest| rest.strip_suffix(')')).ok_or_else(unclear)?;
    values.split(',').try_for_each(|one| value(one.trim()))
}

fn key(text: &str) -> Result<(), SelectorError> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let is_prefix = |prefix: &str| prefix.len() <= MAX_PREFIX && prefix.parse::<afresh_model::name::Name>().is_ok();
    if name.is_empty() || !is_word(name) || !prefix.is_none_or(is_prefix) {
        return Err(SelectorError::Key(text.to_owned()));
    }
    Ok(())
}

fn value(text: &str) -> Result<(), SelectorError> {
    // The empty value is one.
    if text.is_empty() || is_word(text) {
        Ok(())
    } else {
        Err(SelectorError::Value(text.to_owned()))
    }
}

fn is_word(text: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    bytes.len() <= MAX_LABEL && is_end(bytes.first()) && is_end(bytes.last()) && bytes.iter().all(is_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("app=web")]
    #[case("app==web,tier!=db")]
    #[case("app = web , !old")]
    #[case("app.kubernetes.io/name in (a, b),x notin (c)")]
    #[case("grafana_dashboard")]
    #[case("empty=")]
    #[case("a in (,b)")]
    fn what_kubectl_takes_is_taken(#[case] text: &str) {
        assert_eq!(text.parse::<LabelSelector>().unwrap().as_str(), text);
    }

    #[rstest]
    #[case("", "there is no label in it")]
    #[case("a=b,", "there is no label in it")]
    #[case("a=b,,c=d", "there is no label in it")]
    #[case("=b", "\"\" is no key of a label")]
    #[case("!", "\"\" is no key of a label")]
    #[case("-a=b", "\"-a\" is no key of a label")]
    #[case("Example.com/a=b", "\"Example.com/a\" is no key of a label")]
    #[case("a/b/c", "\"a/b/c\" is no key of a label")]
    #[case("a=b c", "\"b c\" is no value of a label")]
    #[case("a=&watch=1", "\"&watch=1\" is no value of a label")]
    #[case("a in b", "\"a in b\" needs its values in parentheses")]
    #[case("a within (b)", "\"a within (b)\" needs its values in parentheses")]
    #[case("a in (b", "\"a in (b\" needs its values in parentheses")]
    #[case("a in (b/c)", "\"b/c\" is no value of a label")]
    fn what_is_wrong_is_named(#[case] text: &str, #[case] message: &str) {
        let error = text.parse::<LabelSelector>().unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }

    #[test]
    fn lengths_are_those_of_labels() {
        let long = "a".repeat(63);
        assert!(format!("{long}={long}").parse::<LabelSelector>().is_ok());
        assert!(format!("{long}a=b").parse::<LabelSelector>().is_err());
        assert!(format!("a={long}a").parse::<LabelSelector>().is_err());
    }

    proptest! {
        /// Whatever is accepted stays what it is when it is read again, and has nothing in it that could end the value of
        /// a query's parameter.
        #[test]
        fn nothing_foreign_passes(text in "[a-z0-9=!,() ./&?#-]{0,24}") {
            if let Ok(selector) = text.parse::<LabelSelector>() {
                prop_assert!(!selector.as_str().contains(['&', '?', '#']));
                prop_assert_eq!(selector.as_str().parse::<LabelSelector>(), Ok(selector));
            }
        }
    }
}
