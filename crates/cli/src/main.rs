//! The `afresh` program: every subcommand in one static binary.

mod cluster;
mod controller;
mod demo;
#[cfg(test)]
mod documents;
mod logging;
mod parse;
mod reloader;
mod signals;
mod start;
mod why;

use std::process::ExitCode;

use afresh_agent::source::{self, Objects};
use clap::{Parser, Subcommand};

/// Keeps every process in a Kubernetes cluster on the current ConfigMaps and Secrets.
#[derive(Debug, Parser)]
#[command(name = "afresh", version, propagate_version = true, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch ConfigMaps, Secrets and workloads, and do the cheapest thing that is enough
    Controller(Box<controller::Args>),
    /// As Stakater Reloader, flag by flag: its drop-in, with the same controller underneath
    Reloader(Box<reloader::Args>),
    /// Say what would happen to a workload now, and why; changes nothing
    Why(Box<why::Args>),
    /// In a pod: act on each change of mounted files by a signal, a command or an HTTP request
    Agent(Box<afresh_agent::AgentArgs>),
    /// In a pod: start a program, keep its environment current, and be its init
    Run(Box<afresh_agent::RunArgs>),
    /// Show it at work: a small Kubernetes in this process, the real controller, and what they do
    Demo(demo::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Controller(args) => controller::main(&args),
        Command::Reloader(args) => reloader::main(&args),
        Command::Why(args) => why::main(&args),
        Command::Agent(args) => afresh_agent::agent::main(&args, Objects::BuiltIn(source::follow)).map_err(Into::into),
        Command::Run(args) => afresh_agent::run::main(&args, Objects::BuiltIn(source::follow)).map_err(Into::into),
        Command::Demo(args) => demo::main(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            afresh_agent::complain(format_args!("afresh: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Ends the program as a wrong flag does: a message, and exit status 2.
fn usage(message: &str) -> ! {
    use clap::CommandFactory as _;
    Cli::command()
        .error(clap::error::ErrorKind::ValueValidation, message)
        .exit()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
