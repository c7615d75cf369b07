//! `cargo xtask setup`: gets what the tests need into a cache outside the tree, once per version.

use std::fs::{self, File};

use afresh_testbed_host as host;
use anyhow::{Context, Result};

use crate::command;

mod deny;
mod kubernetes;
mod packages;

pub(crate) use deny::program as cargo_deny;

/// Gets whatever is missing; says nothing about what is there.
///
/// # Errors
/// When something that the tests cannot do without cannot be had: Kubernetes always, the rest in CI.
pub(crate) fn run() -> Result<()> {
    let cache = host::cache_dir();
    fs::create_dir_all(&cache).with_context(|| format!("could not create {}", cache.display()))?;
    // Two runs at once would build the same thing twice.
    let lock = File::create(cache.join("setup.lock")).context("could not create the lock of the cache")?;
    lock.lock().context("could not lock the cache")?;
    kubernetes::ensure()?;
    optional("the node's container runtime", packages::ensure())?;
    optional("the programs of the recipes", packages::ensure_applications())?;
    optional("cargo-deny", deny::ensure())
}

/// Outside CI a developer can go on without; CI must not look green without it.
fn optional(what: &str, result: Result<()>) -> Result<()> {
    match result {
        Err(error) if !command::in_ci() => {
            eprintln!("xtask: going on without {what}: {error:#}");
            Ok(())
        }
        other => other.with_context(|| format!("CI cannot do without {what}")),
    }
}
