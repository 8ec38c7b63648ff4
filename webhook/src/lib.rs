//! The admission webhook as a library, so that tests and the bench run the very server.
//!
//! `socket -> TLS, bounds -> parse once -> request -> review over the snapshot -> answer`; forward
//! only. A review never calls the cluster: it reads [`infer_cluster::Store`].
//!
//! [`routes::router`] makes the paths of any [`reviewer::Review`]; [`server::Server`] puts them
//! behind TLS; [`run()`] is the program.

pub mod args;
mod aside;
mod authority;
mod body;
pub mod bounds;
mod connection;
mod logging;
pub mod metrics;
pub mod policy_file;
pub mod readiness;
mod registrar;
pub mod review_request;
mod review_response;
pub mod reviewer;
mod rotation;
pub mod routes;
mod run;
pub mod server;
mod throttle;
pub mod tls;

pub use run::run;
