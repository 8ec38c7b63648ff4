//! The CRDs of routers on the lab's API server, for tests of objects of those kinds.

use xtask::lab::routers::crds;
pub use xtask::lab::routers::crds::Crds;
use xtask::lab::session::Lab;

/// Installs them where they are not yet, and waits until the API server serves them. Whether they
/// are there; where the part is missing, that is said aloud.
///
/// # Panics
///
/// When the API server refuses one or does not serve it in time; where `INFER_LAB_REQUIRE`
/// names the level, also when the part is missing.
#[must_use]
pub fn install(lab: &Lab, wanted: &[Crds]) -> bool {
    crate::routers::had(lab, "the CRDs of routers", crds::install(lab, wanted)).is_some()
}
