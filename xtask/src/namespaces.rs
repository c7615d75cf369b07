//! Process, mount and network namespaces: whatever runs in them, nothing of it is left when they end.

use std::env;
use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use afresh_testbed_host::{self as host, Program};
use anyhow::{Context, Result, bail};

use crate::command;
use crate::leftovers::Cgroup;
use crate::tests;

const SCRIPT: &str = include_str!("namespaces.sh");

/// Directories that a kubelet and CNI plugins make at fixed places; removed afterwards where they were not there before.
const FIXED: [&str; 3] = ["/var/lib/cni", "/var/lib/kubelet", "/var/log/containers"];

/// Why namespaces cannot be made here, or `None` if they can.
pub(crate) fn why_not() -> Option<String> {
    if !command::is_root() {
        return Some("not root".to_owned());
    }
    let attempt = command::output(&mut unshare("true"));
    attempt.err().map(|error| format!("{error:#}"))
}

fn unshare(program: impl AsRef<OsStr>) -> Command {
    // setpriv: unshare must die with us, and by --kill-child all that is inside with it.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "unshare"]);
    command
        .args([
            "--pid",
            "--mount",
            "--net",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
        ])
        .arg(program);
    command
}

/// What is shared with the machine even so, and has to be removed after the namespaces.
#[derive(Debug)]
pub(crate) struct Outside {
    cgroup: Cgroup,
    made: Vec<PathBuf>,
}

impl Outside {
    /// Makes the mount points and the cgroup.
    pub(crate) fn make() -> Self {
        let absent = FIXED.iter().map(PathBuf::from).filter(|path| !path.exists());
        let made = absent.filter(|path| std::fs::create_dir_all(path).is_ok()).collect();
        Self {
            cgroup: Cgroup::make(),
            made,
        }
    }

    /// The command that runs `program` inside namespaces; arguments and environment may be added.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = unshare("sh");
        command.args([
            "-c",
            SCRIPT,
            "namespaces.sh",
            &ip(),
            host::UPLINK,
            host::UPLINK_ADDRESS,
            host::SERVICE_ADDRESS,
        ]);
        command
            .arg(program)
            .env(host::ENV_INSIDE, "1")
            .env(host::ENV_CGROUP, self.cgroup.name());
        command
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        for path in &self.made {
            // Fails if it is no longer empty, and then it is not ours to remove.
            let _ = std::fs::remove_dir(path);
        }
    }
}

/// `cargo xtask isolated CMD..`.
pub(crate) fn isolated(arguments: &[String]) -> Result<ExitCode> {
    let (program, rest) = arguments.split_first().context("name a command to run")?;
    if let Some(reason) = why_not() {
        bail!("no namespaces can be made here: {reason}");
    }
    let outside = Outside::make();
    let mut command = outside.command(program);
    if env::var_os(host::ENV_STATE).is_none() {
        command.env(host::ENV_STATE, tests::fresh_state(&tests::state_base()?, "isolated")?);
    }
    let status = command.args(rest).status().context("could not start unshare")?;
    Ok(exit_code(status))
}

/// The machine's `ip`, or busybox's.
fn ip() -> String {
    let system = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let busybox = || host::find(Program::Busybox).map(|path| format!("{} ip", path.display()));
    system
        .map(str::to_owned)
        .or_else(busybox)
        .unwrap_or_else(|| "ip".to_owned())
}

/// An exit status as a shell tells it: 128 and more for signals.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
