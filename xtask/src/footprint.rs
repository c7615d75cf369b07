//! `cargo xtask footprint`: what the agent takes of disk and memory, and that it sleeps while nothing happens.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::{image, tests};

/// What is promised, in bytes: of the program's file, and resident while idle.
const MOST: u64 = 3 * 1000 * 1000;
/// How long the agent is watched doing nothing.
const IDLE: Duration = Duration::from_secs(5);

/// Builds the agent as for the image, measures it, and fails if a promise is not kept.
///
/// # Errors
/// If it cannot be built or started, is larger than promised, or wakes up while nothing happens.
pub(crate) fn run() -> Result<ExitCode> {
    let program = image::build("afresh-agent")?.join("afresh-agent");
    let size = fs::metadata(&program)
        .with_context(|| format!("no {}", program.display()))?
        .len();
    let scene = Scene::new()?;
    let idle = scene.idle(&program)?;
    println!("file           {:.2} MB", megabytes(size));
    println!("resident, idle {:.2} MB", megabytes(idle.resident));
    println!("of its own     {:.2} MB", megabytes(idle.anonymous));
    println!("wake-ups       {} in {IDLE:?}", idle.wake_ups);
    ensure!(size < MOST, "the agent's file is larger than {:.0} MB", megabytes(MOST));
    ensure!(
        idle.resident < MOST,
        "the idle agent takes more than {:.0} MB",
        megabytes(MOST)
    );
    ensure!(
        idle.wake_ups == 0,
        "the idle agent woke up {} times without --poll",
        idle.wake_ups
    );
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::cast_precision_loss, reason = "for people, to two digits")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// What the kernel says of an agent that watches and has nothing to do.
struct Idle {
    resident: u64,
    anonymous: u64,
    wake_ups: u64,
}

/// A directory to watch, removed when dropped.
struct Scene(PathBuf);

impl Scene {
    fn new() -> Result<Self> {
        let directory = tests::target_directory()?.join(format!("footprint-{}", std::process::id()));
        fs::create_dir_all(directory.join("watched"))?;
        fs::write(directory.join("watched/app.conf"), "a = 1\n".repeat(200))?;
        Ok(Self(directory))
    }

    fn idle(&self, program: &Path) -> Result<Idle> {
        let log = self.0.join("log");
        let mut agent = Agent(
            Command::new(program)
                .args([
                    "agent",
                    "--poll",
                    "0",
                    "--on-change",
                    "exec:true",
                    "--listen",
                    "127.0.0.1:0",
                    "--watch",
                ])
                .arg(self.0.join("watched"))
                .stdin(Stdio::null())
                .stderr(fs::File::create(&log)?)
                .spawn()
                .with_context(|| format!("could not start {}", program.display()))?,
        );
        self.act_once(&mut agent, &log)?;
        let before = agent.status("voluntary_ctxt_switches")?;
        sleep(IDLE);
        Ok(Idle {
            resident: agent.status("VmRSS")? * 1024,
            anonymous: agent.status("RssAnon")? * 1024,
            wake_ups: agent.status("voluntary_ctxt_switches")?.saturating_sub(before),
        })
    }

    /// What was never used is not resident: so one change first, and then time for what belongs to it to end.
    fn act_once(&self, agent: &mut Agent, log: &Path) -> Result<()> {
        logged(agent, log, "watching")?;
        fs::write(self.0.join("watched/app.conf"), "a = 2\n")?;
        logged(agent, log, "done")?;
        sleep(Duration::from_secs(1));
        Ok(())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Below the target directory, where leftovers disturb nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Killed when dropped.
struct Agent(Child);

impl Agent {
    /// A number of `/proc/PID/status`.
    fn status(&self, field: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.0.id());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let number = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
        number.with_context(|| format!("no {field} in {path}"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn logged(agent: &mut Agent, log: &Path, text: &str) -> Result<()> {
    let begun = Instant::now();
    while !fs::read_to_string(log)?.contains(text) {
        if let Some(status) = agent.0.try_wait()? {
            bail!("the agent ended: {status}\n{}", fs::read_to_string(log)?);
        }
        ensure!(
            begun.elapsed() < Duration::from_secs(30),
            "the agent does not log {text:?}"
        );
        sleep(Duration::from_millis(10));
    }
    Ok(())
}
