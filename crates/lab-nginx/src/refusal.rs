//! Why an Ingress is not served.

use crate::name::Name;
use crate::route::Backend;

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
    /// A value of a canary's annotation that has no meaning.
    #[error("{annotation}: {value:?} is not {wanted}; ingress-nginx would take its default for it")]
    Unreadable {
        /// The annotation.
        annotation: String,
        /// What is written.
        value: String,
        /// What would have a meaning.
        wanted: &'static str,
    },
    /// A canary's annotation on an Ingress that is none.
    #[error(
        "{0} is written, and nginx.ingress.kubernetes.io/canary is not `true`: write that, or remove \
         the annotation"
    )]
    NoCanary(String),
    /// A weight that `split_clients` cannot draw.
    #[error(
        "canary-weight {weight} of {total} is no whole number of hundredths of a percent, which is as \
         fine as NGINX's split_clients draws; use another weight or total"
    )]
    TooFine {
        /// The weight.
        weight: i64,
        /// What it is a share of.
        total: i64,
    },
    /// A canary of a path that nobody serves.
    #[error(
        "no Ingress serves {path:?} of host {host:?} with this pathType and is no canary itself: a \
         canary takes a share of another Ingress' requests"
    )]
    NoMain {
        /// The host, empty for every host.
        host: String,
        /// The path.
        path: String,
    },
    /// A main Ingress' own Service as its canary.
    #[error("{0} is served by an Ingress that is no canary; a canary needs a Service of its own")]
    IsMain(Backend),
    /// A second canary.
    #[error("{main} has the canary {owner}, which is older; a Service has at most one canary")]
    SecondCanary {
        /// The main Ingress' Service.
        main: Backend,
        /// Whose canary it has.
        owner: Name,
    },
}
