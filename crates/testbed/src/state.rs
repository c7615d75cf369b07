//! Where a cluster keeps its files: `logs` outlive it, `data` and `run` do not.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use afresh_testbed_host as host;

use crate::error::{Error, Result};

static CLUSTERS: AtomicU32 = AtomicU32::new(0);

/// The directories of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// Everything below is in here.
    pub(crate) root: PathBuf,
    /// A log per component, and the audit log.
    pub(crate) logs: PathBuf,
    /// What etcd, the kubelet and containerd store.
    pub(crate) data: PathBuf,
    /// Keys, tokens and kubeconfigs.
    pub(crate) secrets: PathBuf,
    /// No other cluster of this process has it.
    pub(crate) number: u32,
}

impl State {
    /// Makes the directories of a new cluster of this process, and removes what processes that are gone left behind.
    pub(crate) fn create(flavour: &str) -> Result<Self> {
        let base = env::var_os(host::ENV_STATE).map_or_else(temporary, PathBuf::from);
        remove_orphans(&base);
        let number = CLUSTERS.fetch_add(1, Ordering::Relaxed);
        let root = base.join(format!("{}-{number}-{flavour}", process::id()));
        // Process ids come again, in a pid namespace always.
        if root.exists() {
            fs::remove_dir_all(&root).map_err(Error::file("remove", &root))?;
        }
        let state = Self {
            logs: root.join("logs"),
            data: root.join("data"),
            secrets: root.join("secrets"),
            root,
            number,
        };
        for directory in [&state.logs, &state.data, &state.secrets] {
            fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
        }
        restrict(&state.secrets)?;
        Ok(state)
    }

    /// Removes all but the logs. What cannot be removed is left: the next cluster's start tries again.
    pub(crate) fn remove(&self) {
        let _ = fs::remove_dir_all(&self.data);
        let _ = fs::remove_dir_all(&self.secrets);
    }
}

/// One per user: a directory of another user's cannot be written.
fn temporary() -> PathBuf {
    env::temp_dir().join(format!("afresh-testbed-{}", rustix::process::geteuid().as_raw()))
}

fn restrict(directory: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).map_err(Error::file("restrict", directory))
}

/// A process that was killed could not remove its data; its name begins with its id.
fn remove_orphans(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let alive = name
            .split('-')
            .next()
            .is_none_or(|pid| Path::new("/proc").join(pid).exists());
        if !alive {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
