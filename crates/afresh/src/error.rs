//! What is wrong with a configuration, and where.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use afresh_volume::{ReadError, WatchError};

use crate::Format;

/// Where something is: a file, an environment variable or an object, and the line in it.
///
/// ```
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
/// let settings = afresh::Config::<Settings>::file("/nowhere/app.yaml").load();
/// assert_eq!(settings.unwrap_err().to_string(), "/nowhere/app.yaml does not exist");
///
/// let volume = volume(&[("app.yaml", "message: Hello\nworkers: many\n")]);
/// let settings = afresh::Config::<Settings>::file(volume.path().join("app.yaml")).load();
/// let Err(afresh::LoadError::Value { place, .. }) = settings else { panic!() };
/// assert_eq!((place.line(), place.column()), (Some(2), Some(10)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub(crate) source: Arc<str>,
    /// From 1; 0 is the source as a whole.
    pub(crate) line: u32,
    /// From 1, in characters.
    pub(crate) column: u32,
}

impl Place {
    /// The file, the variable (`environment variable APP_PORT`) or the object (`configmap/prod/web:app.yaml`).
    ///
    /// ```
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// let volume = volume(&[("app.json", "{\"message\": 1}")]);
    /// let path = volume.path().join("app.json");
    /// let settings = afresh::Config::<Settings>::file(&path).load();
    /// assert_eq!(settings.unwrap_err().place().unwrap().source(), path.to_str().unwrap());
    /// ```
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The line, from 1; `None` if it is the source as a whole.
    ///
    /// ```
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("app.json", "{\"message\": 1}")]);
    /// # let settings = afresh::Config::<Settings>::file(volume.path().join("app.json")).load();
    /// assert_eq!(settings.unwrap_err().place().unwrap().line(), Some(1));
    /// ```
    #[must_use]
    pub fn line(&self) -> Option<u32> {
        (self.line > 0).then_some(self.line)
    }

    /// The column, from 1, in characters; `None` if it is the source as a whole.
    ///
    /// ```
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("app.json", "{\"message\": 1}")]);
    /// # let settings = afresh::Config::<Settings>::file(volume.path().join("app.json")).load();
    /// assert_eq!(settings.unwrap_err().place().unwrap().column(), Some(13));
    /// ```
    #[must_use]
    pub fn column(&self) -> Option<u32> {
        (self.line > 0).then_some(self.column)
    }
}

/// `/etc/app/app.yaml:2:10`, as editors and terminals make links of.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}

/// Why there is no new version. The message names the place, the key and what was expected, and never a value: it may be
/// a Secret's.
///
/// ```
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
/// let volume = volume(&[("app.yaml", "message: Hello\nworkers: hunter2\n")]);
/// let path = volume.path().join("app.yaml");
/// let error = afresh::Config::<Settings>::file(&path).load().unwrap_err();
/// let expected = format!("{}:2:10: workers: expected u8, found text", path.display());
/// assert_eq!(error.to_string(), expected);
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file or directory cannot be read: it is missing, or permissions, size, or a stale `subPath` mount.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The name says nothing about the format, or one whose feature is not built in.
    #[error("{source_name}: its name does not say which format it has; end it in {known}, or name the format")]
    UnknownFormat {
        /// The file or key.
        source_name: String,
        /// The endings that are known.
        known: String,
    },
    /// Not text.
    #[error("{place}: not UTF-8")]
    NotUtf8 {
        /// The first byte that is not.
        place: Place,
    },
    /// Not of its format.
    #[error("{place}: invalid {format}: {message}")]
    Syntax {
        /// Where parsing stopped.
        place: Place,
        /// The format that was expected.
        format: Format,
        /// What is wrong.
        message: String,
    },
    /// A value of the wrong type, a missing or an unknown key.
    #[error("{place}: {}{message}", prefix(key))]
    Value {
        /// Where the value is; for a missing key, the map that lacks it.
        place: Place,
        /// The keys that lead to it, joined by dots; empty at the top.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// The `validate` hook said no.
    #[error("rejected: {0}")]
    Rejected(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A value in the environment is not UTF-8.
    #[error("environment variable {name}: not UTF-8")]
    Variable {
        /// The variable, as far as it can be shown.
        name: String,
    },
    /// An object cannot be had from the API server (feature `kube`).
    #[error("{object}: {message}")]
    Object {
        /// Which object: `configmap/prod/web`.
        object: String,
        /// What the API server, or the way to it, said.
        message: String,
    },
    /// The application's own `Deserialize` or `validate` panicked.
    #[error("reading the configuration panicked: {message}")]
    Panicked {
        /// What the panic said, if it was text.
        message: String,
    },
    /// Following could not begin, or had to pause.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The thread or task that follows could not be started.
    #[error("cannot start to follow the configuration: {0}")]
    Start(#[source] io::Error),
}

impl LoadError {
    /// Where it went wrong, if it is a matter of one place.
    ///
    /// ```
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// let error = afresh::Config::<Settings>::file("/nowhere/app.yaml").load().unwrap_err();
    /// assert!(error.place().is_none(), "it is not in the file: there is none");
    /// ```
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::NotUtf8 { place } | Self::Syntax { place, .. } | Self::Value { place, .. } => Some(place),
            _ => None,
        }
    }

    /// Whether it may go away without anybody changing anything that is watched.
    pub(crate) fn is_worth_a_retry(&self) -> bool {
        matches!(self, Self::Read(_) | Self::Watch(_))
    }

    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::Read(ReadError::Missing { .. }))
    }

    pub(crate) fn unknown_format(name: impl fmt::Display) -> Self {
        let known: Vec<_> = Format::ALL.iter().flat_map(|format| format.endings()).collect();
        Self::UnknownFormat {
            source_name: name.to_string(),
            known: known
                .iter()
                .map(|ending| format!(".{ending}"))
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
}

fn prefix(key: &str) -> String {
    if key.is_empty() {
        String::new()
    } else {
        format!("{key}: ")
    }
}

/// The first thing about paths that users get wrong, told apart from what may still come.
pub(crate) fn missing(path: PathBuf) -> LoadError {
    LoadError::Read(ReadError::Missing { path })
}
