//! How following goes, for probes and metrics.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::LoadError;

/// How a configuration is doing, at one moment. It is no reason to fail a liveness probe: what is served is good, if old.
///
/// ```
/// # use afresh::Config;
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
/// # let volume = volume(&[("message", "Hello World")]);
/// let settings = Config::<Settings>::directory(volume.path()).load()?;
/// let health: afresh::Health = settings.health();
/// assert!(health.is_current());
/// assert_eq!(health.to_string(), "version 1 is current");
/// # Ok::<(), afresh::LoadError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Health {
    /// The version that is served.
    pub version: u64,
    /// When it was taken.
    pub since: SystemTime,
    /// Why what is there now was not taken, if it was not.
    pub trouble: Option<Trouble>,
    /// Why changes are noticed late, or not at all, if so: the system gives no events (then by the slow poll), a `subPath`
    /// mount has gone stale, the API server is away.
    pub degraded: Option<String>,
}

/// What is wrong with the newest content; the last good version is served meanwhile.
///
/// ```
/// # use afresh::Config;
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
/// # let volume = volume(&[("workers", "4"), ("message", "Hello")]);
/// let (tell, told) = std::sync::mpsc::channel();
/// let settings = Config::<Settings>::directory(volume.path())
///     .on_error(move |_| tell.send(()).unwrap())
///     .load()?;
/// write(&volume, &[("workers", "many"), ("message", "Hello")]);
/// told.recv()?;
///
/// let trouble: afresh::Trouble = settings.health().trouble.unwrap();
/// assert!(trouble.error.to_string().ends_with("/workers: workers: expected u8, found text"));
/// assert_eq!(settings.get().workers, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Trouble {
    /// What is wrong.
    pub error: Arc<LoadError>,
    /// Since when nothing newer could be taken.
    pub since: SystemTime,
}

impl Health {
    /// Whether what is served is what is there.
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World")]);
    /// let settings = Config::<Settings>::directory(volume.path()).load()?;
    /// assert!(settings.health().is_current());
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.trouble.is_none()
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.trouble {
            None => write!(f, "version {} is current", self.version),
            Some(trouble) => write!(f, "version {} is still served: {}", self.version, trouble.error),
        }
    }
}

/// Counters since the start, for the application's own metrics.
///
/// ```
/// # use afresh::Config;
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
/// # let volume = volume(&[("message", "Hello World")]);
/// let settings = Config::<Settings>::directory(volume.path()).load()?;
/// let metrics: afresh::Metrics = settings.metrics();
/// assert_eq!((metrics.changes, metrics.failures), (0, 0));
/// # Ok::<(), afresh::LoadError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// How often everything was read, the first time included.
    pub reads: u64,
    /// How often that made a new version, the first one not included.
    pub changes: u64,
    /// How often it made none because something was wrong.
    pub failures: u64,
    /// How often a callback panicked.
    pub panics: u64,
    /// The kernel's event queue overflowed so often, each time followed by a look at everything.
    pub overflows: u64,
}
