//! The small program for pods: what `afresh agent` does, without the rest of `afresh`.

use std::process::ExitCode;

use afresh_agent::source::Objects;
use clap::{Parser, Subcommand};

/// Keeps the process beside it on the current content of mounted files.
#[derive(Debug, Parser)]
#[command(name = "afresh-agent", version, propagate_version = true, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Act on each change of mounted files by a signal, a command or an HTTP request
    Agent(Box<afresh_agent::AgentArgs>),
    /// Start a program, keep its environment current, and be its init
    Run(Box<afresh_agent::RunArgs>),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Agent(args) => {
            afresh_agent::agent::main(&args, Objects::NotBuiltIn).map_err(|error| error.to_string())
        }
        Command::Run(args) => afresh_agent::run::main(&args, Objects::NotBuiltIn).map_err(|error| error.to_string()),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            afresh_agent::complain(format_args!("afresh-agent: {error}"));
            ExitCode::FAILURE
        }
    }
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
