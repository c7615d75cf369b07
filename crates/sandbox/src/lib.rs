//! An in-process Kubernetes API server and node, for hermetic tests and the demo.

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
pub use node::{Node, NodeOptions, Process};
pub use patch::Patch;
pub use request::{Attributes, Filter, Verb};
pub use resource::{Generation, Resource};
pub use sandbox::{Options, Sandbox};
pub use status::ApiError;
