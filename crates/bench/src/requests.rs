//! What the API server counted between two moments.

use std::collections::BTreeMap;
use std::ops::Div;

use afresh_testbed::Counted;

/// Requests by what they are, those of the bench itself left out.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Requests {
    pub(crate) lists: f64,
    /// Of workloads.
    pub(crate) patches: f64,
    pub(crate) events: f64,
    pub(crate) others: f64,
}

impl Requests {
    /// What came between two looks at the counters.
    pub(crate) fn between(before: &BTreeMap<Counted, u64>, after: &BTreeMap<Counted, u64>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let grown = |wanted: &dyn Fn(&Counted) -> bool| {
            let wanted = after.iter().filter(|(key, _)| wanted(key));
            let grown = wanted.map(|(key, count)| count - before.get(key).copied().unwrap_or(0));
            grown.sum::<u64>() as f64
        };
        let lists = |key: &Counted| key.verb == "LIST";
        let patches = |key: &Counted| key.resource == "deployments" && matches!(&*key.verb, "PATCH" | "APPLY" | "PUT");
        let events = |key: &Counted| key.resource == "events" && !lists(key);
        // Our own changes and looks at the metrics, watches, and the leases by which API servers know one another.
        let ours = |key: &Counted| {
            matches!(&*key.resource, "configmaps" | "" | "leases") && !lists(key) || key.verb == "WATCH"
        };
        Self {
            lists: grown(&lists),
            patches: grown(&patches),
            events: grown(&events),
            others: grown(&|key| !(lists(key) || patches(key) || events(key) || ours(key))),
        }
    }
}

impl Div<f64> for Requests {
    type Output = Self;

    fn div(self, by: f64) -> Self {
        Self {
            lists: self.lists / by,
            patches: self.patches / by,
            events: self.events / by,
            others: self.others / by,
        }
    }
}
