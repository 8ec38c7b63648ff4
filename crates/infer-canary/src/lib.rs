//! A gradual shift of traffic to a second version of a model server, with rollback.
//!
//! [`shift`] knows the objects that carry a share, [`gate`] compares the two versions, and
//! [`machine`] decides what is next. Pure: no async, files, clock or network. Whoever drives it
//! feeds what is seen and obeys what is decided.

pub mod gate;
pub mod journal;
pub mod machine;
pub mod owner;
pub mod shift;
pub mod version;
