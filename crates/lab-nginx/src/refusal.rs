//! Why an Ingress is not served.

use crate::name::Name;

/// Why an Ingress is not served, before NGINX was asked. Each message says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An annotation of ingress-nginx that is no directive of NGINX, or that nobody entered here.
    #[error(
        "the lab's NGINX does not know the annotation {0}: it serves an Ingress as it is written or \
         not at all; remove it, or add its directive to crates/lab-nginx/src/annotation.rs"
    )]
    UnknownAnnotation(String),
    /// A value that would end its directive and begin another.
    #[error(
        "{place}: the value holds {character:?}, which would break out of NGINX's directive; remove it"
    )]
    BreaksOut {
        /// Annotation or field.
        place: String,
        /// The first such character.
        character: char,
    },
    /// A host that is no DNS name.
    #[error("spec.rules[].host {0:?} is not a DNS name, nor one after `*.`")]
    Host(String),
    /// A path that does not begin with a slash.
    #[error("the path {0:?} does not begin with `/`")]
    Path(String),
    /// A field that the lab's NGINX does not act on.
    #[error("{0} is not served by the lab's NGINX; remove it")]
    NotServed(&'static str),
    /// Somebody has the same path of the same host.
    #[error(
        "{path:?} of host {host:?} belongs to {owner}, which is older; use another path or host"
    )]
    Taken {
        /// The host, empty for every host.
        host: String,
        /// The path.
        path: String,
        /// Who has it: this Ingress itself where it names the path twice.
        owner: Name,
    },
}
