//! A real Kubernetes cluster for tests, on a bare machine: etcd, kube-apiserver, kube-controller-manager,
//! kube-scheduler, and a node of kubelet, containerd and runc.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use afresh_testbed::Cluster;
//!
//! let cluster = Cluster::shared().await?; // one per test binary
//! let namespace = cluster.namespace("demo").await?; // one per test
//! cluster.kubectl(&["create", "configmap", "settings", "--from-literal=a=1", "--namespace", &namespace]).await?;
//! let client = cluster.client().await?; // one per test: a client lives in its runtime
//! # Ok(())
//! # }
//! ```
//!
//! Three flavours: [`Cluster::shared`] (most tests), [`Cluster::shared_with_controllers`] (Deployments make pods) and
//! [`Cluster::shared_with_node`] (pods run). Tests that stop the API server or compact etcd start a cluster of their own
//! ([`Cluster::control_plane`], [`Cluster::with_controllers`]).
//!
//! `cargo xtask setup` gets the programs. The control plane runs anywhere, as anyone, on free ports of loopback, and dies
//! with the test process. A node runs only inside the namespaces that `cargo xtask test` makes: there everything
//! that it mounts and starts ends with them.

mod access;
mod cluster;
mod control_plane;
mod definitions;
mod error;
mod etcd;
mod image;
mod keeper;
mod node;
mod pki;
mod pods;
mod ports;
mod process;
mod ready;
mod requests;
mod shared;
mod start;
mod state;
mod tenancy;
mod wait;

pub use access::Access;
pub use afresh_testbed_host::skip;
pub use cluster::{Builder, Cluster, Flavour};
pub use error::{Error, Result};
pub use image::{BUSYBOX, Image};
pub use ports::free as free_ports;
pub use requests::{Counted, Mark, Request};
pub use wait::eventually;
