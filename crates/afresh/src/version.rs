//! One version of the configuration, and the ways to hold it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::SystemTime;

use crate::cell::{Kept, Numbered};
use crate::live::Live;

/// One version of the configuration: a value that never changes. It derefs to the application's type.
///
/// ```
/// # use afresh::Config;
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
/// # let volume = volume(&[("message", "Hello World")]);
/// let settings = Config::<Settings>::directory(volume.path()).load()?;
/// let version = settings.snapshot();
/// assert_eq!((version.number(), version.message.as_str()), (1, "Hello World"));
/// # Ok::<(), afresh::LoadError>(())
/// ```
pub struct Version<T> {
    pub(crate) number: u64,
    pub(crate) since: SystemTime,
    pub(crate) value: T,
}

impl<T> Version<T> {
    /// 1 for what [`Config::load`](crate::Config::load) returned with, one more with each change.
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World")]);
    /// let settings = Config::<Settings>::directory(volume.path()).load()?;
    /// assert_eq!(settings.get().number(), 1);
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When it was taken.
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World")]);
    /// let settings = Config::<Settings>::directory(volume.path()).load()?;
    /// assert!(settings.get().since() <= std::time::SystemTime::now());
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn since(&self) -> SystemTime {
        self.since
    }
}

impl<T> Deref for Version<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Numbered for Version<T> {
    #[inline]
    fn number(&self) -> u64 {
        self.number
    }
}

/// Shows the number only: the value may hold a Secret.
impl<T> fmt::Debug for Version<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({})", self.number)
    }
}

/// The version that was current when [`Live::get`] was called; everything read through one guard belongs together.
///
/// Meant to be held for one request. [`Live::snapshot`] is for longer: many guards held at once make reading slower.
///
/// ```
/// # use afresh::Config;
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
/// # let volume = volume(&[("message", "Hello World"), ("workers", "4")]);
/// let settings = Config::<Settings>::directory(volume.path()).load()?;
/// let now: afresh::Guard<Settings> = settings.get();
/// assert_eq!((now.message.as_str(), now.workers), ("Hello World", 4));
/// # Ok::<(), afresh::LoadError>(())
/// ```
pub struct Guard<T>(pub(crate) arc_swap::Guard<Arc<Version<T>>>);

impl<T> Deref for Guard<T> {
    type Target = Version<T>;

    fn deref(&self) -> &Version<T> {
        &self.0
    }
}

impl<T> fmt::Debug for Guard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The cheapest way to read, for a thread or task of its own: about what a load of a plain pointer costs. It keeps the version
/// it has seen, and looks at a number to know whether there is a newer one; nothing that threads share is written. Made by
/// [`Live::reader`].
///
/// ```
/// # use afresh::Config;
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
/// # let volume = volume(&[("message", "Hello World")]);
/// let settings = Config::<Settings>::directory(volume.path()).load()?;
/// let mut reader: afresh::Reader<Settings> = settings.reader();
/// for _request in 0..1000 {
///     assert_eq!(reader.get().message, "Hello World");
/// }
/// # Ok::<(), afresh::LoadError>(())
/// ```
pub struct Reader<T> {
    kept: Kept<Version<T>>,
    live: Live<T>,
}

impl<T> Reader<T> {
    pub(crate) fn new(live: Live<T>) -> Self {
        let kept = Kept::new(&live.shared.cell);
        Self { kept, live }
    }

    /// The current version. As long as it is borrowed it stays the same.
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World"), ("workers", "4")]);
    /// let mut reader = Config::<Settings>::directory(volume.path()).load()?.reader();
    /// let now = reader.get();
    /// assert_eq!((now.message.as_str(), now.workers), ("Hello World", 4));
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    #[inline]
    pub fn get(&mut self) -> &Version<T> {
        self.kept.newest(&self.live.shared.cell)
    }

    /// The handle it was made from; a reader keeps the configuration followed, as any handle does.
    ///
    /// ```
    /// # use afresh::Config;
    /// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::*;
    /// # let volume = volume(&[("message", "Hello World")]);
    /// let reader = Config::<Settings>::directory(volume.path()).load()?.reader();
    /// assert!(reader.live().health().is_current());
    /// # Ok::<(), afresh::LoadError>(())
    /// ```
    pub fn live(&self) -> &Live<T> {
        &self.live
    }
}

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self::new(self.live.clone())
    }
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}
