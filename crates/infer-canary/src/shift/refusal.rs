//! Why no shift is begun, in words that say what to do.

use super::{Named, Owned};
use std::fmt;

/// Why a shift cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The workload is no Deployment.
    NotADeployment {
        /// The workload.
        workload: Named,
    },
    /// Fewer than two replicas are ready.
    TooFewReady {
        /// The workload.
        workload: Named,
        /// How many are.
        ready: u64,
    },
    /// No Service selects the workload's pods.
    NoService {
        /// The workload.
        workload: Named,
    },
    /// No route leads to a Service of the workload.
    NoRoute {
        /// The workload.
        workload: Named,
        /// Its Services.
        services: Vec<String>,
        /// The route that was asked for, where one was.
        asked: Option<Named>,
    },
    /// Several routes lead to it.
    SeveralRoutes {
        /// They.
        routes: Vec<Named>,
    },
    /// The route leads to several Services of the workload.
    SeveralServices {
        /// The route.
        route: Named,
        /// They.
        services: Vec<String>,
    },
    /// The Ingress is served by something that does not split by a second Ingress.
    NoCanaryIngress {
        /// The Ingress.
        route: Named,
        /// The class that it names, if it names one.
        class: Option<String>,
        /// The controllers that may serve it, as messages call them; none where none is known.
        controllers: Vec<String>,
        /// Those that do split so.
        able: Vec<String>,
    },
    /// Another Ingress takes a share of the same hosts and paths already.
    OtherCanary {
        /// The other one.
        other: Named,
        /// Host and path that both have.
        place: String,
    },
    /// The route sends requests in a way that cannot be shared by weight.
    CannotShare {
        /// The route.
        route: Named,
        /// Pointer to the place.
        path: String,
        /// Why.
        why: String,
    },
    /// An object has the canary's name and is not of a canary of this workload.
    NameTaken {
        /// The object.
        object: Named,
    },
    /// The canary's pods cannot be told from the stable ones by changing a label.
    SameLabels {
        /// What selects both, as `service/NAME` or `deployment/NAME`.
        by: Named,
    },
    /// It is not clear which container is meant.
    Container {
        /// The name that was given.
        asked: Option<String>,
        /// Those that are there.
        names: Vec<String>,
    },
    /// An argument cannot be set.
    Argument {
        /// The argument.
        name: String,
        /// Why.
        why: String,
    },
    /// The second version is the first one.
    SameVersion {
        /// It.
        version: String,
    },
    /// The second workload is not there.
    SecondMissing {
        /// Its name.
        name: String,
    },
    /// A tool would undo what is written.
    Owned(Owned),
}

impl Refusal {
    /// What is wrong, on one line.
    pub fn message(&self) -> String {
        match self {
            Refusal::NotADeployment { workload } => format!(
                "{workload} is no Deployment: a canary is a second Deployment beside the stable one"
            ),
            Refusal::TooFewReady { workload, ready } => format!(
                "{workload} has {ready} ready replicas; a canary wants at least 2, so that stable \
                 carries all requests when one fails"
            ),
            Refusal::NoService { workload } => format!("no Service selects the pods of {workload}"),
            Refusal::NoRoute {
                workload,
                services,
                asked,
            } => {
                let services = services.join(", ");
                match asked {
                    Some(asked) => {
                        format!("{asked} does not lead to {workload} (service {services})")
                    }
                    None => format!(
                        "no Ingress, HTTPRoute or VirtualService of the namespace leads to \
                         {workload} (service {services})"
                    ),
                }
            }
            Refusal::SeveralRoutes { routes } => {
                format!("several routes lead to it: {}", list(routes))
            }
            Refusal::SeveralServices { route, services } => format!(
                "{route} leads to several Services of the workload: {}",
                services.join(", ")
            ),
            Refusal::NoCanaryIngress {
                route,
                class,
                controllers,
                ..
            } => {
                let class = class.as_deref().unwrap_or("<none>");
                match &controllers[..] {
                    [] => format!("{route} is of class {class}, whose controller is not known"),
                    some => format!(
                        "{route} is of class {class}, served by {}: a second Ingress takes no \
                         share there",
                        some.join(" or ")
                    ),
                }
            }
            Refusal::OtherCanary { other, place } => {
                format!("{other} takes a share of {place} already; a controller honours one only")
            }
            Refusal::CannotShare { route, path, why } => {
                format!("{route} cannot be shared by weight: {path}: {why}")
            }
            Refusal::NameTaken { object } => {
                format!("{object} is there already and is not of a canary of this workload")
            }
            Refusal::SameLabels { by } => format!(
                "{by} would select the pods of both versions, and no label of its selector can be \
                 changed"
            ),
            Refusal::Container { asked, names } => {
                let names = names.join(", ");
                match asked {
                    Some(asked) => format!("there is no container {asked}; there are {names}"),
                    None => {
                        format!("which container runs the server is not known; there are {names}")
                    }
                }
            }
            Refusal::Argument { name, why } => format!("argument {name}: {why}"),
            Refusal::SameVersion { version } => {
                format!("the stable version has {version} already: there is nothing to try")
            }
            Refusal::SecondMissing { name } => {
                format!("there is no Deployment {name} to be the second version")
            }
            Refusal::Owned(owned) => format!(
                "{} holds {} to what is written elsewhere and would undo the canary ({})",
                owned.owner.tool, owned.object, owned.owner.evidence
            ),
        }
    }

    /// Ways out, each on one line; none where nothing is known to help.
    pub fn help(&self) -> Vec<String> {
        let one = |text: &str| vec![text.to_owned()];
        match self {
            Refusal::NotADeployment { workload } => vec![format!(
                "make a second {} and its Service by hand, split the route between the two, and let \
                 `kubectl infer test --expect` be the gate of each step",
                workload.kind
            )],
            Refusal::TooFewReady { workload, .. } => vec![format!(
                "`kubectl get {workload}` shows its replicas; `kubectl scale {workload} \
                 --replicas=2` adds one"
            )],
            Refusal::NoService { workload } => vec![format!(
                "`kubectl infer check {workload}` says what its Service lacks"
            )],
            Refusal::NoRoute { workload, .. } => vec![
                format!("`kubectl infer inspect {workload}` shows how requests get there"),
                format!("`kubectl infer scaffold` writes a route for {workload}"),
            ],
            Refusal::SeveralRoutes { routes } => routes
                .first()
                .map(|route| format!("choose one: `--route={route}`"))
                .into_iter()
                .collect(),
            Refusal::SeveralServices { .. } => one(
                "choose another route with `--route=KIND/NAME`, or let this one lead to one Service",
            ),
            Refusal::NoCanaryIngress { able, .. } => vec![format!(
                "shares by Ingress work with {}; else route by an HTTPRoute or a VirtualService",
                able.join(", ")
            )],
            Refusal::OtherCanary { other, .. } => {
                vec![format!(
                    "`kubectl get {other} -o yaml` shows it; end that canary first"
                )]
            }
            Refusal::CannotShare { .. } => {
                one("choose another route with `--route=KIND/NAME`, or take that out of this one")
            }
            Refusal::NameTaken { object } => vec![format!(
                "`kubectl get {object} -o yaml` shows it; rename or delete it"
            )],
            Refusal::SameLabels { .. } => {
                one("give the workload's pods a label such as `version: stable`, and select by it")
            }
            Refusal::Container { .. } => one("name it: `--image=CONTAINER=IMAGE`"),
            Refusal::Argument { .. } => {
                one("make the second version a Deployment of its own and name it as the canary")
            }
            Refusal::SameVersion { .. } => Vec::new(),
            Refusal::SecondMissing { .. } => one("`kubectl get deployments` lists them"),
            Refusal::Owned(owned) => vec![
                "`--print-patch` prints what to commit instead".to_owned(),
                format!(
                    "`kubectl infer test --expect` works as the gate of a canary that {} makes",
                    owned.owner.tool
                ),
            ],
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        for line in self.help() {
            write!(f, "\n  = help: {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

fn list(names: &[Named]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.join(", ")
}
