//! The timers of a controller's proxy on the way to one backend: each with its value and with what
//! sets it. `inspect` prints them, rules judge them.

use crate::catalogue::{Controller, Timer, TimerField, TimerRole};
use crate::duration;
use crate::object;
use crate::pointer::Walk;
use crate::route::gateway::HttpRouteRule;
use crate::route::mesh::MeshRoute;
use serde_json::Value;

/// A timer as it stands for a route.
#[derive(Clone, Debug, PartialEq)]
pub struct TimerSet<'a> {
    /// What it measures.
    pub role: TimerRole,
    /// Seconds; `None` where there is no limit.
    pub seconds: Option<u64>,
    /// What sets it.
    pub source: Source<'a>,
    /// The catalogue's entry.
    pub timer: &'a Timer,
}

/// What sets a timer.
#[derive(Clone, Debug, PartialEq)]
pub enum Source<'a> {
    /// This annotation of the Ingress, with its value.
    Annotation(&'a str, &'a str),
    /// An annotation whose value the controller cannot read, so that the default counts.
    Unreadable(&'a str, &'a str),
    /// A field of the object, by its pointer, with its value.
    Field(&'a Value, String, &'a str),
    /// The controller's default. It may be set elsewhere, where nothing here reads it
    /// (`timer.elsewhere`).
    Default,
}

/// The timers of an Ingress under this controller.
pub fn of_ingress<'a>(controller: &'a Controller, ingress: &'a Value) -> Vec<TimerSet<'a>> {
    let each = controller.timers.iter();
    each.map(|timer| {
        let key = timer.annotation.as_deref();
        let set = key.and_then(|key| Some((key, object::annotation(ingress, key)?)));
        match set {
            None => by_default(timer),
            Some((key, text)) if timer.off.as_deref() == Some(text) => TimerSet {
                role: timer.role,
                seconds: None,
                source: Source::Annotation(key, text),
                timer,
            },
            Some((key, text)) => match timer.unit.read(text) {
                Some(seconds) => TimerSet {
                    role: timer.role,
                    seconds: Some(seconds),
                    source: Source::Annotation(key, text),
                    timer,
                },
                None => TimerSet {
                    source: Source::Unreadable(key, text),
                    ..by_default(timer)
                },
            },
        }
    })
    .collect()
}

/// The timers of one rule of an HTTPRoute under this controller. Where it ignores `timeouts`, they
/// set nothing.
pub fn of_http_route<'a>(
    controller: &'a Controller,
    route: &'a Value,
    rule: &HttpRouteRule<'a>,
) -> Vec<TimerSet<'a>> {
    let honoured = controller.http_route.is_none_or(|it| it.timeouts);
    let field = |field: TimerField| match field {
        TimerField::HttpRouteRequest if honoured => Some("timeouts/request"),
        TimerField::HttpRouteBackendRequest if honoured => Some("timeouts/backendRequest"),
        _ => None,
    };
    let each = controller.timers.iter();
    each.map(|timer| {
        let fields = timer.fields.iter().copied().filter_map(field);
        let paths = fields.map(|field| format!("{}/{field}", rule.path));
        by_field(timer, paths.map(|path| (route, path)))
    })
    .collect()
}

/// The timers of one HTTP route of a VirtualService, with the DestinationRule of its destination.
pub fn of_virtual_service<'a>(
    controller: &'a Controller,
    virtual_service: &'a Value,
    route: &MeshRoute<'a>,
    destination_rule: Option<&'a Value>,
) -> Vec<TimerSet<'a>> {
    let place = |field: TimerField| match field {
        TimerField::VirtualServiceTimeout => {
            Some((virtual_service, format!("{}/timeout", route.path)))
        }
        TimerField::DestinationRuleConnectTimeout => destination_rule.map(|rule| {
            let path = "/spec/trafficPolicy/connectionPool/tcp/connectTimeout";
            (rule, path.to_owned())
        }),
        _ => None,
    };
    let each = controller.timers.iter();
    each.map(|timer| by_field(timer, timer.fields.iter().copied().filter_map(place)))
        .collect()
}

/// The first of these fields that is set; `0s` switches a timer off (GEP-1742; istio/api
/// networking/v1/virtual_service.proto, `timeout`).
fn by_field<'a>(
    timer: &'a Timer,
    places: impl Iterator<Item = (&'a Value, String)>,
) -> TimerSet<'a> {
    for (object, path) in places {
        let Some(text) = object.at(&path).and_then(Value::as_str) else {
            continue;
        };
        let Some(seconds) = duration::parse_go(text) else {
            continue;
        };
        return TimerSet {
            role: timer.role,
            seconds: (seconds > 0).then_some(seconds),
            source: Source::Field(object, path, text),
            timer,
        };
    }
    by_default(timer)
}

fn by_default(timer: &Timer) -> TimerSet<'_> {
    TimerSet {
        role: timer.role,
        seconds: timer.default_seconds.map(u64::from),
        source: Source::Default,
        timer,
    }
}
