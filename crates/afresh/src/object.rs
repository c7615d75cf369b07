//! ConfigMaps and Secrets straight from the API server.

mod feed;
mod follow;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use afresh_k8s::client::ConnectOptions;

use crate::{Format, LoadError, Source};
pub(crate) use feed::Feed;

/// A ConfigMap or a Secret as a source (feature `kube`). Made by [`Source::config_map`] and [`Source::secret`].
///
/// The ServiceAccount of the pod must be allowed to `get` the object by its name, or for [`Strategy::Watch`] to
/// `list` and `watch` it.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc_kube.rs"));
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = cluster(&[("message", "Hello World")]);
/// use afresh::{Config, Object, Source};
///
/// let object: Object = Source::config_map("web");
/// let settings = Config::<Settings>::new(object).cluster(cluster.access()).load()?;
/// assert_eq!(settings.get().message, "Hello World");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Object {
    pub(crate) kind: ObjectKind,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    document: Option<(String, Option<Format>)>,
    pub(crate) strategy: Strategy,
}

/// The kinds that have content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    ConfigMap,
    Secret,
}

impl ObjectKind {
    /// As in the names of places: `configmap`, `secret`.
    const fn word(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
        }
    }
}

/// How an object is kept current: the kubelet's three ways (`configMapAndSecretChangeDetectionStrategy`).
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc_kube.rs"));
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = cluster(&[("message", "Hello World")]);
/// use std::time::Duration;
/// use afresh::{Config, Source, Strategy};
///
/// let ttl = Duration::from_secs(60);
/// let object = Source::config_map("web").strategy(Strategy::Cached { ttl });
/// let settings = Config::<Settings>::new(object).cluster(cluster.access()).load()?;
/// assert_eq!(settings.get().message, "Hello World");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// One watch for the object: changes arrive at once, for one open connection.
    #[default]
    Watch,
    /// One GET whenever what is known is older than `ttl`: nothing is held open, and changes arrive up to that late.
    Cached {
        /// How old it may become.
        ttl: Duration,
    },
    /// One GET to begin with, and one for each [`Live::refresh`](crate::Live::refresh).
    Get,
}

impl Source {
    /// A ConfigMap, by the API instead of a mount: all its keys as in a [directory](Source::directory), or
    /// [one document](Object::document). Of the pod's own namespace, unless another is [named](Object::namespace).
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc_kube.rs"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = cluster(&[("message", "Hello World")]);
    /// use afresh::{Config, Source};
    ///
    /// let config = Config::<Settings>::new(Source::config_map("web")).cluster(cluster.access());
    /// assert_eq!(config.load()?.get().message, "Hello World");
    /// # Ok(()) }
    /// ```
    pub fn config_map(name: impl Into<String>) -> Object {
        Object::new(ObjectKind::ConfigMap, name.into())
    }

    /// A Secret, by the API instead of a mount.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc_kube.rs"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = cluster(&[("message", "Hello World")]);
    /// use afresh::{Config, Source};
    ///
    /// let config = Config::<Settings>::new(Source::secret("web")).cluster(cluster.access());
    /// assert_eq!(config.load()?.get().message, "Hello World");
    /// # Ok(()) }
    /// ```
    pub fn secret(name: impl Into<String>) -> Object {
        Object::new(ObjectKind::Secret, name.into())
    }
}

impl Object {
    fn new(kind: ObjectKind, name: String) -> Self {
        Self {
            kind,
            namespace: None,
            name,
            document: None,
            strategy: Strategy::default(),
        }
    }

    /// Of this namespace.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc_kube.rs"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = cluster(&[("message", "Hello World")]);
    /// # use afresh::{Config, Source};
    /// let object = Source::config_map("web").namespace("default");
    /// let config = Config::<Settings>::new(object).cluster(cluster.access());
    /// assert_eq!(config.load()?.get().message, "Hello World");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Only the document under this key, whose name says the format.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc_kube.rs"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = cluster(&[("app.yaml", "message: Hello World")]);
    /// # use afresh::{Config, Source};
    /// let object = Source::config_map("web").document("app.yaml");
    /// let config = Config::<Settings>::new(object).cluster(cluster.access());
    /// assert_eq!(config.load()?.get().message, "Hello World");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn document(mut self, key: impl Into<String>) -> Self {
        self.document = Some((key.into(), None));
        self
    }

    /// Only the document under this key, in this format.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc_kube.rs"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = cluster(&[("config", "message: Hello World")]);
    /// # use afresh::{Config, Format, Source};
    /// let object = Source::config_map("web").document_as("config", Format::Yaml);
    /// let config = Config::<Settings>::new(object).cluster(cluster.access());
    /// assert_eq!(config.load()?.get().message, "Hello World");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn document_as(mut self, key: impl Into<String>, format: Format) -> Self {
        self.document = Some((key.into(), Some(format)));
        self
    }

    /// How it is kept current; [`Strategy::Watch`] unless said otherwise.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc_kube.rs"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = cluster(&[("message", "Hello World")]);
    /// # use afresh::{Config, Source, Strategy};
    /// let object = Source::config_map("web").strategy(Strategy::Get);
    /// let settings = Config::<Settings>::new(object).cluster(cluster.access()).load()?;
    /// settings.refresh(); // one more GET
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// It need not be there: while it is not, it says nothing.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc_kube.rs"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = cluster(&[("message", "Hello World")]);
    /// # use afresh::{Config, Source};
    /// let config = Config::<Settings>::new(Source::config_map("web"))
    ///     .overlay(Source::config_map("web-local").optional())
    ///     .cluster(cluster.access());
    /// assert_eq!(config.load()?.get().message, "Hello World");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn optional(self) -> Source {
        Source::from(self).optional()
    }

    pub(crate) fn document_of(&self) -> Option<(&str, Option<Format>)> {
        self.document.as_ref().map(|(key, format)| (key.as_str(), *format))
    }

    pub(crate) fn failed(&self, object: String, message: impl Into<String>) -> LoadError {
        LoadError::Object {
            object,
            message: message.into(),
        }
    }

    /// `configmap/prod/web`; `namespace` is the one of the connection.
    pub(crate) fn named(&self, namespace: Option<&str>) -> String {
        let kind = self.kind.word();
        match self.namespace.as_deref().or(namespace) {
            Some(namespace) => format!("{kind}/{namespace}/{}", self.name),
            None => format!("{kind}/{}", self.name),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.named(None))
    }
}

/// Which cluster objects are read from. The default is the pod's own, or the current context of the kubeconfig.
///
/// ```no_run
/// use afresh::{Cluster, Config, Source};
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
///
/// // Needs no `cluster` at all in a pod, and on a laptop with a kubeconfig.
/// let settings = Config::<Settings>::new(Source::config_map("web")).cluster(Cluster::default()).load()?;
/// # Ok::<(), afresh::LoadError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Cluster(pub(crate) ConnectOptions);

impl Cluster {
    /// The current context of this kubeconfig.
    ///
    /// ```
    /// let cluster = afresh::Cluster::kubeconfig("/nowhere/kubeconfig");
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # use afresh::{Config, Source};
    /// let settings = Config::<Settings>::new(Source::config_map("web")).cluster(cluster).load();
    /// assert!(settings.unwrap_err().to_string().contains("/nowhere/kubeconfig"));
    /// ```
    pub fn kubeconfig(path: impl Into<PathBuf>) -> Self {
        Self(ConnectOptions {
            kubeconfig: Some(path.into()),
            ..ConnectOptions::default()
        })
    }

    /// The API server at this URL, without credentials, as `kubectl proxy` serves it.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc_kube.rs"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = cluster(&[("message", "Hello World")]);
    /// # use afresh::{Cluster, Config, Source};
    /// # let url = cluster.url.clone();
    /// let config = Config::<Settings>::new(Source::config_map("web")).cluster(Cluster::server(url));
    /// assert_eq!(config.load()?.get().message, "Hello World");
    /// # Ok(()) }
    /// ```
    pub fn server(url: impl Into<String>) -> Self {
        Self(ConnectOptions {
            server: Some(url.into()),
            ..ConnectOptions::default()
        })
    }

    /// This context of the kubeconfig, instead of the current one.
    ///
    /// ```no_run
    /// let cluster = afresh::Cluster::default().context("staging");
    /// ```
    #[must_use]
    pub fn context(mut self, name: impl Into<String>) -> Self {
        self.0.context = Some(name.into());
        self
    }
}
