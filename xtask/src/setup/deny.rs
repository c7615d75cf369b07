//! cargo-deny, built once into the cache: the licences, bans and sources of `deny.toml`.

use std::path::PathBuf;

use afresh_testbed_host as host;
use anyhow::Result;

use crate::command;

const VERSION: &str = "0.20.2";

/// Where cargo-deny of exactly this version is, or would be.
pub(crate) fn program() -> PathBuf {
    host::cache_dir()
        .join(format!("cargo-deny-{VERSION}"))
        .join("bin/cargo-deny")
}

/// Builds it if it is not there: minutes, once.
pub(super) fn ensure() -> Result<()> {
    if program().is_file() {
        return Ok(());
    }
    println!("Building cargo-deny {VERSION} (once; 4 minutes on 2 cores)");
    let root = host::cache_dir().join(format!("cargo-deny-{VERSION}"));
    let package = format!("cargo-deny@{VERSION}");
    let mut install = command::cargo(&["install", "--locked", "--quiet", &package, "--root"])?;
    // Its dependencies are no business of the workspace's target directory.
    command::run(install.arg(root).env_remove("CARGO_TARGET_DIR"))
}
