//! The timers of a controller's proxy on the way to one backend: each with its value and with what
//! sets it. `inspect` prints them, rules judge them.

use crate::catalogue::{Controller, Sidecar, Timer, TimerField, TimerRole};
use crate::duration;
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
    each.map(|timer| by_annotation(timer, ingress)).collect()
}

/// The timers of one rule of an HTTPRoute under this controller. Where it ignores `timeouts`, they
/// set nothing.
pub fn of_http_route<'a>(
    controller: &'a Controller,
    route: &'a Value,
    rule: &HttpRouteRule<'a>,
) -> Vec<TimerSet<'a>> {
    let honoured = controller.http_route.is_none_or(|it| it.timeouts);
    let place = |field: TimerField| {
        let member = match field {
            TimerField::HttpRouteRequest => "request",
            TimerField::HttpRouteBackendRequest => "backendRequest",
            _ => return None,
        };
        honoured.then(|| (route, format!("{}/timeouts/{member}", rule.path)))
    };
    by_fields(&controller.timers, place)
}

/// The timers of one HTTP route of a VirtualService, with the DestinationRule of its destination.
pub fn of_virtual_service<'a>(
    controller: &'a Controller,
    virtual_service: &'a Value,
    route: &MeshRoute<'a>,
    destination_rule: Option<&'a Value>,
) -> Vec<TimerSet<'a>> {
    by_fields(&controller.timers, |field| {
        mesh_place(field, Some((virtual_service, route)), destination_rule)
    })
}

/// The timers of a sidecar on the way to the server beside it: with the VirtualService's route that
/// the sidecar of the client evaluates, if one does, and the DestinationRule of the server's host.
pub fn of_sidecar<'a>(
    sidecar: &'a Sidecar,
    route: Option<(&'a Value, &MeshRoute<'a>)>,
    destination_rule: Option<&'a Value>,
) -> Vec<TimerSet<'a>> {
    by_fields(&sidecar.timers, |field| {
        mesh_place(field, route, destination_rule)
    })
}

fn mesh_place<'a>(
    field: TimerField,
    route: Option<(&'a Value, &MeshRoute<'a>)>,
    destination_rule: Option<&'a Value>,
) -> Option<(&'a Value, String)> {
    match field {
        TimerField::VirtualServiceTimeout => {
            let (object, route) = route?;
            Some((object, format!("{}/timeout", route.path)))
        }
        TimerField::DestinationRuleConnectTimeout => {
            let path = "/spec/trafficPolicy/connectionPool/tcp/connectTimeout";
            Some((destination_rule?, path.to_owned()))
        }
        _ => None,
    }
}

fn by_annotation<'a>(timer: &'a Timer, ingress: &'a Value) -> TimerSet<'a> {
    let default = by_default(timer);
    let Some((key, text)) = timer.annotated(ingress) else {
        return default;
    };
    let source = Source::Annotation(key, text);
    if timer.is_off(text) {
        return TimerSet {
            seconds: None,
            source,
            ..default
        };
    }
    match timer.unit.read(text) {
        Some(0) if timer.zero_is_default => TimerSet { source, ..default },
        Some(seconds) => TimerSet {
            seconds: Some(seconds),
            source,
            ..default
        },
        None => TimerSet {
            source: Source::Unreadable(key, text),
            ..default
        },
    }
}

fn by_fields<'a>(
    timers: &'a [Timer],
    place: impl Fn(TimerField) -> Option<(&'a Value, String)>,
) -> Vec<TimerSet<'a>> {
    let by_field =
        |timer: &'a Timer| by_field(timer, timer.fields.iter().copied().filter_map(&place));
    let mut all: Vec<TimerSet<'a>> = timers.iter().map(by_field).collect();
    let whole = all.iter().find(|it| it.role == TimerRole::Whole);
    let whole = whole.filter(|it| it.source != Source::Default);
    if let Some(seconds) = whole.map(|it| it.seconds) {
        for set in &mut all {
            if let (Some(least), Source::Default) = (set.timer.default_beside_whole, &set.source) {
                set.seconds = seconds.map(|seconds| seconds.max(u64::from(least)));
            }
        }
    }
    all
}

/// The shortest of these fields that are set. `0s` switches a timer off (GEP-1742; istio/api
/// networking/v1/virtual_service.proto, `timeout`).
fn by_field<'a>(
    timer: &'a Timer,
    places: impl Iterator<Item = (&'a Value, String)>,
) -> TimerSet<'a> {
    let read = |(object, path): (&'a Value, String)| {
        let text = object.at(&path)?.as_str()?;
        let seconds = duration::parse_go(text)?;
        Some(TimerSet {
            role: timer.role,
            seconds: (seconds > 0).then_some(seconds),
            source: Source::Field(object, path, text),
            timer,
        })
    };
    let shortest = places
        .filter_map(read)
        .min_by_key(|set| set.seconds.unwrap_or(u64::MAX));
    shortest.unwrap_or_else(|| by_default(timer))
}

fn by_default(timer: &Timer) -> TimerSet<'_> {
    TimerSet {
        role: timer.role,
        seconds: timer.default_seconds.map(u64::from),
        source: Source::Default,
        timer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Catalogue, Unit};
    use crate::engine::Engine;
    use crate::kind::KindSet;
    use crate::route::{HttpRoute, VirtualService};
    use crate::snapshot::{Reader, Snapshot};
    use crate::world::World;
    use serde_json::json;

    fn controller<'a>(catalogue: &'a Catalogue, name: &str) -> &'a Controller {
        let mut all = catalogue.controllers.iter();
        all.find(|it| it.name == name).unwrap()
    }

    /// Seconds of a role, and whether something sets it.
    fn of(sets: &[TimerSet<'_>], role: TimerRole) -> (Option<u64>, bool) {
        let set = sets.iter().find(|it| it.role == role).unwrap();
        (set.seconds, set.source != Source::Default)
    }

    fn annotated(name: &str, annotations: &Value) -> Vec<(TimerRole, Option<u64>, String)> {
        let catalogue = Catalogue::builtin();
        let ingress = json!({"metadata": {"annotations": annotations}});
        of_ingress(controller(&catalogue, name), &ingress)
            .iter()
            .map(|set| {
                let source = match &set.source {
                    Source::Annotation(key, text) => format!("{key}={text}"),
                    Source::Unreadable(_, text) => format!("unreadable {text}"),
                    Source::Field(..) => "field".to_owned(),
                    Source::Default => String::new(),
                };
                (set.role, set.seconds, source)
            })
            .collect()
    }

    fn whole(name: &str, annotations: &Value) -> (Option<u64>, String) {
        let mut all = annotated(name, annotations).into_iter();
        let (_, seconds, source) = all.find(|it| it.0 == TimerRole::Whole).unwrap();
        (seconds, source)
    }

    #[test]
    fn nothing_set_is_the_default_of_each_controller() {
        let catalogue = Catalogue::builtin();
        let bare = json!({"metadata": {}});
        let defaults = |role| -> Vec<(&str, Option<u64>)> {
            let each = catalogue.controllers.iter();
            each.filter_map(|it| {
                let sets = of_ingress(it, &bare);
                let set = sets.iter().find(|set| set.role == role)?;
                assert_eq!(set.source, Source::Default);
                Some((it.name.as_str(), set.seconds))
            })
            .collect()
        };
        assert_eq!(
            defaults(TimerRole::Whole),
            [
                ("contour", Some(15)),
                ("envoy-gateway", Some(15)),
                ("f5-nginx-ingress", None),
                ("gke-gateway", Some(30)),
                ("ingress-nginx", None),
                ("istio", None),
                ("nginx-gateway-fabric", None),
                ("traefik", None),
            ]
        );
        assert_eq!(
            defaults(TimerRole::Read),
            [
                ("contour", Some(300)),
                ("envoy-gateway", Some(300)),
                ("f5-nginx-ingress", Some(60)),
                ("ingress-nginx", Some(60)),
                ("istio", None),
                ("nginx-gateway-fabric", Some(60)),
            ]
        );
        assert_eq!(
            defaults(TimerRole::Connect),
            [
                ("contour", Some(2)),
                ("envoy-gateway", Some(10)),
                ("f5-nginx-ingress", Some(60)),
                ("ingress-nginx", Some(5)),
                ("istio", Some(10)),
                ("nginx-gateway-fabric", Some(60)),
                ("traefik", Some(30)),
            ]
        );
    }

    #[test]
    fn contour_s_annotation_has_words_of_its_own() {
        let key = "projectcontour.io/response-timeout";
        let old = "projectcontour.io/request-timeout";
        let set = |text: &str| whole("contour", &json!({key: text}));
        assert_eq!(set("3s"), (Some(3), format!("{key}=3s")));
        for off in ["infinity", "infinite"] {
            assert_eq!(set(off), (None, format!("{key}={off}")));
        }
        // Zero is the default there, not off (projectcontour/contour internal/timeout/timeout.go).
        assert_eq!(set("0s"), (Some(15), format!("{key}=0s")));
        assert_eq!(set("600"), (Some(15), "unreadable 600".to_owned()));
        assert_eq!(
            whole("contour", &json!({old: "10m"})),
            (Some(600), format!("{old}=10m"))
        );
        assert_eq!(
            whole("contour", &json!({key: "5m", old: "10m"})),
            (Some(300), format!("{key}=5m"))
        );
    }

    #[test]
    fn nginx_s_annotations_are_read_in_the_unit_of_each() {
        let read = |name: &str, key: &str, text: &str| {
            let mut all = annotated(name, &json!({key: text})).into_iter();
            all.find(|it| it.0 == TimerRole::Read).unwrap().1
        };
        let community = "nginx.ingress.kubernetes.io/proxy-read-timeout";
        assert_eq!(read("ingress-nginx", community, "3600"), Some(3600));
        assert_eq!(read("ingress-nginx", community, "3600s"), Some(60));
        let f5 = "nginx.org/proxy-read-timeout";
        assert_eq!(read("f5-nginx-ingress", f5, "1h"), Some(3600));
        // The annotation of the other product sets nothing.
        assert_eq!(read("ingress-nginx", f5, "1h"), Some(60));
    }

    /// Seconds of a role for an HTTPRoute with these timeouts.
    fn routed(name: &str, timeouts: &Value, role: TimerRole) -> (Option<u64>, bool) {
        under(controller(&Catalogue::builtin(), name), timeouts, role)
    }

    fn under(controller: &Controller, timeouts: &Value, role: TimerRole) -> (Option<u64>, bool) {
        let engine = Engine::builtin();
        let route = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "x"}, "spec": {"rules": [{"timeouts": timeouts}]}});
        let snapshot = Snapshot::new(KindSet::NONE);
        let reader = Reader::new(&snapshot);
        let world = World {
            catalogue: &engine.catalogue,
            policy: &engine.policy,
            reader: &reader,
        };
        let lens = HttpRoute::of(&world, &route);
        of(&of_http_route(controller, &route, &lens.rules[0]), role)
    }

    #[test]
    fn of_the_two_timeouts_of_a_route_the_shorter_counts() {
        let both = |request: &str, backend: &str| {
            let timeouts = json!({"request": request, "backendRequest": backend});
            routed("contour", &timeouts, TimerRole::Whole)
        };
        assert_eq!(both("10m", "1m"), (Some(60), true));
        assert_eq!(both("0s", "1m"), (Some(60), true));
        assert_eq!(both("10m", "0s"), (Some(600), true));
        assert_eq!(both("0s", "0s"), (None, true));
        let one = |timeouts: Value| routed("contour", &timeouts, TimerRole::Whole);
        assert_eq!(one(json!({"request": "0s"})), (None, true));
        assert_eq!(one(json!({"backendRequest": "90s"})), (Some(90), true));
        assert_eq!(one(json!({"request": "600"})), (Some(15), false));
        assert_eq!(one(json!({})), (Some(15), false));
    }

    #[test]
    fn what_a_controller_ignores_sets_nothing() {
        let request = json!({"request": "10m"});
        let whole = |name| routed(name, &request, TimerRole::Whole);
        assert_eq!(whole("envoy-gateway"), (Some(600), true));
        assert_eq!(whole("istio"), (Some(600), true));
        assert_eq!(whole("gke-gateway"), (Some(30), false));
        assert_eq!(whole("nginx-gateway-fabric"), (None, false));
        assert_eq!(whole("traefik"), (None, false));
        let mut deaf = controller(&Catalogue::builtin(), "contour").clone();
        assert_eq!(under(&deaf, &request, TimerRole::Whole), (Some(600), true));
        if let Some(support) = &mut deaf.http_route {
            support.timeouts = false;
        }
        assert_eq!(under(&deaf, &request, TimerRole::Whole), (Some(15), false));
    }

    #[test]
    fn envoy_gateway_s_silence_follows_the_whole_answer() {
        let read = |timeouts: Value| routed("envoy-gateway", &timeouts, TimerRole::Read).0;
        assert_eq!(read(json!({})), Some(300));
        assert_eq!(read(json!({"request": "10m"})), Some(3600));
        assert_eq!(read(json!({"request": "2h"})), Some(7200));
        assert_eq!(read(json!({"request": "0s"})), None);
        // Contour's stays.
        let contour = routed("contour", &json!({"request": "10m"}), TimerRole::Read);
        assert_eq!(contour.0, Some(300));
    }

    #[test]
    fn istio_reads_its_own_objects_at_the_gateway_and_beside_the_server() {
        let engine = Engine::builtin();
        let virtual_service = json!({"apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService", "metadata": {"name": "x"},
            "spec": {"http": [{"timeout": "30s"}, {"timeout": "0s"}, {}]}});
        let rule = json!({"spec": {"trafficPolicy": {"connectionPool": {
            "tcp": {"connectTimeout": "3s"}}}}});
        let snapshot = Snapshot::new(KindSet::NONE);
        let reader = Reader::new(&snapshot);
        let world = World {
            catalogue: &engine.catalogue,
            policy: &engine.policy,
            reader: &reader,
        };
        let lens = VirtualService::of(&world, &virtual_service);
        let istio = controller(&engine.catalogue, "istio");
        let sidecar = engine.catalogue.sidecars.iter();
        let sidecar = sidecar.clone().find(|it| it.name == "istio").unwrap();
        for (index, seconds) in [(0, (Some(30), true)), (1, (None, true)), (2, (None, false))] {
            let one = &lens.routes[index];
            let gateway = of_virtual_service(istio, &virtual_service, one, Some(&rule));
            let beside = of_sidecar(sidecar, Some((&virtual_service, one)), Some(&rule));
            for sets in [gateway, beside] {
                assert_eq!(of(&sets, TimerRole::Whole), seconds, "{index}");
                assert_eq!(of(&sets, TimerRole::Connect), (Some(3), true));
                assert_eq!(of(&sets, TimerRole::Drain), (Some(5), false));
            }
        }
        let bare = of_sidecar(sidecar, None, None);
        assert_eq!(of(&bare, TimerRole::Connect), (Some(10), false));
        // What another controller's objects say does not count.
        let contour = controller(&engine.catalogue, "contour");
        let foreign = of_virtual_service(contour, &virtual_service, &lens.routes[0], Some(&rule));
        assert_eq!(of(&foreign, TimerRole::Whole), (Some(15), false));
    }

    #[test]
    fn a_timer_that_is_set_says_by_what() {
        let catalogue = Catalogue::builtin();
        let ingress = json!({"metadata": {"annotations":
            {"projectcontour.io/response-timeout": "3s"}}});
        let sets = of_ingress(controller(&catalogue, "contour"), &ingress);
        let set = sets.iter().find(|it| it.role == TimerRole::Whole).unwrap();
        assert_eq!(set.timer.unit, Unit::GoDuration);
        assert_eq!(
            set.source,
            Source::Annotation("projectcontour.io/response-timeout", "3s")
        );
    }
}
