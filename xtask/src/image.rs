//! Programs as the image has them: linked statically, for its platform.

use std::path::PathBuf;

use anyhow::Result;

use crate::{command, tests};

/// The platform of the image.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// As in `deploy/Containerfile`. Packed relocations save 0.8 MB of the file, all of which is read at the start.
const FLAGS: &str = "-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs";

/// Builds the programs of a package; returns the directory that they are in.
///
/// # Errors
/// If they cannot be built.
pub(crate) fn build(package: &str) -> Result<PathBuf> {
    let mut build = command::cargo(&["build", "--release", "--package", package, "--target", TARGET])?;
    command::run(build.env("RUSTFLAGS", FLAGS))?;
    Ok(tests::target_directory()?.join(TARGET).join("release"))
}
