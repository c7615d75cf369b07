//! Reads environment variables, and keeps those that can matter.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{EnvVar, EnvVarSource};
use crate::reloader::sha1::Sha1;

/// Any environment variable, read without a copy of its name.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Variable<'a> {
    #[serde(borrow, default)]
    pub(super) name: Cow<'a, str>,
    #[serde(default, rename = "value", deserialize_with = "hash_only")]
    pub(super) marker: Option<Sha1>,
    #[serde(default)]
    pub(super) value_from: Option<EnvVarSource>,
}

/// Reads variables, and keeps those that can matter. The name of one that cannot is not even copied.
pub(super) fn telling<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<EnvVar>, D::Error> {
    struct Telling;

    impl<'de> Visitor<'de> for Telling {
        type Value = Vec<EnvVar>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of variables or null")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_seq(self)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut kept = Vec::new();
            while let Some(variable) = seq.next_element::<Variable<'de>>()? {
                if variable.marker.is_some() || variable.value_from.is_some() {
                    kept.push(EnvVar {
                        name: variable.name.into(),
                        marker: variable.marker,
                        value_from: variable.value_from,
                    });
                }
            }
            Ok(kept)
        }
    }

    deserializer.deserialize_option(Telling)
}

/// A value that is [`Sha1`] as text; any other is none.
fn hash_only<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Sha1>, D::Error> {
    struct HashOnly;

    impl<'de> Visitor<'de> for HashOnly {
        type Value = Option<Sha1>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a value")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Sha1::parse(text))
        }

        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(None)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(None)
        }
    }

    deserializer.deserialize_any(HashOnly)
}
