//! What `xtask` and the testbed agree on about the machine they run on: which versions, where the programs of a
//! cluster are, and the environment variables by which one tells the other how a test runs.
//!
//! `xtask setup` puts the programs where [`find`] looks for them; the testbed only looks.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;

/// Set (to `1`) by `xtask` for everything that it runs in process, mount and network namespaces of its own. Only there
/// may a node run: containerd's shims and mounts would outlive the test anywhere else.
pub const ENV_INSIDE: &str = "AFRESH_TESTBED_INSIDE";

/// The file to which a test that cannot run here appends `NAME<TAB>REASON`; `xtask` counts its lines as skipped.
pub const ENV_SKIPPED: &str = "AFRESH_TESTBED_SKIPPED";

/// The directory below which every cluster keeps its state and logs.
pub const ENV_STATE: &str = "AFRESH_TESTBED_DIR";

/// The directory below every cgroup controller under which a node puts its pods. Whoever made the namespaces removes it
/// after them, because cgroups are not namespaced away.
pub const ENV_CGROUP: &str = "AFRESH_TESTBED_CGROUP";

/// The interface that stands in for the machine's network inside the namespaces.
pub const UPLINK: &str = "afresh0";

/// The address of [`UPLINK`]: of TEST-NET-1 (RFC 5737), so never anybody's. The API server advertises it.
pub const UPLINK_ADDRESS: &str = "192.0.2.1";

/// The address of the `kubernetes` Service. [`UPLINK`] has it as well, so that pods reach the API server without kube-proxy.
pub const SERVICE_ADDRESS: &str = "10.96.0.1";

const GO_MOD: &str = include_str!("../../kube/go.mod");
const GO_SUM: &str = include_str!("../../kube/go.sum");
const MAIN_GO: &str = include_str!("../../kube/main.go");

/// The Kubernetes version that the Go module builds, such as `1.36.3`.
pub fn kubernetes_version() -> &'static str {
    required("k8s.io/kubernetes")
}

/// The etcd version that the Go module builds, such as `3.6.16`.
pub fn etcd_version() -> &'static str {
    required("go.etcd.io/etcd/server/v3")
}

/// The version that go.mod requires of `module`, or `unknown`.
fn required(module: &str) -> &'static str {
    GO_MOD
        .lines()
        .filter_map(|line| line.trim().split_once(" v"))
        .find_map(|(name, version)| (name == module).then(|| version.split_whitespace().next().unwrap_or("unknown")))
        .unwrap_or("unknown")
}

/// The programs of a cluster, by the names they are started under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The store.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// The controllers of Deployments, ReplicaSets, ServiceAccounts and so on.
    KubeControllerManager,
    /// Binds pods to nodes.
    KubeScheduler,
    /// Runs the pods of a node.
    Kubelet,
    /// The command line.
    Kubectl,
    /// The container runtime.
    Containerd,
    /// containerd's shim, which it looks for on its PATH.
    ContainerdShim,
    /// containerd's own command line, to import images.
    Ctr,
    /// The low-level runtime.
    Runc,
    /// A static busybox: the image of the tests, and `ip`.
    Busybox,
    /// The CNI plugin that connects pods; the others are beside it.
    CniBridge,
}

impl Program {
    /// What the Go module builds.
    pub const KUBERNETES: [Self; 6] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubelet,
        Self::Kubectl,
    ];

    /// What Debian's packages bring, needed for a node only.
    pub const NODE: [Self; 6] = [
        Self::Containerd,
        Self::ContainerdShim,
        Self::Ctr,
        Self::Runc,
        Self::Busybox,
        Self::CniBridge,
    ];

    /// The file name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::Kubectl => "kubectl",
            Self::Containerd => "containerd",
            Self::ContainerdShim => "containerd-shim-runc-v2",
            Self::Ctr => "ctr",
            Self::Runc => "runc",
            Self::Busybox => "busybox",
            Self::CniBridge => "bridge",
        }
    }
}

/// Where `program` is: `KUBEBUILDER_ASSETS` (the field's convention, Kubernetes and etcd only), then the cache, then, for
/// what a distribution packages, the system's own directories. `None` if `cargo xtask setup` has still to be run.
pub fn find(program: Program) -> Option<PathBuf> {
    candidates(program).into_iter().find(|path| path.is_file())
}

fn candidates(program: Program) -> Vec<PathBuf> {
    let name = program.name();
    if Program::KUBERNETES.contains(&program) {
        let assets = env::var_os("KUBEBUILDER_ASSETS")
            .filter(|value| !value.is_empty())
            .map(PathBuf::from);
        return assets
            .into_iter()
            .chain([kubernetes_dir()])
            .map(|dir| dir.join(name))
            .collect();
    }
    let packages = debian_dir();
    let system = Path::new("/");
    let below: &[&str] = match program {
        Program::CniBridge => &["usr/lib/cni", "opt/cni/bin", "usr/libexec/cni"],
        _ => &["usr/bin", "usr/sbin", "bin", "usr/local/bin", "usr/local/sbin"],
    };
    [packages.as_path(), system]
        .iter()
        .flat_map(|root| below.iter().map(move |dir| root.join(dir).join(name)))
        .collect()
}

/// The cache of everything that is slow to get: `$XDG_CACHE_HOME/afresh`, else `~/.cache/afresh`, else a directory of
/// the system's temporary one.
pub fn cache_dir() -> PathBuf {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(env::temp_dir)
        .join("afresh")
}

/// Where the Kubernetes programs are cached. The name changes with any change of the Go module, so a stale build is never used.
pub fn kubernetes_dir() -> PathBuf {
    let key = fnv1a([GO_MOD, GO_SUM, MAIN_GO]);
    cache_dir().join(format!("kubernetes-{}-{key:016x}", kubernetes_version()))
}

/// Where the distribution's packages are unpacked, named after the distribution's release.
pub fn debian_dir() -> PathBuf {
    cache_dir().join(format!("packages-{}", release()))
}

/// Where the programs of the recipes (`docs/recipes.md`) are unpacked from the distribution's packages.
pub fn applications_dir() -> PathBuf {
    cache_dir().join(format!("applications-{}", release()))
}

/// Where a program of the recipes is: unpacked by `cargo xtask setup`, else the system's.
pub fn application(name: &str) -> Option<PathBuf> {
    let below = ["usr/sbin", "usr/bin"];
    let roots = [applications_dir(), PathBuf::from("/")];
    let all = roots.iter().flat_map(|root| below.map(|dir| root.join(dir).join(name)));
    all.into_iter().find(|path| path.is_file())
}

/// Where the libraries of [`application`]s lie that a minimal system lacks: for `LD_LIBRARY_PATH`.
pub fn application_libraries() -> PathBuf {
    let triplet = if cfg!(target_arch = "aarch64") {
        "aarch64-linux-gnu"
    } else {
        "x86_64-linux-gnu"
    };
    applications_dir().join("usr/lib").join(triplet)
}

/// The distribution and its release, such as `debian-12`; `linux` where nothing tells.
fn release() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |key: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    match (field("ID"), field("VERSION_ID")) {
        (Some(id), Some(version)) => format!("{id}-{version}"),
        (Some(id), None) => id,
        _ => "linux".to_owned(),
    }
}

/// Why a node cannot run here, or `None` if it can.
pub fn why_no_node() -> Option<String> {
    if env::var_os(ENV_INSIDE).is_none() {
        return Some("a node needs namespaces of its own: run the test by `cargo xtask test`, as root".to_owned());
    }
    let missing: Vec<_> = Program::NODE
        .iter()
        .chain(&Program::KUBERNETES)
        .filter(|p| find(**p).is_none())
        .collect();
    (!missing.is_empty()).then(|| {
        let names: Vec<_> = missing.iter().map(|program| program.name()).collect();
        format!("{} not found: run `cargo xtask setup`, as root", names.join(", "))
    })
}

/// Records that the calling test cannot run here, by its name, which is its thread's, and the reason: `cargo xtask test`
/// reports it, and in CI fails. Call it on the thread that the test started on, and return.
pub fn skip(reason: &str) {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("{test}\t{reason}\n");
    let recorded = env::var_os(ENV_SKIPPED).and_then(|path| {
        let mut file = OpenOptions::new().create(true).append(true).open(path).ok()?;
        file.write_all(line.as_bytes()).ok()
    });
    if recorded.is_none() {
        // Past libtest's capture.
        let _ = writeln!(io::stderr(), "skipped {test}: {reason}");
    }
}

/// FNV-1a, 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>): enough to tell two versions of a source apart.
fn fnv1a<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
    texts
        .into_iter()
        .flat_map(|text| text.bytes().chain([0]))
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_go_module() {
        assert!(kubernetes_version().starts_with("1."), "{}", kubernetes_version());
        assert!(etcd_version().starts_with("3."), "{}", etcd_version());
        assert_eq!(required("example.com/absent"), "unknown");
    }

    #[test]
    fn the_cache_key_changes_with_any_byte_and_with_its_place() {
        assert_eq!(fnv1a([]), 0xcbf2_9ce4_8422_2325);
        assert_ne!(fnv1a(["ab", "c"]), fnv1a(["a", "bc"]));
        assert_ne!(fnv1a(["a"]), fnv1a(["b"]));
    }
}
