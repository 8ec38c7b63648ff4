//! `kubectl infer doctor`: which controllers, meshes and accelerators a cluster has, and how our
//! webhook is. [`Facts`] in, [`Checkup`] out.
//!
//! Pure: no async, files, clock or network. Whoever gathers the facts says what could not be asked;
//! that is an unknown here, never an "all is well".

mod checkup;
mod classes;
mod facts;
mod gateway_api;
mod gpus;
mod installed;
mod meshes;
mod monitoring;
mod selector;
pub mod webhook;
mod words;

pub use checkup::{Category, Check, Checkup, Evidence, Next, Status};
pub use facts::{
    Authority, Bundle, Facts, Gap, Rehearsal, Seen, Served, WebhookFacts, WebhookPolicy,
};

use infer_core::catalogue::Catalogue;

/// Judges everything that is known of a cluster.
pub fn checkup(catalogue: &Catalogue, facts: &Facts) -> Checkup {
    let categories = vec![
        classes::category(catalogue, facts),
        gateway_api::category(facts),
        meshes::category(facts),
        monitoring::category(facts),
        gpus::category(catalogue, facts),
        webhook::category(catalogue, facts),
    ];
    Checkup::new(facts, categories)
}
