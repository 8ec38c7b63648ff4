//! From a route to what a client of it does: which address, which name, what serves there.

mod canary;
mod gateways;
mod shape;

use canary::canaries;
use gateways::{http_route, virtual_service};

use crate::print::text::shell;
use crate::problem::Problem;
use crate::request::RequestFlags;
use crate::smoke::{self, Smoke};
use crate::subject::Entry;
use crate::tested::Tested;
use infer_cluster::address::{self, Entrance};
use infer_cluster::{Cluster, RequestError, Selector, What};
use infer_core::catalogue::Catalogue;
use infer_core::kind::pod_kind_of;
use infer_core::object::{self, ObjectRef};
use infer_core::pointer::Walk;
use infer_core::route::{backends, class_name, is_default_class};
use infer_traffic::{ConnectTo, Target};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Something that could not be read. The report says so and goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// What is unknown for it.
    pub(crate) what: String,
    /// Why.
    pub(crate) why: String,
    /// What to do about it; each line is a way out of its own.
    pub(crate) help: Option<String>,
}

impl Gap {
    /// What is unknown because of a request that failed.
    pub(crate) fn of(what: &str, error: &RequestError) -> Gap {
        let help = error.help();
        Gap {
            what: what.to_owned(),
            why: error.message(),
            help: (!help.is_empty()).then(|| help.join("\n")),
        }
    }
}

/// A route, as far as it could be read.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// Where a client's requests go: address pinned, path of the route's own rule.
    pub(crate) target: Target,
    /// What is known of it, for reports.
    pub(crate) tested: Tested,
    /// The smoke request of what serves there, where that is known. Its path is from outside.
    pub(crate) smoke: Option<Smoke>,
    /// The Ingress, as it is stored; a route of another kind as the Ingress that says the same.
    pub(crate) ingress: Value,
    /// Its namespace.
    pub(crate) namespace: String,
    /// The Services that it leads to, those of its canaries among them; the one that is tested first.
    pub(crate) services: Vec<String>,
    /// The selectors of these, as kubectl's `-l` takes them.
    pub(crate) selectors: Vec<String>,
    /// What is good to know and changes nothing.
    pub(crate) notes: Vec<String>,
    /// What could not be read.
    pub(crate) gaps: Vec<Gap>,
}

/// Reads an Ingress and what is behind it.
///
/// # Errors
///
/// Where there is no way in: no such Ingress, no address, no rule, or an API server that does not
/// answer. What is behind it may stay unknown, as a gap.
pub(crate) async fn read(
    cluster: &Cluster,
    name: &str,
    flags: &RequestFlags,
) -> Result<Route, Problem> {
    let namespace = cluster.namespace().to_owned();
    let mut gaps = Vec::new();
    let everything = Selector::all();
    let (ingress, classes, beside) = tokio::join!(
        cluster.get(What::Ingress, Some(&namespace), name),
        cluster.list(What::IngressClass, None, &everything),
        cluster.list(What::Ingress, Some(&namespace), &everything),
    );
    let ingress = ingress?;
    let classes = classes
        .map_err(|error| gaps.push(Gap::of("which controller serves it", &error)))
        .ok();
    let beside = beside
        .map_err(|error| gaps.push(Gap::of("which canaries share the route", &error)))
        .unwrap_or_default();
    let found = Found {
        object: ObjectRef::of(&ingress),
        from: STATUS,
        controller: classes.as_deref().and_then(|it| controller(&ingress, it)),
        classes,
        canaries: canaries(&ingress, &beside),
        ingress,
        gaps,
    };
    found.route(cluster, flags).await
}

/// Reads a route of any kind and what is behind it.
///
/// # Errors
///
/// As [`read`].
pub(crate) async fn read_entry(
    cluster: &Cluster,
    entry: &Entry,
    flags: &RequestFlags,
) -> Result<Route, Problem> {
    let found = match entry {
        Entry::Ingress(name) => return read(cluster, name, flags).await,
        Entry::HttpRoute(name) => http_route(cluster, name).await?,
        Entry::VirtualService(name) => virtual_service(cluster, name).await?,
    };
    let has_address = found.ingress.at("/status/loadBalancer/ingress");
    let has_address = has_address.and_then(Value::as_array);
    if has_address.is_none_or(Vec::is_empty) && flags.resolve.is_empty() {
        let object = &found.object;
        let host = found.ingress.at("/spec/rules/0/host");
        let host = host.and_then(Value::as_str).unwrap_or("HOST");
        return Err(Problem::new(format!(
            "nothing in front of {}/{} has an address: {} has none",
            object.kind.to_lowercase(),
            object.name,
            found.from
        ))
        .help(format!(
            "`--resolve {}:80:ADDRESS`, with the address at which its proxy is reached",
            shell(host)
        )));
    }
    found.route(cluster, flags).await
}

/// What was read of a route itself.
struct Found {
    object: ObjectRef,
    /// What its address comes from.
    from: &'static str,
    controller: Option<String>,
    classes: Option<Vec<Value>>,
    /// Services of canaries beside it.
    canaries: Vec<String>,
    ingress: Value,
    gaps: Vec<Gap>,
}

impl Found {
    /// Goes on to what is behind it.
    async fn route(self, cluster: &Cluster, flags: &RequestFlags) -> Result<Route, Problem> {
        let Found {
            object,
            from,
            controller,
            classes,
            canaries,
            ingress,
            mut gaps,
        } = self;
        let namespace = cluster.namespace().to_owned();
        let (entrance, from) = entrance(&ingress, classes.as_deref(), from, flags)?;
        let mut notes = notes(&entrance);
        let target = target(&entrance, from, flags).await?;
        let host = entrance.host.as_deref();
        let names: Vec<String> = backends(&ingress)
            .into_iter()
            .map(|(_, name)| name.to_owned())
            .collect();
        let (found, mut selectors) = behind(cluster, &namespace, &names, &mut gaps).await;
        let canaries: Vec<String> = canaries
            .into_iter()
            .filter(|name| !names.contains(name))
            .collect();
        let (_, more) = behind(cluster, &namespace, &canaries, &mut gaps).await;
        selectors.extend(more);
        selectors.sort_unstable();
        selectors.dedup();
        let (service, mut smoke) = chosen(&ingress, host, &entrance, found);
        if let Some(smoke) = &mut smoke
            && address::backend(&ingress, host, &smoke.path).is_none()
        {
            let prefix = address::literal(&entrance.path).trim_end_matches('/');
            smoke.below(prefix);
            notes.push(format!(
                "assumed: the controller takes {} off the path, so the server sees its own",
                entrance.path
            ));
        }
        let mut services = names;
        // The one that is tested stands first.
        services.sort_by_key(|name| Some(name) != service.as_ref());
        services.extend(canaries);
        let tested = Tested {
            object: Some(object),
            url: target.url(),
            host: target.host_header(),
            address: match target.connect_to {
                ConnectTo::Address(address) => Some(address.to_string()),
                ConnectTo::Resolve => None,
            },
            from,
            controller,
            proxies: None,
            service,
            runtime: smoke.as_ref().map(|smoke| smoke.runtime.clone()),
        };
        Ok(Route {
            target,
            tested,
            smoke,
            ingress,
            namespace,
            services,
            selectors,
            notes,
            gaps,
        })
    }
}

/// Where the address comes from.
const STATUS: &str = "Ingress status";
const RESOLVE: &str = "--resolve";

/// The way in, by the status or, where a person knows better, by `--resolve`.
fn entrance(
    ingress: &Value,
    classes: Option<&[Value]>,
    from: &'static str,
    flags: &RequestFlags,
) -> Result<(Entrance, &'static str), Problem> {
    let host = flags.host.as_deref();
    let Some(resolve) = flags.resolve.first() else {
        let found = address::entrance(ingress, classes, host);
        return found.map(|it| (it, from)).map_err(Problem::from);
    };
    let mut addressed = ingress.clone();
    addressed["status"] = json!({"loadBalancer": {"ingress": [{"ip": resolve.address()}]}});
    let mut entrance = address::entrance(&addressed, classes, host)?;
    // The port that the person names is the one that is meant, where the host is.
    if entrance.authority().eq_ignore_ascii_case(resolve.host()) || entrance.host.is_none() {
        entrance.port = resolve.port();
    }
    Ok((entrance, RESOLVE))
}

/// The target, with its address pinned for the whole run.
async fn target(
    entrance: &Entrance,
    from: &'static str,
    flags: &RequestFlags,
) -> Result<Target, Problem> {
    let tls = entrance.tls.then(|| flags.tls()).transpose()?;
    let address = match entrance.address.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => resolve(&entrance.address, flags.connect_timeout).await?,
    };
    let mut target = Target {
        tls,
        host: entrance.authority().to_owned(),
        port: entrance.port,
        connect_to: ConnectTo::Address(SocketAddr::new(address, entrance.port)),
        path: address::literal(&entrance.path).to_owned(),
    };
    if target.path.is_empty() {
        target.path.push('/');
    }
    // Without a host in the rules the address is the host, and every `--resolve` fits.
    if from == RESOLVE && entrance.host.is_some() {
        flags.pin(&mut target)?;
    }
    Ok(target)
}

/// The first address of a load balancer's name.
async fn resolve(name: &str, within: Duration) -> Result<IpAddr, Problem> {
    let failed = |why: String| {
        Problem::new(format!(
            "the address in the status, {name}, cannot be resolved: {why}"
        ))
        .help(format!(
            "`nslookup {}`; a new load balancer's name takes minutes to appear; `--resolve \
             HOST:PORT:ADDRESS` goes without it",
            shell(name)
        ))
    };
    match tokio::time::timeout(within, tokio::net::lookup_host((name, 0))).await {
        Ok(Ok(mut found)) => match found.next() {
            Some(address) => Ok(address.ip()),
            None => Err(failed("it has no address".to_owned())),
        },
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("no answer within {} s", within.as_secs()))),
    }
}

fn notes(entrance: &Entrance) -> Vec<String> {
    let mut notes = Vec::new();
    if let (Some(wildcard), Some(host)) = (&entrance.wildcard, &entrance.host) {
        notes.push(format!(
            "the rule is for {wildcard}: {host} is made up, --host NAME sets it"
        ));
    }
    if !entrance.others.is_empty() {
        let others = entrance.others.join(", ");
        notes.push(format!(
            "the status has further addresses, not tested: {others}"
        ));
    }
    notes
}

/// `spec.controller` of the class of an Ingress.
fn controller(ingress: &Value, classes: &[Value]) -> Option<String> {
    let named = class_name(ingress);
    let class = classes.iter().find(|class| match named {
        Some(name) => object::name(class) == name,
        None => is_default_class(class),
    })?;
    Some(class.at("/spec/controller")?.as_str()?.to_owned())
}

/// A Service of a route, with the smoke request of what serves behind it.
type Behind = (String, Option<Smoke>);

/// Of each Service the smoke request of what serves behind it, and their selectors.
async fn behind(
    cluster: &Cluster,
    namespace: &str,
    services: &[String],
    gaps: &mut Vec<Gap>,
) -> (Vec<Behind>, Vec<String>) {
    let catalogue = Catalogue::builtin();
    let (mut found, mut selectors) = (Vec::new(), Vec::new());
    for name in services {
        let smoke = match of_service(cluster, namespace, name, &catalogue).await {
            Ok(Some((selector, smoke))) => {
                selectors.push(selector);
                smoke
            }
            Ok(None) => None,
            Err(gap) => {
                if !gaps.contains(&gap) {
                    gaps.push(gap);
                }
                None
            }
        };
        found.push((name.clone(), smoke));
    }
    (found, selectors)
}

/// The selector of a Service and what serves behind it: read from its pods, else from what would
/// make them. None where its endpoints are written by hand.
async fn of_service(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    catalogue: &Catalogue,
) -> Result<Option<(String, Option<Smoke>)>, Gap> {
    let gap = |error: &RequestError| Gap::of(&format!("what serves behind service/{name}"), error);
    let namespace = Some(namespace);
    let service = cluster.get(What::Service, namespace, name).await;
    let service = service.map_err(|error| gap(&error))?;
    let Some(selector) = service.at("/spec/selector").filter(|it| it.is_object()) else {
        return Ok(None);
    };
    let selected = labels(selector);
    let pods = Selector::labels(selected.clone());
    let pods = cluster.list(What::Pod, namespace, &pods).await;
    let refused = match &pods {
        Ok(pods) => {
            let each = pods.iter().map(|pod| smoke::servers(catalogue, pod));
            if let Some(smoke) = each.filter_map(|it| smoke::first(&it)).next() {
                return Ok(Some((selected, Some(smoke))));
            }
            None
        }
        Err(error) => Some(gap(error)),
    };
    for what in [What::Deployment, What::StatefulSet] {
        let Ok(workloads) = cluster.list(what, namespace, &Selector::all()).await else {
            continue;
        };
        for workload in &workloads {
            let template = pod_kind_of(workload).and_then(|kind| workload.at(kind.template));
            let Some(template) = template else { continue };
            if !object::selects(selector, template.at("/metadata/labels")) {
                continue;
            }
            if let Some(smoke) = smoke::first(&smoke::servers(catalogue, template)) {
                return Ok(Some((selected, Some(smoke))));
            }
        }
    }
    match refused {
        Some(gap) => Err(gap),
        None => Ok(Some((selected, None))),
    }
}

/// A Service's selector as kubectl's `-l` takes it.
fn labels(selector: &Value) -> String {
    let pairs = selector.as_object().into_iter().flatten();
    let each: Vec<String> = pairs
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    each.join(",")
}

/// The Service that is tested: where its own smoke request comes to it, that one; else the one
/// behind the path of the first rule.
fn chosen(
    ingress: &Value,
    host: Option<&str>,
    entrance: &Entrance,
    found: Vec<Behind>,
) -> (Option<String>, Option<Smoke>) {
    let comes_to = |path: &str| address::backend(ingress, host, path).map(|it| it.service);
    let reached = found.iter().position(|(name, smoke)| {
        let path = smoke.as_ref().map(|smoke| smoke.path.as_str());
        path.and_then(comes_to).as_ref() == Some(name)
    });
    let first = comes_to(address::literal(&entrance.path));
    let at = reached
        .or_else(|| {
            found
                .iter()
                .position(|(name, _)| Some(name) == first.as_ref())
        })
        .or_else(|| found.iter().position(|(_, smoke)| smoke.is_some()));
    match at.and_then(|at| found.into_iter().nth(at)) {
        Some((name, smoke)) => (Some(name), smoke),
        None => (first, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ingress(paths: &Value) -> Value {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "i", "namespace": "n"},
            "spec": {"rules": [{"host": "a.local", "http": {"paths": paths}}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}})
    }

    fn path(path: &str, service: &str) -> Value {
        json!({"path": path, "pathType": "Prefix",
            "backend": {"service": {"name": service, "port": {"number": 80}}}})
    }

    fn llama() -> Smoke {
        let pod = json!({"spec": {"containers": [
            {"name": "s", "image": "ghcr.io/ggml-org/llama.cpp:server", "args": ["-m", "m"]}]}});
        let catalogue = Catalogue::builtin();
        smoke::first(&smoke::servers(&catalogue, &pod)).unwrap()
    }

    fn choice(ingress: &Value, found: Vec<Behind>) -> (Option<String>, Option<Smoke>) {
        let entrance = address::entrance(ingress, None, None).unwrap();
        chosen(ingress, Some("a.local"), &entrance, found)
    }

    #[test]
    fn the_service_whose_smoke_request_comes_to_it_is_tested() {
        let ingress = ingress(&json!([path("/", "site"), path("/v1", "model")]));
        let found = vec![
            ("site".to_owned(), None),
            ("model".to_owned(), Some(llama())),
        ];
        let (service, smoke) = choice(&ingress, found);
        assert_eq!(service.as_deref(), Some("model"));
        assert!(smoke.is_some());
    }

    #[test]
    fn without_a_known_server_the_first_rule_is_tested() {
        let ingress = ingress(&json!([path("/app", "site"), path("/v1", "model")]));
        let found = vec![("site".to_owned(), None), ("model".to_owned(), None)];
        let (service, smoke) = choice(&ingress, found);
        assert_eq!((service.as_deref(), smoke.is_none()), (Some("site"), true));
    }

    #[test]
    fn a_selector_is_written_as_kubectl_takes_it() {
        assert_eq!(labels(&json!({"app": "x", "tier": "y"})), "app=x,tier=y");
    }

    #[test]
    fn the_controller_is_that_of_the_class_by_name_or_by_default() {
        let class = |name: &str, default: &str| {
            json!({"metadata": {"name": name, "annotations":
                {"ingressclass.kubernetes.io/is-default-class": default}},
                "spec": {"controller": format!("of/{name}")}})
        };
        let classes = [class("a", "false"), class("b", "true")];
        let mut ingress = ingress(&json!([]));
        assert_eq!(controller(&ingress, &classes).as_deref(), Some("of/b"));
        ingress["spec"]["ingressClassName"] = json!("a");
        assert_eq!(controller(&ingress, &classes).as_deref(), Some("of/a"));
        ingress["spec"]["ingressClassName"] = json!("none");
        assert_eq!(controller(&ingress, &classes), None);
    }
}
