//! YAML and JSON manifests as objects whose every value knows its place in the file.
//!
//! What [`parse`] makes of a text is what kubectl sends to the API server for it: YAML 1.1 as
//! kubectl's reader understands it (`0644` is 420, `yes` is `true`), JSON, several documents in
//! one text, lists of objects taken apart. `tests/parity.rs` holds the table that kubectl itself
//! is asked about. Where a text has no single meaning (a key given twice), it is an error here
//! although kubectl takes the last one.
//!
//! The parser beneath is `granit-parser`, the event parser on which serde-saphyr stands, and not
//! serde-saphyr itself: events carry the byte spans of keys, aliases and brackets, which serde's
//! data model has no room for, and they leave the meaning of a plain scalar to us, so that
//! `scalar` can be kubectl's table instead of a near miss of it.
//!
//! Nothing here panics on any input, and work and memory are bounded: see [`parse`].

mod build;
mod load;
mod parse;
mod place;
mod scalar;

pub use load::{LoadError, Loaded, load};
pub use parse::{ParseError, Parsed, parse};
pub use place::{Lines, Places, position};

/// One source file, or stdin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// How it is shown: the path as the caller gave it, or `<stdin>`.
    pub name: String,
    /// Its whole text. The spans of its documents are byte offsets into this.
    pub text: String,
}

/// One object: a YAML document, a JSON value, or an item of a `List`.
#[derive(Clone, Debug)]
pub struct Document {
    /// The object, as kubectl would send it.
    pub object: serde_json::Value,
    /// Index of its [`Source`] in [`Loaded::sources`]; 0 after a bare [`parse`].
    pub source: usize,
    /// Where its values stand in the source.
    pub places: Places,
}
