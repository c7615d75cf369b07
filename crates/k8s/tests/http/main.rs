//! Watches and writes against a scripted API server, on a paused clock.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

mod content;
mod digest_key;
mod event;
mod lease;
mod script;
mod traps;
mod watch;
mod watch_absent;
mod watch_chaos;
mod watch_faults;
mod write;
