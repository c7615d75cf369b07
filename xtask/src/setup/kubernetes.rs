//! Builds etcd, the Kubernetes components and kubectl as one program from the testbed's Go module.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use afresh_testbed_host::{self as host, Program};
use anyhow::{Context, Result, bail};

use crate::command;

/// How often a line of progress is printed: the build takes minutes.
const PROGRESS: Duration = Duration::from_secs(10);

/// Builds the programs if the cache does not hold them in this very version.
pub(super) fn ensure() -> Result<()> {
    if Program::KUBERNETES
        .into_iter()
        .all(|program| host::find(program).is_some())
    {
        return Ok(());
    }
    let started = Instant::now();
    let target = host::kubernetes_dir();
    let partial = target.with_extension("partial");
    println!(
        "Building Kubernetes {} and etcd {} into {} (once; 7 minutes on 2 cores)",
        host::kubernetes_version(),
        host::etcd_version(),
        target.display()
    );
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial).with_context(|| format!("could not create {}", partial.display()))?;
    build(&partial.join("kube"))?;
    for program in Program::KUBERNETES {
        symlink("kube", partial.join(program.name())).with_context(|| format!("could not link {}", program.name()))?;
    }
    let _ = fs::remove_dir_all(&target);
    // Renamed last, so that a directory of that name is always whole.
    fs::rename(&partial, &target).with_context(|| format!("could not rename {}", partial.display()))?;
    println!("Built Kubernetes in {} s", started.elapsed().as_secs());
    Ok(())
}

fn build(executable: &Path) -> Result<()> {
    let module = crate::root()?.join("crates/testbed/kube");
    let go = |arguments: &[&str]| {
        let mut go = Command::new("go");
        go.args(arguments).current_dir(&module).env("CGO_ENABLED", "0");
        go
    };
    command::output(&mut go(&["version"]))
        .context("Go is needed to build Kubernetes (1.21 or newer; it gets the exact version by itself)")?;
    println!("  downloading Go modules");
    command::run(&mut go(&["mod", "download"]))?;
    let packages = command::output(&mut go(&["list", "-deps", "."]))?.lines().count();
    let mut building = go(&[
        "build",
        "-v",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags",
        &linker_flags(),
        "-o",
    ]);
    building
        .arg(executable)
        .arg(".")
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = building.spawn().context("could not start go build")?;
    let lines = BufReader::new(child.stderr.take().context("go build has no output")?).lines();
    let others = show_progress(lines.map_while(Result::ok), packages);
    let status = child.wait().context("could not wait for go build")?;
    if !status.success() {
        bail!("go build failed: {status}\n{}", others.join("\n"));
    }
    Ok(())
}

/// Prints how many packages are compiled, and returns the last lines that are no package names: errors, if it fails.
fn show_progress(lines: impl Iterator<Item = String>, packages: usize) -> Vec<String> {
    let (started, mut shown, mut compiled, mut others) = (Instant::now(), Instant::now(), 0, Vec::new());
    for line in lines {
        if line.contains(' ') {
            others.push(line);
            if others.len() > 50 {
                others.remove(0);
            }
            continue;
        }
        compiled += 1;
        if shown.elapsed() >= PROGRESS {
            println!(
                "  compiled {compiled} of at most {packages} packages, {} s",
                started.elapsed().as_secs()
            );
            shown = Instant::now();
        }
    }
    others
}

/// Without these, the API server calls itself v0.0.0-master and refuses to start: feature gates are compared with it.
fn linker_flags() -> String {
    let version = host::kubernetes_version();
    let mut parts = version.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let gitversion = format!("v{version}");
    let values = [
        ("gitVersion", gitversion.as_str()),
        ("gitMajor", major),
        ("gitMinor", minor),
        ("gitTreeState", "clean"),
    ];
    let mut flags = "-s -w".to_owned();
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        for (name, value) in values {
            flags.push_str(&format!(" -X {package}.{name}={value}"));
        }
    }
    flags
}
