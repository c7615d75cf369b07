//! The words of Afresh as types: names, references, policy, digests, records.
//!
//! Everything here is pure: no I/O, no clock, no randomness. What a user typed enters through a `parse` that says what
//! is wrong and how to mend it; what leaves is canonical, so that equal things are equal bytes.
//!
//! ```text
//! pod template ──references──▶ Reference ─┐
//! annotations ──policy───────▶ Policy ────┴─uses──▶ Use (object, roll keys, touch keys)
//! object data ──digest───────▶ Content ────────────▶ Fingerprint ──▶ Record (afresh.dev/applied)
//! ```

pub mod annotation;
pub mod content;
pub mod convention;
pub mod digest;
pub mod duration;
pub mod name;
pub mod object;
pub mod packed;
pub mod pattern;
pub mod policy;
pub mod record;
pub mod reference;
pub mod reloader;
pub mod selection;
pub mod template;
pub mod time;
pub mod usage;
pub mod wave;
pub mod workload;
