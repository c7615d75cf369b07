//! Finding a process by its name, and sending it a signal that nobody else can get.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::str::FromStr;

use rustix::io::Errno;
use rustix::process::Pid;

use crate::signal::SignalName;

/// Where the kernel shows processes.
const PROC: &str = "/proc";
/// Of a process's name the kernel keeps this many bytes (`TASK_COMM_LEN` less the NUL).
const KERNEL_NAME: usize = 15;
/// How often a process that ended while it was looked at is looked for again.
const LOOKS: usize = 5;

/// The name of a program, as `ps -o comm` shows it or as the file that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessName(String);

/// A text that is no name of a process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a process: write the program's name without its path, such as nginx")]
pub struct ProcessNameError(String);

impl FromStr for ProcessName {
    type Err = ProcessNameError;

    fn from_str(text: &str) -> Result<Self, ProcessNameError> {
        if text.is_empty() || text.contains(['/', '\0']) {
            return Err(ProcessNameError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ProcessName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a signal was not sent.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Processes cannot be listed.
    #[error("cannot list processes in {PROC}: {source}")]
    List {
        /// What the system said.
        source: io::Error,
    },
    /// There is none of this name.
    #[error(
        "no process is called {name:?}; one of another container is seen only with shareProcessNamespace: true in the pod"
    )]
    NotFound {
        /// The name.
        name: String,
    },
    /// There are several, none of which started the others.
    #[error(
        "several processes are called {name:?} (process ids {pids}), and it is not guessed which is meant; use exec: with a \
         command that knows"
    )]
    Several {
        /// The name.
        name: String,
        /// Their ids.
        pids: String,
    },
    /// It belongs to somebody else.
    #[error(
        "not allowed to send {signal} to {name:?} (process id {pid}): run as the same user, or with the capability KILL"
    )]
    Denied {
        /// The name.
        name: String,
        /// Its id.
        pid: i32,
        /// The signal.
        signal: SignalName,
    },
    /// The system did not send it.
    #[error("cannot send {signal} to {name:?} (process id {pid}): {source}")]
    Send {
        /// The name.
        name: String,
        /// Its id.
        pid: i32,
        /// The signal.
        signal: SignalName,
        /// What the system said.
        source: io::Error,
    },
}

/// A process as it was seen; a later one with the same id has another beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    pid: Pid,
    /// Clock ticks since boot.
    started: u64,
}

/// Sends the signal to the one process of that name, and returns its id.
///
/// Processes of one name of which one started the others, as a server and its workers, count as one: the first. The
/// process is held by a descriptor and looked at again before the signal is sent, so no other can get it, not even one
/// that takes over the id.
///
/// # Errors
/// See [`ProcessError`].
pub fn send(name: &ProcessName, signal: SignalName) -> Result<i32, ProcessError> {
    for _ in 0..LOOKS {
        let found = find(Path::new(PROC), name)?;
        let pid = found.pid.as_raw_nonzero().get();
        match deliver(found, name, signal) {
            Ok(true) => return Ok(pid),
            // It has ended meanwhile: its successor may be there already.
            Ok(false) | Err(Errno::SRCH) => {}
            Err(Errno::PERM) => {
                return Err(ProcessError::Denied {
                    name: name.to_string(),
                    pid,
                    signal,
                });
            }
            Err(error) => {
                return Err(ProcessError::Send {
                    name: name.to_string(),
                    pid,
                    signal,
                    source: error.into(),
                });
            }
        }
    }
    Err(ProcessError::NotFound { name: name.to_string() })
}

/// False if the process is not the one seen any more.
#[cfg(target_os = "linux")]
fn deliver(found: Seen, name: &ProcessName, signal: SignalName) -> Result<bool, Errno> {
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
    let held = pidfd_open(found.pid, PidfdFlags::empty())?;
    if look(Path::new(PROC), found.pid, name).is_none_or(|now| now.seen != found || !now.is_called) {
        return Ok(false);
    }
    pidfd_send_signal(held, signal.signal())?;
    Ok(true)
}

/// Without descriptors of processes there is a moment in which the id may change hands.
#[cfg(not(target_os = "linux"))]
fn deliver(found: Seen, _: &ProcessName, signal: SignalName) -> Result<bool, Errno> {
    rustix::process::kill_process(found.pid, signal.signal())?;
    Ok(true)
}

/// The one process of that name.
fn find(proc: &Path, name: &ProcessName) -> Result<Seen, ProcessError> {
    let own = rustix::process::getpid();
    let listed = fs::read_dir(proc).map_err(|source| ProcessError::List { source })?;
    let ids = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    let all: BTreeMap<i32, Looked> = ids
        .filter(|pid| *pid != own)
        .filter_map(|pid| Some((pid.as_raw_nonzero().get(), look(proc, pid, name)?)))
        .collect();
    let has_namesake_above = |looked: &Looked| {
        // As many steps as there are processes: a chain cannot be longer, even if it was seen half changed.
        let above = std::iter::successors(all.get(&looked.parent), |above| all.get(&above.parent));
        above.take(all.len()).any(|above| above.is_called)
    };
    let mut first = all
        .values()
        .filter(|looked| looked.is_called && !has_namesake_above(looked));
    match (first.next(), first.next()) {
        (None, _) => Err(ProcessError::NotFound { name: name.to_string() }),
        (Some(one), None) => Ok(one.seen),
        (Some(one), Some(another)) => {
            let pids = [one, another].into_iter().chain(first);
            let pids: Vec<String> = pids
                .map(|looked| looked.seen.pid.as_raw_nonzero().to_string())
                .collect();
            Err(ProcessError::Several {
                name: name.to_string(),
                pids: pids.join(", "),
            })
        }
    }
}

#[derive(Debug)]
struct Looked {
    seen: Seen,
    parent: i32,
    is_called: bool,
}

/// What a process is; `None` if it is none any more.
fn look(proc: &Path, pid: Pid, name: &ProcessName) -> Option<Looked> {
    let directory = proc.join(pid.as_raw_nonzero().to_string());
    let stat = fs::read(directory.join("stat")).ok()?;
    let stat = Stat::parse(&stat)?;
    let is_called = stat.name == name.0.as_bytes() || was_started_as(&directory, &stat, name);
    Some(Looked {
        seen: Seen {
            pid,
            started: stat.started,
        },
        parent: stat.parent,
        is_called,
    })
}

/// Some programs rename themselves, and of a long name the kernel keeps a part: how it was started tells, too.
fn was_started_as(directory: &Path, stat: &Stat<'_>, name: &ProcessName) -> bool {
    let name = name.0.as_bytes();
    let Ok(arguments) = fs::read(directory.join("cmdline")) else {
        return false;
    };
    let mut words = arguments.split(|byte| *byte == 0);
    let is_name = |word: &[u8]| word.rsplit(|byte| *byte == b'/').next() == Some(name);
    // A script's first word is its interpreter.
    let is_cut = name.len() > KERNEL_NAME && stat.name == &name[..KERNEL_NAME];
    words.next().is_some_and(is_name) || (is_cut && words.next().is_some_and(is_name))
}

/// What is needed of `/proc/PID/stat`; see `proc_pid_stat(5)`.
#[derive(Debug, PartialEq, Eq)]
struct Stat<'a> {
    name: &'a [u8],
    parent: i32,
    started: u64,
}

impl<'a> Stat<'a> {
    /// `None` for what is no such line, and for a process that has ended and was not waited for.
    fn parse(line: &'a [u8]) -> Option<Self> {
        // The name may have blanks and parentheses in it.
        let open = line.iter().position(|byte| *byte == b'(')?;
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let name = line.get(open + 1..close)?;
        let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        if matches!(state, "Z" | "X" | "x") {
            return None;
        }
        let parent = fields.next()?.parse().ok()?;
        // Fields 3 and 4 are read; the beginning is field 22.
        let started = fields.nth(17)?.parse().ok()?;
        Some(Self { name, parent, started })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    /// A directory such as `/proc`, of (id, parent, kernel's name, arguments).
    fn processes(all: &[(i32, i32, &str, &str)]) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir(proc.path().join("self")).unwrap();
        for (pid, parent, name, arguments) in all {
            let directory = proc.path().join(pid.to_string());
            fs::create_dir(&directory).unwrap();
            let zeros = "0 ".repeat(17);
            fs::write(
                directory.join("stat"),
                format!("{pid} ({name}) S {parent} {zeros}{pid}00 0\n"),
            )
            .unwrap();
            fs::write(directory.join("cmdline"), arguments.replace(' ', "\0")).unwrap();
        }
        proc
    }

    fn found(all: &[(i32, i32, &str, &str)], name: &str) -> Result<i32, String> {
        let proc = processes(all);
        let name = name.parse().unwrap();
        find(proc.path(), &name)
            .map(|seen| seen.pid.as_raw_nonzero().get())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_one_of_that_name_is_found() {
        let all = [
            (7, 1, "nginx", "nginx -g"),
            (8, 1, "nginx2", ""),
            (9, 1, "sh", "sh nginx"),
        ];
        assert_eq!(found(&all, "nginx"), Ok(7));
    }

    #[test]
    fn a_server_and_its_workers_are_one() {
        let all = [
            (30, 7, "nginx", ""),
            (7, 1, "nginx", ""),
            (31, 7, "helper", ""),
            (32, 31, "nginx", ""),
        ];
        assert_eq!(found(&all, "nginx"), Ok(7));
    }

    #[test]
    fn of_several_none_is_guessed() {
        let all = [(7, 1, "nginx", ""), (8, 7, "nginx", ""), (23, 1, "nginx", "")];
        let error = found(&all, "nginx").unwrap_err();
        assert!(
            error.starts_with("several processes are called \"nginx\" (process ids 7, 23), and it is not guessed"),
            "{error}"
        );
    }

    #[test]
    fn none_is_an_error_with_the_usual_reason() {
        let error = found(&[(7, 1, "redis-server", "")], "nginx").unwrap_err();
        assert!(error.contains("no process is called \"nginx\"") && error.contains("shareProcessNamespace"));
    }

    #[rstest]
    #[case("/usr/bin/configuration-server --x")]
    #[case("/usr/bin/python3 /app/configuration-server")]
    fn a_name_longer_than_the_kernel_keeps_is_found(#[case] arguments: &str) {
        let all = [
            (7, 1, "configuration-s", arguments),
            (8, 1, "configuration-s", "configuration-something"),
        ];
        assert_eq!(found(&all, "configuration-server"), Ok(7));
    }

    #[test]
    fn a_program_that_renamed_itself_is_found_by_how_it_was_started() {
        assert_eq!(found(&[(7, 1, "MainThread", "/usr/bin/node app.js")], "node"), Ok(7));
    }

    #[test]
    fn a_circle_of_parents_seen_while_it_changed_is_no_hang() {
        let all = [(7, 8, "a", ""), (8, 7, "b", ""), (9, 7, "nginx", "")];
        assert_eq!(found(&all, "nginx"), Ok(9));
    }

    #[test]
    fn a_name_may_look_like_the_rest_of_the_line() {
        let line = format!("5 (a) S 1) S 3 {}77 0", "0 ".repeat(17));
        let stat = Stat::parse(line.as_bytes()).unwrap();
        assert_eq!((stat.name, stat.parent, stat.started), (&b"a) S 1"[..], 3, 77));
    }

    #[test]
    fn this_process_reads_as_what_it_is() {
        let line = fs::read("/proc/self/stat").unwrap();
        let stat = Stat::parse(&line).unwrap();
        assert_eq!(stat.parent, rustix::process::getppid().unwrap().as_raw_nonzero().get());
        assert!(stat.started > 0);
    }

    #[rstest]
    #[case("")]
    #[case("/usr/sbin/nginx")]
    fn a_path_is_no_name(#[case] text: &str) {
        let error = text.parse::<ProcessName>().unwrap_err().to_string();
        assert!(error.contains("without its path"), "{error}");
    }

    proptest! {
        #[test]
        fn no_line_panics(line in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Stat::parse(&line);
        }
    }
}
