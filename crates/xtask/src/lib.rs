//! What the commands of `cargo xtask` are made of, and what tests may use of it.
//!
//! - [`contain`] runs a program so that nothing of it outlives us, whatever kills us.
//! - [`parts`] finds or builds the programs that a lab is made of.
//! - [`images`] packs them, and our own, into images for the lab's node.
//! - [`pages`] derives documentation from the engine.
//! - [`lab`] starts a throw-away API server from them; [`lab::webhook`] puts our webhook into it.

pub mod contain;
pub mod digest;
pub mod error;
pub mod images;
pub mod lab;
pub mod pages;
pub mod parts;
pub mod say;
pub mod workspace;

pub use error::{Error, Result};
