//! The route, explained: from what is known of a cluster, or of files, to a [`Report`]: hops with how
//! each is known, timers with what sets them and which of them binds, the drain sheet, what is
//! declared and not on the way, findings, and what could not be read.
//!
//! Pure: no async, files, clock or network. Whoever gathers fills in [`Facts`].

mod beside;
mod drain;
mod entry;
mod facts;
mod findings;
mod gap;
mod hop;
mod observed;
mod questions;
mod report;
mod subject;
mod tables;
mod tree;
mod view;

pub use drain::short;
pub use facts::{Facts, Source};
pub use gap::{Gap, Right, Why, roles};
pub use hop::{Hop, HopKind, How, Mark};
pub use report::{
    Answer, Beside, Cell, DrainSheet, DrainStep, Effective, Found, Limit, Outcome, Place, Question,
    Reference, Report, Row, TimerKind, TimerTable, Way,
};
pub use subject::{Subject, SubjectKind};
pub use view::{Asked, inspect};
