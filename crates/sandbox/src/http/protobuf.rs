//! Reading the protobuf bodies of `kubectl create configmap`, `secret` and `namespace`, which know no other way.
//!
//! Only these kinds are read, by a table of their fields; whatever is not in the table is refused, never dropped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::object;

/// What every Kubernetes protobuf body begins with (runtime/serializer/protobuf).
const MAGIC: &[u8] = b"k8s\0";

/// How a field becomes JSON.
#[derive(Clone, Copy)]
enum Field {
    Text,
    Texts,
    Flag,
    TextMap,
    BytesMap,
    Message(&'static [(u64, &'static str, Field)]),
}

/// A message: field number, JSON name, type.
type Schema = [(u64, &'static str, Field)];

const METADATA: &Schema = &[
    (1, "name", Field::Text),
    (2, "generateName", Field::Text),
    (3, "namespace", Field::Text),
    (5, "uid", Field::Text),
    (6, "resourceVersion", Field::Text),
    (11, "labels", Field::TextMap),
    (12, "annotations", Field::TextMap),
    (14, "finalizers", Field::Texts),
];
const CONFIG_MAP: &Schema = &[
    (1, "metadata", Field::Message(METADATA)),
    (2, "data", Field::TextMap),
    (3, "binaryData", Field::BytesMap),
    (4, "immutable", Field::Flag),
];
const SECRET: &Schema = &[
    (1, "metadata", Field::Message(METADATA)),
    (2, "data", Field::BytesMap),
    (3, "type", Field::Text),
    (4, "stringData", Field::TextMap),
    (5, "immutable", Field::Flag),
];
const NAMESPACE: &Schema = &[(1, "metadata", Field::Message(METADATA))];

/// What a field holds on the wire.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The object in a body, or nothing if it is of another kind or has fields that are not read.
pub(crate) fn decode(body: &[u8]) -> Option<Value> {
    let envelope = fields(body.strip_prefix(MAGIC)?)?;
    let part = |number: u64| {
        envelope
            .iter()
            .find(|(found, _)| *found == number)
            .map(|(_, wire)| wire)
    };
    let Some(Wire::Bytes(kind)) = part(1) else { return None };
    let kind = message(kind, &[(1, "apiVersion", Field::Text), (2, "kind", Field::Text)])?;
    let schema = match (object::text(&kind, &["apiVersion"]), object::text(&kind, &["kind"])) {
        ("v1", "ConfigMap") => CONFIG_MAP,
        ("v1", "Secret") => SECRET,
        ("v1", "Namespace") => NAMESPACE,
        _ => return None,
    };
    let Some(Wire::Bytes(raw)) = part(2) else { return None };
    let mut object = message(raw, schema)?;
    object["apiVersion"] = kind["apiVersion"].clone();
    object["kind"] = kind["kind"].clone();
    Some(object)
}

fn message(bytes: &[u8], schema: &Schema) -> Option<Value> {
    let mut object = Value::Object(Map::new());
    for (number, wire) in fields(bytes)? {
        let Some((_, name, field)) = schema.iter().find(|(known, _, _)| *known == number) else {
            // Go writes empty structures and zeroes even where nothing was set, some of them one level deep.
            match wire {
                Wire::Number(0) => continue,
                Wire::Bytes(inner) if is_empty(inner) => continue,
                _ => return None,
            }
        };
        match (field, wire) {
            (Field::Flag, Wire::Number(number)) => object[*name] = json!(number != 0),
            (Field::Text, Wire::Bytes([])) => {}
            (Field::Text, Wire::Bytes(text)) => object[*name] = json!(std::str::from_utf8(text).ok()?),
            (Field::Texts, Wire::Bytes(text)) => {
                object::default(&mut object, &[name], json!([]));
                object[*name]
                    .as_array_mut()?
                    .push(json!(std::str::from_utf8(text).ok()?));
            }
            (Field::TextMap | Field::BytesMap, Wire::Bytes(entry)) => {
                let (key, value) = entry_of(entry)?;
                let value = match field {
                    Field::BytesMap => STANDARD.encode(value),
                    _ => std::str::from_utf8(value).ok()?.to_owned(),
                };
                object::set(&mut object, &[name, key], json!(value));
            }
            (Field::Message(schema), Wire::Bytes(inner)) => object[*name] = message(inner, schema)?,
            _ => return None,
        }
    }
    Some(object)
}

fn is_empty(bytes: &[u8]) -> bool {
    let nothing = |wire: &Wire<'_>| matches!(wire, Wire::Number(0) | Wire::Bytes([]));
    fields(bytes).is_some_and(|fields| fields.iter().all(|(_, wire)| nothing(wire)))
}

/// The key and value of a map entry; an absent one is empty.
fn entry_of(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    for (number, wire) in fields(bytes)? {
        match (number, wire) {
            (1, Wire::Bytes(bytes)) => key = bytes,
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => return None,
        }
    }
    Some((std::str::from_utf8(key).ok()?, value))
}

fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Wire<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = number(&mut bytes)?;
        let wire = match tag & 7 {
            0 => Wire::Number(number(&mut bytes)?),
            2 => {
                let length = usize::try_from(number(&mut bytes)?).ok()?;
                let (content, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Wire::Bytes(content)
            }
            _ => return None,
        };
        fields.push((tag >> 3, wire));
    }
    Some(fields)
}

/// A base-128 number of at most 64 bits.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [&[number << 3 | 2, length], content].concat()
    }

    fn body(kind: &str, raw: &[u8]) -> Vec<u8> {
        let kind = [part(1, b"v1"), part(2, kind.as_bytes())].concat();
        [MAGIC, &part(1, &kind), &part(2, raw)].concat()
    }

    #[test]
    fn a_config_map_is_read_with_empty_values() {
        let metadata = [part(1, b"a"), part(8, b"")].concat();
        let entries = [
            part(2, &[part(1, b"k"), part(2, b"v")].concat()),
            part(2, &part(1, b"empty")),
        ]
        .concat();
        let raw = [part(1, &metadata), entries, vec![4 << 3, 1]].concat();
        let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"},
            "data": {"k": "v", "empty": ""}, "immutable": true});
        assert_eq!(decode(&body("ConfigMap", &raw)), Some(expected));
    }

    #[test]
    fn unknown_kinds_unknown_fields_and_broken_bytes_are_refused() {
        assert_eq!(decode(&body("Pod", b"")), None);
        assert_eq!(decode(&body("ConfigMap", &part(9, b"new"))), None);
        assert_eq!(decode(&body("ConfigMap", &[0x12, 0x7f])), None);
        assert_eq!(decode(b"no protobuf"), None);
        assert_eq!(decode(&[MAGIC, &[0xff; 12]].concat()), None);
    }
}
