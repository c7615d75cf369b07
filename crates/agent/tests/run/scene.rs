//! A supervisor under test, and what its program writes.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use afresh_volume::{AtomicWriter, File as Entry, Files};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_afresh-agent");

/// Far more than anything takes.
const LONG: Duration = Duration::from_secs(60);

/// Looks until it sees something.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < LONG, "not in {LONG:?}: {what}");
        sleep(Duration::from_millis(5));
    }
}

/// A directory with a volume to take the environment from, and a file that the program writes to.
#[derive(Debug)]
pub(crate) struct Scene {
    directory: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("volume")).unwrap();
        Self { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn volume(&self) -> PathBuf {
        self.path("volume")
    }

    /// Makes the volume hold these keys, as a kubelet does.
    pub(crate) fn write(&self, keys: &[(&str, &str)]) {
        let entry = |(key, value): &(&str, &str)| ((*key).to_owned(), Entry::new(*value));
        AtomicWriter::write(&self.volume(), &keys.iter().map(entry).collect::<Files>()).unwrap();
    }

    /// `afresh-agent run FLAGS -- sh -c SCRIPT`, whose output goes to a file.
    pub(crate) fn command(&self, flags: &[&str], script: &str) -> Command {
        self.command_of(&[PROGRAM], flags, &["sh", "-c", script])
    }

    /// `BEFORE run FLAGS -- PROGRAM`.
    pub(crate) fn command_of(&self, before: &[&str], flags: &[&str], program: &[&str]) -> Command {
        let mut command = Command::new(before[0]);
        command
            .args(&before[1..])
            .arg("run")
            .args(flags)
            .arg("--")
            .args(program);
        let append = |name| File::options().create(true).append(true).open(self.path(name)).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(append("output"))
            .stderr(append("log"));
        command.env("DIR", self.directory.path());
        command
    }

    pub(crate) fn run(&self, flags: &[&str], script: &str) -> Run {
        Run(self.command(flags, script).spawn().unwrap())
    }

    /// With the volume as environment, and restarts that take no time to settle.
    pub(crate) fn run_with_volume(&self, flags: &[&str], script: &str) -> Run {
        let volume = self.volume();
        let own = ["--env-from", volume.to_str().unwrap(), "--settle", "1ms"];
        self.run(&[&own, flags].concat(), script)
    }

    /// The lines that the program has written.
    pub(crate) fn lines(&self) -> Vec<String> {
        let output = fs::read_to_string(self.path("output")).unwrap_or_default();
        output.lines().map(str::to_owned).collect()
    }

    /// Waits for the nth line, from 1.
    pub(crate) fn line(&self, nth: usize) -> String {
        eventually(&format!("line {nth} of the output; log:\n{}", self.log()), || {
            let output = fs::read_to_string(self.path("output")).ok()?;
            let whole = &output[..=output.rfind('\n')?];
            whole.lines().nth(nth - 1).map(str::to_owned)
        })
    }

    /// What the supervisor has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Where `--listen` answers, once it does.
    pub(crate) fn address(&self) -> String {
        eventually("an address", || {
            let log = self.log();
            let line = log.lines().find(|line| line.contains("serving metrics and state"))?;
            line.split("address=").nth(1).map(str::to_owned)
        })
    }

    /// Waits until the supervisor has logged so.
    pub(crate) fn logged(&self, text: &str) {
        eventually(text, || self.log().contains(text).then_some(()));
    }
}

/// The answer to a GET, with its head.
pub(crate) fn ask(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A process that is killed if a test does not wait for its end.
#[derive(Debug)]
pub(crate) struct Run(pub(crate) Child);

impl Run {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn ended(mut self) -> ExitStatus {
        eventually("the end", || self.0.try_wait().unwrap())
    }

    /// Its exit status; a signal is none.
    pub(crate) fn code(self) -> i32 {
        let status = self.ended();
        status
            .code()
            .unwrap_or_else(|| panic!("killed by signal {:?}", status.signal()))
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    pub(crate) fn type_in(&mut self, text: &str) {
        self.0.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Its program has to end too: asked first, so that the supervisor passes it on.
        if let Ok(None) = self.0.try_wait() {
            let _ = kill_process(self.pid(), Signal::TERM);
            sleep(Duration::from_millis(50));
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// A field of `/proc/PID/stat` after the name: 0 is the state, 1 the parent, 2 the group.
pub(crate) fn stat(pid: impl Debug, field: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid:?}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(field).map(str::to_owned)
}

/// The children of a process with their states, ended ones too.
pub(crate) fn children(parent: Pid) -> Vec<(i32, String)> {
    let parent = parent.as_raw_nonzero().to_string();
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse::<i32>().ok()
    });
    let own = numbers.filter(|pid| stat(pid, 1).as_deref() == Some(&parent));
    own.filter_map(|pid| Some((pid, stat(pid, 0)?))).collect()
}

/// Whether a process is there and has not ended.
pub(crate) fn is_alive(pid: &str) -> bool {
    let pid: i32 = pid.trim().parse().unwrap();
    stat(pid, 0).is_some_and(|state| state != "Z")
}

/// Whether namespaces can be made here.
pub(crate) fn can_be_process_1() -> bool {
    let unshare = Command::new("unshare").args(["--pid", "--fork", "true"]).status();
    let can = unshare.is_ok_and(|status| status.success());
    if !can {
        println!("skipped: no PID namespace can be made here");
    }
    can
}

pub(crate) fn exists(path: &Path) -> Option<()> {
    path.exists().then_some(())
}
