//! Validated names and the keys made of them.

mod kind;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

pub use kind::{CustomKind, CustomKindError, WorkloadKind};

/// Longest name the API server accepts: a DNS subdomain (RFC 1123).
pub const MAX_NAME: usize = 253;

/// A string that is not a Kubernetes name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name is empty")]
    Empty,
    /// More than [`MAX_NAME`] characters.
    #[error("the name is {0} characters long; Kubernetes allows {MAX_NAME}")]
    TooLong(usize),
    /// A character, or its place, that a DNS subdomain does not have.
    #[error(
        "{name:?} is not a Kubernetes name: use a-z, 0-9, '-' and '.', beginning and ending with a letter or digit"
    )]
    NotDns {
        /// The value that was given.
        name: String,
    },
}

/// The name of an object: a DNS subdomain of at most 253 characters. A clone shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// The name that sorts before every other one: where a range of names begins.
    #[must_use]
    pub fn first() -> Self {
        Self("0".into())
    }

    /// A text that was a name before.
    pub(crate) fn of_accepted(text: &str) -> Self {
        Self(text.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is a clone of this name.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
            return Err(NameError::Empty);
        };
        if bytes.len() > MAX_NAME {
            return Err(NameError::TooLong(bytes.len()));
        }
        let inside = bytes
            .iter()
            .all(|&byte| alphanumeric(byte) || byte == b'-' || byte == b'.');
        if inside && alphanumeric(first) && alphanumeric(last) {
            Ok(Self(text.into()))
        } else {
            Err(NameError::NotDns { name: text.to_owned() })
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The kinds of config object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConfigKind {
    /// core/v1 ConfigMap.
    ConfigMap,
    /// core/v1 Secret; its digests are keyed.
    Secret,
    /// A SecretProviderClass of the secrets-store CSI driver: what its volumes were last given.
    SecretProviderClass,
}

impl ConfigKind {
    /// All kinds, in the order they sort.
    pub const ALL: [Self; 3] = [Self::ConfigMap, Self::Secret, Self::SecretProviderClass];

    /// As users write it in annotations: `configmap`, `secret`, `secretproviderclass`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
            Self::SecretProviderClass => "secretproviderclass",
        }
    }

    /// The API kind: `ConfigMap`, `Secret`, `SecretProviderClass`.
    #[must_use]
    pub const fn api_kind(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::SecretProviderClass => "SecretProviderClass",
        }
    }

    /// The kind a user means: `configmap`, `configmaps`, `cm`, `secret`, `secrets`, `secretproviderclass`,
    /// `spc`, in any case.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "configmap" | "configmaps" | "cm" => Some(Self::ConfigMap),
            "secret" | "secrets" => Some(Self::Secret),
            "secretproviderclass" | "secretproviderclasses" | "spc" => Some(Self::SecretProviderClass),
            _ => None,
        }
    }
}

/// A config object within the namespace of who refers to it; written `configmap/web`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigRef {
    /// Its kind.
    pub kind: ConfigKind,
    /// Its name.
    pub name: Name,
}

impl fmt::Display for ConfigRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.word(), self.name)
    }
}

impl FromStr for ConfigRef {
    type Err = ConfigRefError;

    fn from_str(text: &str) -> Result<Self, ConfigRefError> {
        let (kind, name) = text
            .split_once('/')
            .ok_or_else(|| ConfigRefError::NoKind(text.to_owned()))?;
        let kind = ConfigKind::from_word(kind).ok_or_else(|| ConfigRefError::UnknownKind(kind.to_owned()))?;
        Ok(Self {
            kind,
            name: name.parse()?,
        })
    }
}

/// A text that does not name a config object.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigRefError {
    /// No slash.
    #[error("{0:?} has no kind: write configmap/NAME or secret/NAME")]
    NoKind(String),
    /// Something other than a ConfigMap or a Secret.
    #[error("{0:?} is not a kind of config object: write configmap/NAME or secret/NAME")]
    UnknownKind(String),
    /// The part after the slash.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// A config object anywhere in the cluster. Sorts by kind, namespace, name, so that a namespace is one range.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigKey {
    /// Its kind.
    pub kind: ConfigKind,
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
}

impl fmt::Display for ConfigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind.word(), self.namespace, self.name)
    }
}

/// A workload anywhere in the cluster; written `deployment/prod/web`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadKey {
    /// What it is.
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
}

impl fmt::Display for WorkloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind.word(), self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("web")]
    #[case("a")]
    #[case("kube-root-ca.crt")]
    #[case("0-9")]
    fn a_dns_subdomain_is_a_name(#[case] text: &str) {
        assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
    }

    #[rstest]
    #[case("")]
    #[case("-a")]
    #[case("a-")]
    #[case(".a")]
    #[case("Web")]
    #[case("a_b")]
    #[case("a/b")]
    #[case("ä")]
    fn anything_else_is_refused(#[case] text: &str) {
        assert!(text.parse::<Name>().is_err());
    }

    #[test]
    fn a_name_may_be_253_characters_and_not_one_more() {
        assert!("a".repeat(253).parse::<Name>().is_ok());
        assert_eq!("a".repeat(254).parse::<Name>(), Err(NameError::TooLong(254)));
    }

    #[test]
    fn a_config_reference_reads_and_writes_the_same() {
        let reference: ConfigRef = "cm/web".parse().unwrap();
        assert_eq!(reference.to_string(), "configmap/web");
        assert_eq!("configmap/web".parse::<ConfigRef>().unwrap(), reference);
    }

    #[test]
    fn a_config_reference_that_is_wrong_says_what_to_write() {
        let message = |text: &str| text.parse::<ConfigRef>().unwrap_err().to_string();
        assert_eq!(
            message("web"),
            "\"web\" has no kind: write configmap/NAME or secret/NAME"
        );
        assert_eq!(
            message("pod/web"),
            "\"pod\" is not a kind of config object: write configmap/NAME or secret/NAME"
        );
    }
}
