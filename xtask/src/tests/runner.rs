//! Running one test binary: isolated where possible, bounded in time, its output passed on as it comes.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use afresh_testbed_host as host;
use anyhow::{Context, Result};

use super::summary::{Outcome, Summary};
use super::{Binary, check_leftovers, fresh_state};
use crate::namespaces::Outside;

/// No test binary may take longer: CI's own limit is 90 minutes for everything.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// How tests are run.
#[derive(Debug)]
pub(super) struct Runner<'a> {
    pub(super) filters: &'a [String],
    pub(super) isolated: bool,
    /// Below here, each binary gets a directory for the clusters it starts.
    pub(super) state: PathBuf,
}

impl Runner<'_> {
    /// Runs `binary` and adds what its tests said to `summary`.
    pub(super) fn run(&self, binary: &Binary, summary: &mut Summary) -> Result<()> {
        println!("== {}", binary.name);
        let state = fresh_state(&self.state, &binary.name.replace(['/', ' '], "-"))?;
        let skipped = state.join("skipped");
        let outside = self.isolated.then(Outside::make);
        let mut command = match &outside {
            Some(outside) => outside.command(&binary.executable),
            None => Command::new(&binary.executable),
        };
        command.args(self.filters).current_dir(&binary.package_root);
        // What cargo itself would set, and tests and snapshot libraries read.
        command
            .env("CARGO_MANIFEST_DIR", &binary.package_root)
            .env("INSTA_WORKSPACE_ROOT", crate::root()?);
        command.env(host::ENV_STATE, &state).env(host::ENV_SKIPPED, &skipped);
        let outcome = stream(&mut command, LIMIT)?;
        drop(outside);
        summary.add(
            &binary.name,
            &outcome,
            &fs::read_to_string(&skipped).unwrap_or_default(),
        );
        check_leftovers(&state, &binary.name, summary);
        remove_data(&state);
        Ok(())
    }

    /// Documentation examples are compiled as they run, so not offline; they start no cluster.
    pub(super) fn run_doctests(&self, mut command: Command, summary: &mut Summary) -> Result<()> {
        let outcome = stream(&mut command, LIMIT)?;
        summary.add("documentation", &outcome, "");
        Ok(())
    }
}

/// Logs stay for whoever looks for a cause; etcd's and containerd's data do not.
fn remove_data(state: &std::path::Path) {
    for cluster in fs::read_dir(state).into_iter().flatten().flatten() {
        for name in ["data", "secrets"] {
            let _ = fs::remove_dir_all(cluster.path().join(name));
        }
    }
}

/// Runs `command`, prints its standard output line by line, and gathers what the test harness says in it.
fn stream(command: &mut Command, limit: Duration) -> Result<Outcome> {
    let started = Instant::now();
    if env::var_os("RUST_BACKTRACE").is_none() {
        command.env("RUST_BACKTRACE", "0");
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let child = child
        .as_mut()
        .map_err(|error| anyhow::anyhow!("could not start the tests: {error}"))?;
    let lines = lines_of(child.stdout.take().context("the tests have no output")?);
    let mut outcome = Outcome::default();
    loop {
        match lines.recv_timeout(limit.saturating_sub(started.elapsed())) {
            Ok(line) => {
                println!("{line}");
                outcome.line(&line);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                println!("still running after {} s: killed", limit.as_secs());
                let _ = child.kill();
                outcome.timed_out = true;
                break;
            }
        }
    }
    outcome.succeeded = finish(child, limit.saturating_sub(started.elapsed()))?;
    Ok(outcome)
}

/// A child may close its output and go on; it is given what is left of its time.
fn finish(child: &mut Child, rest: Duration) -> Result<bool> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("could not wait for the tests")? {
            return Ok(status.success());
        }
        if started.elapsed() > rest {
            let _ = child.kill();
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Reads on a thread of its own, so that waiting for a line can end.
fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
    receiver
}
