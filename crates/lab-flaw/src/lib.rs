//! A second version of a model server, for the lab: the real server, bad in one way that is known.
//!
//! `lab-flaw --errors 5 --name errors-5 -- llama-server -m … --port 8080` starts llama-server on
//! another port of loopback and listens in its place. Every request is passed on; the flaw touches
//! only what generates, that is POSTs, so that probes and metrics tell of the server itself. Which
//! requests are touched follows from the seed and their number.
//!
//! Each answer says who gave it in [`VERSION_HEADER`].
//!
//! # Where it differs from llama-server
//!
//! - At SIGTERM it finishes what is in flight. llama-server closes its socket and hangs or cuts.
//! - It keeps connections for 75 s, llama-server for 5 s: a kept connection is not lost to a race.

mod arguments;
mod body;
mod error;
mod flaw;
mod options;
mod proxy;
mod run;
mod server;

pub use error::Error;
pub use flaw::{Draw, Flaw, Percent};
pub use proxy::{POD_HEADER, Proxy, VERSION_HEADER, listen};
pub use run::run;
