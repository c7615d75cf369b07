//! The controller: watch, index, plan, act, in one task.
//!
//! ```text
//! feed (watches) ──fact──▶ Engine ──command──▶ act (patch, touch, list pods) ──outcome──▶ Engine
//! leader (Lease) ──term──▶   │ └──notice──▶ Events, log
//! admin (HTTP)  ──question──▶┘
//! ```
//! [`run`] owns everything it starts: when its future ends or is dropped, nothing of it goes on. A crash at any point
//! leaves either the old record on a workload or the new one, so nothing has to be cleaned up.

pub mod admin;
pub mod config;
pub mod metrics;
pub mod state;

mod act;
mod body;
mod borrowed;
mod clock;
mod evict;
mod feed;
mod herald;
mod leader;
mod limit;
mod reconcile;
pub mod reloader;
mod remake;
mod replace;
mod report;
mod run;
mod scope;
mod unwritten;

pub use config::{Config, LeaderConfig};
pub use run::{RunError, run};
