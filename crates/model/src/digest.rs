//! Digests of configuration: plain for ConfigMaps, keyed for Secrets.
//!
//! All are truncated SHA-256 over length-prefixed parts behind a domain word, so that no two different inputs share a
//! byte string. They are written into clusters and read back by later versions: the golden values in the tests below
//! never change. A new way of hashing gets a new domain word, which changes every [`Basis`], and a record with another
//! basis is adopted, never rolled.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// The hash of a data key's name; the name itself need not be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash([u8; 8]);

impl KeyHash {
    pub(crate) const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The hash of `key`.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(truncate(hash("afresh/key/1", &[key.as_bytes()])))
    }
}

/// The digest of one key and its value, as it is kept: truncated, and keyed if the object is a Secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryDigest([u8; 16]);

/// Hashes one value while it is being decoded, in pieces of any size.
#[derive(Clone)]
pub struct EntryHasher(Sha256);

impl EntryHasher {
    /// Begins the value of `key`.
    #[must_use]
    pub fn new(key: &str) -> Self {
        let mut hasher = Sha256::new();
        part(&mut hasher, b"afresh/entry/1");
        part(&mut hasher, key.as_bytes());
        Self(hasher)
    }

    /// Takes the next bytes of the value.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Ends the value.
    #[must_use]
    pub fn finish(self) -> RawEntry {
        RawEntry(self.0.finalize().into())
    }
}

/// The full, unkeyed hash of one entry. For a Secret this must be [sealed](DigestKey::seal) at once and never kept:
/// a plain hash of a weak secret can be guessed offline.
pub struct RawEntry([u8; 32]);

impl RawEntry {
    /// The digest of a ConfigMap's entry.
    #[must_use]
    pub fn plain(&self) -> EntryDigest {
        EntryDigest(truncate(self.0))
    }
}

/// The key of an installation's Secret digests: 32 random bytes that live in a Secret of their own.
#[derive(Clone)]
pub struct DigestKey([u8; 32]);

/// A digest key of the wrong size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a digest key has 32 bytes, this one has {0}")]
pub struct DigestKeyError(usize);

impl DigestKey {
    /// Takes the key's bytes.
    ///
    /// # Errors
    /// If there are not 32 of them.
    pub fn new(bytes: &[u8]) -> Result<Self, DigestKeyError> {
        bytes.try_into().map(Self).map_err(|_| DigestKeyError(bytes.len()))
    }

    /// The digest of a Secret's entry: HMAC-SHA-256, truncated.
    #[must_use]
    pub fn seal(&self, entry: &RawEntry) -> EntryDigest {
        EntryDigest(truncate(self.hmac("afresh/secret/1", &entry.0)))
    }

    /// A name for this key that does not reveal it. It is part of the [`Basis`] of Secret digests: with another key
    /// nothing can be compared, so everything is adopted and nothing rolls.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId(truncate(self.hmac("afresh/key-id/1", &[])))
    }

    fn hmac(&self, domain: &str, message: &[u8]) -> [u8; 32] {
        // HMAC pads a short key with zeros to the hash's block of 64 bytes (RFC 2104).
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(&(domain.len() as u64).to_be_bytes());
        mac.update(domain.as_bytes());
        mac.update(message);
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DigestKey({})", Hex(&self.id().0))
    }
}

/// See [`DigestKey::id`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 4]);

impl KeyId {
    pub(crate) const fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Hex(&self.0), f)
    }
}

impl fmt::Debug for EntryDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Hex(&self.0), f)
    }
}

impl EntryDigest {
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A digest of 16 bytes, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 16]);

impl Digest {
    /// The digest of `parts` under `domain`.
    #[must_use]
    pub fn of(domain: &str, parts: &[&[u8]]) -> Self {
        Self(truncate(hash(domain, parts)))
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a digest: 32 hexadecimal digits")]
pub struct DigestError(String);

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        unhex(text)
            .map(Self)
            .ok_or_else(|| DigestError(text.chars().take(64).collect()))
    }
}

/// What a digest was computed over: which keys, by which way of hashing, with which digest key.
/// Digests compare only where their bases are equal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Basis([u8; 4]);

impl Basis {
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        Self(truncate(hash("afresh/basis/1", parts)))
    }

    pub(crate) const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The digest of the keys that a workload uses of an object, with its [`Basis`]; written `basis:digest`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint {
    /// What it was computed over.
    pub basis: Basis,
    /// The digest.
    pub digest: Digest,
}

/// A text that is not a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a fingerprint: 8 hexadecimal digits, a colon, 32 hexadecimal digits")]
pub struct FingerprintError(String);

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let parse = || {
            let (basis, digest) = text.split_once(':')?;
            Some(Self {
                basis: Basis(unhex(basis)?),
                digest: Digest(unhex(digest)?),
            })
        };
        parse().ok_or_else(|| FingerprintError(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Hex(&self.basis.0), Hex(&self.digest.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Hex(&self.0), f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Hex(&self.0), f)
    }
}

impl fmt::Debug for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Hex(&self.0), f)
    }
}

/// Hashes a pod template while it is read; see [`crate::template`].
#[derive(Clone)]
pub struct TemplateHasher(Sha256);

impl Default for TemplateHasher {
    fn default() -> Self {
        let mut hasher = Sha256::new();
        part(&mut hasher, b"afresh/template/1");
        Self(hasher)
    }
}

impl TemplateHasher {
    /// Takes one token; tokens are length-prefixed, so that their borders count.
    pub fn token(&mut self, bytes: &[u8]) {
        part(&mut self.0, bytes);
    }

    /// Ends the template.
    #[must_use]
    pub fn finish(self) -> TemplateHash {
        TemplateHash(truncate(self.0.finalize().into()))
    }
}

/// The hash of a pod template without what Afresh itself writes into it: a new value means that somebody else changed
/// the template, so its controller replaces the pods anyway.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TemplateHash([u8; 8]);

impl TemplateHash {
    pub(crate) const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for TemplateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Hex(&self.0), f)
    }
}

impl fmt::Debug for TemplateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Hex(&self.0), f)
    }
}

impl FromStr for TemplateHash {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        unhex(text)
            .map(Self)
            .ok_or_else(|| FingerprintError(text.chars().take(64).collect()))
    }
}

fn part(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_be_bytes());
    hasher.update(bytes);
}

fn hash(domain: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    part(&mut hasher, domain.as_bytes());
    for bytes in parts {
        part(&mut hasher, bytes);
    }
    hasher.finalize().into()
}

fn truncate<const N: usize>(full: [u8; 32]) -> [u8; N] {
    let mut short = [0; N];
    short.copy_from_slice(&full[..N]);
    short
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Lower-case digits only, so that a digest has one spelling.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let bytes = text.as_bytes();
    if bytes.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(key: &str, value: &[u8]) -> RawEntry {
        let mut hasher = EntryHasher::new(key);
        hasher.update(value);
        hasher.finish()
    }

    #[test]
    fn golden_values_never_change() {
        let key = DigestKey::new(&[7; 32]).unwrap();
        let raw = entry("message", b"Hello World");
        let seen = [
            format!("{:?}", KeyHash::of("message")),
            format!("{:?}", raw.plain()),
            format!("{:?}", key.seal(&raw)),
            format!("{:?}", key.id()),
            Digest::of("d", &[b"a", b"b"]).to_string(),
        ];
        assert_eq!(
            seen,
            [
                "KeyHash([147, 106, 183, 248, 173, 190, 55, 236])",
                "86a86069d0b0f677ac410d666e7a726e",
                "b09664d78dd5547d35f053ea772ab9a7",
                "5d6bd121",
                "c0fd66b81f65bd8b85b1491075e4ce25"
            ]
        );
    }

    #[test]
    fn the_border_between_key_and_value_counts() {
        assert_ne!(entry("ab", b"c").plain(), entry("a", b"bc").plain());
    }

    #[test]
    fn a_digest_key_is_never_shown() {
        let shown = format!("{:?}", DigestKey::new(&[0xab; 32]).unwrap());
        assert!(!shown.contains("abab") && !shown.contains("171"), "{shown}");
    }

    #[test]
    fn a_digest_key_of_another_size_is_refused() {
        assert_eq!(
            DigestKey::new(&[0; 31]).unwrap_err().to_string(),
            "a digest key has 32 bytes, this one has 31"
        );
    }

    proptest! {
        #[test]
        fn a_value_hashes_the_same_in_any_pieces(value in any::<Vec<u8>>(), cut in any::<prop::sample::Index>()) {
            let cut = cut.index(value.len() + 1);
            let mut pieces = EntryHasher::new("k");
            pieces.update(&value[..cut]);
            pieces.update(&value[cut..]);
            prop_assert_eq!(pieces.finish().plain(), entry("k", &value).plain());
        }

        #[test]
        fn a_fingerprint_reads_and_writes_the_same(basis in any::<[u8; 4]>(), digest in any::<[u8; 16]>()) {
            let fingerprint = Fingerprint { basis: Basis(basis), digest: Digest(digest) };
            prop_assert_eq!(fingerprint.to_string().parse::<Fingerprint>(), Ok(fingerprint));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<Fingerprint>();
        }
    }
}
