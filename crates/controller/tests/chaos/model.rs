//! What the test knows of the cluster by itself: contents, uses, and what a change of them takes. Kept so simple that
//! it can be seen to be right; it shares no code with the engine.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Keys of an object's `data`; a name in capitals stands for `binaryData`.
pub(crate) type Data = BTreeMap<String, String>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ObjectKind {
    ConfigMap,
    Secret,
}

/// A config object by its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Object {
    pub(crate) kind: ObjectKind,
    pub(crate) number: usize,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl Object {
    pub(crate) fn name(self) -> String {
        match self.kind {
            ObjectKind::ConfigMap => format!("c{}", self.number),
            ObjectKind::Secret => format!("s{}", self.number),
        }
    }

    pub(crate) const fn resource(self) -> &'static str {
        match self.kind {
            ObjectKind::ConfigMap => "configmaps",
            ObjectKind::Secret => "secrets",
        }
    }
}

/// All contents; an object that is not there is absent.
pub(crate) type Contents = BTreeMap<Object, Data>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
    Pod,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Auto,
    Roll,
    Touch,
    Evict,
}

/// One way in which a container uses an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Use {
    EnvFrom(Object),
    EnvKey(Object, String),
    Mount(Object),
    Item(Object, String),
    SubPath(Object, String),
    Projected(Object, Object),
}

impl Use {
    /// The first object of it.
    pub(crate) const fn object(&self) -> Object {
        match self {
            Self::EnvFrom(object)
            | Self::EnvKey(object, _)
            | Self::Mount(object)
            | Self::Item(object, _)
            | Self::SubPath(object, _)
            | Self::Projected(object, _) => *object,
        }
    }

    /// Whether the kubelet rewrites it in the running pod.
    pub(crate) const fn is_live(&self) -> bool {
        matches!(self, Self::Mount(_) | Self::Item(..) | Self::Projected(..))
    }

    /// What it reads of each object; `None` if a pod could not start.
    pub(crate) fn read(&self, contents: &Contents) -> Option<Vec<Data>> {
        let key = |object: &Object, key: &String| {
            let value = contents.get(object)?.get(key)?;
            Some(vec![Data::from([(key.clone(), value.clone())])])
        };
        match self {
            // Variables are text: the binary data of a ConfigMap is never one.
            Self::EnvFrom(object) => {
                let binary = |key: &str| object.kind == ObjectKind::ConfigMap && is_binary(key);
                let text = contents.get(object)?.iter().filter(|(key, _)| !binary(key));
                Some(vec![text.map(|(key, value)| (key.clone(), value.clone())).collect()])
            }
            Self::Mount(object) => Some(vec![contents.get(object)?.clone()]),
            Self::EnvKey(object, name) | Self::Item(object, name) | Self::SubPath(object, name) => key(object, name),
            Self::Projected(first, second) => Some(vec![contents.get(first)?.clone(), contents.get(second)?.clone()]),
        }
    }

    /// What a process that starts now, or a refreshed volume, holds: of two sources the later one wins.
    pub(crate) fn seen(&self, contents: &Contents) -> Option<Data> {
        Some(self.read(contents)?.into_iter().flatten().collect())
    }
}

pub(crate) fn is_binary(key: &str) -> bool {
    key.chars().next().is_some_and(char::is_uppercase)
}

#[derive(Debug, Clone)]
pub(crate) struct Workload {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) hot: bool,
    /// It asks in Reloader's words.
    pub(crate) reloader: bool,
    /// Its `pause-period`.
    pub(crate) pause: Option<Duration>,
    pub(crate) replicas: u64,
    pub(crate) uses: Vec<Use>,
}

impl Workload {
    /// Whether a change of what this use sees takes a roll.
    pub(crate) fn rolls_for(&self, usage: &Use) -> bool {
        match (self.kind, self.mode) {
            (Kind::Pod, _) | (_, Mode::Touch) => false,
            (_, Mode::Roll) => true,
            (_, Mode::Auto | Mode::Evict) => !(usage.is_live() && self.hot),
        }
    }

    /// Whether its pods have to see the current content of this use in the end.
    pub(crate) fn is_kept_current(&self, usage: &Use) -> bool {
        self.rolls_for(usage) || usage.is_live()
    }

    /// Whether Afresh changes its template, and so leaves Reloader's marks there.
    pub(crate) fn is_rolled(&self) -> bool {
        self.kind != Kind::Pod && matches!(self.mode, Mode::Auto | Mode::Roll)
    }

    /// Everything that only new pods would see; `None` while one could not start.
    pub(crate) fn frozen_view(&self, contents: &Contents) -> Option<Vec<Data>> {
        let startable = self.uses.iter().all(|usage| usage.read(contents).is_some());
        let frozen = self.uses.iter().filter(|usage| self.rolls_for(usage));
        startable.then(|| frozen.filter_map(|usage| usage.read(contents)).flatten().collect())
    }
}

/// How many rolls a stretch of time may bring for one workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) least: u64,
    pub(crate) most: u64,
}

impl Expected {
    /// From what new pods would have seen at each moment, in order. Changes that overlap may be one roll or several;
    /// a change that was undone in time may be none.
    pub(crate) fn of(views: &[Option<Vec<Data>>]) -> Self {
        let mut known: Vec<&Vec<Data>> = views.iter().flatten().collect();
        let differs = matches!((known.first(), known.last()), (Some(first), Some(last)) if first != last);
        known.dedup();
        Self {
            least: u64::from(differs),
            most: known.len().saturating_sub(1) as u64,
        }
    }

    pub(crate) const fn holds(self, rolls: u64) -> bool {
        self.least <= rolls && rolls <= self.most
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.least == self.most {
            write!(f, "exactly {}", self.least)
        } else {
            write!(f, "{} to {}", self.least, self.most)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(value: &str) -> Option<Vec<Data>> {
        Some(vec![Data::from([("a".to_owned(), value.to_owned())])])
    }

    #[test]
    fn one_change_is_one_roll_and_no_change_is_none() {
        let exactly = |n| Expected { least: n, most: n };
        assert_eq!(Expected::of(&[view("1"), view("1")]), exactly(0));
        assert_eq!(Expected::of(&[view("1"), view("2"), view("2")]), exactly(1));
        assert_eq!(Expected::of(&[view("1"), None, view("1")]), exactly(0));
    }

    #[test]
    fn changes_that_overlap_are_at_least_one_and_at_most_each() {
        let between = |least, most| Expected { least, most };
        assert_eq!(Expected::of(&[view("1"), view("2"), view("3")]), between(1, 2));
        assert_eq!(Expected::of(&[view("1"), view("2"), view("1")]), between(0, 2));
    }
}
