//! An in-process Kubernetes API server and node, for hermetic tests and the demo. Never in production paths.
//!
//! ```
//! use afresh_sandbox::{Filter, Options, Patch, Rates, RequestFault, Sandbox, Verb, WatchFault};
//! use serde_json::json;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sandbox = Sandbox::start(&Options::default()); // controllers and one node; all time is tokio's
//! let client = kube::Client::new(sandbox.service(), "default"); // what is under test uses this
//! # drop(client);
//!
//! // The test itself reaches in directly: no fault and no log entry ever concerns this.
//! sandbox.create(json!({
//!     "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}, "data": {"k": "1"},
//! }))?;
//! sandbox.patch("configmaps", "default", "conf", &Patch::Merge(json!({"data": {"k": "2"}})))?;
//!
//! // What was asked through the client can be counted ...
//! let patches = sandbox.log().succeeded(&Filter::verb(Verb::Patch).resource("deployments"));
//! assert_eq!(patches, 0);
//!
//! // ... and disturbed: aimed, or drawn from a seed, until quiet.
//! let lost = RequestFault::ReplyLost;
//! sandbox.faults().next_requests(1, Filter::verb(Verb::Patch).resource("deployments"), lost);
//! sandbox.faults().next_watches(2, Filter::any().resource("secrets"), WatchFault::CloseAtOnce);
//! sandbox.faults().seeded(42, Rates::STORMY);
//! sandbox.faults().quiet();
//!
//! // Pods have processes with an environment, and files: see `Node`.
//! assert!(sandbox.node().process("default", "none", "app").is_none());
//! # Ok(())
//! # }
//! ```
//!
//! How it is made, from the bottom:
//!
//! ```text
//! store        objects, one revision for everything, a history that can be compacted          pure
//! api          the verbs: validation, defaults, generation, managedFields, finalizers         pure but for the clock
//! http         routing, negotiation, watch streams, discovery; faults and the request log     tower::Service, or hyper
//! controllers  Deployment, ReplicaSet, StatefulSet, DaemonSet, scheduler, garbage, namespaces one task ...
//! node         processes with their environment, volumes by the kubelet's rules               ... for these two
//! ```
//!
//! What comes back is compared with the real API server, the real controllers and a real kubelet, request by request, in
//! `tests/conformance`. Not served: server-side apply, protobuf (but for what `kubectl create` sends), admission
//! webhooks, authorization, logs and exec.

mod api;
mod clock;
mod controllers;
mod convert;
mod crash;
mod defaults;
mod faults;
mod http;
mod log;
mod managed;
mod node;
mod object;
mod patch;
mod random;
mod request;
mod resource;
mod sandbox;
mod selector;
mod signal;
mod status;
mod store;
mod strategy;
mod validate;

pub use afresh_volume::{File, Files};
pub use clock::Clock;
pub use crash::crash_at;
pub use faults::{Delivery, Faults, Injected, Rates, RequestFault, WatchFault};
pub use http::{Body, ServeError, Service, Serving, TransportError};
pub use log::{Record, RequestLog};
pub use node::{Node, NodeOptions, Process, READY_AFTER};
pub use patch::Patch;
pub use request::{Attributes, Filter, Verb};
pub use resource::{Generation, Resource};
pub use sandbox::{Options, Sandbox};
pub use signal::Changes;
pub use status::ApiError;
