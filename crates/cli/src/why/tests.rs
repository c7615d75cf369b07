//! The answers for a table of situations, made by the real decoding and the real rule, without a cluster.

mod scene;
mod situations;

mod cluster;
mod target;
