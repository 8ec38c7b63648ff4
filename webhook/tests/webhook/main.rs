//! The webhook from outside: by its router, over real TLS in this process, and as a process.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bad_input;
mod certificates;
mod client;
mod limits;
mod manifests;
mod process;
mod replies;
mod reviews;
mod shutdown;
mod slow_clients;
mod store;
