//! The small cluster: controllers and a node, mostly under a paused clock.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod nodes;
mod support;
mod workloads;
