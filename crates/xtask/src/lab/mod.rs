//! The lab: a throw-away API server, and what it needs to be one.
//!
//! xtask ([`start`]) finds the parts and starts a keeper in namespaces of its own; the keeper
//! ([`inside`]) starts the servers, runs the command and ends. Everything that a lab writes is in
//! its state directory, a memory file system that only its own mount namespace sees, so it vanishes
//! with the lab, also after `kill -9`. Two labs use the same path and addresses, and do not meet.

pub mod https;
pub mod inside;
pub mod loopback;
pub mod pki;
pub mod servers;
pub mod session;
pub mod start;
pub mod webhook;

pub use session::Lab;
pub use start::{Options, run};

use std::net::Ipv4Addr;

/// How much of a cluster a lab has. Each level is the one before it and more parts.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// etcd and kube-apiserver: objects, admission, RBAC; nothing runs, no controller acts.
    L1,
}

impl Level {
    /// The name that people type and `INFER_LAB_LEVEL` holds.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::L1 => "l1",
        }
    }
}

/// A lab's address: on `lo`, yet not loopback, so that the API server calls a webhook there as in
/// production (over HTTP/1.1 with the certificate checked), and may be written into an
/// EndpointSlice.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
