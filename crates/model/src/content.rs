//! What is kept of an object's data: a digest per key, never the value.

use crate::digest::{Basis, Digest, EntryDigest, Fingerprint, KeyHash, KeyId};
use crate::selection::Selection;

/// One key of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry {
    /// The key's name, hashed.
    pub key: KeyHash,
    /// The key and its value, hashed.
    pub digest: EntryDigest,
    /// It stands in `binaryData`: a file in a mount, never an environment variable.
    pub binary: bool,
}

impl Entry {
    /// How many bytes a key takes where memory counts.
    pub const KEY_BYTES: usize = 9;

    /// The key and where its value stands, which many objects have in common, and the digest: for [`Self::from_bytes`] in the
    /// same process. The layout may change with the version.
    #[must_use]
    pub fn to_bytes(self) -> ([u8; Self::KEY_BYTES], [u8; 16]) {
        let mut key = [self.binary.into(); Self::KEY_BYTES];
        key[..8].copy_from_slice(self.key.bytes());
        let mut digest = [0; 16];
        digest.copy_from_slice(self.digest.bytes());
        (key, digest)
    }

    /// The entry of these bytes.
    #[must_use]
    pub fn from_bytes(key: [u8; Self::KEY_BYTES], digest: [u8; 16]) -> Self {
        let [key @ .., binary] = key;
        Self {
            key: KeyHash::from_bytes(key),
            digest: EntryDigest::from_bytes(digest),
            binary: binary != 0,
        }
    }
}

/// The data of one ConfigMap or Secret as digests, in an order of its own, so that equal data are equal contents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Content(Box<[Entry]>);

impl Content {
    /// Takes the entries in any order.
    #[must_use]
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable();
        entries.dedup();
        Self(entries.into())
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries, in their order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Whether the key is there.
    #[must_use]
    pub fn has(&self, key: KeyHash) -> bool {
        self.0.iter().any(|entry| entry.key == key)
    }

    /// The fingerprint of the selected keys. `keyed` names the digest key for a Secret, and is `None` for a ConfigMap.
    ///
    /// An object that is absent has the fingerprint of one without keys: a process cannot tell them apart.
    #[must_use]
    pub fn fingerprint(&self, selection: &Selection, keyed: Option<KeyId>) -> Fingerprint {
        let chosen = self
            .0
            .iter()
            .filter(|entry| selection.contains(entry.key, entry.binary));
        let bytes: Vec<u8> = chosen.flat_map(|entry| entry.digest.bytes()).copied().collect();
        let key_id = keyed.as_ref().map_or(&[][..], KeyId::bytes);
        Fingerprint {
            basis: Basis::of(&[&selection.canonical(), key_id]),
            digest: Digest::of("afresh/content/1", &[&bytes]),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digest::{DigestKey, EntryHasher};

    fn entry(key: &str, value: &str, binary: bool) -> Entry {
        let mut hasher = EntryHasher::new(key);
        hasher.update(value.as_bytes());
        Entry {
            key: KeyHash::of(key),
            digest: hasher.finish().plain(),
            binary,
        }
    }

    fn content(data: &[(&str, &str)]) -> Content {
        Content::new(data.iter().map(|(key, value)| entry(key, value, false)).collect())
    }

    fn keys(keys: &[&str]) -> Selection {
        Selection::keys(keys.iter().map(|key| KeyHash::of(key)))
    }

    #[test]
    fn golden_fingerprints_never_change() {
        let content = content(&[("a", "1"), ("b", "2")]);
        let key = DigestKey::new(&[7; 32]).unwrap();
        let seen = [
            content.fingerprint(&Selection::all(), None).to_string(),
            content.fingerprint(&keys(&["a"]), None).to_string(),
            content.fingerprint(&Selection::text(), Some(key.id())).to_string(),
            Content::default().fingerprint(&Selection::all(), None).to_string(),
        ];
        assert_eq!(
            seen,
            [
                "eac9e9e3:9b853c40d0603237b7e5c34b7f8a7826",
                "82e5c527:3b0e53731469c41300f667f389ba26c9",
                "2552a1d6:9b853c40d0603237b7e5c34b7f8a7826",
                "eac9e9e3:5564451e878139ec4c7d2475861148ab"
            ]
        );
    }

    #[test]
    fn a_key_that_is_not_selected_does_not_count() {
        let (before, after) = (
            content(&[("a", "1"), ("b", "2")]),
            content(&[("a", "1"), ("b", "3"), ("c", "4")]),
        );
        assert_eq!(
            before.fingerprint(&keys(&["a"]), None),
            after.fingerprint(&keys(&["a"]), None)
        );
        assert_ne!(
            before.fingerprint(&Selection::all(), None),
            after.fingerprint(&Selection::all(), None)
        );
    }

    #[test]
    fn binary_data_is_no_environment_variable() {
        let before = Content::new(vec![entry("a", "1", false), entry("b", "2", true)]);
        let after = Content::new(vec![entry("a", "1", false), entry("b", "3", true)]);
        assert_eq!(
            before.fingerprint(&Selection::text(), None),
            after.fingerprint(&Selection::text(), None)
        );
        assert_ne!(
            before.fingerprint(&Selection::all(), None),
            after.fingerprint(&Selection::all(), None)
        );
    }

    #[test]
    fn the_basis_tells_other_keys_and_other_digest_keys_apart() {
        let content = content(&[("a", "1")]);
        let id = |byte| Some(DigestKey::new(&[byte; 32]).unwrap().id());
        let bases = [
            content.fingerprint(&Selection::all(), None).basis,
            content.fingerprint(&Selection::text(), None).basis,
            content.fingerprint(&keys(&["a"]), None).basis,
            content.fingerprint(&keys(&["a", "b"]), None).basis,
            content.fingerprint(&Selection::all(), id(1)).basis,
            content.fingerprint(&Selection::all(), id(2)).basis,
        ];
        for (n, basis) in bases.iter().enumerate() {
            assert!(!bases[..n].contains(basis), "{n}");
        }
    }

    proptest! {
        #[test]
        fn the_order_of_keys_does_not_matter(data in prop::collection::btree_map("[a-z]{1,4}", "[a-z]{0,4}", 0..8)) {
            let entries: Vec<Entry> = data.iter().map(|(key, value)| entry(key, value, false)).collect();
            let mut reversed = entries.clone();
            reversed.reverse();
            prop_assert_eq!(Content::new(entries), Content::new(reversed));
        }

        #[test]
        fn any_changed_value_changes_the_fingerprint(
            data in prop::collection::btree_map("[a-z]{1,4}", "[a-z]{0,4}", 1..8), which in any::<prop::sample::Index>()
        ) {
            let which = which.index(data.len());
            let of = |changed: bool| Content::new(data.iter().enumerate().map(|(n, (key, value))| {
                let value = if changed && n == which { format!("{value}!") } else { value.clone() };
                entry(key, &value, false)
            }).collect());
            let all = Selection::all();
            prop_assert_ne!(of(false).fingerprint(&all, None), of(true).fingerprint(&all, None));
        }
    }
}
