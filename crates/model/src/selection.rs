//! Which keys of an object are used.

use crate::digest::KeyHash;

/// A set of keys of one object. A union of selections is a selection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selection {
    /// All of `data`: what `envFrom` takes.
    text: bool,
    /// All of `binaryData` too: what a whole mount takes.
    binary: bool,
    /// These keys, sorted, wherever they are; empty where `text` and `binary` already say all.
    keys: Box<[KeyHash]>,
}

impl Selection {
    /// Every key: a whole mount.
    #[must_use]
    pub fn all() -> Self {
        Self {
            text: true,
            binary: true,
            keys: Box::default(),
        }
    }

    /// Every key that can be an environment variable: `data`, never `binaryData`.
    #[must_use]
    pub fn text() -> Self {
        Self {
            text: true,
            binary: false,
            keys: Box::default(),
        }
    }

    /// These keys.
    #[must_use]
    pub fn keys(keys: impl IntoIterator<Item = KeyHash>) -> Self {
        let mut keys: Vec<KeyHash> = keys.into_iter().collect();
        keys.sort_unstable();
        keys.dedup();
        Self {
            text: false,
            binary: false,
            keys: keys.into(),
        }
    }

    /// Whether no key at all is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.text && !self.binary && self.keys.is_empty()
    }

    /// Whether the key is selected; `binary` says that it stands in `binaryData`.
    #[must_use]
    pub fn contains(&self, key: KeyHash, binary: bool) -> bool {
        (if binary { self.binary } else { self.text }) || self.keys.binary_search(&key).is_ok()
    }

    /// The keys of both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let (text, binary) = (self.text || other.text, self.binary || other.binary);
        if text && binary {
            return Self::all();
        }
        let keys = self.keys.iter().chain(&other.keys).copied();
        Self {
            text,
            binary,
            ..Self::keys(keys)
        }
    }

    /// For packing: `text`, `binary`, the keys.
    pub(crate) const fn parts(&self) -> (bool, bool, &[KeyHash]) {
        (self.text, self.binary, &self.keys)
    }

    /// The selection of these parts.
    pub(crate) const fn from_parts(text: bool, binary: bool, keys: Box<[KeyHash]>) -> Self {
        Self { text, binary, keys }
    }

    /// Canonical bytes: equal selections, and only they, have equal bytes.
    pub(crate) fn canonical(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.text) | u8::from(self.binary) << 1];
        for key in &self.keys {
            bytes.extend_from_slice(key.bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn selection() -> impl Strategy<Value = Selection> {
        let keys = prop::collection::vec("[a-d]", 0..4);
        prop_oneof![
            Just(Selection::default()),
            Just(Selection::all()),
            Just(Selection::text()),
            keys.prop_map(|keys| Selection::keys(keys.iter().map(|key| KeyHash::of(key)))),
        ]
    }

    proptest! {
        #[test]
        fn a_union_selects_what_either_selects(a in selection(), b in selection(), key in "[a-e]", binary: bool) {
            let key = KeyHash::of(&key);
            let either = a.contains(key, binary) || b.contains(key, binary);
            prop_assert_eq!(a.union(&b).contains(key, binary), either);
            prop_assert_eq!(a.union(&b), b.union(&a));
            prop_assert_eq!(a.union(&a), a);
        }
    }
}
