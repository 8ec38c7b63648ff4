//! The engine: what is known and what is wanted, in one value.

use crate::catalogue::Catalogue;
use crate::policy::Policy;

/// What every review decides from.
#[derive(Clone, Debug)]
pub struct Engine {
    /// What is known.
    pub catalogue: Catalogue,
    /// What is wanted.
    pub policy: Policy,
}

impl Engine {
    /// An engine of this catalogue and policy.
    pub fn new(catalogue: Catalogue, policy: Policy) -> Engine {
        Engine { catalogue, policy }
    }

    /// The built-in catalogue under the built-in baseline.
    pub fn builtin() -> Engine {
        Engine::new(Catalogue::builtin(), Policy::baseline())
    }
}
