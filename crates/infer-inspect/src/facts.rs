//! What was gathered, before anybody thinks about it.

use crate::gap::Gap;
use crate::subject::Subject;
use infer_core::kind::KindSet;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// Where the objects come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Files: as a person wrote them.
    Files,
    /// A cluster: as they are stored.
    Cluster,
}

/// What was gathered for one subject.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What a person pointed at.
    pub subject: Subject,
    /// Where the objects come from.
    pub source: Source,
    /// The objects, whole: entries, classes, gateways, objects of a mesh, Services, EndpointSlices,
    /// workloads, pods, Namespaces.
    pub objects: Vec<Arc<Value>>,
    /// The kinds that were looked for where the route needs them: of these, what is not among the
    /// objects is not there.
    pub known: KindSet,
    /// What could not be read.
    pub gaps: Vec<Gap>,
}
