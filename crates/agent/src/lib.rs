//! In the pod: mounted files are watched, and each change leads to a signal, a command, an HTTP request or a restart.
//!
//! Two programs are made of it: `afresh agent`, beside an application that runs by itself, and `afresh run`, which
//! starts the application. Both exist in the `afresh` program and in the small `afresh-agent`, which has no
//! Kubernetes client in it.

pub mod action;
pub mod admin;
pub mod agent;
mod args;
pub mod children;
pub mod command;
pub mod command_line;
mod content;
pub mod environment;
pub mod http;
mod log;
mod output;
pub mod pipeline;
pub mod plan;
pub mod process;
mod progress;
pub mod run;
pub mod signal;
pub mod size;
pub mod source;
mod staged;
pub mod status;
pub mod supervise;
pub mod target;

pub use args::{AgentArgs, SourceArgs, WatchArgs};
pub use log::{LogArgs, complain};
pub use run::RunArgs;
pub use target::Target;
