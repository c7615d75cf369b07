//! The controller against the in-process API server and node, by a paused clock: one test for each promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod admin;
mod annotations;
mod class_marks;
mod compat;
mod csi;
mod defects;
mod deletions;
mod dialects;
mod drop_in;
mod evictions;
mod kinds;
mod leaders;
mod logged;
mod marks;
mod objects;
mod pauses;
mod people;
mod races;
mod rolls;
mod rows;
mod scope;
mod touches;
mod trouble;
mod turns;
mod work;
mod world;
