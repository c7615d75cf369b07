//! Adding up what the tests said.

use std::collections::BTreeMap;
use std::process::ExitCode;

/// As much of what a failed test printed is told again at the end: the message, and not a run of the log.
const TOLD: usize = 60;

/// Whom a line of libtest's output belongs to.
#[derive(Debug, Default)]
enum Speaker {
    #[default]
    Harness,
    Test(String),
    /// From `stack backtrace:` (a panic's) or `Stack backtrace:` (an error's) on, until the next test's words.
    Backtrace,
}

/// What one test binary's output says.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    passed: usize,
    failed: usize,
    failed_names: Vec<String>,
    ignored_names: Vec<String>,
    /// What each failed test printed, without backtraces.
    said: BTreeMap<String, Vec<String>>,
    /// Whose words are being read.
    speaker: Speaker,
    results: usize,
    /// Its exit status was 0.
    pub(super) succeeded: bool,
    pub(super) timed_out: bool,
}

impl Outcome {
    /// Reads one line of libtest's output.
    pub(super) fn line(&mut self, line: &str) {
        self.listen(line);
        if let Some(test) = line.strip_prefix("test ") {
            if let Some(name) = test.strip_suffix(" ... FAILED") {
                self.failed_names.push(name.to_owned());
            } else if let Some((name, _)) = test.split_once(" ... ignored") {
                self.ignored_names.push(name.to_owned());
            }
        }
        if let Some(result) = line.strip_prefix("test result: ") {
            self.results += 1;
            self.passed += count(result, "passed");
            self.failed += count(result, "failed");
        }
    }

    /// Keeps the line if it is a failed test's.
    fn listen(&mut self, line: &str) {
        if let Some(name) = heading(line) {
            self.speaker = Speaker::Test(name.to_owned());
        } else if line == "failures:" || line.starts_with("test result: ") {
            self.speaker = Speaker::Harness;
        } else if line.eq_ignore_ascii_case("stack backtrace:") {
            self.speaker = Speaker::Backtrace;
        } else if let Speaker::Test(name) = &self.speaker
            && !line.is_empty()
        {
            let said = self.said.entry(name.clone()).or_default();
            if said.len() < TOLD {
                said.push(line.to_owned());
            }
        }
    }
}

/// The name in `---- NAME stdout ----`, which stands above what a failed test printed.
fn heading(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

/// The number before `word` in `ok. 3 passed; 0 failed; ...`.
fn count(result: &str, word: &str) -> usize {
    let mut words = result.split([' ', ';', '.']).filter(|word| !word.is_empty()).peekable();
    while let Some(number) = words.next() {
        if words.peek() == Some(&word) {
            return number.parse().unwrap_or(0);
        }
    }
    0
}

/// What all of them say.
#[derive(Debug, Default)]
pub(super) struct Summary {
    passed: usize,
    failures: Vec<String>,
    /// What failed tests printed, by the names in `failures`.
    said: BTreeMap<String, Vec<String>>,
    skips: Vec<String>,
}

impl Summary {
    /// Adds one failure that no test harness reported.
    pub(super) fn failed(&mut self, name: &str) {
        self.failures.push(name.to_owned());
    }

    /// Adds what `outcome` says, and the tests that `skipped` lists (`NAME<TAB>REASON` lines), which the harness takes for passed.
    pub(super) fn add(&mut self, binary: &str, outcome: &Outcome, skipped: &str) {
        let skips: Vec<_> = skipped.lines().filter_map(|line| line.split_once('\t')).collect();
        self.passed += outcome.passed.saturating_sub(skips.len());
        self.skips
            .extend(skips.iter().map(|(test, reason)| format!("{binary}: {test}: {reason}")));
        self.skips.extend(
            outcome
                .ignored_names
                .iter()
                .map(|test| format!("{binary}: {test}: marked as ignored")),
        );
        self.failures
            .extend(outcome.failed_names.iter().map(|test| format!("{binary}: {test}")));
        let said = outcome.said.iter();
        self.said
            .extend(said.map(|(test, lines)| (format!("{binary}: {test}"), lines.clone())));
        // Names are missing in libtest's quiet output.
        let unnamed = outcome.failed.saturating_sub(outcome.failed_names.len());
        self.failures.extend((0..unnamed).map(|_| format!("{binary}: a test")));
        if outcome.timed_out {
            self.failed(&format!("{binary}: ran out of time"));
        } else if outcome.results == 0 {
            self.failed(&format!("{binary}: ended without a result"));
        } else if !outcome.succeeded && outcome.failed == 0 {
            self.failed(&format!("{binary}: failed to end well"));
        }
    }

    /// Prints what failed, with what it said, and what was skipped and the closing line. Success needs tests that passed and none that
    /// failed; in CI, none that were skipped either.
    pub(super) fn close(&self, in_ci: bool) -> ExitCode {
        for failure in &self.failures {
            println!("failed: {failure}");
            for line in self.said.get(failure).into_iter().flatten() {
                println!("    {line}");
            }
        }
        for skip in &self.skips {
            println!("skipped: {skip}");
        }
        if self.passed == 0 {
            println!("no test has passed, which is no success");
        }
        if in_ci && !self.skips.is_empty() {
            println!("CI must run every test: the skipped ones make this run a failure");
        }
        println!("{}", self.line());
        if self.is_success(in_ci) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn is_success(&self, in_ci: bool) -> bool {
        let complete = !in_ci || self.skips.is_empty();
        complete && self.passed > 0 && self.failures.is_empty()
    }

    fn line(&self) -> String {
        let counts = format!("{} passed, {} failed", self.passed, self.failures.len());
        if self.skips.is_empty() {
            counts
        } else {
            format!("{counts}, {} skipped", self.skips.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(lines: &[&str], succeeded: bool) -> Outcome {
        let mut outcome = Outcome {
            succeeded,
            ..Outcome::default()
        };
        lines.iter().for_each(|line| outcome.line(line));
        outcome
    }

    const GOOD: [&str; 2] = [
        "test a::b ... ok",
        "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 1.03s",
    ];

    #[test]
    fn results_add_up_and_skips_are_not_passes() {
        let mut summary = Summary::default();
        summary.add("one", &outcome(&GOOD, true), "");
        summary.add("two", &outcome(&GOOD, true), "x\tnot root\ny\tnot root\n");
        assert_eq!(summary.line(), "22 passed, 0 failed, 2 skipped");
        assert!(summary.is_success(false));
        assert!(!summary.is_success(true), "CI takes no skips");
    }

    #[test]
    fn failures_are_named() {
        let lines = [
            "test a ... FAILED",
            "test b ... ok",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored",
        ];
        let mut summary = Summary::default();
        summary.add("one", &outcome(&lines, false), "");
        assert_eq!(summary.failures, ["one: a", "one: a test"]);
        assert_eq!(summary.line(), "1 passed, 2 failed");
        assert!(!summary.is_success(false));
    }

    #[test]
    fn what_a_failed_test_said_is_told_again_without_its_backtrace() {
        let lines = [
            "test starts ... FAILED",
            "test result: FAILED",
            "failures:",
            "",
            "---- starts stdout ----",
            "",
            "thread 'starts' panicked at tests/node.rs:1:",
            "called `Result::unwrap()` on an `Err` value: kubelet ended",
            "stack backtrace:",
            "   0: rust_begin_unwind",
            "",
            "---- other stdout ----",
            "Error: no port",
            "",
            "Stack backtrace:",
            "   0: anyhow::error",
            "",
            "failures:",
            "    starts",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored",
        ];
        let mut summary = Summary::default();
        summary.add("one", &outcome(&lines, false), "");
        assert_eq!(
            summary.said["one: starts"],
            [
                "thread 'starts' panicked at tests/node.rs:1:",
                "called `Result::unwrap()` on an `Err` value: kubelet ended"
            ]
        );
        assert_eq!(summary.said["one: other"], ["Error: no port"]);
    }

    #[test]
    fn a_binary_that_dies_or_says_nothing_is_a_failure() {
        let mut summary = Summary::default();
        summary.add("crashed", &outcome(&["running 3 tests"], false), "");
        summary.add("silent", &outcome(&[], true), "");
        summary.add("odd", &outcome(&GOOD, false), "");
        assert_eq!(summary.failures.len(), 3, "{:?}", summary.failures);
    }

    #[test]
    fn no_test_at_all_is_no_success() {
        let nothing = ["test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.00s"];
        let mut summary = Summary::default();
        summary.add("one", &outcome(&nothing, true), "");
        assert!(!summary.is_success(false));
    }

    #[test]
    fn an_ignored_test_counts_as_skipped() {
        let lines = [
            "test slow ... ignored, needs a moon",
            "test result: ok. 1 passed; 0 failed; 1 ignored",
        ];
        let mut summary = Summary::default();
        summary.add("one", &outcome(&lines, true), "");
        assert_eq!(summary.line(), "1 passed, 0 failed, 1 skipped");
    }
}
