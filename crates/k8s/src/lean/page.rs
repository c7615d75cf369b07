//! One page of a list, object by object, so that one that cannot be read does not spoil the others.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::decode::{self, Entries, EntrySink, null_is_default};
use super::{DecodeError, Undecodable, Watched};

/// One page of a list.
#[derive(Debug)]
pub struct Page<K> {
    /// `metadata.resourceVersion`: where a watch continues; empty if there is none.
    pub resource_version: Box<str>,
    /// `metadata.continue`: the token of the next page; empty on the last one.
    pub continue_token: Box<str>,
    /// The objects.
    pub items: Vec<Result<K, Undecodable>>,
}

impl<K: Watched> Page<K> {
    /// Reads a list.
    ///
    /// # Errors
    /// If it is not a list. An item that cannot be decoded is in [`items`](Self::items), and no error.
    pub fn decode(json: &[u8]) -> Result<Self, serde_json::Error> {
        Self::read(json, K::decode)
    }
}

impl<K> Page<K> {
    /// Reads a list, each object by `decode`.
    pub(crate) fn read(
        json: &[u8],
        decode: impl Fn(&str) -> Result<K, DecodeError>,
    ) -> Result<Self, serde_json::Error> {
        let mut sink = Sink {
            meta: ListMeta::default(),
            items: Vec::new(),
            decode,
        };
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        Entries(&mut sink).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(Self {
            resource_version: sink.meta.resource_version,
            continue_token: sink.meta.continue_token,
            items: sink.items,
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ListMeta {
    #[serde(rename = "resourceVersion", deserialize_with = "null_is_default")]
    resource_version: Box<str>,
    #[serde(rename = "continue", deserialize_with = "null_is_default")]
    continue_token: Box<str>,
}

struct Sink<K, D> {
    meta: ListMeta,
    items: Vec<Result<K, Undecodable>>,
    decode: D,
}

impl<K, D: Fn(&str) -> Result<K, DecodeError>> EntrySink for Sink<K, D> {
    fn entry<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "metadata" => self.meta = map.next_value::<Option<ListMeta>>()?.unwrap_or_default(),
            "items" => self.items = map.next_value_seed(Items(&self.decode))?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

struct Items<'a, D>(&'a D);

impl<'de, K, D: Fn(&str) -> Result<K, DecodeError>> DeserializeSeed<'de> for Items<'_, D> {
    type Value = Vec<Result<K, Undecodable>>;

    fn deserialize<S: Deserializer<'de>>(self, deserializer: S) -> Result<Self::Value, S::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, K, D: Fn(&str) -> Result<K, DecodeError>> Visitor<'de> for Items<'_, D> {
    type Value = Vec<Result<K, Undecodable>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_some<S: Deserializer<'de>>(self, deserializer: S) -> Result<Self::Value, S::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(raw) = seq.next_element::<&RawValue>()? {
            items.push((self.0)(raw.get()).map_err(|error| Undecodable::new(raw.get(), false, error)));
        }
        Ok(items)
    }
}

/// `metadata` of a bookmark.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct BookmarkMeta {
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) resource_version: Box<str>,
    #[serde(rename = "annotations", deserialize_with = "decode::collect")]
    pub(crate) end: InitialEventsEnd,
}

/// Whether the annotation is there that ends the initial events (KEP-3157).
#[derive(Default)]
pub(crate) struct InitialEventsEnd(pub(crate) bool);

impl EntrySink for InitialEventsEnd {
    fn entry<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        self.0 |= key == "k8s.io/initial-events-end";
        map.next_value::<IgnoredAny>().map(drop)
    }
}
