//! Reloader's hash of a whole config object: SHA-1 over its lines `key=value`, sorted, joined by `;` (its util.go).
//!
//! Its own weakness comes with it: `;` and `=` in values are not escaped, so two contents may share a hash. It therefore
//! only marks what was done and decides only where there is no record of ours.

use std::cmp::Ordering;
use std::fmt;

use sha1::Digest as _;

/// The hash. `Debug` does not show it: the plain hash of a weak Secret can be guessed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha1([u8; Self::BYTES]);

/// What Reloader writes as the hash of an object that was deleted: that of `__RELOADER_EMPTY_DELETE_MARKER__`.
pub const DELETED: Sha1 = Sha1([
    0xaa, 0xe4, 0x5b, 0xad, 0xef, 0x99, 0x28, 0x4e, 0x4d, 0xae, 0x01, 0xd6, 0x04, 0x61, 0x54, 0xea, 0x9d, 0x99, 0x53,
    0x2f,
]);

impl Sha1 {
    /// How many bytes it has.
    pub const BYTES: usize = 20;

    /// The hash of an object with these keys and values, in any order.
    #[must_use]
    pub fn of<'a>(data: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut data: Vec<(&str, &[u8])> = data.into_iter().collect();
        data.sort_by(|(a, _), (b, _)| by_line(a, b));
        let mut lines = Lines::default();
        for (key, value) in data {
            lines.begin(key);
            lines.value(value);
        }
        lines.finish()
    }

    /// The hash of a SecretProviderClass with these lines, in any order: its keys may come twice and hold any character,
    /// so they are sorted whole, as Reloader does it.
    #[must_use]
    pub fn of_lines(mut lines: Vec<String>) -> Self {
        lines.sort_unstable();
        Self(sha1::Sha1::digest(lines.join(";").as_bytes()).into())
    }

    /// The hash that these 40 digits write; `None` if they are none, or not in lower case as Reloader writes them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        if text.len() != 2 * Self::BYTES {
            return None;
        }
        let mut bytes = [0; Self::BYTES];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// The hash of these bytes, as [`Self::bytes`] gave them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Display for Sha1 {
    /// As Reloader writes it: 40 lower-case digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha1")
    }
}

/// The order of two lines by their keys alone. Keys are unique and hold no `=` (the API server sees to it), so the
/// values never decide, and need not be held together to be sorted.
#[must_use]
pub fn by_line(a: &str, b: &str) -> Ordering {
    a.bytes().chain([b'=']).cmp(b.bytes().chain([b'=']))
}

/// Takes an object's lines in the order of [`by_line`], its values in pieces of any size.
#[derive(Default)]
pub struct Lines {
    hasher: sha1::Sha1,
    begun: bool,
}

impl Lines {
    /// Begins the line of `key`.
    pub fn begin(&mut self, key: &str) {
        if std::mem::replace(&mut self.begun, true) {
            self.hasher.update(b";");
        }
        self.hasher.update(key.as_bytes());
        self.hasher.update(b"=");
    }

    /// Takes the next bytes of its value.
    pub fn value(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Ends the object.
    #[must_use]
    pub fn finish(self) -> Sha1 {
        Sha1(self.hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn of(data: &[(&str, &str)]) -> String {
        Sha1::of(data.iter().map(|(key, value)| (*key, value.as_bytes()))).to_string()
    }

    #[rstest]
    #[case(&[], "da39a3ee5e6b4b0d3255bfef95601890afd80709")]
    #[case(&[("key", "value")], "dc30e0faa89a70dec1033016a2309bbeb9efcbd0")]
    #[case(&[("a", "1"), ("b", "2")], "f83e99e324ba68ccc373a58ef1eb42f8ab88646a")]
    #[case(&[("a", "1"), ("a.b", "2"), ("a-b", "3")], "eda5750b73d882eee5c905c71476939717fedbeb")]
    fn golden_values_are_those_of_reloader(#[case] data: &[(&str, &str)], #[case] expected: &str) {
        assert_eq!(of(data), expected);
    }

    #[test]
    fn the_delete_marker_is_the_hash_of_its_text() {
        let hash: [u8; 20] = sha1::Sha1::digest(b"__RELOADER_EMPTY_DELETE_MARKER__").into();
        assert_eq!(DELETED.to_string(), "aae45badef99284e4dae01d6046154ea9d99532f");
        assert_eq!(&hash, DELETED.bytes());
    }

    #[test]
    fn reloader_defect_a5_two_contents_may_share_a_hash_so_it_never_outvotes_a_record() {
        assert_eq!(of(&[("a", "1;b=2")]), of(&[("a", "1"), ("b", "2")]));
    }

    #[test]
    fn no_debug_output_shows_it() {
        assert_eq!(format!("{:?}", Sha1::of([("password", &b"hunter2"[..])])), "Sha1");
    }

    proptest! {
        #[test]
        fn it_is_the_hash_of_the_sorted_lines_whole(
            data in prop::collection::btree_map("[-._a-cA-C0-2]{1,4}", "[ -~]{0,6}", 0..6)
        ) {
            let mut lines: Vec<String> = data.iter().map(|(key, value)| format!("{key}={value}")).collect();
            lines.sort();
            let whole: [u8; 20] = sha1::Sha1::digest(lines.join(";").as_bytes()).into();
            let parts = data.iter().map(|(key, value)| (key.as_str(), value.as_bytes()));
            prop_assert_eq!(Sha1::of(parts), Sha1(whole));
        }

        #[test]
        fn it_reads_and_writes_the_same(bytes in any::<[u8; 20]>()) {
            prop_assert_eq!(Sha1::parse(&Sha1(bytes).to_string()), Some(Sha1(bytes)));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = Sha1::parse(&text);
        }
    }
}
