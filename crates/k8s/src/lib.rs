//! The Kubernetes side of Afresh, and the only user of `kube`.
//!
//! ```text
//! API server ──list, watch──▶ lean (decode, hash, forget) ──▶ watch (guarded) ──▶ Event<K>
//!            ◀──patch, touch── write        ◀── event (Kubernetes Events, aside)
//!            ◀──lease, digest_key──
//! ```
//! Nothing but [`content`] holds a Kubernetes object: [`lean`] decodes straight into what the model needs, and a Secret's bytes
//! are hashed inside the decoder. Every call has a timeout; nothing is retried behind the caller's back.

pub mod client;
pub mod content;
pub mod digest_key;
mod discovery;
pub mod event;
pub mod lean;
pub mod lease;
pub mod random;
pub mod request;
pub mod watch;
pub mod write;
