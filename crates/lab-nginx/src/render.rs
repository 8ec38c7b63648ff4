//! Objects of the cluster to the text of `nginx.conf`. Pure.

use crate::annotation::directives;
use crate::canary::{Share, share};
use crate::endpoints::{addresses, port_of};
use crate::name::Name;
use crate::observed;
use crate::refusal::Refusal;
use crate::route::{Backend, PathType, ROOT, Route, routes};
use crate::status::write_status;
use crate::text::Text;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// ingress-nginx's default access log line (`config.go`, `logFormatUpstream`).
pub const UPSTREAMINFO: &str = concat!(
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "#,
    r#""$http_referer" "$http_user_agent" $request_length $request_time [$proxy_upstream_name] "#,
    r"[$proxy_alternative_upstream_name] $upstream_addr $upstream_response_length ",
    r"$upstream_response_time $upstream_status $req_id",
);

/// What ingress-nginx calls the place of a request that no Ingress wants.
const NOBODY: &str = "upstream-default-backend";

/// What the program was told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The IngressClass whose Ingresses are served.
    pub ingress_class: String,
    /// The address to listen on.
    pub listen: IpAddr,
    /// The port for traffic.
    pub http_port: u16,
    /// The port for [`HEALTH_PATH`].
    pub status_port: u16,
    /// NGINX's own directory, writable.
    pub directory: PathBuf,
    /// The observer's log.
    pub observer_log: Option<PathBuf>,
    /// The user that workers run as, where the master is root.
    pub worker_user: Option<&'static str>,
}

/// What the cluster holds.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Ingresses of any class.
    pub ingresses: Vec<Arc<Ingress>>,
    /// Services.
    pub services: Vec<Arc<Service>>,
    /// EndpointSlices.
    pub slices: Vec<Arc<EndpointSlice>>,
}

/// An Ingress that is not in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which.
    pub ingress: Name,
    /// Why.
    pub why: Refusal,
}

/// A configuration of NGINX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// `nginx.conf`.
    pub text: String,
    /// Its name: 16 hexadecimal digits that differ where the text does.
    pub digest: String,
    /// The Ingresses that the text serves, the oldest first.
    pub served: Vec<Name>,
    /// Those of the class that it does not serve.
    pub refused: Vec<Refused>,
}

/// The directives of a route's location.
type Directives = Vec<(&'static str, String)>;

/// What is served: for each host its claims, for each backend its addresses.
#[derive(Debug, Default)]
struct Plan {
    hosts: BTreeMap<String, BTreeMap<(String, PathType), Claim>>,
    upstreams: BTreeMap<Backend, BTreeSet<SocketAddr>>,
    /// By the main Ingress' backend, as in ingress-nginx, which keeps them there: all locations of
    /// that backend have the canary (`controller.go`, `mergeAlternativeBackend`).
    canaries: BTreeMap<Backend, Canary>,
}

#[derive(Clone, Debug)]
struct Canary {
    owner: Name,
    backend: Backend,
    share: Share,
}

#[derive(Clone, Debug)]
struct Claim {
    owner: Name,
    backend: Backend,
    directives: Directives,
}

/// Renders what `objects` ask for. The same objects give the same text, in whatever order they come.
pub fn render(objects: &Objects, settings: &Settings) -> Rendered {
    let ours = by_age(objects, &settings.ingress_class);
    let mut plan = Plan::default();
    let mut outcomes = BTreeMap::new();
    let mut canaries = Vec::new();
    for ingress in &ours {
        match role(ingress) {
            Ok(Some(share)) => canaries.push((ingress, share)),
            Ok(None) => {
                outcomes.insert(Name::of(ingress), plan.add(ingress, objects));
            }
            Err(why) => {
                outcomes.insert(Name::of(ingress), Err(why));
            }
        }
    }
    // After all others: a canary may be older than what it is a canary of.
    for (ingress, share) in canaries {
        outcomes.insert(Name::of(ingress), plan.add_canary(ingress, share, objects));
    }
    let mut served = Vec::new();
    let mut refused = Vec::new();
    for ingress in ours.into_iter().map(|it| Name::of(it)) {
        match outcomes.remove(&ingress) {
            Some(Err(why)) => refused.push(Refused { ingress, why }),
            _ => served.push(ingress),
        }
    }
    let (text, digest) = write(&plan, settings);
    Rendered {
        text,
        digest,
        served,
        refused,
    }
}

/// The class' Ingresses, the oldest first, as ingress-nginx sorts them
/// (`internal/ingress/controller/store/store.go`, `sortIngressSlice`).
pub(crate) fn by_age<'o>(objects: &'o Objects, class: &str) -> Vec<&'o Arc<Ingress>> {
    let is_ours = |ingress: &&Arc<Ingress>| {
        let spec = ingress.spec.as_ref();
        spec.and_then(|it| it.ingress_class_name.as_deref()) == Some(class)
            && ingress.metadata.deletion_timestamp.is_none()
    };
    let mut ours: Vec<_> = objects.ingresses.iter().filter(is_ours).collect();
    ours.sort_by_key(|it| (it.metadata.creation_timestamp.clone(), Name::of(it)));
    ours
}

/// The share of a canary; none for any other Ingress.
fn role(ingress: &Ingress) -> Result<Option<Share>, Refusal> {
    ingress
        .metadata
        .annotations
        .as_ref()
        .map_or(Ok(None), share)
}

impl Plan {
    /// Adds all of an Ingress that is no canary, or nothing.
    fn add(&mut self, ingress: &Ingress, objects: &Objects) -> Result<(), Refusal> {
        let owner = Name::of(ingress);
        let annotations = ingress.metadata.annotations.clone().unwrap_or_default();
        let directives = directives(&annotations)?;
        let routes = routes(ingress)?;
        let mut mine = BTreeSet::new();
        let mut upstreams = Vec::new();
        for route in &routes {
            let key = (route.path.clone(), route.path_type);
            let other = self.hosts.get(&route.host).and_then(|it| it.get(&key));
            if other.is_some() || !mine.insert((&route.host, key)) {
                return Err(Refusal::Taken {
                    host: route.host.clone(),
                    path: route.path.clone(),
                    owner: other.map_or(owner, |claim| claim.owner.clone()),
                });
            }
            upstreams.push((route.backend.clone(), upstream(&route.backend, objects)?));
        }
        self.upstreams.extend(upstreams);
        for Route {
            host,
            path,
            path_type,
            backend,
        } in routes
        {
            let claim = Claim {
                owner: owner.clone(),
                backend,
                directives: directives.clone(),
            };
            let paths = self.hosts.entry(host).or_default();
            paths.insert((path, path_type), claim);
        }
        Ok(())
    }
}

impl Plan {
    /// Adds all of a canary, or nothing. Each of its paths must be another Ingress', of the same
    /// `pathType` (`controller.go`, `mergeAlternativeBackends`).
    fn add_canary(
        &mut self,
        ingress: &Ingress,
        share: Share,
        objects: &Objects,
    ) -> Result<(), Refusal> {
        let owner = Name::of(ingress);
        let mut mine: BTreeMap<Backend, Canary> = BTreeMap::new();
        let mut upstreams = Vec::new();
        for route in routes(ingress)? {
            let key = (route.path.clone(), route.path_type);
            let Some(claim) = self.hosts.get(&route.host).and_then(|it| it.get(&key)) else {
                let Route { host, path, .. } = route;
                return Err(Refusal::NoMain { host, path });
            };
            let main = claim.backend.clone();
            let claims = self.hosts.values().flat_map(BTreeMap::values);
            if claims.into_iter().any(|it| it.backend == route.backend) {
                return Err(Refusal::IsMain(route.backend));
            }
            let other = self.canaries.get(&main).or_else(|| mine.get(&main));
            if let Some(other) = other.filter(|it| it.owner != owner || it.backend != route.backend)
            {
                let owner = other.owner.clone();
                return Err(Refusal::SecondCanary { main, owner });
            }
            upstreams.push((route.backend.clone(), upstream(&route.backend, objects)?));
            let owner = owner.clone();
            let backend = route.backend;
            mine.insert(
                main,
                Canary {
                    owner,
                    backend,
                    share,
                },
            );
        }
        self.upstreams.extend(upstreams);
        self.canaries.extend(mine);
        Ok(())
    }

    fn has_endpoints(&self, backend: &Backend) -> bool {
        self.upstreams.get(backend).is_some_and(|it| !it.is_empty())
    }

    /// The canaries to which requests can go, with the backends that share with them. ingress-nginx
    /// drops the balancer of a backend without endpoints (`balancer.lua`, `sync_backend`); then
    /// `route_to_alternative_balancer` finds none and stays with the main backend. A main backend
    /// without endpoints answers 503, whatever its canary has (`get_balancer`, `rewrite`).
    fn splits(&self) -> impl Iterator<Item = (&Backend, &Canary)> {
        self.canaries.iter().filter(|(main, canary)| {
            canary.share > Share::NONE
                && self.has_endpoints(main)
                && self.has_endpoints(&canary.backend)
        })
    }
}

/// The addresses behind a backend: none for a Service or a port that is not there, as in
/// ingress-nginx, which answers 503 then.
fn upstream(backend: &Backend, objects: &Objects) -> Result<BTreeSet<SocketAddr>, Refusal> {
    let named = |it: &&Arc<Service>| {
        it.metadata.namespace.as_ref() == Some(&backend.namespace)
            && it.metadata.name.as_ref() == Some(&backend.service)
    };
    let Some(service) = objects.services.iter().find(named) else {
        return Ok(BTreeSet::new());
    };
    let spec = service.spec.as_ref();
    if spec.and_then(|it| it.type_.as_deref()) == Some("ExternalName") {
        return Err(Refusal::NotServed("a Service of type ExternalName"));
    }
    let Some(port) = port_of(service, &backend.service_port()) else {
        return Ok(BTreeSet::new());
    };
    let slices = objects.slices.iter().map(AsRef::as_ref);
    Ok(addresses(service, port, slices))
}

fn write(plan: &Plan, settings: &Settings) -> (String, String) {
    let mut text = Text::default();
    write_process(&mut text, settings);
    let mut digest = String::new();
    text.block("http", |text| {
        write_http(text, settings);
        for (backend, addresses) in plan.upstreams.iter().filter(|it| !it.1.is_empty()) {
            write_upstream(text, backend, addresses);
        }
        for (number, (main, canary)) in plan.splits().enumerate() {
            write_split(text, number, main, canary);
        }
        if !plan.hosts.contains_key("") {
            write_server(text, settings, "", &BTreeMap::new(), plan);
        }
        for (host, paths) in &plan.hosts {
            write_server(text, settings, host, paths, plan);
        }
        digest = name_of(text);
        let splits = plan.splits().map(|(main, canary)| {
            let Canary { backend, share, .. } = canary;
            format!("{main} {backend} {share}")
        });
        write_status(text, settings, &digest, &Vec::from_iter(splits));
    });
    (text.finish(), digest)
}

/// Names the text by its content so far.
fn name_of(text: &Text) -> String {
    let hash = Sha256::digest(text.so_far());
    hash.iter().take(8).map(|it| format!("{it:02x}")).collect()
}

fn write_process(text: &mut Text, settings: &Settings) {
    text.comment("Rendered by lab-nginx; changes are overwritten.");
    if let Some(user) = settings.worker_user {
        text.directive(&format!("user {user}"));
    }
    let directory = settings.directory.display();
    text.directive("worker_processes 1");
    text.directive("worker_shutdown_timeout 240s");
    text.directive(&format!("pid {directory}/nginx.pid"));
    text.directive("error_log stderr notice");
    text.block("events", |text| {
        text.directive("multi_accept on");
        // ingress-nginx: 16384. A lab's machine may allow fewer open files.
        text.directive("worker_connections 4096");
        text.directive("use epoll");
    });
}

fn write_http(text: &mut Text, settings: &Settings) {
    let directory = settings.directory.display();
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        text.directive(&format!("{kind}_temp_path {directory}/{kind}"));
    }
    for directive in [
        "default_type text/html",
        "server_tokens off",
        "tcp_nopush on",
        "tcp_nodelay on",
        // A client that is given up gets RST.
        "reset_timedout_connection on",
        "keepalive_timeout 75s",
        "keepalive_requests 1000",
        "client_header_timeout 60s",
        "client_body_timeout 60s",
        "server_names_hash_max_size 1024",
        // A host name may have 253 characters.
        "server_names_hash_bucket_size 512",
        "variables_hash_bucket_size 256",
        "variables_hash_max_size 2048",
        "uninitialized_variable_warn off",
    ] {
        text.directive(directive);
    }
    text.directive(&format!("log_format upstreaminfo '{UPSTREAMINFO}'"));
    text.directive("access_log /dev/stdout upstreaminfo");
    if let Some(file) = &settings.observer_log {
        let format = observed::FORMAT;
        text.directive(&format!("log_format observer escape=json '{format}'"));
        text.directive(&format!("access_log {} observer", file.display()));
    }
    text.block("map $http_upgrade $connection_upgrade", |text| {
        text.directive("default upgrade");
        // An empty Connection keeps the connection to the endpoint.
        text.directive("'' ''");
    });
    text.block("map $http_x_request_id $req_id", |text| {
        text.directive("default $http_x_request_id");
        text.directive("'' $request_id");
    });
}

/// NGINX's name for an upstream. Dots, which no part holds, keep it apart from any other; the name
/// in the log joins with `-` as ingress-nginx does, and may be ambiguous.
fn upstream_name(backend: &Backend) -> String {
    let Backend {
        namespace,
        service,
        port,
    } = backend;
    format!("{namespace}.{service}.{port}")
}

fn write_upstream(text: &mut Text, backend: &Backend, addresses: &BTreeSet<SocketAddr>) {
    text.block(&format!("upstream {}", upstream_name(backend)), |text| {
        for address in addresses {
            // ingress-nginx's balancer keeps no count of failures.
            text.directive(&format!("server {address} max_fails=0"));
        }
        for directive in [
            "keepalive 320",
            "keepalive_time 1h",
            "keepalive_timeout 60s",
            "keepalive_requests 10000",
        ] {
            text.directive(directive);
        }
    });
}

/// Variables of a split, by its number: the canary's name in the log, or nothing, and where to pass
/// the request.
fn split_variables(number: usize) -> (String, String) {
    (format!("$canary_{number}"), format!("$target_{number}"))
}

fn write_split(text: &mut Text, number: usize, main: &Backend, canary: &Canary) {
    let Canary {
        owner,
        backend,
        share,
    } = canary;
    let (name, target) = split_variables(number);
    text.comment(&format!(
        "Ingress {owner}, canary of {}",
        upstream_name(main)
    ));
    // A draw of its own for each request, whatever id the client sent.
    text.block(&format!("split_clients $request_id {name}"), |text| {
        if *share < Share::ALL {
            text.directive(&format!("{share} \"{backend}\""));
            text.directive("* \"\"");
        } else {
            // `100%` leaves the highest hash out.
            text.directive(&format!("* \"{backend}\""));
        }
    });
    text.block(&format!("map {name} {target}"), |text| {
        text.directive(&format!("default {}", upstream_name(backend)));
        text.directive(&format!("\"\" {}", upstream_name(main)));
    });
}

fn write_server(
    text: &mut Text,
    settings: &Settings,
    host: &str,
    paths: &BTreeMap<(String, PathType), Claim>,
    plan: &Plan,
) {
    let listen = SocketAddr::new(settings.listen, settings.http_port);
    text.block("server", |text| {
        // Not `reuseport`, which ingress-nginx sets: with it a reload can lose a connection that
        // waits to be accepted, and ingress-nginx does not reload for endpoints.
        let default = if host.is_empty() {
            " default_server"
        } else {
            ""
        };
        text.directive(&format!("listen {listen}{default}"));
        text.directive(&format!("server_name {}", server_name(host)));
        text.directive(&format!("set $proxy_upstream_name \"{NOBODY}\""));
        text.directive("set $proxy_alternative_upstream_name \"\"");
        for ((path, path_type), claim) in paths {
            for matcher in matchers(path, *path_type, paths) {
                write_location(text, &matcher, claim, plan);
            }
        }
        let root_is_taken = paths
            .keys()
            .any(|(path, kind)| path == ROOT && *kind != PathType::Exact);
        if !root_is_taken {
            text.block("location /", |text| text.directive("return 404"));
        }
    });
}

/// ingress-nginx's `buildServerName`: a wildcard stands for one label.
fn server_name(host: &str) -> String {
    match host.strip_prefix("*.") {
        _ if host.is_empty() => "_".to_owned(),
        None => host.to_owned(),
        Some(rest) => {
            let rest = rest.replace('.', r"\.");
            format!(r#""~^(?<subdomain>[\w-]+)\.{rest}$""#)
        }
    }
}

/// The locations for a path (ingress-nginx: `internal/ingress/controller/location.go`,
/// `updateServerLocations`): a prefix is one for what lies below and one for itself, unless
/// somebody has that exactly.
fn matchers(
    path: &str,
    path_type: PathType,
    paths: &BTreeMap<(String, PathType), Claim>,
) -> Vec<String> {
    let exact = format!("= \"{path}\"");
    match path_type {
        PathType::Exact => vec![exact],
        PathType::ImplementationSpecific => vec![format!("\"{path}\"")],
        PathType::Prefix if path == ROOT => vec![format!("\"{path}\"")],
        PathType::Prefix => {
            let below = format!("\"{}/\"", path.strip_suffix('/').unwrap_or(path));
            if paths.contains_key(&(path.to_owned(), PathType::Exact)) {
                vec![below]
            } else {
                vec![below, exact]
            }
        }
    }
}

fn write_location(text: &mut Text, matcher: &str, claim: &Claim, plan: &Plan) {
    let backend = &claim.backend;
    text.block(&format!("location {matcher}"), |text| {
        text.comment(&format!("Ingress {}", claim.owner));
        text.directive(&format!("set $proxy_upstream_name \"{backend}\""));
        // `nginx -t` judges the annotations also while nobody is ready.
        for (directive, value) in &claim.directives {
            text.directive(&format!("{directive} {value}"));
        }
        if !plan.has_endpoints(backend) {
            // ingress-nginx's balancer.lua says 503 where a Service has no ready endpoint.
            text.directive("return 503");
            return;
        }
        text.directive("proxy_buffer_size 4k");
        text.directive("proxy_buffers 4 4k");
        text.directive("proxy_redirect off");
        for (header, value) in HEADERS {
            text.directive(&format!("proxy_set_header {header} {value}"));
        }
        match plan.splits().position(|(main, _)| main == backend) {
            None => text.directive(&format!("proxy_pass http://{}", upstream_name(backend))),
            Some(number) => {
                let (name, target) = split_variables(number);
                text.directive(&format!("set $proxy_alternative_upstream_name {name}"));
                text.directive(&format!("proxy_pass http://{target}"));
            }
        }
    });
}

/// What an endpoint is told, as in ingress-nginx's template.
const HEADERS: [(&str, &str); 13] = [
    ("Host", "$http_host"),
    ("Upgrade", "$http_upgrade"),
    ("Connection", "$connection_upgrade"),
    ("X-Request-ID", "$req_id"),
    ("X-Real-IP", "$remote_addr"),
    ("X-Forwarded-For", "$remote_addr"),
    ("X-Forwarded-Host", "$http_host"),
    ("X-Forwarded-Port", "$server_port"),
    ("X-Forwarded-Proto", "$scheme"),
    ("X-Forwarded-Scheme", "$scheme"),
    ("X-Scheme", "$scheme"),
    ("X-Original-Forwarded-For", "$http_x_forwarded_for"),
    ("Proxy", "\"\""),
];
