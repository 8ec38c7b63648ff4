//! What a rule may look at besides its subject.

use crate::catalogue::Catalogue;
use crate::policy::Policy;
use crate::snapshot::Reader;

/// What a rule may look at besides its subject.
#[derive(Debug)]
pub struct World<'a> {
    /// Runtimes, controllers, sidecars.
    pub catalogue: &'a Catalogue,
    /// The platform's numbers.
    pub policy: &'a Policy,
    /// Other objects.
    pub reader: &'a Reader<'a>,
}
