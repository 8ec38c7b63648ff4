//! Nothing of ours is left behind, however xtask ends: no process, namespace, mount, cgroup, sysctl
//! or file.
//!
//! These start labs, so `cargo test` ignores them; `cargo xtask test` runs them (`-- --ignored`
//! does, too). They run side by side, and so show that several labs do.
#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in test functions, not in their helpers"
)]

mod case;
mod l1;
mod l3;
