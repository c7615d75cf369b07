//! The one source of randomness: seeded, so that names and UIDs repeat from run to run.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use std::time::Duration;

/// The alphabet of generated names (k8s.io/apimachinery/pkg/util/rand): no vowels, no look-alikes.
const NAME_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A seeded generator.
#[derive(Debug)]
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A generator that depends on the seed and on a label, so that draws for one label never shift those of another.
    pub(crate) fn labelled(seed: u64, label: &str) -> Self {
        Self::seeded(seed ^ fnv(label.as_bytes()))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.0.next_u64() % bound }
    }

    /// True with the given probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        // 53 bits make an exact f64 in [0, 1).
        let unit = (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < probability
    }

    /// A duration in `[min, max)`, to the millisecond.
    pub(crate) fn between(&mut self, min: Duration, max: Duration) -> Duration {
        let span = max.saturating_sub(min).as_millis();
        min + Duration::from_millis(self.below(u64::try_from(span).unwrap_or(u64::MAX)))
    }

    /// An RFC 9562 version 4 UUID.
    pub(crate) fn uid(&mut self) -> String {
        let (a, b) = (self.0.next_u64(), self.0.next_u64());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            0x8000 | ((b >> 48) & 0x3fff),
            b & 0xffff_ffff_ffff
        )
    }

    /// The five-letter suffix of a generated name.
    pub(crate) fn suffix(&mut self) -> String {
        (0..5).map(|_| letter(self.below(NAME_ALPHABET.len() as u64))).collect()
    }
}

fn letter(index: u64) -> char {
    usize::try_from(index)
        .ok()
        .and_then(|i| NAME_ALPHABET.get(i))
        .map_or('x', |b| char::from(*b))
}

/// FNV-1a, 64 bits: stable over platforms and runs, unlike the standard hasher.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A number's decimal digits mapped into the alphabet of generated names: how pod-template-hash is spelt.
pub(crate) fn safe_encode(number: u64) -> String {
    number
        .to_string()
        .bytes()
        .map(|digit| letter(u64::from(digit) % NAME_ALPHABET.len() as u64))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_names_and_another_seed_others() {
        let draw = |seed| {
            let mut random = Random::seeded(seed);
            (random.uid(), random.suffix())
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_eq!(draw(7).0.len(), 36);
    }

    #[test]
    fn chance_follows_its_probability() {
        let mut random = Random::seeded(1);
        let hits = (0..10_000).filter(|_| random.chance(0.2)).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
        assert!(!random.chance(0.0));
    }
}
