//! Where configuration comes from.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::Format;
#[cfg(feature = "kube")]
use crate::object::Object;

/// One source. Several are laid over each other by [`Config::overlay`](crate::Config::overlay).
///
/// ```
/// use afresh::{Config, Source};
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
/// # let volume = volume(&[("app.yaml", "message: Hello World")]);
/// # let path = volume.path();
///
/// let config = Config::<Settings>::new(Source::file(path.join("app.yaml")))
///     .overlay(Source::file(path.join("local.yaml")).optional())
///     .overlay(Source::env("APP"));
/// assert_eq!(config.load()?.get().message, "Hello World");
/// # Ok::<(), afresh::LoadError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Source {
    pub(crate) kind: Kind,
    pub(crate) optional: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    File {
        path: PathBuf,
        format: Option<Format>,
    },
    Directory {
        path: PathBuf,
    },
    Env {
        prefix: String,
    },
    Variable {
        name: String,
        key: String,
    },
    #[cfg(feature = "kube")]
    Object(Object),
}

impl Source {
    fn new(kind: Kind) -> Self {
        Self { kind, optional: false }
    }

    /// A document in a file, mounted or not; its name says the format.
    ///
    /// If it lies in a mounted ConfigMap or Secret, it and all other sources from that volume are read from one moment.
    /// A `subPath` mount works too, but the kubelet never renews it; [`Live::health`](crate::Live::health) says so.
    ///
    /// ```
    /// # use afresh::{Config, Source};
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("app.toml", "message = 'Hello World'")]);
    /// # let path = volume.path();
    /// let settings = Config::<Settings>::new(Source::file(path.join("app.toml"))).load()?;
    /// assert_eq!(settings.get().message, "Hello World");
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let (path, format) = (path.into(), None);
        Self::new(Kind::File { path, format })
    }

    /// A document in a file whose name does not say the format.
    ///
    /// ```
    /// # use afresh::{Config, Format, Source};
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("app.conf", "message = Hello World")]);
    /// # let path = volume.path();
    /// let source = Source::file_as(path.join("app.conf"), Format::Properties);
    /// assert_eq!(Config::<Settings>::new(source).load()?.get().message, "Hello World");
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn file_as(path: impl Into<PathBuf>, format: Format) -> Self {
        let (path, format) = (path.into(), Some(format));
        Self::new(Kind::File { path, format })
    }

    /// A directory in which each file is a key and its content the value: a mounted ConfigMap or Secret.
    ///
    /// Values are read as what the type asks for: text, numbers, booleans, `a, b, c` as a list. One line break at the end
    /// is left out, as `kubectl create --from-file` brings one. `server/port` is the key `port` in `server`.
    ///
    /// ```
    /// # use afresh::{Config, Source};
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World\n"), ("workers", "4")]);
    /// let settings = Config::<Settings>::new(Source::directory(volume.path())).load()?;
    /// assert_eq!((settings.get().message.as_str(), settings.get().workers), ("Hello World", 4));
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Self::new(Kind::Directory { path: path.into() })
    }

    /// The environment: with the prefix `APP`, `APP_SERVER__PORT` is the key `port` in `server`.
    ///
    /// Names are lowered. `APP_MAX_CONN` also finds `maxConn`, `max-conn` and `MaxConn`, in the sources below and in the
    /// type. Values are read as in a [directory](Source::directory).
    ///
    /// ```
    /// # use afresh::{Config, Source};
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// // As if started with CARGO_PKG_NAME=afresh
    /// #[derive(serde::Deserialize)]
    /// struct Package {
    ///     name: String,
    /// }
    /// let package = Config::<Package>::new(Source::env("CARGO_PKG")).load()?;
    /// assert_eq!(package.get().name, "afresh");
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn env(prefix: impl Into<String>) -> Self {
        Self::new(Kind::Env { prefix: prefix.into() })
    }

    /// One variable for one key, its path joined by dots. A variable that is not set says nothing.
    ///
    /// ```
    /// # use afresh::{Config, Source};
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// let settings = Config::<Settings>::new(Source::variable("CARGO_PKG_NAME", "message")).load()?;
    /// assert_eq!(settings.get().message, "afresh");
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn variable(name: impl Into<String>, key: impl Into<String>) -> Self {
        let (name, key) = (name.into(), key.into());
        Self::new(Kind::Variable { name, key })
    }

    /// It need not be there: while it is not, it says nothing.
    ///
    /// ```
    /// # use afresh::{Config, Source};
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World")]);
    /// let config = Config::<Settings>::directory(volume.path())
    ///     .overlay(Source::file("/etc/app/local.yaml").optional());
    /// assert_eq!(config.load()?.get().message, "Hello World");
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// It is followed by the API.
    pub(crate) fn is_object(&self) -> bool {
        #[cfg(feature = "kube")]
        return matches!(self.kind, Kind::Object(_));
        #[cfg(not(feature = "kube"))]
        false
    }

    /// The path that is watched for it.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.kind {
            Kind::File { path, .. } | Kind::Directory { path } => Some(path),
            _ => None,
        }
    }
}

#[cfg(feature = "kube")]
impl From<Object> for Source {
    fn from(object: Object) -> Self {
        Self::new(Kind::Object(object))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::File { path, .. } | Kind::Directory { path } => path.display().fmt(f),
            Kind::Env { prefix } => write!(f, "environment variables {prefix}_*"),
            Kind::Variable { name, .. } => write!(f, "environment variable {name}"),
            #[cfg(feature = "kube")]
            Kind::Object(object) => object.fmt(f),
        }
    }
}
