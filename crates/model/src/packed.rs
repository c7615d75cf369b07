//! What is kept of thousands of things, as bytes: one allocation of a few hundred bytes where the types themselves take
//! dozens of allocations and a kilobyte. Only for this process: the layout may change with any version.
//!
//! What was packed comes back equal (a property test). Bytes that nobody packed come back as something, never a panic.

use crate::name::{ConfigKind, Name};

mod workload;

pub use workload::{Head, Rare, head, pack, unpack};

/// Bytes that most of what is packed fits into.
const ROOM: usize = 512;

/// Writes bytes.
#[derive(Debug)]
pub struct Packer(Vec<u8>);

impl Default for Packer {
    fn default() -> Self {
        Self(Vec::with_capacity(ROOM))
    }
}

/// Reads what a [`Packer`] wrote, in the same order. Behind the end everything is zero.
#[derive(Debug, Clone)]
pub struct Unpacker<'a>(&'a [u8]);

impl Packer {
    /// With room for so many bytes, for what is known to be large.
    #[must_use]
    pub fn with_room(room: usize) -> Self {
        Self(Vec::with_capacity(room))
    }

    /// As much memory as it takes and no more. It is copied: shrinking a buffer that has grown leaves a gap behind each of
    /// thousands, which is never filled.
    #[must_use]
    pub fn finish(self) -> Box<[u8]> {
        self.0.as_slice().into()
    }

    /// One byte.
    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Bytes whose number is known to whoever reads them.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A number; the smaller the shorter.
    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// How many of something follow.
    pub fn length(&mut self, length: usize) {
        self.number(length as u64);
    }

    /// A number that is near to another one; the nearer the shorter.
    pub fn near(&mut self, number: i64, other: i64) {
        let apart = number.wrapping_sub(other);
        self.number(((apart << 1) ^ (apart >> 63)).cast_unsigned());
    }

    /// A text of any length.
    pub fn text(&mut self, text: &str) {
        self.length(text.len());
        self.raw(text.as_bytes());
    }
}

impl<'a> Unpacker<'a> {
    /// Begins at the first byte.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether everything is read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// All that is left.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// So many bytes, or as many as are left.
    pub fn slice(&mut self, length: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// See [`Packer::byte`].
    pub fn byte(&mut self) -> u8 {
        self.raw::<1>()[0]
    }

    /// See [`Packer::raw`].
    pub fn raw<const N: usize>(&mut self) -> [u8; N] {
        let Some((bytes, rest)) = self.0.split_first_chunk() else {
            self.0 = &[];
            return [0; N];
        };
        self.0 = rest;
        *bytes
    }

    /// See [`Packer::number`].
    pub fn number(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }

    /// See [`Packer::length`]. Never more than there are bytes left, as each of the things takes one at least.
    pub fn length(&mut self) -> usize {
        usize::try_from(self.number()).map_or(0, |length| length.min(self.0.len()))
    }

    /// See [`Packer::near`].
    pub fn near(&mut self, other: i64) -> i64 {
        let number = self.number();
        let apart = (number >> 1).cast_signed() ^ -(number & 1).cast_signed();
        other.wrapping_add(apart)
    }

    /// See [`Packer::text`].
    pub fn text(&mut self) -> &'a str {
        let length = self.length();
        std::str::from_utf8(self.slice(length)).unwrap_or_default()
    }

    /// A text that was a name.
    pub fn name(&mut self) -> Name {
        Name::of_accepted(self.text())
    }
}

/// A name of its own from the text of one.
#[must_use]
pub fn name(text: &str) -> Name {
    Name::of_accepted(text)
}

/// A kind as two bits.
pub(crate) const fn kind_bits(kind: ConfigKind) -> u8 {
    match kind {
        ConfigKind::ConfigMap => 0,
        ConfigKind::Secret => 1,
        ConfigKind::SecretProviderClass => 2,
    }
}

/// The kind of two bits.
pub(crate) const fn kind_of_bits(bits: u8) -> ConfigKind {
    match bits & 3 {
        0 => ConfigKind::ConfigMap,
        1 => ConfigKind::Secret,
        _ => ConfigKind::SecretProviderClass,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(byte: u8, number: u64, near: (i64, i64), text in "\\PC{0,20}", raw: [u8; 7]) {
            let mut packer = Packer::default();
            packer.byte(byte);
            packer.number(number);
            packer.near(near.0, near.1);
            packer.text(&text);
            packer.raw(&raw);
            let bytes = packer.finish();
            let mut unpacker = Unpacker::new(&bytes);
            prop_assert_eq!(unpacker.byte(), byte);
            prop_assert_eq!(unpacker.number(), number);
            prop_assert_eq!(unpacker.near(near.1), near.0);
            prop_assert_eq!(unpacker.text(), text);
            prop_assert_eq!(unpacker.raw::<7>(), raw);
            prop_assert_eq!((unpacker.byte(), unpacker.number(), unpacker.text()), (0, 0, ""));
        }
    }

    #[test]
    fn what_is_near_is_short() {
        let length = |number, other| {
            let mut packer = Packer::default();
            packer.near(number, other);
            packer.finish().len()
        };
        assert_eq!([length(1_800_000_000, 1_800_000_063), length(1_800_000_000, 0)], [1, 5]);
    }
}
