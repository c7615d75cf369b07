//! The answers for a table of situations, made by the real decoding and the real rule, without a cluster.

mod reloader;
mod scene;
mod situations;

mod cluster;
mod setup;
mod target;
