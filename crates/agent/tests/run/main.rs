//! `run` as a program: an init, and a supervisor that restarts in place.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod environment;
mod files;
mod init;
mod pipeline;
mod probes;
mod process_1;
mod scene;
mod staging;
mod terminal;
