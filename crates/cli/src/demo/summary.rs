//! The last words: what was expected, what happened, how long it took.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::page::{Page, duration};

/// How long things took, from the write being sent.
#[derive(Debug, Default)]
pub(super) struct Reactions {
    /// Until the new bytes could be read in every pod.
    pub(super) files: Vec<Duration>,
    /// Until the template was patched.
    pub(super) rolls: Vec<Duration>,
    /// Until every new pod was ready and saw the new values.
    pub(super) pods: Vec<Duration>,
}

/// What there is to say at the end.
pub(super) struct Summary<'a> {
    pub(super) steps: usize,
    pub(super) good: usize,
    pub(super) rolls: [&'a BTreeMap<String, usize>; 2],
    pub(super) touches: [&'a BTreeMap<String, usize>; 2],
    pub(super) reactions: &'a Reactions,
    pub(super) requests: String,
    /// Since when the workload without Afresh is stale.
    pub(super) plain: Option<Duration>,
}

impl Summary<'_> {
    pub(super) fn print(&self, page: &mut Page) -> io::Result<()> {
        page.title(&format!(
            "Result: {} of {} steps as they should be",
            self.good, self.steps
        ))?;
        page.entry("touches", &counts(self.touches))?;
        page.entry("rolls", &counts(self.rolls))?;
        if let Some(range) = range(&self.reactions.files) {
            page.entry(
                "files",
                &format!("fresh in every pod {range} after the write, with the same pods"),
            )?;
        }
        if let (Some(rolls), Some(pods)) = (range(&self.reactions.rolls), range(&self.reactions.pods)) {
            let text = format!("rolled {rolls} after the write; all new pods ready {pods} after it");
            page.entry("env", &text)?;
        }
        page.entry(
            "",
            "200 ms of each is the settle time, which makes a burst one action (--settle)",
        )?;
        page.entry("API", &self.requests)?;
        if let Some(stale) = self.plain {
            let text = format!("not opted in: still the old file, {} after the write", duration(stale));
            page.entry("plain", &text)?;
        }
        Ok(())
    }
}

/// Expected and done.
fn counts([expected, done]: [&BTreeMap<String, usize>; 2]) -> String {
    let names: Vec<String> = done.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let sum = |map: &BTreeMap<String, usize>| map.values().sum::<usize>();
    format!("{} expected, {} done ({})", sum(expected), sum(done), names.join(", "))
}

fn range(times: &[Duration]) -> Option<String> {
    let (least, most) = (times.iter().min()?, times.iter().max()?);
    Some(format!("{} to {} ms", least.as_millis(), most.as_millis()))
}
