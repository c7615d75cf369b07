//! Stakater Reloader's conventions, translated into our own words. Facts: Reloader 1.4.21 at 655a2b38.

pub mod container;
pub mod go;
mod keys;
pub mod marker;
pub mod marking;
pub mod marks;
pub mod pause;
mod policy;
pub mod sha1;

pub use keys::{Key, Keys};
pub(crate) use policy::{Sources, exactly_true, read};
pub use policy::{named, place};
