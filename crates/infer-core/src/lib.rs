//! The engine: what is known about runtimes and controllers, what is wrong with a manifest, and
//! what admission would change.
//!
//! Pure: no async, files, clock, network or kube client, neither here nor in the dependency tree (a
//! test holds this). Objects are untyped JSON; lenses read them, changes are made by JSON pointer,
//! so that fields which nobody here knows survive. The core cannot fail: a bad manifest is a
//! finding, an odd shape is silence.

pub mod admission;
mod afresh;
pub mod argv;
pub mod catalogue;
pub mod check;
pub mod drain;
pub mod drain_plan;
pub mod duration;
mod engine;
pub mod gpu;
pub mod image;
pub mod kind;
pub mod lens;
pub mod object;
pub mod patch;
pub mod pointer;
pub mod policy;
pub mod probe;
pub mod record;
pub mod review;
pub mod route;
pub mod rule;
pub mod rules;
pub mod server;
pub mod snapshot;
pub mod withdraw;
pub mod world;
pub mod written;

pub use engine::Engine;
