//! The table.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::changes::Latencies;
use crate::loads::Row;
use crate::objects::Size;
use crate::requests::Requests;
use crate::scenario::{Defaults, Figures};
use crate::sources;

/// Around the part of the page that each run replaces.
pub(crate) const LAST_RUN: [&str; 2] = ["<!-- begin: last run -->", "<!-- end: last run -->"];
/// The same for the table of loads.
pub(crate) const LOADS: [&str; 2] = ["<!-- begin: loads -->", "<!-- end: loads -->"];
/// The same for the table of sources.
pub(crate) const SOURCES: [&str; 2] = ["<!-- begin: sources -->", "<!-- end: sources -->"];

/// A row: what it says, its aim, Reloader's figure, and how it comes out of the figures.
type SizeRow = (&'static str, &'static str, &'static str, fn(&Figures) -> String);

const ROWS: &[SizeRow] = &[
    ("resident after adopting, MiB", "< 16", "165 to 178", |f| {
        mib(f.beginning.memory.resident)
    }),
    ("of that the heap and stacks, MiB", "", "", |f| {
        mib(f.beginning.memory.anonymous)
    }),
    ("resident after all changes, MiB", "< 16", "", |f| {
        mib(f.after_changes.resident)
    }),
    ("resident after listing anew, MiB", "< 16", "", |f| {
        mib(f.after_relist.resident)
    }),
    ("peak, MiB", "< 24", "", |f| mib(f.after_relist.peak)),
    ("start to ready, s", "", "", |f| {
        format!("{:.2}", f.beginning.ready.as_secs_f64())
    }),
    ("start to everything adopted, s", "", "", |f| {
        format!("{:.2}", f.beginning.adopted.as_secs_f64())
    }),
    ("CPU until then, s", "", "", |f| {
        format!("{:.2}", f.beginning.cpu.as_secs_f64())
    }),
    ("write accepted to patch visible, median ms", "", "11 to 12.5", |f| {
        ms(f.afresh.median())
    }),
    ("the same, 95th percentile", "", "", |f| ms(f.afresh.at(0.95))),
    ("bare loop in turn with it, median ms", "", "4.1", |f| {
        ms(f.bare.median())
    }),
    ("the same, 95th percentile", "", "", |f| ms(f.bare.at(0.95))),
    ("bare loop with nothing else running, median ms", "", "", |f| {
        ms(f.bare_alone.median())
    }),
    (
        "latency as a ratio to the bare loop in turn",
        "≤ 1.15",
        "2.7 to 3.1",
        |f| ratio(&f.afresh, &f.bare),
    ),
    ("CPU per change, ms", "< 0.5", "8.5", |f| {
        format!("{:.2}", f.cost.cpu.as_secs_f64() * 1e3)
    }),
    ("the same of the bare loop, which tells nobody, ms", "", "", |f| {
        format!("{:.2}", f.bare_cpu.as_secs_f64() * 1e3)
    }),
    ("LISTs per change", "0", "5", |f| count(f.cost.requests.lists)),
    ("PATCHes per change", "1", "1", |f| count(f.cost.requests.patches)),
    ("Events per change", "", "0.7", |f| count(f.cost.requests.events)),
    ("other requests per change", "0", "", |f| count(f.cost.requests.others)),
];

/// The same, for a controller with nothing but defaults.
type DefaultRow = (&'static str, fn(&Defaults) -> String);

const DEFAULT_ROWS: &[DefaultRow] = &[
    ("start to leading and ready, s", |d| {
        format!("{:.2}", d.ready.as_secs_f64())
    }),
    ("write accepted to patch visible, median ms", |d| ms(d.afresh.median())),
    ("CPU per change, ms", |d| {
        format!("{:.2}", d.cost.cpu.as_secs_f64() * 1e3)
    }),
    ("LISTs, PATCHes, Events, others per change", |d| {
        let requests = d.cost.requests;
        [requests.lists, requests.patches, requests.events, requests.others]
            .map(count)
            .join(", ")
    }),
    ("resident after all changes, MiB", |d| mib(d.memory.resident)),
    ("peak, MiB", |d| mib(d.memory.peak)),
];

fn mib(value: f64) -> String {
    format!("{value:.1}")
}

fn ms(value: f64) -> String {
    format!("{value:.2}")
}

fn count(value: f64) -> String {
    // No minus before a zero, and whole numbers as such.
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

fn ratio(afresh: &Latencies, bare: &Latencies) -> String {
    format!("{:.2}", afresh.median() / bare.median())
}

fn heading(size: &Size) -> String {
    let (objects, deployments) = (thousands(size.objects), thousands(size.deployments));
    let namespaces = if size.namespaces == 1 {
        "one namespace".to_owned()
    } else {
        format!("{} namespaces", size.namespaces)
    };
    format!("{objects} ConfigMaps, {objects} Secrets, {deployments} Deployments, {namespaces}")
}

fn thousands(number: usize) -> String {
    match (number / 1000, number % 1000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{thousands},{rest:03}"),
    }
}

/// All figures as a Markdown table.
pub(crate) fn table(all: &[Figures]) -> String {
    let mut text = String::from("| | aim | Reloader |");
    for figures in all {
        let _ = write!(text, " {} |", heading(&figures.size));
    }
    text.push_str("\n|---|---|---|");
    text.push_str(&"--:|".repeat(all.len()));
    for (name, aim, reloader, of) in ROWS {
        let _ = write!(text, "\n| {name} | {aim} | {reloader} |");
        for figures in all {
            let _ = write!(text, " {} |", of(figures));
        }
    }
    text.push('\n');
    for figures in all {
        let Some(defaults) = &figures.defaults else { continue };
        let _ = write!(
            text,
            "\n| with the defaults (`--settle 200ms`, leader election) | {} |\n|---|--:|\n",
            heading(&figures.size)
        );
        for (name, of) in DEFAULT_ROWS {
            let _ = writeln!(text, "| {name} | {} |", of(defaults));
        }
    }
    if let Some(figures) = all.first() {
        let _ = writeln!(text, "\n{} changes per figure.", figures.changes);
    }
    text
}

/// Prints a table and, if there is a page to keep it in, replaces the one between its marks there.
pub(crate) fn publish(table: &str, marks: [&str; 2], page: Option<&Path>) -> Result<()> {
    println!("{table}");
    let Some(page) = page else { return Ok(()) };
    let text = fs::read_to_string(page).with_context(|| format!("could not read {}", page.display()))?;
    let text = replaced(&text, marks, table).with_context(|| format!("{} does not have {marks:?}", page.display()))?;
    fs::write(page, text).with_context(|| format!("could not write {}", page.display()))
}

/// `page` with the part between the marks replaced; `None` if it has none.
fn replaced(page: &str, [begin, end]: [&str; 2], table: &str) -> Option<String> {
    let (before, rest) = page.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n{table}{end}{after}"))
}

/// What came of each load, as a Markdown table.
pub(crate) fn loads_table(all: &[Row]) -> String {
    let mut text = String::from(
        "| load | writes | PATCHes | LISTs | Events | others | first patch, ms | last patch, ms | the same PATCHes alone, ms | ratio | CPU per write, ms | resident, MiB | peak, MiB |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let time = |value: Option<Duration>| value.map_or_else(String::new, |value| ms(value.as_secs_f64() * 1e3));
    for row in all {
        let Requests {
            lists,
            patches,
            events,
            others,
        } = row.requests;
        let ratio = row
            .last
            .zip(row.alone)
            .map(|(last, alone)| last.as_secs_f64() / alone.as_secs_f64());
        let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {ratio} | {} | {} | {} |",
            row.load,
            row.writes,
            count(patches),
            count(lists),
            count(events),
            count(others),
            time(row.first),
            time(row.last),
            time(row.alone),
            ms(row.cpu.as_secs_f64() * 1e3),
            mib(row.memory.resident),
            mib(row.memory.peak),
        );
    }
    text
}

/// What following objects takes, as a Markdown table.
pub(crate) fn sources_table(all: &[sources::Row]) -> String {
    let mut text = String::from(
        "| objects of 2 KB | `afresh agent --source`, MiB | of that its own | peak | `afresh-agent --watch` on the same files, MiB | of that its own | ratio |\n\
         |--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for sources::Row { objects, source, files } in all {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {:.1} |",
            thousands(*objects),
            mib(source.resident),
            mib(source.anonymous),
            mib(source.peak),
            mib(files.resident),
            mib(files.anonymous),
            source.resident / files.resident,
        );
    }
    text
}
