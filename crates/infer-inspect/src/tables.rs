//! The timers on a way: which there are, what sets them, which of them binds.

mod proxy;

use crate::drain::{self, short};
use crate::entry::Entry;
use crate::hop::How;
use crate::questions;
use crate::report::{
    Cell, DrainSheet, DrainStep, Effective, Limit, Place, Row, TimerKind, TimerTable,
};
use crate::tree::front::{gateway_addresses, ingress_addresses};
use crate::view::{Scene, items, text};
use infer_core::kind::{Kind, pod_kind_of};
use infer_core::lens::longest_generation;
use infer_core::object;
use infer_core::pointer::Walk;
use infer_core::route::timers;
use infer_core::route::{self, DestinationRule, HttpRouteRule, MeshRoute};
use proxy::{ProxyRow, Raised, client_sidecar, proxy};
use serde_json::Value;

/// The tables of a way. What the proxy does to what is under way is added to the drain sheets.
pub(crate) fn tables(
    scene: &Scene<'_>,
    entry: &Entry<'_>,
    sheets: &mut [DrainSheet],
    notes: &mut Vec<String>,
) -> Vec<TimerTable> {
    let front = load_balancer(scene, entry, notes);
    let back = pods(scene, entry, sheets);
    let mut proxies = proxies(scene, entry);
    same_once(&mut proxies);
    for (_, rows) in &proxies {
        rows.iter().for_each(|row| say_in_sheets(row, sheets));
    }
    if proxies.is_empty() {
        proxies.push((String::new(), Vec::new()));
    }
    let longest = entry
        .workloads(scene)
        .into_iter()
        .map(|workload| longest_generation(workload, scene.world.policy))
        .max()
        .unwrap_or(scene.world.policy.longest_generation);
    let each = proxies.into_iter().map(|(rule, proxies)| {
        let rows: Vec<Row> = front
            .iter()
            .cloned()
            .chain(proxies.into_iter().map(|row| row.row))
            .chain(back.iter().cloned())
            .collect();
        let effective: Vec<Effective> = TimerKind::ALL
            .into_iter()
            .map(|timer| effective(&rows, timer))
            .collect();
        let answers = questions::answers(&rows, scene.asked, u64::from(longest));
        TimerTable {
            rule,
            rows,
            effective,
            answers,
        }
    });
    each.collect()
}

/// Rules whose timers are the same are one table.
fn same_once(tables: &mut Vec<(String, Vec<ProxyRow>)>) {
    let mut kept: Vec<(String, Vec<ProxyRow>)> = Vec::new();
    for (rule, rows) in std::mem::take(tables) {
        let same = kept.iter_mut().find(|(_, known)| {
            known.len() == rows.len()
                && known.iter().zip(&rows).all(|(left, right)| {
                    let limits = |row: &Row| -> Vec<(TimerKind, Limit)> {
                        row.cells.iter().map(|it| (it.timer, it.seconds)).collect()
                    };
                    left.row.name == right.row.name && limits(&left.row) == limits(&right.row)
                })
        });
        match same {
            Some((known, _)) => {
                known.push_str(", ");
                known.push_str(&rule);
            }
            None => kept.push((rule, rows)),
        }
    }
    if let [(rule, _)] = kept.as_mut_slice() {
        rule.clear();
    }
    *tables = kept;
}

/// The row of what stands in front of the proxy, where something does or a person says so.
fn load_balancer(scene: &Scene<'_>, entry: &Entry<'_>, notes: &mut Vec<String>) -> Option<Row> {
    let addresses: Vec<&str> = match entry {
        Entry::Ingress(ingress) => ingress_addresses(ingress),
        Entry::HttpRoute(route) => {
            let gateways = route.parents.iter().filter_map(|it| it.gateway);
            gateways.flat_map(gateway_addresses).collect()
        }
        Entry::VirtualService(_) | Entry::Workload(_) => Vec::new(),
        Entry::Service(service) => match text(service, "/spec/type") {
            "LoadBalancer" => vec![object::name(service)],
            _ => return None,
        },
    };
    if let Some(seconds) = scene.asked.lb_idle {
        let cell = |timer, implied| Cell {
            timer,
            seconds: Limit::Seconds(seconds),
            how: How::Assumed,
            source: "--lb-idle-timeout".to_owned(),
            raised_by: None,
            at: Vec::new(),
            note: None,
            client: None,
            implied,
        };
        return Some(Row {
            place: Place::LoadBalancer,
            name: String::new(),
            cells: vec![
                cell(TimerKind::FirstByte, true),
                cell(TimerKind::Silence, false),
            ],
            other: Vec::new(),
        });
    }
    // A provider's load balancer has a name, or is a Service of that type; an address tells nothing.
    // No host name has a colon, or digits and dots alone (RFC 1123, 2.1).
    let is_name = |it: &&&str| !it.contains(':') && it.contains(|c: char| c.is_ascii_alphabetic());
    let named = match entry {
        Entry::Service(_) => addresses.first(),
        _ => addresses.iter().find(is_name),
    };
    let say = |what: &str| {
        format!("{what}: not readable from the cluster; --lb-idle-timeout DURATION adds it")
    };
    let Some(named) = named else {
        let note = say("a load balancer or CDN in front, if there is one");
        if !notes.contains(&note) {
            notes.push(note);
        }
        return None;
    };
    let cell = |timer| Cell {
        timer,
        seconds: Limit::Unknown,
        how: How::Assumed,
        source: say("the provider's timers"),
        raised_by: None,
        at: Vec::new(),
        note: None,
        client: None,
        implied: false,
    };
    Some(Row {
        place: Place::LoadBalancer,
        name: (*named).to_owned(),
        cells: vec![
            cell(TimerKind::FirstByte),
            cell(TimerKind::Silence),
            cell(TimerKind::WholeResponse),
            cell(TimerKind::Drain),
        ],
        other: Vec::new(),
    })
}

/// The rows of the entry's proxies, for each of its rules.
fn proxies(scene: &Scene<'_>, entry: &Entry<'_>) -> Vec<(String, Vec<ProxyRow>)> {
    match entry {
        Entry::Ingress(ingress) => {
            let (controllers, _) = route::controllers(scene.world, ingress);
            let rows = controllers
                .iter()
                .map(|it| proxy(it, timers::of_ingress(it, ingress), Raised::Ingress));
            vec![(String::new(), or_unknown(rows.collect()))]
        }
        Entry::HttpRoute(route) => {
            let controllers = route.controllers();
            let rules = route.rules.iter().filter(|rule| !rule.backends.is_empty());
            let of_rule = |rule: &HttpRouteRule<'_>| {
                let rows = controllers.iter().map(|it| {
                    let sets = timers::of_http_route(it, route.object, rule);
                    let honoured = it.http_route.is_none_or(|it| it.timeouts);
                    proxy(it, sets, Raised::HttpRoute { honoured })
                });
                (
                    rule_name(&rule.path, rule.object),
                    or_unknown(rows.collect()),
                )
            };
            rules.map(of_rule).collect()
        }
        Entry::VirtualService(route) => {
            let catalogue = scene.world.catalogue;
            let by_gateway = |rule: &MeshRoute<'_>| {
                let destination_rule = destination_rule(scene, rule);
                let readers = catalogue.controllers.iter().filter(|it| it.reads_mesh);
                let rows = readers.map(|it| {
                    let sets = timers::of_virtual_service(it, route.object, rule, destination_rule);
                    proxy(it, sets, Raised::Mesh)
                });
                (
                    rule_name(&rule.path, rule.object),
                    or_unknown(rows.collect()),
                )
            };
            let by_sidecar = |rule: &MeshRoute<'_>| {
                let destination_rule = destination_rule(scene, rule);
                // Only sidecars that take their timers from such objects evaluate them.
                let readers = catalogue
                    .sidecars
                    .iter()
                    .filter(|it| it.timers.iter().any(|timer| !timer.fields.is_empty()));
                let rows = readers.map(|it| {
                    let sets = timers::of_sidecar(it, Some((route.object, rule)), destination_rule);
                    client_sidecar(&it.title, &sets)
                });
                let name = rule_name(&rule.path, rule.object);
                (
                    format!("{name} for clients in the mesh"),
                    or_unknown(rows.collect()),
                )
            };
            let mut found = Vec::new();
            if !route.gateways.is_empty() {
                found.extend(route.routes.iter().map(by_gateway));
            }
            if route.for_sidecars && !route.is_bypassed() {
                found.extend(route.routes.iter().map(by_sidecar));
            }
            found
        }
        Entry::Service(_) | Entry::Workload(_) => Vec::new(),
    }
}

/// The DestinationRule of a route's first destination.
fn destination_rule<'a>(scene: &Scene<'a>, route: &MeshRoute<'a>) -> Option<&'a Value> {
    let service = route.backends.iter().find_map(|it| it.service)?;
    let rules = scene.world.reader.all(Kind::DestinationRule);
    rules
        .filter_map(|rule| DestinationRule::of(scene.world, rule))
        .find(|rule| rule.service.is_some_and(|it| std::ptr::eq(it, service)))
        .map(|rule| rule.object)
}

/// What a person calls a rule: its first path, or its place.
fn rule_name(path: &str, rule: &Value) -> String {
    let matches = items(rule, "/matches").chain(items(rule, "/match"));
    let named = matches
        .map(|it| match text(it, "/path/value") {
            "" => text(it, "/uri/prefix"),
            value => value,
        })
        .find(|it| !it.is_empty());
    match named {
        Some(named) => named.to_owned(),
        None => path.trim_start_matches("/spec/").to_owned(),
    }
}

/// A row that says that nothing is known of the proxy, where no controller is.
fn or_unknown(rows: Vec<ProxyRow>) -> Vec<ProxyRow> {
    if !rows.is_empty() {
        return rows;
    }
    let cells = TimerKind::ALL.into_iter().map(|timer| Cell {
        timer,
        seconds: Limit::Unknown,
        how: How::Assumed,
        source: "the controller is not known".to_owned(),
        raised_by: None,
        at: Vec::new(),
        note: None,
        client: None,
        implied: false,
    });
    let row = Row {
        place: Place::Proxy,
        name: "unknown".to_owned(),
        cells: cells.collect(),
        other: Vec::new(),
    };
    vec![ProxyRow { row }]
}

/// The rows of sidecars and pods, one each for a workload.
fn pods(scene: &Scene<'_>, entry: &Entry<'_>, sheets: &[DrainSheet]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for workload in entry.workloads(scene) {
        let name = object::name(workload);
        let template = pod_kind_of(workload).and_then(|kind| workload.at(kind.template));
        let of_workload = || {
            sheets.iter().filter(|it| {
                it.workload.name == name && it.workload.kind == text(workload, "/kind")
            })
        };
        let Some(template) = template.filter(|_| of_workload().next().is_some()) else {
            continue;
        };
        for it in drain::sidecars(scene, workload, template) {
            rows.push(Row {
                place: Place::Sidecar,
                name: it.sidecar.title.clone(),
                cells: vec![Cell {
                    timer: TimerKind::Drain,
                    seconds: Limit::Seconds(it.seconds),
                    how: if it.written {
                        How::Declared
                    } else {
                        How::Assumed
                    },
                    source: it.source,
                    raised_by: None,
                    at: Vec::new(),
                    note: None,
                    client: None,
                    implied: false,
                }],
                other: Vec::new(),
            });
        }
        let shortest = of_workload().min_by_key(|sheet| sheet.window_seconds);
        let window = shortest.and_then(|sheet| sheet.window_seconds);
        rows.push(Row {
            place: Place::Pod,
            name: name.to_owned(),
            cells: vec![Cell {
                timer: TimerKind::Drain,
                seconds: window.map_or(Limit::Unknown, Limit::Seconds),
                how: How::Declared,
                source: shortest.map(|it| it.bound_by.clone()).unwrap_or_default(),
                raised_by: None,
                at: Vec::new(),
                note: None,
                client: None,
                implied: false,
            }],
            other: Vec::new(),
        });
    }
    rows
}

/// The proxy's own line on every drain sheet.
fn say_in_sheets(proxy: &ProxyRow, sheets: &mut [DrainSheet]) {
    let drains = proxy
        .row
        .cells
        .iter()
        .chain(&proxy.row.other)
        .filter(|cell| cell.timer == TimerKind::Drain);
    let name = &proxy.row.name;
    let each = drains.map(|cell| {
        let at = match cell.at.as_slice() {
            ["reload"] => "when it reloads its configuration",
            ["reload", "end"] => "when it reloads or ends itself",
            _ => "when it ends itself",
        };
        match cell.seconds.seconds() {
            Some(seconds) => format!("{at}, what is under way is cut after {}", short(seconds)),
            None => format!("{at}, nothing is cut"),
        }
    });
    let each: Vec<String> = each.collect();
    let does = if each.is_empty() {
        format!("{name}: what it does when it goes itself is not known")
    } else {
        format!("{name}: {}", each.join("; "))
    };
    for sheet in sheets {
        let step = DrainStep {
            who: "proxy".to_owned(),
            does: does.clone(),
        };
        if !sheet.steps.contains(&step) {
            sheet.steps.push(step);
        }
    }
}

/// What counts of all the rows.
fn effective(rows: &[Row], timer: TimerKind) -> Effective {
    let at_most = rows.iter().any(|row| {
        row.cell(timer)
            .is_some_and(|it| it.seconds == Limit::Unknown)
    });
    let known = rows.iter().filter_map(|row| {
        let own = row.cell(timer)?.seconds.seconds()?;
        Some((own, row.place))
    });
    // The head of an answer is part of the whole.
    let whole = rows.iter().filter_map(|row| {
        let whole = row.cell(TimerKind::WholeResponse)?.seconds.seconds()?;
        (timer == TimerKind::FirstByte).then_some((whole, row.place))
    });
    match known.chain(whole).min_by_key(|(seconds, _)| *seconds) {
        Some((seconds, place)) => Effective {
            timer,
            seconds: Limit::Seconds(seconds),
            bound_by: Some(place),
            at_most,
        },
        None => {
            let off = rows
                .iter()
                .any(|row| row.cell(timer).is_some_and(|it| it.seconds == Limit::Off));
            Effective {
                timer,
                seconds: match (at_most, off) {
                    (true, _) => Limit::Unknown,
                    (false, true) => Limit::Off,
                    (false, false) => Limit::Absent,
                },
                bound_by: None,
                at_most: false,
            }
        }
    }
}
