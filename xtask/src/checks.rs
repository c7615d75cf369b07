//! What holds the code together without running it.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::{command, crates, setup};

/// `cargo xtask check`.
pub(crate) fn run() -> Result<ExitCode> {
    Ok(if failures()?.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs every check and returns the names of those that failed, so that one run shows all that is wrong.
///
/// # Errors
/// When a check cannot even be started.
pub(crate) fn failures() -> Result<Vec<&'static str>> {
    type Check = (&'static str, fn() -> Result<()>);
    let checks: [Check; 5] = [
        ("formatting", formatting),
        ("dependency direction", crates::check),
        ("licences, bans and sources", deny),
        ("clippy", clippy),
        ("documentation", documentation),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        println!("== {name}");
        if let Err(error) = check() {
            eprintln!("{name}: {error:#}");
            failed.push(name);
        }
    }
    Ok(failed)
}

fn formatting() -> Result<()> {
    command::run(&mut command::cargo(&["fmt", "--all", "--check"])?)
}

fn clippy() -> Result<()> {
    command::run(&mut command::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])?)?;
    // By itself, as it is built for the image: without the Kubernetes client that the `afresh` program gives it.
    let alone = ["clippy", "--package", "afresh-agent", "--", "-D", "warnings"];
    command::run(&mut command::cargo(&alone)?)
}

fn documentation() -> Result<()> {
    let mut doc = command::cargo(&["doc", "--workspace", "--no-deps"])?;
    command::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
}

fn deny() -> Result<()> {
    let program = setup::cargo_deny();
    if !program.is_file() && !command::in_ci() {
        println!("not checked: cargo-deny is not there (`cargo xtask setup`)");
        return Ok(());
    }
    // Advisories come from a git repository that CI cannot reach.
    let mut deny = Command::new(program);
    deny.current_dir(crate::root()?).args([
        "--workspace",
        "--all-features",
        "--log-level",
        "error",
        "check",
        "bans",
        "licenses",
        "sources",
    ]);
    command::run(&mut deny).context("cargo-deny found something")
}
