//! A test process that is killed takes its cluster with it, and a cluster that does not start leaves nothing.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use afresh_testbed::{Cluster, Error, eventually};
use anyhow::{Context as _, Result};

/// The ids of the processes that name `directory` in their arguments.
fn processes_of(directory: &Path) -> Vec<u32> {
    let needle = directory.to_string_lossy().into_owned();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    let names = |pid: &u32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&needle)
    };
    pids.filter(names).collect()
}

#[tokio::test]
async fn a_killed_process_leaves_no_component_running() -> Result<()> {
    let directory = std::env::temp_dir().join(format!("afresh-orphans-{}", std::process::id()));
    let examples = std::env::current_exe()?
        .parent()
        .and_then(Path::parent)
        .context("no directory")?
        .join("examples");
    // The example's shell waits for its input for ever.
    let mut holder = Command::new(examples.join("cluster"))
        .env("AFRESH_TESTBED_DIR", &directory)
        .env("SHELL", "/bin/cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(holder.stdout.take().context("no output")?).lines();
    let up = lines.map_while(Result::ok).any(|line| line.contains("`exit`"));
    assert!(up, "the cluster did not start");
    let components = processes_of(&directory);
    assert_eq!(components.len(), 4, "etcd, API server, controller-manager, scheduler");

    holder.kill()?;
    holder.wait()?;

    let gone = async || {
        let left = processes_of(&directory);
        anyhow::Ok(left.is_empty().then_some(()).ok_or(format!("{left:?}")))
    };
    eventually("the end of every component", Duration::from_secs(120), gone).await?;
    fs::remove_dir_all(&directory)?;
    Ok(())
}

#[tokio::test]
async fn a_cluster_that_cannot_start_is_tried_again_says_why_and_leaves_nothing() -> Result<()> {
    let builder = Cluster::builder().api_server_flag("no-such-flag", "1");

    let error = builder.start().await.expect_err("no API server knows the flag");

    let text = format!("{error:?}");
    assert!(
        text.contains("kube-apiserver ended") && text.contains("unknown flag"),
        "{text}"
    );
    let Error::NotStarted { attempt, logs, .. } = error else {
        anyhow::bail!("{text}");
    };
    assert_eq!(attempt, 3, "{text}");
    let root = logs.parent().context("no directory")?;
    assert!(!root.join("data").exists() && !root.join("secrets").exists(), "{text}");
    assert_eq!(processes_of(root), Vec::<u32>::new());
    Ok(())
}
