//! JSON. serde_json tells the place of an error, but not of a value; that is found by where its text lies in the whole.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::lines::Lines;
use super::{Broken, small};
use crate::tree::{At, Entry, Kind, MAX_DEPTH, Map, Node};

pub(super) fn parse(text: &str, at: At) -> Result<Node, Broken> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| Broken {
        line: small(error.line()),
        column: small(error.column().max(1)),
        message: message(&error),
    })?;
    let lines = Lines::new(text, at.source);
    Json { text, lines }.node(raw, 0)
}

/// Without the place, which is told apart.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

struct Json<'a> {
    text: &'a str,
    lines: Lines<'a>,
}

impl<'a> Json<'a> {
    /// Where `part`, which lies in the text, begins.
    fn offset(&self, part: &str) -> usize {
        (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize)
    }

    fn node(&self, raw: &'a RawValue, depth: usize) -> Result<Node, Broken> {
        let text = raw.get();
        let offset = self.offset(text);
        if depth > MAX_DEPTH {
            return Err(self.lines.broken(offset, "nested too deeply"));
        }
        let wrong = |error: serde_json::Error| self.lines.broken(offset, message(&error));
        let kind = match text.as_bytes().first() {
            Some(b'{') => {
                let members: Members<'a> = serde_json::from_str(text).map_err(wrong)?;
                Kind::Map(self.map(members, depth)?)
            }
            Some(b'[') => {
                let items: Vec<&'a RawValue> = serde_json::from_str(text).map_err(wrong)?;
                let items: Result<_, _> = items.into_iter().map(|item| self.node(item, depth + 1)).collect();
                Kind::List(items?)
            }
            Some(b'"') => Kind::Text(serde_json::from_str(text).map_err(wrong)?),
            Some(b't') => Kind::Bool(true),
            Some(b'f') => Kind::Bool(false),
            Some(b'n') => Kind::Null,
            _ => Kind::Number(text.to_owned()),
        };
        Ok(Node::new(self.lines.at(offset), kind))
    }

    fn map(&self, members: Members<'a>, depth: usize) -> Result<Map, Broken> {
        let mut map = Map::new();
        for (key, raw) in members.0 {
            let value = self.node(raw, depth + 1)?;
            if map.contains_key(&*key) {
                let offset = self.offset(raw.get());
                return Err(self.lines.broken(offset, format!("key `{key}` is there twice")));
            }
            let entry = Entry {
                at: value.at,
                relaxed: false,
                value,
            };
            map.insert(key.into_owned(), entry);
        }
        Ok(map)
    }
}

/// The members of an object, not read yet.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
