//! Randomness that needs to be spread, not secret.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A number that differs from call to call and from process to process. `RandomState` is seeded by the system.
pub(crate) fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}
