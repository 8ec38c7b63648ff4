//! The cluster: the only room that holds a Kubernetes client.
//!
//! [`Store`] keeps what rules read in memory, trimmed, by watches. Admission reads the store and
//! never calls the cluster.
//!
//! [`Cluster`] is what commands ask, follow and change. Beside it stand readers of what it answers,
//! which touch no network: [`address`], [`endpoints`], [`disruption`].

pub mod address;
pub mod disruption;
pub mod endpoints;
pub mod gather;
pub mod registration;
pub mod survey;

mod access;
mod call;
mod client;
mod connection;
mod deletion;
mod exec;
#[cfg(test)]
mod fake;
mod feed;
mod follow;
mod journal;
mod lease;
mod log;
mod mirror;
mod near;
mod network;
mod objects;
mod request_error;
mod resource;
mod store;
mod watch;
mod what;
mod write;

pub use access::Access;
pub use client::{ClientError, connect, is_in_cluster};
pub use connection::{Cluster, ConnectionOptions};
pub use deletion::Deleted;
pub use exec::ExecOutput;
pub use feed::Feed;
pub use follow::{Change, Happened};
pub use journal::{Journal, LARGEST_JOURNAL, StoredJournal};
pub use kube::Client;
pub use lease::{Lease, LeaseError};
pub use log::{LogLine, Since};
pub use near::near;
pub use objects::Selector;
pub use request_error::{Hints, RequestError};
pub use resource::Resource;
pub use store::{Changes, State, Store};
pub use what::What;
pub use write::{Bound, Found, WriteError};
