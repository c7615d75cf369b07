//! The formats of documents.

#[cfg(feature = "dotenv")]
mod dotenv;
#[cfg(feature = "json")]
mod json;
#[cfg(any(feature = "json", feature = "toml"))]
mod lines;
#[cfg(feature = "properties")]
mod properties;
#[cfg(feature = "toml")]
mod toml;
#[cfg(feature = "yaml")]
mod yaml;

use std::fmt;
use std::path::Path;

use crate::tree::{At, Node};

/// The format of a document. Each has a feature of its name; all are on by default.
///
/// Whatever the format, a key that is there twice is an error, except where the format itself says that the last one
/// counts (properties, dotenv).
///
/// ```
/// use afresh::Format;
///
/// assert_eq!(Format::of("/etc/app/app.yml".as_ref()), Some(Format::Yaml));
/// assert_eq!(Format::of("/etc/app/.env".as_ref()), Some(Format::Dotenv));
/// assert_eq!(Format::of("/etc/app/message".as_ref()), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// YAML 1.2: one document; anchors, aliases and `<<` as people know them. A plain `1.10` is text where text is asked for.
    #[cfg(feature = "yaml")]
    Yaml,
    /// JSON (RFC 8259).
    #[cfg(feature = "json")]
    Json,
    /// TOML 1.1. Dates are texts.
    #[cfg(feature = "toml")]
    Toml,
    /// Java properties, in UTF-8: `server.port = 8080` is the key `port` in `server`.
    #[cfg(feature = "properties")]
    Properties,
    /// `.env`: an environment in a file. Keys are read as [`Source::env`](crate::Source::env) reads variables. Quotes and
    /// `export` are understood; `$` stands for itself, so that passwords stay what they are.
    #[cfg(feature = "dotenv")]
    Dotenv,
    /// No format is built in; an enum without a variant could not be matched on.
    #[cfg(not(any(
        feature = "yaml",
        feature = "json",
        feature = "toml",
        feature = "properties",
        feature = "dotenv"
    )))]
    #[doc(hidden)]
    Missing,
}

/// Why a text is not of its format, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    /// From 1.
    pub(crate) line: u32,
    /// From 1, in characters.
    pub(crate) column: u32,
    pub(crate) message: String,
}

impl Format {
    pub(crate) const ALL: &'static [Self] = &[
        #[cfg(feature = "yaml")]
        Self::Yaml,
        #[cfg(feature = "json")]
        Self::Json,
        #[cfg(feature = "toml")]
        Self::Toml,
        #[cfg(feature = "properties")]
        Self::Properties,
        #[cfg(feature = "dotenv")]
        Self::Dotenv,
    ];

    pub(crate) fn endings(self) -> &'static [&'static str] {
        match self {
            #[cfg(feature = "yaml")]
            Self::Yaml => &["yaml", "yml"],
            #[cfg(feature = "json")]
            Self::Json => &["json"],
            #[cfg(feature = "toml")]
            Self::Toml => &["toml"],
            #[cfg(feature = "properties")]
            Self::Properties => &["properties"],
            #[cfg(feature = "dotenv")]
            Self::Dotenv => &["env"],
            #[cfg(not(any(
                feature = "yaml",
                feature = "json",
                feature = "toml",
                feature = "properties",
                feature = "dotenv"
            )))]
            Self::Missing => &[],
        }
    }

    /// The format that a name ends in: `.yaml`, `.yml`, `.json`, `.toml`, `.properties`, `.env`.
    ///
    /// ```
    /// # use afresh::Format;
    /// assert_eq!(Format::of("application.properties".as_ref()), Some(Format::Properties));
    /// ```
    #[must_use]
    pub fn of(name: &Path) -> Option<Self> {
        let name = name.file_name()?.to_str()?;
        let (_, ending) = name.rsplit_once('.')?;
        let is_its = |format: &&Self| format.endings().iter().any(|known| ending.eq_ignore_ascii_case(known));
        Self::ALL.iter().find(is_its).copied()
    }

    /// Reads a document; `at` is the place of all of it.
    pub(crate) fn parse(self, text: &str, at: At) -> Result<Node, Broken> {
        // Some editors begin a file with it.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let at = At {
            line: 1,
            column: 1,
            ..at
        };
        match self {
            #[cfg(feature = "yaml")]
            Self::Yaml => yaml::parse(text, at),
            #[cfg(feature = "json")]
            Self::Json => json::parse(text, at),
            #[cfg(feature = "toml")]
            Self::Toml => toml::parse(text, at),
            #[cfg(feature = "properties")]
            Self::Properties => properties::parse(text, at),
            #[cfg(feature = "dotenv")]
            Self::Dotenv => dotenv::parse(text, at),
            #[cfg(not(any(
                feature = "yaml",
                feature = "json",
                feature = "toml",
                feature = "properties",
                feature = "dotenv"
            )))]
            Self::Missing => Err(Broken {
                line: at.line,
                column: at.column,
                message: format!("{} bytes of a format that is not built in", text.len()),
            }),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            #[cfg(feature = "yaml")]
            Self::Yaml => "YAML",
            #[cfg(feature = "json")]
            Self::Json => "JSON",
            #[cfg(feature = "toml")]
            Self::Toml => "TOML",
            #[cfg(feature = "properties")]
            Self::Properties => "Java properties",
            #[cfg(feature = "dotenv")]
            Self::Dotenv => "dotenv",
            #[cfg(not(any(
                feature = "yaml",
                feature = "json",
                feature = "toml",
                feature = "properties",
                feature = "dotenv"
            )))]
            Self::Missing => "document",
        })
    }
}

/// A number for a line or column: a document has no 2^32 of them.
pub(crate) fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
