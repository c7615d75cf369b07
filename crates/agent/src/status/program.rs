//! What is told of the program that is supervised.

use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::register;
use crate::supervise::{ChildStatus, Phase, Why};

/// The exit status that stands for none yet.
const NONE_YET: i64 = -1;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StartLabels {
    why: &'static str,
}

#[derive(Debug)]
pub(super) struct ProgramMetrics {
    running: Gauge,
    starts: Family<StartLabels, Counter>,
    last_exit_status: Gauge,
    fell_back: Gauge,
}

impl ProgramMetrics {
    pub(super) fn register(to: &mut Registry) -> Self {
        let starts = "How often the program was started, by why: first, changed, fell-back, ended";
        let last = "The exit status with which the program last ended; 128 and more for signals, -1 if it never did";
        let fell_back = "Whether the newest environment was bad, so that the last good one is in use";
        Self {
            running: register(to, "program_running", "Whether the program runs"),
            starts: register(to, "program_starts", starts),
            last_exit_status: register(to, "program_last_exit_status", last),
            fell_back: register(to, "program_fell_back", fell_back),
        }
    }

    pub(super) fn set(&self, program: &ChildStatus) {
        self.running.set((program.phase == Phase::Running).into());
        self.fell_back.set(program.fell_back.into());
        let last = program.last.map_or(NONE_YET, |outcome| outcome.code().into());
        self.last_exit_status.set(last);
        for why in Why::ALL {
            let starts = self.starts.get_or_create(&StartLabels { why: why.word() });
            starts.inner().store(program.started_by(why), Ordering::Relaxed);
        }
    }
}

/// Why the program is not there for its users; `None` if it runs.
pub(super) fn not_running(program: &ChildStatus) -> Option<String> {
    let last = program
        .last
        .map_or(String::new(), |last| format!("; it last ended with {last}"));
    match program.phase {
        Phase::Running => None,
        Phase::NotStarted => Some("the program is not started yet".to_owned()),
        phase => Some(format!("the program is not running but {}{last}", phase.word())),
    }
}

pub(super) fn state(program: &ChildStatus) -> Value {
    let restarts = |why: Why| program.started_by(why);
    json!({
        "state": program.phase.word(),
        "pid": program.pid,
        "starts": program.starts(),
        "restarts": {
            "changed": restarts(Why::Renewed),
            "fellBack": restarts(Why::FellBack),
            "ended": restarts(Why::Again),
        },
        "startedBecause": program.why.map(Why::word),
        "fellBack": program.fell_back,
        "lastExit": program.last.map(|last| json!({ "status": last.code(), "how": last.to_string() })),
    })
}
