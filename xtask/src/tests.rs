//! `cargo xtask test`: builds every test, then runs each test binary in namespaces of its own, offline.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{checks, command, leftovers, namespaces, setup};

mod runner;
mod summary;

use runner::Runner;
use summary::Summary;

/// A test executable that cargo built.
#[derive(Debug)]
struct Binary {
    /// Such as `afresh-model lib` or `afresh-testbed tests/node`.
    name: String,
    executable: PathBuf,
    /// Cargo runs tests from here.
    package_root: PathBuf,
}

/// What to run: everything, or what a developer is working on.
#[derive(Debug, Default)]
struct Selection {
    packages: Vec<String>,
    filters: Vec<String>,
}

impl Selection {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut selection = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "-p" | "--package" => {
                    let name = arguments
                        .next()
                        .context("-p needs the name of a package, such as afresh-model")?;
                    selection.packages.push(name.clone());
                }
                flag if flag.starts_with('-') => bail!("test knows -p PACKAGE and filters, not {flag}"),
                filter => selection.filters.push(filter.to_owned()),
            }
        }
        Ok(selection)
    }

    fn is_everything(&self) -> bool {
        self.packages.is_empty() && self.filters.is_empty()
    }

    /// `cargo test` of the packages, with more arguments.
    fn cargo_test(&self, more: &[&str]) -> Result<Command> {
        let mut command = command::cargo(&["test"])?;
        if self.packages.is_empty() {
            command.arg("--workspace");
        }
        command
            .args(self.packages.iter().flat_map(|name| ["--package", name]))
            .args(more);
        Ok(command)
    }
}

/// Runs the checks (only if everything is asked for), the tests and the examples of the documentation, and prints the
/// closing line, whatever happens.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let selection = Selection::parse(arguments)?;
    let started = Instant::now();
    let mut summary = Summary::default();
    if let Err(error) = run_selected(&selection, &mut summary) {
        eprintln!("{error:#}");
        summary.failed(&format!("{error}"));
    }
    println!("== {} s", started.elapsed().as_secs());
    Ok(summary.close(command::in_ci()))
}

fn run_selected(selection: &Selection, summary: &mut Summary) -> Result<()> {
    setup::run()?;
    if selection.is_everything() {
        for name in checks::failures()? {
            summary.failed(&format!("check: {name}"));
        }
    }
    println!("== building the tests");
    let binaries = build(selection)?;
    let namespaces_missing = namespaces::why_not();
    if let Some(reason) = &namespaces_missing {
        println!("no namespaces here, so no node: {reason}");
    }
    let isolated = namespaces_missing.is_none();
    let runner = Runner {
        filters: &selection.filters,
        isolated,
        state: state_base()?,
    };
    for binary in &binaries {
        runner.run(binary, summary)?;
    }
    // Cargo refuses to look for examples where there is no library.
    let has_library = binaries.iter().any(|binary| binary.name.ends_with(" lib"));
    if selection.filters.is_empty() && has_library {
        println!("== examples in the documentation");
        runner.run_doctests(selection.cargo_test(&["--doc", "--quiet"])?, summary)?;
    }
    Ok(())
}

/// Builds all test binaries, outside the namespaces, where the network is.
fn build(selection: &Selection) -> Result<Vec<Binary>> {
    let mut build = selection.cargo_test(&["--no-run", "--message-format=json-render-diagnostics"])?;
    let output = build
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("could not start cargo test")?;
    anyhow::ensure!(output.status.success(), "the tests do not build");
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut binaries: Vec<_> = messages.filter_map(|message| binary(&message)).collect();
    binaries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(binaries)
}

fn binary(message: &Value) -> Option<Binary> {
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let executable = PathBuf::from(message["executable"].as_str()?);
    let package_root = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
    let package = package_root.file_name()?.to_string_lossy().into_owned();
    let kind = match message["target"]["kind"][0].as_str()? {
        "test" => format!("tests/{}", message["target"]["name"].as_str()?),
        other => other.to_owned(),
    };
    Some(Binary {
        name: format!("{package} {kind}"),
        executable,
        package_root,
    })
}

/// Where cargo builds, whatever the environment and configuration say.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata = command::output(&mut command::cargo(&[
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
    ])?)?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is no JSON")?;
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .context("cargo metadata names no target directory")
}

/// Below here is what clusters leave: their logs.
pub(crate) fn state_base() -> Result<PathBuf> {
    Ok(target_directory()?.join("testbed"))
}

/// A directory of its own for the clusters of one command of this run, so that two runs do not disturb each other. Those
/// of runs that are over are removed: only the last run's logs are kept.
pub(crate) fn fresh_state(base: &Path, name: &str) -> Result<PathBuf> {
    let owner_is_gone = |entry: &fs::DirEntry| {
        let entry = entry.file_name().to_string_lossy().into_owned();
        let pid = entry
            .rsplit_once('.')
            .filter(|(of, _)| *of == name)
            .map(|(_, pid)| pid.to_owned());
        pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
    };
    for entry in fs::read_dir(base).into_iter().flatten().flatten().filter(owner_is_gone) {
        let _ = fs::remove_dir_all(entry.path());
    }
    let directory = base.join(format!("{name}.{}", std::process::id()));
    fs::create_dir_all(&directory).with_context(|| format!("could not create {}", directory.display()))?;
    Ok(directory)
}

/// Counts what is left behind as a failure, named after whoever left it.
fn check_leftovers(state: &Path, name: &str, summary: &mut Summary) {
    for leftover in leftovers::find(state) {
        eprintln!("{name} left behind: {leftover}");
        summary.failed(&format!("{name}: left behind {leftover}"));
    }
}
