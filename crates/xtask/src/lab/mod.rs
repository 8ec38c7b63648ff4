//! The lab: a throw-away API server, and what it needs to be one.
//!
//! xtask ([`start`]) finds the parts and starts a keeper in namespaces of its own; the keeper
//! ([`inside`]) starts the servers, runs the command and ends. Everything that a lab writes is in
//! its state directory, a memory file system that only its own mount namespace sees, so it vanishes
//! with the lab, also after `kill -9`. Two labs use the same path and addresses, and do not meet.

pub mod exercise;
pub mod http;
pub mod https;
pub mod inside;
pub mod loopback;
pub mod node;
pub mod pki;
pub mod routers;
pub mod servers;
pub mod session;
pub mod start;
pub mod webhook;

pub use session::Lab;
pub use start::{Options, run};

use std::net::Ipv4Addr;

/// How much of a cluster a lab has.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// NGINX and llama-server on loopback: traffic without a cluster.
    T,
    /// etcd and kube-apiserver: objects, admission, RBAC; nothing runs, no controller acts.
    L1,
    /// A whole node on top of L1: controllers, scheduler, containerd, kubelet, kube-proxy. Needs
    /// root.
    L3,
}

impl Level {
    /// Whether it has an API server.
    #[must_use]
    pub fn has_api_server(self) -> bool {
        self != Self::T
    }

    /// The name that people type and `INFER_LAB_LEVEL` holds.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::T => "t",
            Self::L1 => "l1",
            Self::L3 => "l3",
        }
    }
}

/// A lab's address: on `lo`, yet not loopback, so that the API server calls a webhook there as in
/// production (over HTTP/1.1 with the certificate checked), and may be written into an
/// EndpointSlice.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);
