//! The node's container runtime from the distribution's packages, unpacked into the cache: nothing is installed, so no
//! service starts and nothing has to be removed.

use std::fs;
use std::path::Path;
use std::process::Command;

use afresh_testbed_host::{self as host, Program};
use anyhow::{Context, Result, bail};

use crate::command;

const PACKAGES: [&str; 4] = ["containerd", "runc", "containernetworking-plugins", "busybox-static"];

/// What the recipes are tested with.
const APPLICATIONS: [&str; 7] = [
    "nginx",
    "haproxy",
    "prometheus",
    "promtool",
    "prometheus-blackbox-exporter",
    "redis-server",
    "redis-cli",
];
const APPLICATION_PACKAGES: [&str; 14] = [
    "nginx",
    "haproxy",
    "libatomic1",
    "libjemalloc2",
    "liblua5.3-0",
    "liblzf1",
    "libopentracing-c-wrapper0",
    "libopentracing1",
    "libpcre2-8-0",
    "libsystemd0",
    "prometheus",
    "prometheus-blackbox-exporter",
    "redis-server",
    "redis-tools",
];

/// Gets what [`Program::NODE`] names, where a node can run at all.
pub(super) fn ensure() -> Result<()> {
    let present = || Program::NODE.into_iter().all(|program| host::find(program).is_some());
    if present() {
        return Ok(());
    }
    if !command::is_root() {
        bail!("a node needs root; tests that need one are skipped");
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("only Debian's packages are known; install containerd, runc, the CNI plugins and a static busybox");
    }
    println!(
        "Unpacking {} into {}",
        PACKAGES.join(", "),
        host::debian_dir().display()
    );
    unpack_updating(&PACKAGES, &host::debian_dir())?;
    if !present() {
        bail!("the packages lack one of {:?}", Program::NODE.map(Program::name));
    }
    ensure_runc_starts()
}

/// Gets the programs of the recipes, and the libraries of theirs that a minimal system lacks.
pub(super) fn ensure_applications() -> Result<()> {
    let present = || APPLICATIONS.iter().all(|name| host::application(name).is_some());
    if present() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("only Debian's packages are known; install {}", APPLICATIONS.join(", "));
    }
    let target = host::applications_dir();
    println!(
        "Unpacking {} into {}",
        APPLICATION_PACKAGES.join(", "),
        target.display()
    );
    unpack_updating(&APPLICATION_PACKAGES, &target)?;
    if !present() {
        bail!("the packages lack one of {APPLICATIONS:?}");
    }
    Ok(())
}

fn unpack_updating(packages: &[&str], target: &Path) -> Result<()> {
    if unpack(packages, target).is_ok() {
        return Ok(());
    }
    println!("  apt-get update");
    command::output(Command::new("apt-get").args(["-qq", "update"]))?;
    unpack(packages, target)
}

/// Downloads packages and unpacks them to `target`, all or nothing.
fn unpack(packages: &[&str], target: &Path) -> Result<()> {
    let partial = target.with_extension("partial");
    let downloads = partial.join("downloads");
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&downloads).with_context(|| format!("could not create {}", downloads.display()))?;
    // The sandboxed user of apt may not write below root's home.
    let mut apt = Command::new("apt-get");
    apt.args(["-qq", "-o", "APT::Sandbox::User=root", "download"])
        .args(packages)
        .current_dir(&downloads);
    command::output(&mut apt)?;
    for entry in fs::read_dir(&downloads).context("could not list the downloaded packages")? {
        let package = entry.context("could not list the downloaded packages")?.path();
        command::output(Command::new("dpkg-deb").arg("-x").arg(package).arg(&partial))?;
    }
    let _ = fs::remove_dir_all(&downloads);
    let _ = fs::remove_dir_all(target);
    fs::rename(&partial, target).with_context(|| format!("could not rename {}", partial.display()))
}

/// runc is the only one that is linked with a library that a minimal system may lack.
fn ensure_runc_starts() -> Result<()> {
    let runc = host::find(Program::Runc).context("runc is gone")?;
    if command::output(Command::new(&runc).arg("--version")).is_err() {
        println!("  apt-get install libseccomp2, for runc");
        command::output(Command::new("apt-get").args([
            "-qq",
            "install",
            "-y",
            "--no-install-recommends",
            "libseccomp2",
        ]))?;
    }
    command::output(Command::new(&runc).arg("--version")).map(drop)
}
