//! Printers: what is shown, given what there is to show. None of them knows a rule.

pub(crate) mod canary;
pub(crate) mod canary_json;
pub(crate) mod diagnostic;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod drill;
pub(crate) mod drill_json;
pub(crate) mod findings;
pub(crate) mod inspect;
pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod problem;
pub(crate) mod table;
pub(crate) mod tested;
pub(crate) mod tested_json;
pub(crate) mod text;
pub(crate) mod trace;
