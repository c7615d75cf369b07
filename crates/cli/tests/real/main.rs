//! The real program against a real Kubernetes, as the ServiceAccount that `deploy/` makes and never as an administrator.
//!
//! Most tests have a namespace of their own on a shared cluster, in which `deploy/namespaced` is installed, and run
//! `afresh` beside it. Tests with a node use the controller that runs in it, from the manifests as they are. What takes
//! how long is printed (`--nocapture`) and decides nothing but the end of a run that has failed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod components;
mod control_plane;
mod csi;
mod deploy;
mod disruption;
mod evictions;
mod in_pod;
mod install;
mod kinds;
mod manifests;
mod node;
mod program;
mod rights;
mod source;
mod supervised;
mod swap;
mod why;
mod world;
