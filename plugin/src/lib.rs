//! `kubectl infer`: what is wrong on the way from client to model, and why.
//!
//! Data runs forward only: argv -> files -> objects with spans -> review -> report -> printer ->
//! exit code. Commands decide, printers print what they are given and know no rules, and only
//! [`cli`] touches the process (arguments, streams, exit code).

mod answered;
mod canary;
pub mod cli;
mod command;
mod confirm;
mod connection;
mod doctor;
mod drill;
mod duration;
mod exit;
mod flags;
mod holder;
mod interrupt;
mod manifests;
mod namespace;
mod place;
mod policy_file;
mod print;
mod problem;
mod proxy;
mod report;
mod request;
mod route;
mod run_name;
mod smoke;
mod subject;
mod terminal;
mod tested;
