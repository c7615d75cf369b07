//! `data` and `binaryData`: hashed entry by entry while they are read.

use afresh_model::content::Entry;
use afresh_model::digest::{EntryHasher, KeyHash, RawEntry};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::decode::{EntrySink, Text};

/// Base64 text that is decoded at a time; a multiple of 4. Keeps the decoded bytes on the stack.
const CHUNK: usize = 4096;

/// What is made of one entry's hash.
pub(super) trait FromHash: Sized {
    fn from_hash(key: KeyHash, hash: RawEntry, binary: bool) -> Self;
}

impl FromHash for Entry {
    fn from_hash(key: KeyHash, hash: RawEntry, binary: bool) -> Self {
        Self {
            key,
            digest: hash.plain(),
            binary,
        }
    }
}

/// A Secret's entry until it is sealed. It has no `Debug`: a plain hash of a weak secret can be guessed.
pub(super) struct Unsealed {
    pub(super) key: KeyHash,
    pub(super) hash: RawEntry,
}

impl FromHash for Unsealed {
    fn from_hash(key: KeyHash, hash: RawEntry, _binary: bool) -> Self {
        Self { key, hash }
    }
}

/// Hashed entries. `BASE64`: the values are base64, and the bytes they stand for are hashed.
pub(super) struct Hashed<T, const BASE64: bool>(pub(super) Vec<T>);

impl<T, const BASE64: bool> Default for Hashed<T, BASE64> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: FromHash, const BASE64: bool> EntrySink for Hashed<T, BASE64> {
    fn entry<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        let hash = map.next_value_seed(HashValue { key, base64: BASE64 })?;
        self.0.push(T::from_hash(KeyHash::of(key), hash, BASE64));
        Ok(())
    }
}

/// Hashes one value. A value that is no text (the API server accepts none) is hashed as its kind of nothing, so that
/// no error message can ever quote it.
struct HashValue<'a> {
    key: &'a str,
    base64: bool,
}

impl HashValue<'_> {
    fn text(&self, text: &str) -> RawEntry {
        if self.base64
            && let Some(hash) = hash_base64(self.key, text.as_bytes())
        {
            return hash;
        }
        let mut hasher = EntryHasher::new(self.key);
        hasher.update(text.as_bytes());
        hasher.finish()
    }

    fn other(&self) -> RawEntry {
        EntryHasher::new(self.key).finish()
    }
}

/// The hash of the bytes that `text` stands for; `None` if it is not base64.
fn hash_base64(key: &str, text: &[u8]) -> Option<RawEntry> {
    let mut hasher = EntryHasher::new(key);
    each_chunk(text, |bytes| hasher.update(bytes))?;
    Some(hasher.finish())
}

/// Gives the bytes that base64 `text` stands for, in pieces; `None` if it is not base64, maybe after some pieces.
pub(super) fn each_chunk(text: &[u8], mut take: impl FnMut(&[u8])) -> Option<()> {
    let mut decoded = [0; CHUNK / 4 * 3];
    let mut chunks = text.chunks(CHUNK).peekable();
    while let Some(chunk) = chunks.next() {
        let length = STANDARD.decode_slice(chunk, &mut decoded).ok()?;
        if chunks.peek().is_some() && length < decoded.len() {
            return None; // padding in the middle
        }
        take(&decoded[..length]);
    }
    Some(())
}

impl<'de> DeserializeSeed<'de> for HashValue<'_> {
    type Value = RawEntry;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawEntry, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for HashValue<'_> {
    type Value = RawEntry;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<RawEntry, E> {
        Ok(self.text(text))
    }

    fn visit_unit<E>(self) -> Result<RawEntry, E> {
        Ok(self.other())
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawEntry, E> {
        Ok(self.text(if value { "true" } else { "false" }))
    }

    fn visit_i64<E>(self, value: i64) -> Result<RawEntry, E> {
        Ok(self.text(&value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<RawEntry, E> {
        Ok(self.text(&value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<RawEntry, E> {
        Ok(self.text(&value.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawEntry, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(self.other())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawEntry, A::Error> {
        while map.next_entry::<Text<'de>, IgnoredAny>()?.is_some() {}
        Ok(self.other())
    }
}
