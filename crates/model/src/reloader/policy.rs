//! Reloader's annotations of a workload in our own words: which objects count, and how they were named.

use std::collections::BTreeSet;

use super::Keys;
use crate::annotation::Annotations;
use crate::name::{ConfigKind, ConfigRef};
use crate::pattern::Pattern;
use crate::policy::{Place, Policy, Problem, Referenced, quoted};

/// What Reloader's annotations ask for, to be laid over the policy of a workload.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Which referenced objects count, by kind.
    pub(crate) referenced: Vec<(ConfigKind, Referenced)>,
    /// Whether anything was asked for, other than by default.
    pub(crate) opted_in: bool,
    pub(crate) problems: Vec<Problem>,
}

impl Asked {
    fn problem(&mut self, key: &super::Key, place: Place, message: String) {
        let (key, place) = (key.clone(), place);
        let problem = Problem { key, place, message };
        // `auto` is read once per kind.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

/// The annotations of a workload and of its pod template.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) workload: &'a Annotations,
    pub(crate) template: &'a Annotations,
}

/// Reads them as Reloader decides (2.2 in its order, CC:197-321): what is excluded, then what is named, then `search`,
/// then `auto`. `all` is `--auto-reload-all`, which is our default of keeping everything current.
pub(crate) fn read(
    keys: &Keys,
    all: bool,
    kinds: &BTreeSet<ConfigKind>,
    from: Sources<'_>,
    policy: &mut Policy,
) -> Asked {
    let mut asked = Asked::default();
    for &kind in kinds {
        // Excludes are read from the workload only, whatever the others say.
        policy.exclude.extend(excluded(kind, from.workload, &mut asked));
        let (place, annotations) = source(keys, kind, from);
        let reader = Reader {
            keys,
            kind,
            place,
            annotations,
        };
        let named = reader.named(&mut asked);
        let referenced = reader.referenced(all, &mut asked);
        asked.opted_in |= !named.is_empty();
        policy.include.extend(named);
        asked.referenced.push((kind, referenced));
    }
    asked
}

/// Where the four keys of a kind are read: on the workload if any of them is there, even an empty one; otherwise all on
/// the pod template.
fn source<'a>(keys: &Keys, kind: ConfigKind, from: Sources<'a>) -> (Place, &'a Annotations) {
    let four = [keys.reload(kind), &keys.search, &keys.auto, keys.typed_auto(kind)];
    if four.into_iter().any(|key| from.workload.contains_key(&**key)) {
        (Place::Workload, from.workload)
    } else {
        (Place::Template, from.template)
    }
}

/// Where Reloader's annotations of a workload about a kind of object are read: all of them in one place.
#[must_use]
pub fn place(keys: &Keys, kind: ConfigKind, workload: &Annotations, template: &Annotations) -> Place {
    source(keys, kind, Sources { workload, template }).0
}

/// The objects of a kind that a list of Reloader's names, as far as it can be understood.
#[must_use]
pub fn named(keys: &Keys, kind: ConfigKind, workload: &Annotations, template: &Annotations) -> Vec<Pattern> {
    let (place, annotations) = source(keys, kind, Sources { workload, template });
    let reader = Reader {
        keys,
        kind,
        place,
        annotations,
    };
    reader.named(&mut Asked::default())
}

fn excluded(kind: ConfigKind, workload: &Annotations, asked: &mut Asked) -> Vec<Pattern> {
    let key = Keys::exclude(kind);
    let mut patterns = Vec::new();
    for item in items(workload.get(key)) {
        match item.parse() {
            Ok(name) => patterns.push(Pattern::Exact(ConfigRef { kind, name })),
            Err(error) => asked.problem(
                &key.into(),
                Place::Workload,
                format!("{error}; write exact names parted by commas"),
            ),
        }
    }
    patterns
}

struct Reader<'a> {
    keys: &'a Keys,
    kind: ConfigKind,
    place: Place,
    annotations: &'a Annotations,
}

impl Reader<'_> {
    fn named(&self, asked: &mut Asked) -> Vec<Pattern> {
        let key = self.keys.reload(self.kind);
        let mut patterns = Vec::new();
        for item in items(self.annotations.get(&**key)) {
            match Pattern::regex(self.kind, item) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => asked.problem(key, self.place, error.to_string()),
            }
        }
        patterns
    }

    fn referenced(&self, all: bool, asked: &mut Asked) -> Referenced {
        let auto = self.boolean(&self.keys.auto, asked);
        let typed = self.boolean(self.keys.typed_auto(self.kind), asked);
        let search = self.search(asked);
        if auto == Said::Yes || typed == Said::Yes {
            asked.opted_in = true;
            return Referenced::All;
        }
        if all && auto == Said::Nothing && typed == Said::Nothing {
            return Referenced::All;
        }
        asked.opted_in |= search;
        if search { Referenced::Matching } else { Referenced::None }
    }

    /// A boolean as Go writes it. What cannot be read counts as false, and a missing or empty one says nothing.
    fn boolean(&self, key: &super::Key, asked: &mut Asked) -> Said {
        match self.annotations.get(&**key).map_or("", String::as_str) {
            "" => Said::Nothing,
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Said::Yes,
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Said::No,
            other => {
                let message = format!("{} is neither true nor false, and counts as false", quoted(other));
                asked.problem(key, self.place, message);
                Said::No
            }
        }
    }

    fn search(&self, asked: &mut Asked) -> bool {
        let key = &self.keys.search;
        match exactly_true(self.annotations.get(&**key)) {
            Ok(search) => search,
            Err(message) => {
                asked.problem(key, self.place, message);
                false
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Yes,
    No,
}

fn items(list: Option<&String>) -> impl Iterator<Item = &str> {
    let items = list.into_iter().flat_map(|list| list.split(','));
    items.map(str::trim).filter(|item| !item.is_empty())
}

/// Reads what Reloader takes for true only if it is exactly `true`; another word for it is a message.
pub(crate) fn exactly_true(value: Option<&String>) -> Result<bool, String> {
    match value.map(String::as_str) {
        Some("true") => Ok(true),
        None | Some("" | "false") => Ok(false),
        Some(other) => Err(format!(
            "{} counts as false: only the word true, so written, is true",
            quoted(other)
        )),
    }
}

#[cfg(test)]
mod tests;
