//! When an object's data was last written, from `managedFields`, read in passing.

use afresh_model::time::UnixSeconds;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::decode::{self, EntrySink};

/// The newest `time` among the entries that own data.
#[derive(Default, Clone, Copy)]
pub(super) struct Written(pub(super) Option<UnixSeconds>);

/// The newest `time` among the entries that own `status`.
#[derive(Default, Clone, Copy)]
pub(super) struct StatusWritten(pub(super) Option<UnixSeconds>);

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Entry {
    #[serde(deserialize_with = "decode::time")]
    time: Option<UnixSeconds>,
    #[serde(rename = "fieldsV1", deserialize_with = "decode::collect")]
    fields: Owns,
    /// A subresource has no data of its own.
    #[serde(deserialize_with = "subresource")]
    subresource: bool,
}

fn subresource<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text: Option<decode::Text<'de>> = Option::deserialize(deserializer)?;
    Ok(text.is_some_and(|text| !text.0.is_empty()))
}

#[derive(Default)]
struct Owns {
    data: bool,
    status: bool,
}

impl EntrySink for Owns {
    fn entry<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        // `stringData` is folded into `data` before it is stored, but its field set names it.
        self.data |= matches!(key, "f:data" | "f:binaryData" | "f:stringData");
        self.status |= key == "f:status";
        map.next_value::<IgnoredAny>().map(drop)
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let counts = |entry: &Entry| entry.fields.data && !entry.subresource;
        deserializer.deserialize_option(Newest(counts)).map(Self)
    }
}

impl<'de> Deserialize<'de> for StatusWritten {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_option(Newest(|entry: &Entry| entry.fields.status))
            .map(Self)
    }
}

/// The newest time of the entries that count.
struct Newest<F>(F);

impl<'de, F: Fn(&Entry) -> bool> Visitor<'de> for Newest<F> {
    type Value = Option<UnixSeconds>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("managedFields")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut newest = None;
        while let Some(entry) = seq.next_element::<Entry>()? {
            if (self.0)(&entry) {
                newest = newest.max(entry.time);
            }
        }
        Ok(newest)
    }
}
