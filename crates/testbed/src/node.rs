//! The node: containerd with runc and a CNI bridge, and a kubelet, all inside the namespaces that `xtask` made.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use afresh_testbed_host::{self as host, Program};
use serde_json::json;
use tokio::process::Command;

use crate::access::Access;
use crate::cluster::{Part, Parts, Resync};
use crate::error::{Error, Result};
use crate::image::{self, Image};
use crate::process::{Recipe, locate, output};
use crate::ready;
use crate::state::State;

static CLAIMED: AtomicBool = AtomicBool::new(false);

/// How long importing an image may take.
const IMPORT_LIMIT: Duration = Duration::from_secs(300);

/// How long `ctr` tries to connect; its own 10 s are short on a busy machine.
const CONNECT: &str = "120s";

/// The path of a socket has 107 bytes at most (`unix(7)`), and the kubelet, like containerd, makes some: one below its root
/// directory has a random number of any length in its name, so that a longer path fails now and then. `/run` is short and
/// belongs to the namespaces. Each attempt has a directory of its own in it.
const RUN: &str = "/run/afresh-testbed";

/// Pods get their addresses from here.
const POD_SUBNET: &str = "10.97.0.0/16";

/// Takes the one node that this process may start, and try to start.
///
/// # Errors
/// [`Error::NoNode`], [`Error::SecondNode`].
pub(crate) fn claim() -> Result<()> {
    if let Some(reason) = host::why_no_node() {
        return Err(Error::NoNode(reason));
    }
    if CLAIMED.swap(true, Ordering::SeqCst) {
        Err(Error::SecondNode)
    } else {
        Ok(())
    }
}

/// A node's places.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    kubelet_root: PathBuf,
    images: PathBuf,
    socket: PathBuf,
}

impl Node {
    /// Starts containerd and imports the images that every pod needs.
    pub(crate) async fn prepare(state: &State, parts: &mut Parts) -> Result<Self> {
        let node = Self {
            kubelet_root: run(state.number).join("kubelet"),
            images: state.data.join("images"),
            socket: run(state.number).join("containerd.sock"),
        };
        for directory in [&node.kubelet_root, &node.images, &run(state.number)] {
            fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
        }
        let cni = write_cni(state)?;
        parts.0.push(Part::start(containerd(state, &node.socket, &cni)?)?);
        // The socket is there before anyone listens on it.
        ready::until("an answer of containerd", parts, || async {
            let mut version = node.ctr().map_err(|error| error.to_string())?;
            version.arg("version");
            let answer = output(version, None, IMPORT_LIMIT).await;
            answer.map(drop).map_err(|error| error.to_string())
        })
        .await?;
        for image in [image::pause()?, image::busybox()?] {
            node.import(&image).await?;
        }
        Ok(node)
    }

    /// Starts the kubelet, which registers the node.
    pub(crate) fn join(&self, state: &State, access: &Access, resync: Resync, parts: &mut Parts) -> Result<()> {
        let [port] = crate::ports::free()?;
        let config = state.data.join("kubelet.json");
        fs::write(&config, self.kubelet_config(state, port, resync).to_string())
            .map_err(Error::file("write", &config))?;
        let recipe = Recipe::new(Program::Kubelet, &state.logs)
            .flag("config", config)
            .flag("kubeconfig", access.kubeconfig())
            .flag("root-dir", &self.kubelet_root)
            .flag("cert-dir", state.data.join("kubelet-pki"))
            .flag("hostname-override", "localhost")
            .environment("PATH", path_with_packages()?);
        parts.0.push(Part::start(recipe)?);
        Ok(())
    }

    fn kubelet_config(&self, state: &State, port: u16, resync: Resync) -> serde_json::Value {
        let sync_frequency = match resync {
            Resync::Rare => "10m",
            Resync::Default => "1m",
        };
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": "127.0.0.1",
            "port": port,
            "healthzPort": 0,
            "authentication": { "anonymous": { "enabled": true }, "webhook": { "enabled": false } },
            "authorization": { "mode": "AlwaysAllow" },
            "containerRuntimeEndpoint": format!("unix://{}", self.socket.display()),
            // Any machine: cgroup v1, swap, no systemd; and cgroups below one that is removed afterwards.
            "failCgroupV1": false,
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": false,
            "enforceNodeAllocatable": [],
            "cgroupRoot": env::var(host::ENV_CGROUP).unwrap_or_default(),
            "failSwapOn": false,
            "syncFrequency": sync_frequency,
            "resolvConf": "",
            "podLogsDir": state.logs.join("pods"),
            "volumePluginDir": state.data.join("kubelet-plugins"),
            // A full disk is not what is tested.
            "evictionHard": { "memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%" },
            "imageGCHighThresholdPercent": 100,
        })
    }

    /// The directory in which the kubelet keeps a pod's volume, as the pod sees it.
    pub(crate) fn volume(&self, pod_uid: &str, plugin: &str, volume: &str) -> PathBuf {
        self.kubelet_root
            .join("pods")
            .join(pod_uid)
            .join("volumes")
            .join(format!("kubernetes.io~{plugin}"))
            .join(volume)
    }

    fn ctr(&self) -> Result<Command> {
        let mut ctr = Command::new(locate(Program::Ctr)?);
        ctr.arg("--address").arg(&self.socket);
        ctr.args(["--connect-timeout", CONNECT, "--namespace", "k8s.io"]);
        Ok(ctr)
    }

    /// Gives the image to containerd under its name.
    pub(crate) async fn import(&self, image: &Image) -> Result<()> {
        let archive = image.write(&self.images)?;
        let mut ctr = self.ctr()?;
        ctr.args(["images", "import", "--snapshotter", "native"]).arg(&archive);
        output(ctr, None, IMPORT_LIMIT).await?;
        fs::remove_file(&archive).map_err(Error::file("remove", &archive))
    }
}

/// What cluster `number` of this process keeps under short paths.
fn run(number: u32) -> PathBuf {
    Path::new(RUN).join(number.to_string())
}

fn directory_of(program: Program) -> Result<PathBuf> {
    Ok(locate(program)?.parent().map(Path::to_path_buf).unwrap_or_default())
}

/// containerd looks for its shim and for runc on its PATH.
fn path_with_packages() -> Result<OsString> {
    let packages = [directory_of(Program::ContainerdShim)?, directory_of(Program::Runc)?];
    let present = env::var_os("PATH").unwrap_or_default();
    let all = packages.into_iter().chain(env::split_paths(&present));
    env::join_paths(all).map_err(|error| Error::NoNode(error.to_string()))
}

fn write_cni(state: &State) -> Result<PathBuf> {
    let directory = state.data.join("cni");
    fs::create_dir_all(&directory).map_err(Error::file("create", &directory))?;
    let ipam = json!({
        "type": "host-local",
        "ranges": [[{ "subnet": POD_SUBNET }]],
        "routes": [{ "dst": "0.0.0.0/0" }],
        "dataDir": state.data.join("cni-addresses"),
    });
    let bridge = json!({ "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipam": ipam });
    let list = json!({ "cniVersion": "0.4.0", "name": "testbed", "plugins": [bridge] });
    let file = directory.join("10-bridge.conflist");
    fs::write(&file, list.to_string()).map_err(Error::file("write", &file))?;
    Ok(directory)
}

fn containerd(state: &State, socket: &Path, cni: &Path) -> Result<Recipe> {
    // Debug formatting quotes a path as TOML does.
    let config = format!(
        r#"version = 2
root = {root:?}
state = {run:?}
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
address = {socket:?}
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = {pause:?}
restrict_oom_score_adj = true
stream_server_address = "127.0.0.1"
stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = {plugins:?}
conf_dir = {cni:?}
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"#,
        root = state.data.join("containerd"),
        run = run(state.number).join("containerd"),
        pause = image::PAUSE,
        plugins = directory_of(Program::CniBridge)?,
    );
    let file = state.data.join("containerd.toml");
    fs::write(&file, config).map_err(Error::file("write", &file))?;
    let recipe = Recipe::new(Program::Containerd, &state.logs).flag("config", file);
    Ok(recipe.environment("PATH", path_with_packages()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_socket_of_the_kubelet_has_a_path_that_the_kernel_takes() {
        let longest = run(u32::MAX).join("kubelet/pod-resources").join(u32::MAX.to_string());
        assert!(longest.as_os_str().len() <= 107, "{}", longest.display());
    }
}
