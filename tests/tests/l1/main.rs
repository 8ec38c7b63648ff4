//! What a real API server, real kubectl and our webhook make of manifests. Every test here runs on
//! one API server, in a namespace of its own; outside of the lab each one says that it is skipped.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod changes;
mod chapter_mesh;
mod cluster_operations;
mod crds;
mod doctor;
mod golden;
mod ingress;
mod inspect;
mod install;
mod llama;
mod scaffold;
mod shift;
mod undo;
mod updates;
