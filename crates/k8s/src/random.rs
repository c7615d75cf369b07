//! Randomness that needs to be spread, not secret.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

thread_local! {
    /// Differs from process to process: `RandomState` is seeded by the system.
    static STATE: Cell<u64> = Cell::new(RandomState::new().build_hasher().finish());
}

/// Fixes what this thread draws from now on, so that a test run on one thread replays. Nothing secret is drawn here.
pub fn seed(seed: u64) {
    STATE.set(seed);
}

/// A number that differs from call to call and from process to process (SplitMix64).
pub(crate) fn number() -> u64 {
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_from_call_to_call_and_repeat_for_a_seed() {
        assert_ne!(number(), number());
        let draw = || {
            seed(7);
            [number(), number()]
        };
        assert_eq!(draw(), draw());
    }
}
