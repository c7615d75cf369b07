//! `cargo xtask bench`: builds the measuring program and what it measures, and runs it.

use std::process::{Command, ExitCode};

use afresh_testbed_host as host;
use anyhow::{Context, Result};

use crate::{command, image, namespaces, setup, tests};

mod library;

/// Where the last table is kept.
const PAGE: &str = "docs/benchmarks.md";

/// `cargo xtask bench [loads|sources] [--quick] [ARGS..]`: only a whole run, one without arguments, is written to the page.
/// `cargo xtask bench compare NAME=FILE..` measures builds that are there already, in turn; `cargo xtask bench library`
/// measures the library instead.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    if let Some(("library", rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return library::run(rest, &crate::root()?.join(PAGE)).map(|()| ExitCode::SUCCESS);
    }
    setup::run()?;
    command::run(&mut command::cargo(&[
        "build",
        "--release",
        "--package",
        "afresh-bench",
    ])?)?;
    let release = tests::target_directory()?.join("release");
    let mut bench = Command::new(release.join("afresh-bench"));
    let (what, arguments) = match arguments.split_first() {
        Some((word, rest)) if ["loads", "sources", "compare"].contains(&&**word) => (&**word, rest),
        _ => ("run", arguments),
    };
    bench.arg(what);
    if what != "compare" {
        // What people run is what is measured.
        bench.arg("--afresh").arg(image::build("afresh-cli")?.join("afresh"));
    }
    if what == "sources" {
        bench
            .arg("--agent")
            .arg(image::build("afresh-agent")?.join("afresh-agent"));
    }
    bench.args(arguments);
    if arguments.is_empty() {
        bench.arg("--write").arg(crate::root()?.join(PAGE));
    }
    // Not where others look for the clusters of runs that are over.
    bench.env(host::ENV_STATE, tests::fresh_state(&tests::state_base()?, "bench")?);
    let status = bench.status().context("could not start afresh-bench")?;
    Ok(namespaces::exit_code(status))
}
