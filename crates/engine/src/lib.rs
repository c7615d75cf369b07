//! The decisions of Afresh, pure: state and time in, commands out.
//!
//! ```text
//! objects, workloads ──▶ Index ──affected──▶ Agenda (settle, back-off) ──due──▶ plan() ──▶ Command
//!                          ▲                                                                 │
//!                          └───────── what the API server answered (Outcome) ◀───────────────┘
//! ```
//! [`Engine`] holds the three together; [`plan::plan`] is the one rule, used by the controller and by `afresh why`.

pub mod agenda;
pub mod classes;
pub mod engine;
pub mod evict;
pub mod evidence;
#[cfg(test)]
mod fixture;
pub mod flap;
pub mod index;
mod kept;
pub mod lease;
pub mod lifecycle;
mod names;
pub mod notice;
pub mod plan;
pub mod sight;
pub mod state;
pub mod time;
pub mod touch;

pub use engine::{Action, Command, Engine, Job, Outcome, Scope, Settings};
