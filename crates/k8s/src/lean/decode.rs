//! Pieces of decoders: lenient where the API may leave out, write `null`, or surprise.

use std::borrow::Cow;

use afresh_model::time::UnixSeconds;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

/// A text that is borrowed from the input where it has no escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// `null` reads as a field that was left out.
pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A time; one that cannot be read is none, because no decision needs it.
pub(super) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UnixSeconds>, D::Error> {
    let text: Option<Text<'de>> = Option::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.0.parse().ok()))
}

/// Whether anything other than `null` is there.
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<IgnoredAny>::deserialize(deserializer)?.is_some())
}

/// Reads a map or `null` entry by entry.
pub(super) trait EntrySink {
    /// Takes one entry; the value must be consumed.
    fn entry<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// Feeds a map's entries to a sink; anything that is not a map is an error, `null` is empty.
pub(super) struct Entries<'a, S>(pub(super) &'a mut S);

impl<'de, S: EntrySink> DeserializeSeed<'de> for Entries<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: EntrySink> Visitor<'de> for Entries<'_, S> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map or null")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            self.0.entry(&key, &mut map)?;
        }
        Ok(())
    }
}

/// Runs a sink over a map, for `deserialize_with`.
pub(super) fn collect<'de, D, S>(deserializer: D) -> Result<S, D::Error>
where
    D: Deserializer<'de>,
    S: EntrySink + Default,
{
    let mut sink = S::default();
    Entries(&mut sink).deserialize(deserializer)?;
    Ok(sink)
}
