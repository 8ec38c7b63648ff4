//! One proxy's timers as cells: from the catalogue's roles to what ends a request.

use crate::hop::How;
use crate::report::{Cell, Limit, Place, Row, TimerKind};
use crate::view::text;
use infer_core::catalogue::{Controller, DrainAt, Proxy, Timer, TimerField, TimerRole};
use infer_core::object;
use infer_core::route::timers::{self, TimerSet};

/// A proxy's row, with what the proxy is, where that is known.
pub(super) struct ProxyRow {
    pub(super) row: Row,
}

/// Which entry a timer may be raised on.
#[derive(Clone, Copy)]
pub(super) enum Raised {
    Ingress,
    HttpRoute { honoured: bool },
    Mesh,
}

impl Raised {
    /// What is to be written to raise a timer.
    fn by(self, timer: &Timer) -> Option<String> {
        let field = |field: TimerField| timer.fields.contains(&field);
        let own = match self {
            Raised::Ingress => timer
                .annotation
                .as_ref()
                .map(|it| format!("annotation {it}")),
            Raised::HttpRoute { honoured } => (honoured && field(TimerField::HttpRouteRequest))
                .then(|| "`timeouts.request` of the HTTPRoute's rule".to_owned()),
            Raised::Mesh if field(TimerField::VirtualServiceTimeout) => {
                Some("`timeout` of the VirtualService's route".to_owned())
            }
            Raised::Mesh => field(TimerField::DestinationRuleConnectTimeout)
                .then(|| "`connectTimeout` of a DestinationRule".to_owned()),
        };
        own.or_else(|| timer.elsewhere.clone())
    }
}

pub(super) fn proxy(controller: &Controller, sets: Vec<TimerSet<'_>>, raised: Raised) -> ProxyRow {
    let mut cells: Vec<Cell> = Vec::new();
    let mut other = Vec::new();
    for set in sets {
        let timer = match set.role {
            TimerRole::Connect => TimerKind::Connect,
            TimerRole::FirstByte => TimerKind::FirstByte,
            TimerRole::Read => TimerKind::Silence,
            TimerRole::Whole => TimerKind::WholeResponse,
            TimerRole::Drain => TimerKind::Drain,
            TimerRole::Send => {
                other.push(cell(
                    &controller.title,
                    Some(controller.proxy),
                    TimerKind::Silence,
                    &set,
                    raised,
                ));
                continue;
            }
        };
        if is_absent(&set) {
            continue;
        }
        let new = cell(
            &controller.title,
            Some(controller.proxy),
            timer,
            &set,
            raised,
        );
        match cells.iter_mut().find(|it| it.timer == timer) {
            // Two timers of one role: the shorter one counts.
            Some(known) if shorter(new.seconds, known.seconds) => {
                other.push(std::mem::replace(known, new));
            }
            Some(_) => other.push(new),
            None => cells.push(new),
        }
    }
    // Until the head is there the proxy reads nothing: that is silence too.
    let silence = cells
        .iter()
        .find(|it| it.timer == TimerKind::Silence)
        .cloned();
    if let Some(silence) = silence {
        let implied = Cell {
            timer: TimerKind::FirstByte,
            implied: true,
            ..silence
        };
        match cells.iter_mut().find(|it| it.timer == TimerKind::FirstByte) {
            Some(own) if shorter(implied.seconds, own.seconds) => *own = implied,
            Some(_) => {}
            None => cells.push(implied),
        }
    }
    cells.sort_by_key(|cell| cell.timer);
    ProxyRow {
        row: Row {
            place: Place::Proxy,
            name: controller.title.clone(),
            cells,
            other,
        },
    }
}

/// The sidecar of a client. Its own end is the client's matter.
pub(super) fn client_sidecar(title: &str, sets: &[TimerSet<'_>]) -> ProxyRow {
    let kind = |role| match role {
        TimerRole::Connect => Some(TimerKind::Connect),
        TimerRole::FirstByte => Some(TimerKind::FirstByte),
        TimerRole::Read => Some(TimerKind::Silence),
        TimerRole::Whole => Some(TimerKind::WholeResponse),
        TimerRole::Send | TimerRole::Drain => None,
    };
    let cells = sets
        .iter()
        .filter(|set| !is_absent(set))
        .filter_map(|set| Some(cell(title, None, kind(set.role)?, set, Raised::Mesh)));
    let mut cells: Vec<Cell> = cells.collect();
    cells.sort_by_key(|cell| cell.timer);
    ProxyRow {
        row: Row {
            place: Place::Proxy,
            name: format!("client's {title} sidecar"),
            cells,
            other: Vec::new(),
        },
    }
}

fn shorter(left: Limit, right: Limit) -> bool {
    match (left.seconds(), right.seconds()) {
        (Some(left), Some(right)) => left < right,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// Whether a timer is in the catalogue to say that there is none: nothing can set it.
fn is_absent(set: &TimerSet<'_>) -> bool {
    let timer = set.timer;
    set.seconds.is_none()
        && set.role != TimerRole::Drain
        && timer.annotation.is_none()
        && timer.fields.is_empty()
        && timer.elsewhere.is_none()
}

fn cell(
    title: &str,
    proxy: Option<Proxy>,
    timer: TimerKind,
    set: &TimerSet<'_>,
    raised: Raised,
) -> Cell {
    let default = format!("default of {title}");
    let (source, how) = match &set.source {
        timers::Source::Annotation(key, value) => {
            let is_zero = set.timer.unit.read(value) == Some(0);
            let means = if set.timer.zero_is_default && is_zero {
                ", which means the default"
            } else {
                ""
            };
            (
                format!("annotation {key}: \"{value}\"{means}"),
                How::Declared,
            )
        }
        timers::Source::Unreadable(key, value) => (
            format!("{default}: it cannot read {key}: \"{value}\""),
            How::Declared,
        ),
        timers::Source::Field(object, path, value) => {
            let kind = text(object, "/kind");
            let field = path.trim_start_matches("/spec/");
            (
                format!("{kind}/{} {field}: {value}", object::name(object)),
                How::Declared,
            )
        }
        timers::Source::Default => match &set.timer.elsewhere {
            Some(elsewhere) => (format!("{default}; not read: {elsewhere}"), How::Assumed),
            None => (default, How::Assumed),
        },
    };
    Cell {
        timer,
        seconds: set.seconds.map_or(Limit::Off, Limit::Seconds),
        how,
        source,
        raised_by: raised.by(set.timer),
        at: set
            .timer
            .at
            .iter()
            .map(|at| match at {
                DrainAt::Reload => "reload",
                DrainAt::End => "end",
            })
            .collect(),
        note: set.timer.note.clone(),
        client: proxy.and_then(|proxy| client_gets(proxy, timer)),
        implied: false,
    }
}

/// What a client gets from a proxy whose timer runs out before the head of the answer was sent.
///
/// NGINX answers 504 for `proxy_read_timeout` and `proxy_connect_timeout` (nginx.org
/// ngx_http_proxy_module; run in the lab), Envoy for the route's timeout (envoyproxy/envoy
/// docs/root/faq/configuration/timeouts.rst).
fn client_gets(proxy: Proxy, timer: TimerKind) -> Option<&'static str> {
    match (proxy, timer) {
        (Proxy::Nginx, TimerKind::Connect | TimerKind::FirstByte | TimerKind::Silence)
        | (Proxy::Envoy, TimerKind::WholeResponse) => Some("504 Gateway Timeout"),
        _ => None,
    }
}
