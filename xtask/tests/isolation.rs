//! What runs in the namespaces of `cargo xtask isolated` ends with them, whatever it does.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Output};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

fn isolated(script: &str) -> io::Result<Output> {
    Command::new(XTASK).args(["isolated", "sh", "-c", script]).output()
}

/// Whether namespaces can be made; if not, the test is skipped.
fn namespaces_work() -> io::Result<bool> {
    let output = isolated("true")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(true);
    }
    assert!(said.contains("no namespaces can be made here"), "{said}");
    afresh_testbed_host::skip(said.trim());
    Ok(false)
}

fn names(directory: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn running(marker: &str) -> bool {
    let commands = names("/proc")
        .into_iter()
        .map(|pid| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default());
    commands
        .into_iter()
        .any(|command| String::from_utf8_lossy(&command).contains(marker))
}

#[test]
fn processes_mounts_and_interfaces_end_with_the_command() -> io::Result<()> {
    if !namespaces_work()? {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let path = directory.path().display();
    // No such number of seconds is slept by anyone else.
    let marker = format!("98765{}", std::process::id());
    let interfaces = names("/sys/class/net");

    let script = format!(
        "setsid sleep {marker} & mount -t tmpfs tmpfs {path}; touch {path}/inside; ls /sys/class/net > /dev/null; \
         mkdir /run/netns/x; ls -d {path}/inside"
    );
    let output = isolated(&script)?;

    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("inside"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!running(&marker), "the background process outlived the namespaces");
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    assert!(!mounts.contains(&*path.to_string()), "{mounts}");
    assert!(!directory.path().join("inside").exists(), "the mount was seen outside");
    assert_eq!(names("/sys/class/net"), interfaces);
    assert!(!Path::new("/run/netns/x").exists());
    Ok(())
}

#[test]
fn the_network_inside_is_alone_but_has_an_address_to_advertise() -> io::Result<()> {
    if !namespaces_work()? {
        return Ok(());
    }
    let output = isolated("cat /proc/net/route /proc/net/dev; echo pid $$; cat /proc/sys/vm/overcommit_memory")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let interfaces: Vec<_> = said
        .lines()
        .filter_map(|line| line.split_once(':').map(|(name, _)| name.trim()))
        .collect();
    assert_eq!(
        interfaces
            .iter()
            .filter(|name| !["lo", "afresh0"].contains(name))
            .count(),
        0,
        "{said}"
    );
    assert!(said.contains("afresh0\t00000000"), "no default route: {said}");
    assert!(
        said.ends_with("\n1\n"),
        "a kubelet would set overcommit_memory for the whole machine: {said}"
    );
    Ok(())
}

#[test]
fn the_command_gives_the_exit_status() -> io::Result<()> {
    if !namespaces_work()? {
        return Ok(());
    }
    assert_eq!(isolated("exit 7")?.status.code(), Some(7));
    assert_eq!(isolated("kill -KILL $$")?.status.code(), Some(137));
    Ok(())
}

#[test]
fn an_orphan_is_reaped_and_a_killed_xtask_ends_everything() -> io::Result<()> {
    if !namespaces_work()? {
        return Ok(());
    }
    let zombies = isolated("(sleep 0.1 & ) ; sleep 0.5; grep -l '^State:.Z' /proc/[0-9]*/status")?;
    assert_eq!(String::from_utf8_lossy(&zombies.stdout), "");

    let marker = format!("87654{}", std::process::id());
    let mut xtask = Command::new(XTASK).args(["isolated", "sleep", &marker]).spawn()?;
    while !running(&format!("sleep\0{marker}")) {
        assert!(xtask.try_wait()?.is_none(), "xtask ended early");
    }
    xtask.kill()?;
    xtask.wait()?;
    let patience = std::time::Instant::now();
    while running(&marker) {
        assert!(patience.elapsed().as_secs() < 30, "the namespaces outlived xtask");
    }
    Ok(())
}
