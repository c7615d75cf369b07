//! From pictures to what happened: who wrote, what Afresh did, and since when the processes see it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::picture::{Picture, Warning, Workload};
use super::reads::{Content, Object, Place};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// Somebody wrote an object: its keys that differ, with old and new value.
    Written {
        object: Object,
        keys: Vec<(String, Option<Content>, Option<Content>)>,
    },
    /// Somebody deleted an object.
    Removed { object: Object },
    /// Afresh has written down what a workload is brought up to.
    Adopted { workload: String },
    /// Afresh has touched the pods of a workload.
    Touched { workload: String, after: Option<Duration> },
    /// The template has changed, so the pods are being replaced.
    Rolled {
        workload: String,
        by_afresh: bool,
        after: Option<Duration>,
    },
    /// Every process of a workload sees what it should.
    Fresh {
        workload: String,
        pods: usize,
        values: Vec<(Place, Content)>,
        by: By,
        after: Option<Duration>,
    },
    /// A Warning for people.
    Warned(Warning),
}

/// What brought new values to the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Touched pods.
    Touch,
    /// New pods.
    Roll,
    /// The kubelet's own timer.
    Kubelet,
}

/// How often Afresh acted on each workload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) rolls: BTreeMap<String, usize>,
    pub(super) touches: BTreeMap<String, usize>,
}

/// Compares each picture with the one before.
#[derive(Debug, Default)]
pub(super) struct Observer {
    before: Option<Picture>,
    stale: BTreeMap<(String, Place), Stale>,
    /// Since when a workload's pods are being replaced, if a stale value was the reason.
    rolling: BTreeMap<String, Option<Instant>>,
    /// The last digest that the pods of a workload were touched for.
    touched: BTreeMap<String, String>,
    counts: Counts,
}

/// A value that not all processes see yet.
#[derive(Debug)]
struct Stale {
    since: Instant,
    touched: bool,
}

impl Observer {
    /// What is different in this picture. `at` is when it became so; `sees` is what a pod sees at a place.
    pub(super) fn look(
        &mut self,
        at: Instant,
        now: &Picture,
        sees: impl Fn(&str, &Place) -> Option<Vec<u8>>,
    ) -> Vec<Seen> {
        let mut seen = Vec::new();
        if let Some(before) = self.before.take() {
            written(&before, now, &mut seen);
            self.note_stale(at, &before, now);
            for (name, workload) in &now.workloads {
                let Some(old) = before.workloads.get(name) else {
                    continue;
                };
                if workload.adopted && !old.adopted {
                    seen.push(Seen::Adopted { workload: name.clone() });
                }
                self.touches(at, name, old, workload, &mut seen);
                self.rolls(at, name, old, workload, &mut seen);
            }
            seen.extend(now.warnings.difference(&before.warnings).cloned().map(Seen::Warned));
        }
        self.stale
            .retain(|(name, place), _| now.workloads.get(name).is_some_and(|w| w.reads.contains_key(place)));
        for (name, workload) in &now.workloads {
            seen.extend(self.fresh(at, name, workload, &sees));
        }
        self.before = Some(now.clone());
        seen
    }

    /// How often Afresh acted so far; the repeats of a touch do not count.
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// For how long a workload has been stale, or `None` if it is fresh.
    pub(super) fn stale_since(&self, workload: &str) -> Option<Instant> {
        self.stale
            .iter()
            .filter(|((name, _), _)| name == workload)
            .map(|(_, stale)| stale.since)
            .min()
    }

    /// Whether pods of the workload are being replaced.
    pub(super) fn is_rolling(&self, workload: &str) -> bool {
        self.rolling.contains_key(workload)
    }

    /// The youngest thing that is waited for.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.stale.values().map(|stale| stale.since).max()
    }

    fn note_stale(&mut self, at: Instant, before: &Picture, now: &Picture) {
        for (name, workload) in &now.workloads {
            let Some(old) = before.workloads.get(name) else {
                continue;
            };
            for (place, content) in &workload.reads {
                if old.reads.get(place) != Some(content) {
                    let stale = Stale {
                        since: at,
                        touched: false,
                    };
                    self.stale.entry((name.clone(), place.clone())).or_insert(stale);
                }
            }
        }
    }

    fn touches(&mut self, at: Instant, name: &str, old: &Workload, new: &Workload, seen: &mut Vec<Seen>) {
        let is_news =
            |pod: &str, digest: &str| old.pods.get(pod).and_then(|pod| pod.touched.as_deref()) != Some(digest);
        let digests: BTreeSet<&str> = new
            .pods
            .iter()
            .filter_map(|(pod, state)| state.touched.as_deref().filter(|digest| is_news(pod, digest)))
            .collect();
        for digest in digests {
            if self.touched.get(name).map(String::as_str) == Some(digest) {
                continue; // the other pods of the same touch
            }
            self.touched.insert(name.to_owned(), digest.to_owned());
            let after = self.stale_since(name).map(|since| at - since);
            for (_, stale) in self.stale.iter_mut().filter(|((workload, _), _)| workload == name) {
                stale.touched = true;
            }
            *self.counts.touches.entry(name.to_owned()).or_default() += 1;
            seen.push(Seen::Touched {
                workload: name.to_owned(),
                after,
            });
        }
    }

    fn rolls(&mut self, at: Instant, name: &str, old: &Workload, new: &Workload, seen: &mut Vec<Seen>) {
        if old.template == new.template {
            return;
        }
        let by_afresh = old.digest() != new.digest();
        let since = self.stale_since(name);
        self.rolling.insert(name.to_owned(), since);
        if by_afresh {
            *self.counts.rolls.entry(name.to_owned()).or_default() += 1;
        }
        let after = since.map(|since| at - since);
        seen.push(Seen::Rolled {
            workload: name.to_owned(),
            by_afresh,
            after,
        });
    }

    fn fresh(
        &mut self,
        at: Instant,
        name: &str,
        workload: &Workload,
        sees: impl Fn(&str, &Place) -> Option<Vec<u8>>,
    ) -> Option<Seen> {
        let rolling = self.rolling.get(name).copied();
        if rolling.is_some() && !workload.settled {
            return None;
        }
        let sees_all = |place: &Place, content: &Content| {
            !workload.pods.is_empty()
                && workload
                    .pods
                    .keys()
                    .all(|pod| sees(pod, place).as_ref() == Some(&content.bytes))
        };
        let stale = self
            .stale
            .keys()
            .filter(|(stale, _)| stale == name)
            .map(|(_, place)| place);
        let values: Vec<(Place, Content)> = stale
            .filter_map(|place| Some((place.clone(), workload.reads.get(place)?.clone())))
            .filter(|(place, content)| sees_all(place, content))
            .collect();
        if values.is_empty() && rolling.is_none() {
            return None;
        }
        let ended: Vec<Stale> = values
            .iter()
            .filter_map(|(place, _)| self.stale.remove(&(name.to_owned(), place.clone())))
            .collect();
        self.rolling.remove(name);
        let by = match rolling {
            Some(_) => By::Roll,
            None if ended.iter().any(|stale| stale.touched) => By::Touch,
            None => By::Kubelet,
        };
        let since = ended.iter().map(|stale| stale.since).chain(rolling.flatten()).min();
        let (pods, after) = (workload.pods.len(), since.map(|since| at - since));
        Some(Seen::Fresh {
            workload: name.to_owned(),
            pods,
            values,
            by,
            after,
        })
    }
}

fn written(before: &Picture, now: &Picture, seen: &mut Vec<Seen>) {
    for (object, new) in &now.configs {
        let old = before.configs.get(object);
        if old == Some(new) {
            continue;
        }
        let value = |key: &String| old.and_then(|old| old.get(key)).cloned();
        let names: BTreeSet<&String> = new.keys().chain(old.into_iter().flat_map(BTreeMap::keys)).collect();
        let keys = names
            .into_iter()
            .map(|key| (key.clone(), value(key), new.get(key).cloned()));
        let keys = keys.filter(|(_, old, new)| old != new).collect();
        seen.push(Seen::Written {
            object: object.clone(),
            keys,
        });
    }
    let gone = before.configs.keys().filter(|object| !now.configs.contains_key(object));
    seen.extend(gone.cloned().map(|object| Seen::Removed { object }));
}
