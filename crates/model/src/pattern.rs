//! `configmap/NAME` with `*` and `?`, as in `afresh.dev/include` and `afresh.dev/exclude`.

use std::fmt;

use thiserror::Error;

use crate::name::{ConfigKind, ConfigRef, Name};
pub use name_regex::{NameRegex, RegexError};

mod name_regex;

/// One entry of an include or exclude list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// Exactly this object.
    Exact(ConfigRef),
    /// Every object of the kind whose name matches.
    Glob {
        /// ConfigMap or Secret.
        kind: ConfigKind,
        /// `*` stands for any run of characters, `?` for one.
        glob: Box<str>,
    },
    /// Every object of the kind whose whole name matches, as in Reloader's lists.
    Regex {
        /// ConfigMap or Secret.
        kind: ConfigKind,
        /// Matches whole names.
        regex: NameRegex,
    },
}

/// A text that is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// No slash.
    #[error("{0:?} has no kind: write configmap/NAME or secret/NAME; * and ? may stand in NAME")]
    NoKind(String),
    /// Something other than a ConfigMap or a Secret before the slash.
    #[error("{0:?} is not a kind of config object: write configmap/NAME or secret/NAME")]
    UnknownKind(String),
    /// A name that no object can have.
    #[error("{0:?} can match no object: a name has a-z, 0-9, '-' and '.', at most 253 of them; * and ? are allowed")]
    NoName(String),
}

impl Pattern {
    /// Parses one entry.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (word, glob) = text
            .split_once('/')
            .ok_or_else(|| PatternError::NoKind(text.to_owned()))?;
        let kind = ConfigKind::from_word(word).ok_or_else(|| PatternError::UnknownKind(word.to_owned()))?;
        if !glob.contains(['*', '?']) {
            let name: Name = glob.parse().map_err(|_| PatternError::NoName(text.to_owned()))?;
            return Ok(Self::Exact(ConfigRef { kind, name }));
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.*?".contains(c);
        if glob.len() > crate::name::MAX_NAME || !glob.chars().all(allowed) {
            return Err(PatternError::NoName(text.to_owned()));
        }
        Ok(Self::Glob {
            kind,
            glob: glob.into(),
        })
    }

    /// Parses one item of a list of Reloader's, which is a regular expression for names of `kind`. What can be a name
    /// is one: a dot in it is a dot (Reloader takes it for any character).
    ///
    /// # Errors
    /// See [`RegexError`].
    pub fn regex(kind: ConfigKind, item: &str) -> Result<Self, RegexError> {
        match item.parse() {
            Ok(name) => Ok(Self::Exact(ConfigRef { kind, name })),
            Err(_) => NameRegex::parse(item).map(|regex| Self::Regex { kind, regex }),
        }
    }

    /// The kind of the objects that it means.
    #[must_use]
    pub const fn kind(&self) -> ConfigKind {
        match self {
            Self::Exact(object) => object.kind,
            Self::Glob { kind, .. } | Self::Regex { kind, .. } => *kind,
        }
    }

    /// Whether it names one object, whether there is one of that name or not.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }

    /// Whether the pattern means this object.
    #[must_use]
    pub fn matches(&self, kind: ConfigKind, name: &Name) -> bool {
        match self {
            Self::Exact(object) => object.kind == kind && object.name == *name,
            Self::Regex { kind: own, regex } => *own == kind && regex.is_match(name),
            Self::Glob { kind: own, glob } => *own == kind && glob_matches(glob.as_bytes(), name.as_str().as_bytes()),
        }
    }
}

/// Whether an object is one of `include` and none of `exclude`.
pub(crate) fn includes(include: &[Pattern], exclude: &[Pattern], kind: ConfigKind, name: &Name) -> bool {
    let matches = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(kind, name));
    matches(include) && !matches(exclude)
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(object) => object.fmt(f),
            Self::Glob { kind, glob } => write!(f, "{}/{glob}", kind.word()),
            Self::Regex { kind, regex } => write!(f, "{}/{}", kind.word(), regex.as_str()),
        }
    }
}

/// Greedy with one point to go back to: linear in practice, never exponential.
fn glob_matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut g, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some(b'*') => {
                retry = Some((g, t));
                g += 1;
            }
            Some(&byte) if byte == b'?' || Some(&byte) == text.get(t) => {
                g += 1;
                t += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    g = star + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    glob.iter().skip(g).all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("configmap/web", "web", true)]
    #[case("configmap/web", "web2", false)]
    #[case("configmap/*", "anything", true)]
    #[case("configmap/app*", "app", true)]
    #[case("configmap/app-*", "xapp-1", false)]
    #[case("configmap/a?c", "abc", true)]
    #[case("configmap/a?c", "ac", false)]
    #[case("configmap/*-*-z", "a-b-c-z", true)]
    #[case("configmap/a*b*c", "aXXbYYbc", true)]
    #[case("configmap/a.b", "axb", false)]
    fn globs_mean_what_a_shell_means(#[case] pattern: &str, #[case] name: &str, #[case] expected: bool) {
        let pattern = Pattern::parse(pattern).unwrap();
        assert_eq!(
            pattern.matches(ConfigKind::ConfigMap, &name.to_lowercase().parse().unwrap()),
            expected
        );
        assert!(!pattern.matches(ConfigKind::Secret, &name.to_lowercase().parse().unwrap()));
    }

    #[rstest]
    #[case("web")]
    #[case("pod/web")]
    #[case("configmap/")]
    #[case("configmap/Web")]
    #[case("configmap/a*B")]
    #[case("secret/[a-z]*")]
    fn what_matches_nothing_is_refused(#[case] text: &str) {
        assert!(Pattern::parse(text).is_err());
    }

    proptest! {
        #[test]
        fn no_pattern_panics(text in "\\PC*") {
            let _ = Pattern::parse(&text);
        }

        #[test]
        fn a_glob_agrees_with_the_naive_definition(glob in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            fn naive(glob: &[u8], text: &[u8]) -> bool {
                match (glob.split_first(), text.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), _) => naive(rest, text) || (!text.is_empty() && naive(glob, &text[1..])),
                    (Some((g, glob)), Some((t, text))) => (*g == b'?' || g == t) && naive(glob, text),
                    _ => false,
                }
            }
            prop_assert_eq!(glob_matches(glob.as_bytes(), text.as_bytes()), naive(glob.as_bytes(), text.as_bytes()));
        }
    }
}
