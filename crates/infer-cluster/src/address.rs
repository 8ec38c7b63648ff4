//! Where an Ingress is served from, read from the object alone.

use serde_json::Value;
use std::fmt;
use std::net::IpAddr;

use crate::near::near;
use crate::objects::text;
use crate::request_error::write_help;

/// Where to dial for an Ingress, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entrance {
    /// An IP address, or a name to resolve (cloud load balancers): the first of the status.
    pub address: String,
    /// Further addresses of the status.
    pub others: Vec<String>,
    /// The port.
    pub port: u16,
    /// Whether it speaks TLS: `spec.tls` covers the host.
    pub tls: bool,
    /// The host to ask for; none where no rule names one: then the address is the host.
    pub host: Option<String>,
    /// The rule's host, where it begins with `*` and `host` was made up to match it.
    pub wildcard: Option<String>,
    /// The path of the rule's first entry; `/` where it has none.
    pub path: String,
    /// Whether the controller decides what `path` means; it may be a regular expression.
    pub path_is_pattern: bool,
}

impl Entrance {
    /// Whether the address must be resolved first.
    pub fn is_hostname(&self) -> bool {
        self.address.parse::<IpAddr>().is_err()
    }

    /// `https` or `http`.
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The host to ask for, or the address.
    pub fn authority(&self) -> &str {
        self.host.as_deref().unwrap_or(&self.address)
    }
}

/// Why an Ingress has no entrance. `Display` has the ways out on `= help:` lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoEntrance {
    /// Its status has no address.
    NoAddress {
        /// Name of the Ingress.
        ingress: String,
        /// Its namespace.
        namespace: String,
        /// Who should serve it.
        class: Class,
        /// What `--resolve` would be, without the address: `HOST:PORT`.
        resolve: String,
    },
    /// No rule has the host that was asked for.
    NoHost {
        /// Name of the Ingress.
        ingress: String,
        /// The host asked for.
        host: String,
        /// The hosts it has.
        hosts: Vec<String>,
    },
    /// It routes nothing: no rule, no `defaultBackend`.
    NoRule {
        /// Name of the Ingress.
        ingress: String,
    },
}

/// The class of an Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// Of this name; its controller, where the class is known.
    Named {
        /// The name.
        name: String,
        /// `spec.controller` of the class.
        controller: Option<String>,
    },
    /// It names a class that is not there.
    Missing(String),
    /// It names none, and no class is the default.
    None,
    /// It names none; the classes were not read.
    Unknown,
}

/// Reads the entrance of an Ingress. `classes` are the cluster's IngressClasses, none when they may
/// not be read: they only say who should serve it. With `host` the rule for that host is taken,
/// else the first rule with a host.
///
/// # Errors
///
/// When nothing serves it yet, or nothing of it serves that host.
pub fn entrance(
    ingress: &Value,
    classes: Option<&[Value]>,
    host: Option<&str>,
) -> Result<Entrance, NoEntrance> {
    let name = text(ingress, "/metadata/name");
    let rules = items(ingress, "/spec/rules");
    let has_default = ingress.pointer("/spec/defaultBackend").is_some();
    let rule_host = |rule: &Value| text(rule, "/host");
    let rule = match host {
        Some(host) => {
            let rule = rule_for(rules, host);
            if rule.is_none() && !has_default {
                return Err(NoEntrance::NoHost {
                    ingress: name,
                    host: host.to_owned(),
                    hosts: hosts(rules),
                });
            }
            rule
        }
        None => {
            let named = rules.iter().find(|it| !rule_host(it).is_empty());
            let rule = named.or(rules.first());
            if rule.is_none() && !has_default {
                return Err(NoEntrance::NoRule { ingress: name });
            }
            rule
        }
    };
    let own = rule.map(rule_host).filter(|it| !it.is_empty());
    let wildcard = own.clone().filter(|own| own.starts_with("*."));
    let host = match (host, &own) {
        (Some(host), _) => Some(host.to_owned()),
        // Any one label does (networking/v1 IngressRule.host).
        (None, Some(own)) => Some(match own.strip_prefix("*.") {
            Some(rest) => format!("kubectl-infer.{rest}"),
            None => own.clone(),
        }),
        (None, None) => None,
    };
    let tls = is_covered(ingress, host.as_deref());
    let addresses = addresses(ingress);
    let Some((address, ports)) = addresses.first() else {
        return Err(NoEntrance::NoAddress {
            ingress: name,
            namespace: text(ingress, "/metadata/namespace"),
            class: class(ingress, classes),
            resolve: format!(
                "{}:{}",
                host.as_deref().unwrap_or("HOST"),
                if tls { 443 } else { 80 }
            ),
        });
    };
    let path = rule.and_then(|rule| items(rule, "/http/paths").first());
    let path_type = path.map(|path| text(path, "/pathType"));
    let path = path.map(|path| text(path, "/path")).unwrap_or_default();
    Ok(Entrance {
        address: address.clone(),
        others: addresses[1..].iter().map(|(it, _)| it.clone()).collect(),
        port: port(ports, tls),
        tls,
        host,
        wildcard,
        path: if path.is_empty() {
            "/".to_owned()
        } else {
            path
        },
        path_is_pattern: path_type.is_some_and(|it| it == "ImplementationSpecific"),
    })
}

/// The Service behind an Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Name of the Service.
    pub service: String,
    /// Its port, by number or by name.
    pub port: String,
}

/// The Service that a request to this host and path goes to, as the API defines it: the rule of
/// the host, then an exact path, then the longest prefix, then `defaultBackend`. A path that its
/// controller interprets is taken as a prefix up to its first sign of a regular expression.
pub fn backend(ingress: &Value, host: Option<&str>, path: &str) -> Option<Backend> {
    let rules = items(ingress, "/spec/rules");
    let rule = match host {
        Some(host) => rule_for(rules, host),
        None => rules.iter().find(|it| text(it, "/host").is_empty()),
    };
    let paths = rule.map(|rule| items(rule, "/http/paths"));
    let best = paths
        .unwrap_or_default()
        .iter()
        .filter_map(|it| Some((weight(it, path)?, it)))
        // The first of equals is kept.
        .reduce(|best, it| if it.0 > best.0 { it } else { best });
    let backend = match best {
        Some((_, path)) => path.get("backend"),
        None => ingress.pointer("/spec/defaultBackend"),
    }?;
    let service = text(backend, "/service/name");
    let port = match backend.pointer("/service/port/number") {
        Some(number) => number.to_string(),
        None => text(backend, "/service/port/name"),
    };
    (!service.is_empty()).then_some(Backend { service, port })
}

/// How well an entry of a rule fits a path: exact before prefix, longer before shorter.
fn weight(entry: &Value, path: &str) -> Option<(bool, usize)> {
    let own = text(entry, "/path");
    match text(entry, "/pathType").as_str() {
        "Exact" => (own == path).then_some((true, own.len())),
        "Prefix" => {
            let prefix = own.trim_end_matches('/');
            let rest = path.strip_prefix(prefix)?;
            (rest.is_empty() || rest.starts_with('/')).then_some((false, prefix.len()))
        }
        _ => {
            let literal = literal(&own);
            let prefix = literal.trim_end_matches('/');
            path.starts_with(prefix).then_some((false, prefix.len()))
        }
    }
}

/// The beginning of a path that is no pattern: `/api` of `/api(/|$)(.*)`.
pub fn literal(path: &str) -> &str {
    let end = path.find(|it| "()[]{}*+?|^$\\".contains(it));
    let literal = &path[..end.unwrap_or(path.len())];
    literal.strip_suffix('.').unwrap_or(literal)
}

fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    let items = value.pointer(pointer).and_then(Value::as_array);
    items.map(Vec::as_slice).unwrap_or_default()
}

fn hosts(rules: &[Value]) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for rule in rules {
        let host = text(rule, "/host");
        if !host.is_empty() && !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

/// The rule for a host: of that name, else of a wildcard, else of all hosts.
fn rule_for<'a>(rules: &'a [Value], host: &str) -> Option<&'a Value> {
    let named = rules
        .iter()
        .find(|it| text(it, "/host").eq_ignore_ascii_case(host));
    let covered = || {
        rules
            .iter()
            .find(|it| is_wildcard_of(&text(it, "/host"), host))
    };
    let all = || rules.iter().find(|it| text(it, "/host").is_empty());
    named.or_else(covered).or_else(all)
}

/// Whether `*.example.com` covers the host: one label more, no less.
fn is_wildcard_of(wildcard: &str, host: &str) -> bool {
    match (wildcard.strip_prefix("*."), host.split_once('.')) {
        (Some(suffix), Some((label, rest))) => {
            !label.is_empty() && rest.eq_ignore_ascii_case(suffix)
        }
        _ => false,
    }
}

/// Whether `spec.tls` covers the host. An entry without hosts is for all of them.
fn is_covered(ingress: &Value, host: Option<&str>) -> bool {
    items(ingress, "/spec/tls").iter().any(|entry| {
        let mut hosts = items(entry, "/hosts").iter().filter_map(Value::as_str);
        match host {
            Some(_) if items(entry, "/hosts").is_empty() => true,
            Some(host) => hosts.any(|it| it.eq_ignore_ascii_case(host) || is_wildcard_of(it, host)),
            None => items(entry, "/hosts").is_empty(),
        }
    })
}

/// Address and ports of each entry of the status.
fn addresses(ingress: &Value) -> Vec<(String, &[Value])> {
    items(ingress, "/status/loadBalancer/ingress")
        .iter()
        .filter_map(|it| {
            let ip = text(it, "/ip");
            let address = if ip.is_empty() {
                text(it, "/hostname")
            } else {
                ip
            };
            (!address.is_empty()).then(|| (address, items(it, "/ports")))
        })
        .collect()
}

/// The usual port, unless the status names others.
fn port(ports: &[Value], tls: bool) -> u16 {
    let usual = if tls { 443 } else { 80 };
    let works = |it: &&Value| text(it, "/error").is_empty() && text(it, "/protocol") != "UDP";
    let named: Vec<u16> = ports
        .iter()
        .filter(works)
        .filter_map(|it| u16::try_from(it.get("port")?.as_u64()?).ok())
        .collect();
    match named.first() {
        Some(first) if !named.contains(&usual) => *first,
        _ => usual,
    }
}

fn class(ingress: &Value, classes: Option<&[Value]>) -> Class {
    let annotation = "/metadata/annotations/kubernetes.io~1ingress.class";
    let named = [
        text(ingress, "/spec/ingressClassName"),
        text(ingress, annotation),
    ]
    .into_iter()
    .find(|it| !it.is_empty());
    let is_default = |class: &&Value| {
        let annotation = "/metadata/annotations/ingressclass.kubernetes.io~1is-default-class";
        text(class, annotation) == "true"
    };
    match (named, classes) {
        (Some(name), None) => Class::Named {
            name,
            controller: None,
        },
        (Some(name), Some(classes)) => {
            match classes.iter().find(|it| text(it, "/metadata/name") == name) {
                Some(class) => Class::Named {
                    name,
                    controller: Some(text(class, "/spec/controller")),
                },
                // The annotation's classes are words of a controller, not objects.
                None if text(ingress, "/spec/ingressClassName").is_empty() => Class::Named {
                    name,
                    controller: None,
                },
                None => Class::Missing(name),
            }
        }
        (None, None) => Class::Unknown,
        (None, Some(classes)) => match classes.iter().find(is_default) {
            Some(class) => Class::Named {
                name: text(class, "/metadata/name"),
                controller: Some(text(class, "/spec/controller")),
            },
            None => Class::None,
        },
    }
}

impl NoEntrance {
    /// What is wrong, on one line.
    pub fn message(&self) -> String {
        match self {
            NoEntrance::NoAddress { ingress, .. } => {
                format!("ingress/{ingress} has no address yet: status.loadBalancer is empty")
            }
            NoEntrance::NoHost { ingress, host, .. } => {
                format!("ingress/{ingress} has no rule for host {host:?}")
            }
            NoEntrance::NoRule { ingress } => format!(
                "ingress/{ingress} routes nothing: it has neither rules nor a defaultBackend"
            ),
        }
    }

    /// Ways out, each on one line.
    pub fn help(&self) -> Vec<String> {
        match self {
            NoEntrance::NoAddress {
                namespace,
                class,
                resolve,
                ..
            } => {
                let mut lines = class_help(namespace, class);
                lines.push(format!(
                    "where the address is known, `--resolve {resolve}:ADDRESS` goes there without \
                     the status"
                ));
                lines
            }
            NoEntrance::NoHost { host, hosts, .. } => {
                let mut lines = Vec::new();
                if let [near, ..] = &near(host, hosts.iter().map(String::as_str))[..] {
                    lines.push(format!("did you mean {near}?"));
                }
                if !hosts.is_empty() {
                    lines.push(format!("it has rules for {}", hosts.join(", ")));
                }
                lines
            }
            NoEntrance::NoRule { .. } => {
                vec!["`kubectl explain ingress.spec.rules` shows how they are written".to_owned()]
            }
        }
    }
}

impl fmt::Display for NoEntrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        write_help(f, &self.help())
    }
}

impl std::error::Error for NoEntrance {}

/// Who should write the address, and why it perhaps does not.
fn class_help(namespace: &str, class: &Class) -> Vec<String> {
    match class {
        Class::Named { name, controller } => {
            let who = match controller.as_deref().filter(|it| !it.is_empty()) {
                Some(controller) => format!("controller {controller:?} of class {name:?}"),
                None => format!("controller of class {name:?}"),
            };
            let namespace = match namespace {
                "" => String::new(),
                namespace => format!(" -n {namespace}"),
            };
            vec![
                format!(
                    "the {who} writes it: is it running, and does its own Service have an external \
                     address? `kubectl get pods,services -A | grep -i ingress`"
                ),
                format!(
                    "`kubectl get events{namespace} --field-selector involvedObject.kind=Ingress` \
                     shows what the controller says"
                ),
            ]
        }
        Class::Missing(name) => vec![format!(
            "there is no IngressClass {name:?}, so no controller takes it; `kubectl get \
             ingressclasses` lists them"
        )],
        Class::None => vec![
            "it has no spec.ingressClassName and no IngressClass is the default, so no controller \
             takes it; `kubectl get ingressclasses` lists them"
                .to_owned(),
        ],
        Class::Unknown => vec![
            "it has no spec.ingressClassName; `kubectl get ingressclasses` lists the classes, and \
             marks the default"
                .to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests;
