//! Config objects read together with Reloader's hash of them, for `afresh reloader` alone: its text is read a second
//! time, and everybody else pays nothing.
//!
//! Reloader sorts the lines before it hashes them, so the values are looked at where they stand in the text (one with
//! escapes is unescaped into memory of its own, for as long as the hashing takes) and nothing of them is kept.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use afresh_model::reloader::sha1::{Lines, Sha1, by_line};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::Watched;
use super::config::{LeanConfigMap, LeanSecret};
use super::data::each_chunk;
use super::decode::Text;
use super::undecodable::DecodeError;

/// A ConfigMap or Secret that is read with Reloader's hash.
#[derive(Debug)]
pub struct WithSha1<K>(pub K);

impl Watched for WithSha1<LeanConfigMap> {
    const KIND: &'static str = LeanConfigMap::KIND;
    const GROUP: &'static str = LeanConfigMap::GROUP;
    const PLURAL: &'static str = LeanConfigMap::PLURAL;

    fn decode(json: &str) -> Result<Self, DecodeError> {
        LeanConfigMap::decode(json).map(|lean| Self(lean.with_sha1(of_config_map(json))))
    }

    fn resource_version(&self) -> &str {
        self.0.resource_version()
    }
}

impl Watched for WithSha1<LeanSecret> {
    const KIND: &'static str = LeanSecret::KIND;
    const GROUP: &'static str = LeanSecret::GROUP;
    const PLURAL: &'static str = LeanSecret::PLURAL;

    fn decode(json: &str) -> Result<Self, DecodeError> {
        LeanSecret::decode(json).map(|lean| Self(lean.with_sha1(of_secret(json))))
    }

    fn resource_version(&self) -> &str {
        self.0.resource_version()
    }
}

/// The values as they stand in the text.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow)]
    data: Data<'a>,
    #[serde(borrow)]
    binary_data: Data<'a>,
}

/// Has no `Debug`: it holds values.
#[derive(Default)]
struct Data<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Data<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Pairs<'a> {
            type Value = Data<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map or null")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Data::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut data = Vec::new();
                while let Some((Text(key), Text(value))) = map.next_entry()? {
                    data.push((key, value));
                }
                Ok(Data(data))
            }
        }

        deserializer.deserialize_any(Pairs(PhantomData))
    }
}

/// `None` where the data are none that the API server accepts.
fn of_config_map(json: &str) -> Option<Sha1> {
    let wire: Wire<'_> = serde_json::from_str(json).ok()?;
    // Reloader encodes binary data again, which gives the text that stands here.
    let mut all = [wire.data.0, wire.binary_data.0].concat();
    all.sort_by(|(a, _), (b, _)| by_line(a, b));
    let mut lines = Lines::default();
    for (key, value) in &all {
        lines.begin(key);
        lines.value(value.as_bytes());
    }
    Some(lines.finish())
}

fn of_secret(json: &str) -> Option<Sha1> {
    let mut data = serde_json::from_str::<Wire<'_>>(json).ok()?.data.0;
    data.sort_by(|(a, _), (b, _)| by_line(a, b));
    let mut lines = Lines::default();
    for (key, value) in &data {
        lines.begin(key);
        each_chunk(value.as_bytes(), |bytes| lines.value(bytes))?;
    }
    Some(lines.finish())
}

#[cfg(test)]
mod tests {
    use afresh_model::convention::Conventions;
    use afresh_model::digest::DigestKey;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn config_map(rest: &serde_json::Value) -> Option<Sha1> {
        let mut object = json!({"metadata": {"namespace": "prod", "name": "web"}});
        object
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        WithSha1::<LeanConfigMap>::decode(&object.to_string())
            .unwrap()
            .0
            .into_object(&Conventions::default())
            .1
            .sha1
    }

    fn secret(rest: &serde_json::Value) -> Option<Sha1> {
        let mut object = json!({"metadata": {"namespace": "prod", "name": "web"}});
        object
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        let lean = WithSha1::<LeanSecret>::decode(&object.to_string()).unwrap().0;
        lean.into_object(&DigestKey::new(&[7; 32]).unwrap(), &Conventions::default())
            .1
            .sha1
    }

    #[test]
    fn a_config_map_has_the_hash_that_reloader_gives_it() {
        let golden = config_map(&json!({"data": {"a": "1", "a-b": "3", "a.b": "2"}}));
        assert_eq!(golden.unwrap().to_string(), "eda5750b73d882eee5c905c71476939717fedbeb");
        let empty = config_map(&json!({"data": null}));
        assert_eq!(empty.unwrap().to_string(), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        let both = config_map(&json!({"data": {"b": "x\ny \"z\""}, "binaryData": {"a": "AAEC"}}));
        assert_eq!(both, Some(Sha1::of([("a", &b"AAEC"[..]), ("b", &b"x\ny \"z\""[..])])));
    }

    #[test]
    fn labels_annotations_type_and_immutability_are_no_part_of_it() {
        let plain = secret(&json!({"data": {"a": "MQ=="}}));
        let other = secret(&json!({"data": {"a": "MQ=="}, "type": "x/y", "immutable": true}));
        assert_eq!(plain, other);
        assert_eq!(plain, Some(Sha1::of([("a", &b"1"[..])])));
    }

    #[test]
    fn what_no_server_sends_has_none_and_is_read_all_the_same() {
        assert_eq!(config_map(&json!({"data": {"a": 1}})), None);
        assert_eq!(secret(&json!({"data": {"a": "not base64!"}})), None);
        assert_eq!(secret(&json!({"data": {"a": null}})), None);
    }

    #[test]
    fn the_plain_decoder_makes_none() {
        let text = json!({"metadata": {"namespace": "prod", "name": "web"}, "data": {"a": "1"}}).to_string();
        assert_eq!(
            LeanConfigMap::decode(&text)
                .unwrap()
                .into_object(&Conventions::default())
                .1
                .sha1,
            None
        );
    }

    #[test]
    fn no_debug_output_shows_a_secret_or_its_hash() {
        let text = json!({"metadata": {"namespace": "prod", "name": "web"}, "data": {"a": "aHVudGVyMg=="}}).to_string();
        let lean = WithSha1::<LeanSecret>::decode(&text).unwrap();
        let shown = format!("{lean:?}");
        let object = lean
            .0
            .into_object(&DigestKey::new(&[7; 32]).unwrap(), &Conventions::default())
            .1;
        let hash = object.sha1.unwrap().to_string();
        let shown = format!("{shown} {object:?}");
        assert!(
            !["hunter2", "aHVudGVyMg", &hash]
                .iter()
                .any(|secret| shown.contains(secret)),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn a_secret_has_the_hash_of_its_bytes(
            data in prop::collection::btree_map("[-._a-c]{1,4}", prop::collection::vec(any::<u8>(), 0..9000), 0..4)
        ) {
            let encoded: serde_json::Map<_, _> =
                data.iter().map(|(key, value)| (key.clone(), STANDARD.encode(value).into())).collect();
            let expected = Sha1::of(data.iter().map(|(key, value)| (key.as_str(), &value[..])));
            prop_assert_eq!(secret(&json!({"data": encoded})), Some(expected));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = WithSha1::<LeanConfigMap>::decode(&text);
            let _ = WithSha1::<LeanSecret>::decode(&text);
        }
    }
}
