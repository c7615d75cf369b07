//! The parts of lists, maps and variants.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::{De, Fault, Key};
use crate::tree::{At, Entry, Kind, Map, Node, plain};

/// A list.
pub(super) struct Items<'a>(std::iter::Enumerate<std::slice::Iter<'a, Node>>);

impl<'a> Items<'a> {
    pub(super) fn new(items: &'a [Node]) -> Self {
        Self(items.iter().enumerate())
    }
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some((index, node)) = self.0.next() else {
            return Ok(None);
        };
        let item = seed.deserialize(De(node)).map(Some);
        item.map_err(|fault| fault.at(node.at).below(&index.to_string()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// A list in a variable: `a, b, c`. An empty text is an empty list.
pub(super) struct Loose<'a> {
    rest: Option<&'a str>,
    at: At,
}

impl<'a> Loose<'a> {
    pub(super) fn new(text: &'a str, at: At) -> Self {
        let rest = (!text.is_empty()).then_some(text);
        Self { rest, at }
    }
}

impl<'de> SeqAccess<'de> for Loose<'_> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some(rest) = self.rest else { return Ok(None) };
        let (first, rest) = match rest.split_once(',') {
            Some((first, rest)) => (first, Some(rest)),
            None => (rest, None),
        };
        self.rest = rest;
        let node = Node::new(self.at, Kind::Loose(first.trim().as_bytes().to_vec()));
        seed.deserialize(De(&node)).map(Some)
    }
}

/// A map, or the fields of a struct.
pub(super) struct Members<'a> {
    entries: std::collections::btree_map::Iter<'a, String, Entry>,
    fields: &'static [&'static str],
    value: Option<(&'a str, &'a Node)>,
}

impl<'a> Members<'a> {
    pub(super) fn new(map: &'a Map, fields: &'static [&'static str]) -> Self {
        Self {
            entries: map.iter(),
            fields,
            value: None,
        }
    }

    /// A key of an environment means the field that is written otherwise.
    fn meant(&self, key: &'a str, entry: &Entry) -> &'a str {
        if !entry.relaxed || self.fields.contains(&key) {
            return key;
        }
        let wanted = plain(key);
        self.fields
            .iter()
            .find(|field| plain(field) == wanted)
            .copied()
            .unwrap_or(key)
    }
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some((key, entry)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some((key, &entry.value));
        let name = self.meant(key, entry);
        seed.deserialize(Key(name))
            .map(Some)
            .map_err(|fault| fault.at(entry.at))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let Some((key, node)) = self.value.take() else {
            return Err(Fault::new("a value was asked for before its key"));
        };
        seed.deserialize(De(node)).map_err(|fault| fault.at(node.at).below(key))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// `name`, or a map with `name` as its only key.
pub(super) struct Variant<'a> {
    name: &'a str,
    at: At,
    content: Option<&'a Node>,
}

impl<'a> Variant<'a> {
    pub(super) fn of(node: &'a Node) -> Option<Self> {
        let name = |name: &'a str| Self {
            name,
            at: node.at,
            content: None,
        };
        match &node.kind {
            Kind::Text(text) | Kind::Scalar(text) => Some(name(text)),
            Kind::Loose(bytes) => std::str::from_utf8(bytes).ok().map(str::trim).map(name),
            Kind::Map(map) => match map.iter().next() {
                Some((name, entry)) if map.len() == 1 => Some(Self {
                    name,
                    at: entry.at,
                    content: Some(&entry.value),
                }),
                _ => None,
            },
            _ => None,
        }
    }
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Fault;
    type Variant = Content<'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content<'a>), Fault> {
        let name = seed.deserialize(StrDeserializer::new(self.name));
        Ok((name.map_err(|fault: Fault| fault.at(self.at))?, Content(self)))
    }
}

/// What a variant holds.
pub(super) struct Content<'a>(Variant<'a>);

impl Content<'_> {
    fn read<V>(&self, read: impl FnOnce(De<'_>) -> Result<V, Fault>) -> Result<V, Fault> {
        let Some(content) = self.0.content else {
            return Err(Fault::new("this choice needs a value of its own").at(self.0.at));
        };
        read(De(content)).map_err(|fault| fault.at(content.at).below(self.0.name))
    }
}

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.0.content {
            Some(content) => serde::Deserialize::deserialize(De(content)),
            None => Ok(()),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fault> {
        self.read(|content| seed.deserialize(content))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.read(|content| serde::Deserializer::deserialize_tuple(content, len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        self.read(|content| serde::Deserializer::deserialize_struct(content, "", fields, visitor))
    }
}
