//! The cluster: the only room that holds a Kubernetes client.
//!
//! [`Store`] keeps what rules read in memory, trimmed, by watches. Admission reads the store and
//! never calls the cluster.

mod client;
mod mirror;
mod resource;
mod store;
mod watch;

pub use client::{ClientError, connect, is_in_cluster};
pub use kube::Client;
pub use resource::Resource;
pub use store::{Changes, State, Store};
