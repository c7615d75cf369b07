//! When an object's data was last written, from `managedFields`, read in passing.

use afresh_model::time::UnixSeconds;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::decode::{self, EntrySink};

/// The newest `time` among the entries that own data.
#[derive(Default, Clone, Copy)]
pub(super) struct Written(pub(super) Option<UnixSeconds>);

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Entry {
    #[serde(deserialize_with = "decode::time")]
    time: Option<UnixSeconds>,
    #[serde(rename = "fieldsV1", deserialize_with = "decode::collect")]
    fields: OwnsData,
    /// A subresource has no data of its own.
    #[serde(deserialize_with = "subresource")]
    subresource: bool,
}

fn subresource<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text: Option<decode::Text<'de>> = Option::deserialize(deserializer)?;
    Ok(text.is_some_and(|text| !text.0.is_empty()))
}

#[derive(Default)]
struct OwnsData(bool);

impl EntrySink for OwnsData {
    fn entry<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        // `stringData` is folded into `data` before it is stored, but its field set names it.
        self.0 |= matches!(key, "f:data" | "f:binaryData" | "f:stringData");
        map.next_value::<IgnoredAny>().map(drop)
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(Newest)
    }
}

struct Newest;

impl<'de> Visitor<'de> for Newest {
    type Value = Written;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("managedFields")
    }

    fn visit_none<E>(self) -> Result<Written, E> {
        Ok(Written::default())
    }

    fn visit_unit<E>(self) -> Result<Written, E> {
        Ok(Written::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Written, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Written, A::Error> {
        let mut newest = None;
        while let Some(entry) = seq.next_element::<Entry>()? {
            if entry.fields.0 && !entry.subresource {
                newest = newest.max(entry.time);
            }
        }
        Ok(Written(newest))
    }
}
