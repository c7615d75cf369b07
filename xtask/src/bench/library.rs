//! `cargo xtask bench library`: what reading a configuration costs, beside the ways people share one.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{command, tests};

const BEGIN: &str = "<!-- begin: library -->";
const END: &str = "<!-- end: library -->";

/// The ways to read, by the names that the bench gives them, and in words.
const WAYS: [(&str, &str); 8] = [
    ("pointer", "an atomic load, nothing ever freed"),
    ("Afresh reader", "Afresh, `Reader::get`"),
    ("Afresh get", "Afresh, `Live::get`"),
    ("arc-swap", "`arc_swap::ArcSwap::load`"),
    ("tokio watch", "`tokio::sync::watch::Receiver::borrow`"),
    ("RwLock", "`std::sync::RwLock`"),
    ("Mutex", "`std::sync::Mutex`"),
    ("actor", "a thread that is asked by a channel"),
];

/// Where the ways are compared: the group of the bench, and in words.
const CASES: [(&str, &str); 4] = [
    ("read idle, 1", "1 thread"),
    ("read idle, 2", "2 threads"),
    ("read under updates, 1", "1 thread, 100 updates/s"),
    ("read under updates, 2", "2 threads, 100 updates/s"),
];

/// What is measured once: the path of the bench, and in words.
const TIMES: [(&str, &str); 4] = [
    (
        "swap to noticed",
        "volume: a swap to the watcher's event, in another thread",
    ),
    (
        "swap to change",
        "library: a swap to the new version in another thread's hands, read, parsed, published",
    ),
    ("snapshot/1 files of 1 KiB", "volume: a snapshot of 1 file of 1 KiB"),
    (
        "snapshot/100 files of 1 KiB",
        "volume: a snapshot of 100 files of 1 KiB",
    ),
];

/// Runs the benches and prints the table; a whole run, one without arguments, also replaces it on `page`.
pub(super) fn run(arguments: &[String], page: &Path) -> Result<()> {
    let home = tests::target_directory()?.join("criterion");
    // Figures of an earlier run must not stand beside those of this one.
    if home.is_dir() {
        fs::remove_dir_all(&home).with_context(|| format!("could not remove {}", home.display()))?;
    }
    for (package, bench) in [("afresh", "library"), ("afresh-volume", "volume")] {
        let mut cargo = command::cargo(&["bench", "--package", package, "--bench", bench, "--"])?;
        cargo.args(arguments).env("CRITERION_HOME", &home);
        command::run(&mut cargo)?;
    }
    let table = table(&|path| median(&home, path));
    println!("\n{table}");
    if !arguments.is_empty() {
        return Ok(());
    }
    let text = fs::read_to_string(page).with_context(|| format!("could not read {}", page.display()))?;
    let text = replaced(&text, &table).with_context(|| format!("{} has no {BEGIN}", page.display()))?;
    fs::write(page, text).with_context(|| format!("could not write {}", page.display()))
}

/// The median of a bench in nanoseconds; `None` if it was not run.
fn median(home: &Path, path: &str) -> Option<f64> {
    let text = fs::read_to_string(home.join(path).join("new/estimates.json")).ok()?;
    let estimates: Value = serde_json::from_str(&text).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}

fn table(median: &dyn Fn(&str) -> Option<f64>) -> String {
    let mut text = String::from("| one read, median ns (of the pointer, of the mutex) |");
    for (_, words) in CASES {
        let _ = write!(text, " {words} |");
    }
    text.push_str("\n|---|");
    text.push_str(&"--:|".repeat(CASES.len()));
    for (way, words) in WAYS {
        let _ = write!(text, "\n| {words} |");
        for (case, _) in CASES {
            let of = |way: &str| median(&format!("{case}/{way}"));
            let _ = write!(text, " {} |", cell(of(way), of("pointer"), of("Mutex")));
        }
    }
    text.push_str("\n\n| median µs | |\n|---|--:|");
    for (path, words) in TIMES {
        let figure = median(path).map_or("-".to_owned(), |ns| format!("{:.1}", ns / 1e3));
        let _ = write!(text, "\n| {words} | {figure} |");
    }
    text.push('\n');
    text
}

/// `12.3 (2.1, 1/40)`: nanoseconds, how many times the pointer, and which part, or how many times, the mutex.
fn cell(ns: Option<f64>, pointer: Option<f64>, mutex: Option<f64>) -> String {
    let (Some(ns), Some(pointer), Some(mutex)) = (ns, pointer, mutex) else {
        return "-".to_owned();
    };
    let of_mutex = if ns < mutex {
        format!("1/{:.1}", mutex / ns)
    } else {
        format!("{:.1}", ns / mutex)
    };
    format!("{ns:.2} ({:.1}, {of_mutex})", ns / pointer)
}

/// `page` with the part between the marks replaced; `None` if it has none.
fn replaced(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

#[cfg(test)]
mod tests_of_the_table {
    use super::*;

    #[test]
    fn figures_stand_beside_their_baselines() {
        assert_eq!(cell(Some(2.0), Some(1.0), Some(100.0)), "2.00 (2.0, 1/50.0)");
        assert_eq!(cell(Some(200.0), Some(1.0), Some(100.0)), "200.00 (200.0, 2.0)");
        assert_eq!(cell(None, Some(1.0), Some(1.0)), "-");
    }

    #[test]
    fn only_its_own_part_of_the_page_is_replaced() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb");
        assert_eq!(replaced(&page, "new\n"), Some(format!("a\n{BEGIN}\nnew\n{END}\nb")));
        assert_eq!(replaced("a", "new"), None);
    }
}
