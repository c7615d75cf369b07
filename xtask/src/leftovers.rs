//! What a test must not leave behind: processes, mounts, interfaces, cgroups.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use afresh_testbed_host as host;

const CGROUPS: &str = "/sys/fs/cgroup";
const PREFIX: &str = "afresh-testbed-";

/// A cgroup of the same name in every hierarchy there is, removed with everything below it when dropped.
#[derive(Debug)]
pub(crate) struct Cgroup {
    name: String,
}

impl Cgroup {
    /// Makes it where that is possible, and removes those of runs that were killed.
    pub(crate) fn make() -> Self {
        for hierarchy in hierarchies() {
            for stale in cgroups_in(&hierarchy).into_iter().filter(|path| owner_is_gone(path)) {
                remove(&stale);
            }
        }
        let name = format!("{PREFIX}{}", process::id());
        for hierarchy in hierarchies() {
            // Where none can be made, no node will start, and says so.
            let _ = fs::create_dir(hierarchy.join(&name));
        }
        Self { name }
    }

    /// As the kubelet takes it: absolute below each hierarchy.
    pub(crate) fn name(&self) -> String {
        format!("/{}", self.name)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for hierarchy in hierarchies() {
            remove(&hierarchy.join(&self.name));
        }
    }
}

/// Version 2 has one hierarchy, version 1 one per controller, hybrids both.
fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new(CGROUPS);
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    let entries = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    // cpu and cpuacct may be links to the same hierarchy; making it twice is no harm.
    entries.filter(|path| path.join("cgroup.procs").exists()).collect()
}

fn cgroups_in(hierarchy: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(hierarchy).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    ours.map(|entry| entry.path()).collect()
}

fn owner_is_gone(cgroup: &Path) -> bool {
    let name = cgroup
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let pid = name.strip_prefix(PREFIX).unwrap_or_default();
    !pid.is_empty() && !Path::new("/proc").join(pid).exists()
}

/// Depth first; the kernel refuses those that still hold processes.
fn remove(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(cgroup);
}

/// What a run with `state` as its state directory has left behind, one line each; empty if all is well.
pub(crate) fn find(state: &Path) -> Vec<String> {
    let state = state.to_string_lossy();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(&*state) {
            found.push(format!("process {}: {command}", entry.file_name().to_string_lossy()));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    found.extend(
        mounts
            .lines()
            .filter(|line| line.contains(&*state))
            .map(|line| format!("mount: {line}")),
    );
    let interfaces = [host::UPLINK, "cni0"].map(|name| Path::new("/sys/class/net").join(name));
    found.extend(
        interfaces
            .iter()
            .filter(|path| path.exists())
            .map(|path| format!("interface: {}", path.display())),
    );
    let own = format!("{PREFIX}{}", process::id());
    let cgroups = hierarchies()
        .into_iter()
        .map(|hierarchy| hierarchy.join(&own))
        .filter(|path| path.exists());
    found.extend(cgroups.map(|path| format!("cgroup: {}", path.display())));
    found
}
