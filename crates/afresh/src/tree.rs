//! What all formats are read into: values that know where they stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Place;

/// How deep values may nest, in every format.
pub(crate) const MAX_DEPTH: usize = 128;

/// Where a value stands: which source, and where in it (from 1; 0 is the whole source).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct At {
    pub(crate) source: u32,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) kind: Kind,
}

#[derive(Clone, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    /// A number as it was written: JSON, TOML.
    Number(String),
    /// Text and nothing else.
    Text(String),
    /// A plain scalar of YAML: whatever is asked for, and by the core schema if nothing is.
    Scalar(String),
    /// From a source that has only texts (a variable, a file of a directory, properties): whatever is asked for.
    Loose(Vec<u8>),
    List(Vec<Node>),
    Map(Map),
}

pub(crate) type Map = BTreeMap<String, Entry>;

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Where the key stands.
    pub(crate) at: At,
    /// The key is from an environment: `max_conn` also means `maxConn` and `max-conn`.
    pub(crate) relaxed: bool,
    pub(crate) value: Node,
}

/// Equal content is equal wherever it stands.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.relaxed, &self.value) == (other.relaxed, &other.value)
    }
}

/// Shows the shape, never a value: it may be a Secret's.
impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::Scalar(_) | Self::Loose(_) => "a plain value",
            Self::List(_) => "a list",
            Self::Map(map) => return map.fmt(f),
        })
    }
}

impl Node {
    pub(crate) const fn new(at: At, kind: Kind) -> Self {
        Self { at, kind }
    }

    /// An empty map: what no source at all says.
    pub(crate) fn empty() -> Self {
        Self::new(At::default(), Kind::Map(Map::new()))
    }

    /// Lays `over` over this: maps are merged key by key, anything else is replaced.
    pub(crate) fn overlay(&mut self, over: Self) {
        match (&mut self.kind, over.kind) {
            (Kind::Map(base), Kind::Map(over_map)) => {
                if base.is_empty() {
                    self.at = over.at;
                }
                for (key, entry) in over_map {
                    put(base, key, entry);
                }
            }
            (kind, over_kind) => {
                *kind = over_kind;
                self.at = over.at;
            }
        }
    }

    /// Puts a value under a path of keys; `Err` with the key that already has a value of its own, or is a map.
    pub(crate) fn insert(&mut self, path: &[&str], at: At, relaxed: bool, value: Kind) -> Result<(), String> {
        let Kind::Map(map) = &mut self.kind else {
            return Err(String::new());
        };
        let Some((first, rest)) = path.split_first() else {
            return Err(String::new());
        };
        let fresh = |kind| Entry {
            at,
            relaxed,
            value: Self::new(at, kind),
        };
        if rest.is_empty() {
            let is_map = map
                .get(*first)
                .is_some_and(|known| matches!(known.value.kind, Kind::Map(_)));
            if is_map {
                return Err((*first).to_owned());
            }
            map.insert((*first).to_owned(), fresh(value));
            return Ok(());
        }
        let below = map
            .entry((*first).to_owned())
            .or_insert_with(|| fresh(Kind::Map(Map::new())));
        let below = below.value.insert(rest, at, relaxed, value);
        below.map_err(|key| {
            if key.is_empty() {
                (*first).to_owned()
            } else {
                format!("{first}.{key}")
            }
        })
    }
}

fn put(base: &mut Map, key: String, entry: Entry) {
    let key = if entry.relaxed && !base.contains_key(&key) {
        let wanted = plain(&key);
        base.keys().find(|known| plain(known) == wanted).cloned().unwrap_or(key)
    } else {
        key
    };
    match base.get_mut(&key) {
        // The key keeps the name, and so the meaning, that the first source gave it.
        Some(known) => known.value.overlay(entry.value),
        None => {
            base.insert(key, entry);
        }
    }
}

/// A key without what different conventions write differently: `MAX_CONN`, `max-conn`, `maxConn`.
pub(crate) fn plain(key: &str) -> String {
    key.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// The names of all sources of one reading.
#[derive(Debug, Default)]
pub(crate) struct Sources(Vec<Arc<str>>);

impl Sources {
    /// A new source; the place of all of it.
    pub(crate) fn add(&mut self, name: impl Into<Arc<str>>) -> At {
        self.0.push(name.into());
        At {
            source: u32::try_from(self.0.len() - 1).unwrap_or(u32::MAX),
            line: 0,
            column: 0,
        }
    }

    pub(crate) fn place(&self, at: At) -> Place {
        let name = usize::try_from(at.source).ok().and_then(|source| self.0.get(source));
        Place {
            source: name.cloned().unwrap_or_else(|| "the configuration".into()),
            line: at.line,
            column: at.column,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&[&str], &str, bool)]) -> Node {
        let mut node = Node::empty();
        for (path, value, relaxed) in entries {
            let at = At::default();
            node.insert(path, at, *relaxed, Kind::Loose(value.as_bytes().to_vec()))
                .unwrap();
        }
        node
    }

    #[test]
    fn maps_are_merged_and_values_replaced() {
        let mut base = map(&[(&["a"], "1", false), (&["b", "c"], "2", false)]);
        base.overlay(map(&[(&["b", "d"], "3", false), (&["a"], "4", false)]));
        let expected = map(&[
            (&["a"], "4", false),
            (&["b", "c"], "2", false),
            (&["b", "d"], "3", false),
        ]);
        assert_eq!(base, expected);
    }

    #[test]
    fn a_key_of_an_environment_finds_the_same_key_written_otherwise() {
        for name in ["maxConn", "max-conn", "max_conn", "MAX_CONN"] {
            let mut base = map(&[(&[name], "1", false)]);
            base.overlay(map(&[(&["max_conn"], "2", true)]));
            assert_eq!(base, map(&[(&[name], "2", false)]));
        }
    }

    #[test]
    fn a_key_cannot_be_a_value_and_a_map() {
        let mut node = map(&[(&["a", "b"], "1", false)]);
        let loose = || Kind::Loose(Vec::new());
        assert_eq!(node.insert(&["a"], At::default(), false, loose()), Err("a".into()));
        assert_eq!(
            node.insert(&["a", "b", "c"], At::default(), false, loose()),
            Err("a.b".into())
        );
    }
}
