//! Typed configuration that stays current.
//!
//! Mount a ConfigMap, say what type it has, and read it in every request: it is always the newest good version, without
//! a restart, a lock or a runtime.
//!
//! ```
//! use afresh::{Config, Live};
//!
//! #[derive(serde::Deserialize)]
//! struct Settings {
//!     message: String,
//!     #[serde(default)]
//!     workers: u8,
//! }
//!
//! # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc.rs")); } use doc::{volume, write};
//! # let volume = volume(&[("app.yaml", "message: Hello World")]);
//! # let path = volume.path().join("app.yaml");
//! // In a pod: /etc/app/app.yaml
//! let settings: Live<Settings> = Config::file(path).overlay_env("APP").load()?;
//!
//! assert_eq!(settings.get().message, "Hello World");
//! # let mut changes = settings.changes();
//! // kubectl apply ...
//! # write(&volume, &[("app.yaml", "message: Hello Grandma")]);
//! # changes.next();
//! assert_eq!(settings.get().message, "Hello Grandma");
//! # Ok::<(), afresh::LoadError>(())
//! ```
//!
//! - **Safe to change.** The first load fails loudly, with file, line and column. Later, what cannot be read, or what
//!   [`validate`](Config::validate) refuses, is reported ([`on_error`](Config::on_error), [`health`](Live::health),
//!   [`metrics`](Live::metrics)) and the last good version stays in use until the content is mended.
//! - **Cheap to read.** [`Live::get`] never waits; a [`Reader`] costs about a plain pointer load. What is read through one guard
//!   belongs together, and nobody ever sees half of an update: a volume is read from the one directory that `..data` points to.
//! - **Told in time.** Within a millisecond of the kubelet's swap, as a blocking iterator ([`Live::changes`]), a stream for any
//!   runtime ([`Live::stream`]) or a callback ([`Live::on_change`]). Changes coalesce, and the last one is never lost.
//! - **Nothing else needed.** No runtime, no Kubernetes client: one sleeping thread. Feature `tokio` makes it a task
//!   (`Config::load_async`); feature `kube` reads ConfigMaps and Secrets straight from the API (`Source::config_map`).
//!
//! How soon the kubelet brings a change to the files is another matter: 60 to 90 seconds by itself, and within a second with
//! the Afresh controller (`afresh.dev/hot: "true"`).
//!
//! # Features
//! `yaml`, `json`, `toml`, `properties`, `dotenv`: the formats, all on by default. `tokio`, `kube`: see above.
//!
//! No value is ever shown in an error, a log or a `Debug`: it may be a Secret's.

mod cell;
mod change;
mod config;
mod de;
mod driver;
mod env;
mod error;
mod format;
mod gather;
mod health;
mod live;
#[cfg(feature = "kube")]
mod object;
mod source;
mod sync;
#[cfg(feature = "tokio")]
mod task;
#[cfg_attr(
    not(all(feature = "yaml", feature = "json", feature = "toml")),
    allow(dead_code, reason = "some kinds of values come from some formats only")
)]
mod tree;
mod version;

#[doc(no_inline)]
pub use afresh_volume::{Limits, Method, WatchOptions};
pub use change::{Change, ChangeStream, Changes, Subscription, TimedOut};
pub use config::Config;
pub use error::{LoadError, Place};
pub use format::Format;
pub use health::{Health, Metrics, Trouble};
pub use live::Live;
#[cfg(feature = "kube")]
pub use object::{Cluster, Object, Strategy};
pub use source::Source;
pub use version::{Guard, Reader, Version};

/// The guide's own code, so that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/library.md")]
struct Guide;
