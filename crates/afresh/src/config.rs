//! What to follow, and how: the builder.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use afresh_volume::WatchOptions;
use serde::de::DeserializeOwned;

use crate::driver::Driver;
use crate::{Format, Live, LoadError, Source};

type Check<T> = Box<dyn Fn(&T) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + Send>;
type Report = Box<dyn FnMut(&Arc<LoadError>) + Send>;

/// Says where a configuration comes from and what makes it good; [`load`](Config::load) reads it and follows it.
///
/// `T` is any type that serde can read and threads can share.
///
/// ```
/// # use afresh::{Config, Live};
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
/// # let volume = volume(&[("app.yaml", "message: Hello World\nworkers: 4")]);
/// # let path = volume.path();
/// let settings: Live<Settings> = Config::file(path.join("app.yaml"))
///     .overlay_env("APP")
///     .validate(|settings: &Settings| match settings.workers {
///         0 => Err("at least one worker is needed".into()),
///         _ => Ok(()),
///     })
///     .on_error(|error| eprintln!("still on the last good configuration: {error}"))
///     .load()?;
/// assert_eq!(settings.get().workers, 4);
/// # Ok::<(), afresh::LoadError>(())
/// ```
pub struct Config<T> {
    pub(crate) layers: Vec<Source>,
    pub(crate) checks: Vec<Check<T>>,
    pub(crate) reports: Vec<Report>,
    pub(crate) watch: WatchOptions,
    #[cfg(feature = "kube")]
    pub(crate) cluster: crate::object::Cluster,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Config<T> {
    /// From one source.
    ///
    /// ```
    /// # use afresh::{Config, Source};
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World")]);
    /// let settings = Config::<Settings>::new(Source::directory(volume.path())).load()?;
    /// assert_eq!(settings.get().message, "Hello World");
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn new(source: impl Into<Source>) -> Self {
        Self {
            layers: vec![source.into()],
            checks: Vec::new(),
            reports: Vec::new(),
            watch: WatchOptions::default(),
            #[cfg(feature = "kube")]
            cluster: crate::object::Cluster::default(),
        }
    }

    /// From a document in a file: [`Source::file`].
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("app.json", r#"{"message": "Hello World"}"#)]);
    /// let settings = Config::<Settings>::file(volume.path().join("app.json")).load()?;
    /// assert_eq!(settings.get().message, "Hello World");
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::new(Source::file(path))
    }

    /// From a document in a file whose name does not say the format: [`Source::file_as`].
    ///
    /// ```
    /// # use afresh::{Config, Format};
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("config", "message: Hello World")]);
    /// let settings = Config::<Settings>::file_as(volume.path().join("config"), Format::Yaml).load()?;
    /// assert_eq!(settings.get().message, "Hello World");
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn file_as(path: impl Into<PathBuf>, format: Format) -> Self {
        Self::new(Source::file_as(path, format))
    }

    /// From a directory with a key per file: [`Source::directory`].
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World")]);
    /// let settings = Config::<Settings>::directory(volume.path()).load()?;
    /// assert_eq!(settings.get().message, "Hello World");
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Self::new(Source::directory(path))
    }

    /// Lays a source over those before: its keys win, maps are merged key by key, lists are replaced.
    ///
    /// ```
    /// # use afresh::{Config, Source};
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("defaults.yaml", "message: Hello\nworkers: 4"), ("app.yaml", "message: Hello World")]);
    /// # let path = volume.path();
    /// let settings = Config::<Settings>::file(path.join("defaults.yaml"))
    ///     .overlay(Source::file(path.join("app.yaml")))
    ///     .load()?;
    /// assert_eq!((settings.get().message.as_str(), settings.get().workers), ("Hello World", 4));
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    #[must_use]
    pub fn overlay(mut self, source: impl Into<Source>) -> Self {
        self.layers.push(source.into());
        self
    }

    /// Lays the environment over everything before: [`Source::env`].
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World")]);
    /// // APP_MESSAGE would win.
    /// let settings = Config::<Settings>::directory(volume.path()).overlay_env("APP").load()?;
    /// assert_eq!(settings.get().message, "Hello World");
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    #[must_use]
    pub fn overlay_env(self, prefix: impl Into<String>) -> Self {
        self.overlay(Source::env(prefix))
    }

    /// Refuses what does not make sense. Several hooks run in their order; the first refusal counts.
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "")]);
    /// let refused = Config::<Settings>::directory(volume.path())
    ///     .validate(|settings| if settings.message.is_empty() { Err("no message".into()) } else { Ok(()) })
    ///     .load();
    /// assert_eq!(refused.unwrap_err().to_string(), "rejected: no message");
    /// ```
    #[must_use]
    pub fn validate(
        mut self,
        check: impl Fn(&T) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    ) -> Self {
        self.checks.push(Box::new(check));
        self
    }

    /// Is told of what could not be taken, each trouble once. Not of the first load, whose error is returned.
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("app.yaml", "message: Hello World")]);
    /// # let path = volume.path();
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let settings = Config::<Settings>::file(path.join("app.yaml"))
    ///     .on_error(move |error| tell.send(error.to_string()).unwrap())
    ///     .load()?;
    /// write(&volume, &[("app.yaml", "message: [")]);
    /// assert!(told.recv()?.contains("app.yaml:1:"));
    /// assert_eq!(settings.get().message, "Hello World");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on_error(mut self, report: impl FnMut(&Arc<LoadError>) + Send + 'static) -> Self {
        self.reports.push(Box::new(report));
        self
    }

    /// How changes of files are looked for: events or polling, how often, and how much may be read.
    ///
    /// ```
    /// use afresh::{Method, WatchOptions};
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World")]);
    ///
    /// // Where the kernel tells nothing: gVisor, kata, network file systems.
    /// let every_second = WatchOptions {
    ///     method: Method::Poll,
    ///     poll: Some(std::time::Duration::from_secs(1)),
    ///     ..WatchOptions::default()
    /// };
    /// let settings = Config::<Settings>::directory(volume.path()).watch(every_second).load()?;
    /// assert_eq!(settings.health().degraded.unwrap(), "polling was asked for");
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    #[must_use]
    pub fn watch(mut self, options: WatchOptions) -> Self {
        self.watch = options;
        self
    }

    /// Reads everything, and follows it by a thread of its own until the last handle is dropped. Needs no runtime.
    ///
    /// The thread sleeps while nothing happens, but for a look every ten seconds ([`WatchOptions::poll`]).
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World")]);
    /// let settings = Config::<Settings>::directory(volume.path()).load()?;
    /// assert_eq!(settings.get().message, "Hello World");
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    ///
    /// # Errors
    /// The configuration is not good, or cannot be followed: see [`LoadError`].
    pub fn load(self) -> Result<Live<T>, LoadError> {
        Driver::start(self)
    }

    /// As [`load`](Config::load), followed by a task of the current tokio runtime instead of a thread (feature `tokio`).
    ///
    /// Reading files blocks the task for as long as that takes. Following ends with the runtime.
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World")]);
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// let settings = Config::<Settings>::directory(volume.path()).load_async().await?;
    /// assert_eq!(settings.get().message, "Hello World");
    /// # Ok::<(), afresh::LoadError>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`load`](Config::load).
    #[cfg(feature = "tokio")]
    pub async fn load_async(self) -> Result<Live<T>, LoadError> {
        crate::task::start(self).await
    }

    /// Which cluster objects are read from; without it, the pod's own, or the current context of the kubeconfig.
    ///
    /// ```no_run
    /// use afresh::{Cluster, Config, Source};
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    ///
    /// let settings = Config::<Settings>::new(Source::config_map("web"))
    ///     .cluster(Cluster::kubeconfig("/etc/app/kubeconfig"))
    ///     .load()?;
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    #[cfg(feature = "kube")]
    #[must_use]
    pub fn cluster(mut self, cluster: crate::object::Cluster) -> Self {
        self.cluster = cluster;
        self
    }
}

impl<T> fmt::Debug for Config<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("layers", &self.layers)
            .field("watch", &self.watch)
            .finish_non_exhaustive()
    }
}
