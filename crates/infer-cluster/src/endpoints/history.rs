//! EndpointSlices over time.

use super::{Endpoint, PodName, of_slice, split};
use crate::follow::{Change, Happened};
use crate::objects::text;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

/// At most so many versions of one slice are kept; the oldest go first.
const KEPT: usize = 1000;

/// How many endpoints there are of each state. A pod with several addresses counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Ready.
    pub ready: usize,
    /// Answering their readiness probe, terminating or not.
    pub serving: usize,
    /// Being deleted.
    pub terminating: usize,
}

/// The slices of one Service as they were told, with the times of arrival.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// By uid of the slice, oldest first.
    slices: BTreeMap<String, Vec<(Instant, Vec<Endpoint>)>>,
}

impl History {
    /// An empty history.
    pub fn new() -> History {
        History::default()
    }

    /// Takes note of a change of an EndpointSlice; changes must come in the order of their times.
    /// News of the watch itself change nothing.
    pub fn apply(&mut self, change: &Change) {
        let endpoints = match change.what {
            Happened::Appeared | Happened::Changed => of_slice(&change.object),
            Happened::Gone => Vec::new(),
            Happened::Listed | Happened::Interrupted(_) | Happened::Resumed => return,
        };
        let uid = match text(&change.object, "/metadata/uid") {
            uid if uid.is_empty() => text(&change.object, "/metadata/name"),
            uid => uid,
        };
        let versions = self.slices.entry(uid).or_default();
        // A slice also changes where we read nothing.
        if versions
            .last()
            .is_some_and(|(_, known)| *known == endpoints)
        {
            return;
        }
        versions.push((change.at, endpoints));
        if versions.len() > KEPT {
            versions.remove(0);
        }
    }

    /// Whose address this is, at that time: `10.244.0.7:8080`, or without a port. A proxy may
    /// still use an address that is gone, and may know one a moment before us: so the pod that had
    /// it last counts, and where none had, the first that has it afterwards.
    pub fn who(&self, address: &str, at: Instant) -> Option<&str> {
        self.pod_at(address, at).map(|pod| pod.name.as_str())
    }

    /// As [`History::who`], with the namespace.
    pub fn pod_at(&self, address: &str, at: Instant) -> Option<&PodName> {
        let (ip, port) = split(address)?;
        let mut before: Option<(Instant, &PodName)> = None;
        let mut after: Option<(Instant, &PodName)> = None;
        for (time, endpoints) in self.slices.values().flatten() {
            let Some(pod) = endpoints.iter().find_map(|it| holder(it, ip, port)) else {
                continue;
            };
            if *time <= at && before.is_none_or(|(known, _)| known < *time) {
                before = Some((*time, pod));
            } else if *time > at && after.is_none_or(|(known, _)| *time < known) {
                after = Some((*time, pod));
            }
        }
        before.or(after).map(|(_, pod)| pod)
    }

    /// The endpoints at that time.
    pub fn at(&self, at: Instant) -> Vec<&Endpoint> {
        self.slices
            .values()
            .filter_map(|versions| versions.iter().rev().find(|(time, _)| *time <= at))
            .flat_map(|(_, endpoints)| endpoints)
            .collect()
    }

    /// How many endpoints there were of each state at that time.
    pub fn count_at(&self, at: Instant) -> Count {
        count(&self.at(at))
    }

    /// How many were ready at that time.
    pub fn ready_at(&self, at: Instant) -> usize {
        self.count_at(at).ready
    }

    /// Every time at which a count changed, with the counts from then on.
    pub fn counts(&self) -> Vec<(Instant, Count)> {
        let mut times: Vec<Instant> = self.slices.values().flatten().map(|(at, _)| *at).collect();
        times.sort_unstable();
        times.dedup();
        let mut counts: Vec<(Instant, Count)> = Vec::new();
        for at in times {
            let count = self.count_at(at);
            if counts.last().is_none_or(|(_, known)| *known != count) {
                counts.push((at, count));
            }
        }
        counts
    }

    /// The states that an endpoint of this pod had, each from the time on at which it changed; none
    /// for the time when it was in no slice.
    pub fn of_pod(&self, name: &str) -> Vec<(Instant, Option<Endpoint>)> {
        let mut times: Vec<Instant> = self.slices.values().flatten().map(|(at, _)| *at).collect();
        times.sort_unstable();
        times.dedup();
        let mut states: Vec<(Instant, Option<Endpoint>)> = Vec::new();
        for at in times {
            let of_pod = |it: &&Endpoint| it.pod.as_ref().is_some_and(|pod| pod.name == name);
            let state = self.at(at).into_iter().find(of_pod).cloned();
            let known = states.last().map(|(_, known)| known);
            if known.unwrap_or(&None) != &state {
                states.push((at, state));
            }
        }
        states
    }
}

fn holder(endpoint: &Endpoint, ip: IpAddr, port: Option<u16>) -> Option<&PodName> {
    let same = endpoint.address.parse() == Ok(ip);
    let fits = port.is_none_or(|port| endpoint.ports.is_empty() || endpoint.ports.contains(&port));
    endpoint.pod.as_ref().filter(|_| same && fits)
}

fn count(endpoints: &[&Endpoint]) -> Count {
    // A pod has an address of each family, each in a slice of its own.
    let mut pods: BTreeMap<(&str, &str), (bool, bool, bool)> = BTreeMap::new();
    for it in endpoints {
        let key = match &it.pod {
            Some(pod) => (pod.namespace.as_str(), pod.name.as_str()),
            None => ("", it.address.as_str()),
        };
        let state = pods.entry(key).or_default();
        state.0 |= it.ready;
        state.1 |= it.serving;
        state.2 |= it.terminating;
    }
    Count {
        ready: pods.values().filter(|it| it.0).count(),
        serving: pods.values().filter(|it| it.1).count(),
        terminating: pods.values().filter(|it| it.2).count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::time::Duration;

    fn slice(uid: &str, endpoints: &[(&str, &str, bool)]) -> Value {
        let endpoints: Vec<Value> = endpoints
            .iter()
            .map(|(address, pod, ready)| {
                json!({
                    "addresses": [address],
                    "conditions": {"ready": ready, "serving": true, "terminating": !ready},
                    "targetRef": {"kind": "Pod", "name": pod},
                })
            })
            .collect();
        json!({
            "metadata": {"name": uid, "namespace": "n", "uid": uid},
            "ports": [{"port": 8080}], "endpoints": endpoints,
        })
    }

    struct Told {
        start: Instant,
        history: History,
    }

    impl Told {
        fn new() -> Told {
            Told {
                start: Instant::now(),
                history: History::new(),
            }
        }

        fn at(&self, millis: u64) -> Instant {
            self.start + Duration::from_millis(millis)
        }

        fn tell(&mut self, millis: u64, what: Happened, object: Value) {
            let at = self.at(millis);
            self.history.apply(&Change { at, what, object });
        }
    }

    #[test]
    fn an_address_is_of_the_pod_that_had_it_last() {
        let mut told = Told::new();
        told.tell(
            10,
            Happened::Appeared,
            slice("s", &[("10.0.0.1", "old", true)]),
        );
        told.tell(20, Happened::Changed, slice("s", &[]));
        told.tell(
            30,
            Happened::Changed,
            slice("s", &[("10.0.0.1", "new", true)]),
        );
        let who = |address, millis| told.history.who(address, told.at(millis));
        assert_eq!(who("10.0.0.1:8080", 15), Some("old"));
        assert_eq!(who("10.0.0.1:8080", 25), Some("old"), "a proxy is late");
        assert_eq!(who("10.0.0.1:8080", 35), Some("new"));
        assert_eq!(
            who("10.0.0.1:8080", 5),
            Some("old"),
            "a proxy may know it before us"
        );
        assert_eq!(who("10.0.0.1", 35), Some("new"));
        assert_eq!(
            who("10.0.0.1:9090", 35),
            None,
            "another port is another server"
        );
        assert_eq!(who("10.0.0.2:8080", 35), None);
        assert_eq!(who("no address", 35), None);
    }

    #[test]
    fn an_ipv6_address_is_found_however_it_is_written() {
        let mut told = Told::new();
        told.tell(
            10,
            Happened::Appeared,
            slice("s", &[("fd00::7", "a", true)]),
        );
        let who = |address| told.history.who(address, told.at(20));
        assert_eq!(who("[fd00::7]:8080"), Some("a"));
        assert_eq!(who("fd00:0:0::7"), Some("a"));
    }

    #[test]
    fn counts_are_by_pod_and_only_where_they_change() {
        let mut told = Told::new();
        let two = [("10.0.0.1", "a", true), ("10.0.0.2", "b", true)];
        told.tell(10, Happened::Appeared, slice("v4", &two));
        // The other family is the same pods.
        told.tell(
            10,
            Happened::Appeared,
            slice("v6", &[("fd00::1", "a", true)]),
        );
        told.tell(11, Happened::Listed, Value::Null);
        let ending = [("10.0.0.1", "a", false), ("10.0.0.2", "b", true)];
        told.tell(20, Happened::Changed, slice("v4", &ending));
        told.tell(
            20,
            Happened::Changed,
            slice("v6", &[("fd00::1", "a", false)]),
        );
        told.tell(25, Happened::Changed, slice("v4", &ending));
        told.tell(
            30,
            Happened::Changed,
            slice("v4", &[("10.0.0.2", "b", true)]),
        );
        told.tell(30, Happened::Gone, slice("v6", &[]));
        let count = |ready, serving, terminating| Count {
            ready,
            serving,
            terminating,
        };
        let wanted = [
            (told.at(10), count(2, 2, 0)),
            (told.at(20), count(1, 2, 1)),
            (told.at(30), count(1, 1, 0)),
        ];
        assert_eq!(told.history.counts(), wanted);
        assert_eq!(told.history.ready_at(told.at(15)), 2);
        assert_eq!(told.history.ready_at(told.at(5)), 0, "nothing was told yet");
        let states = told.history.of_pod("a");
        assert_eq!(states.len(), 3);
        assert!(states[0].1.as_ref().is_some_and(|it| it.ready));
        assert!(
            states[1]
                .1
                .as_ref()
                .is_some_and(|it| it.terminating && it.serving)
        );
        assert_eq!(states[2], (told.at(30), None));
    }

    #[test]
    fn conditions_that_are_not_there_are_read_as_the_api_says() {
        let slice = json!({
            "metadata": {"namespace": "n"},
            "endpoints": [{"addresses": ["10.0.0.1"]}, {
                "addresses": ["10.0.0.2"], "conditions": {"ready": false},
                "targetRef": {"kind": "Pod", "name": "a", "namespace": "m"},
            }],
        });
        let found = of_slice(&slice);
        assert!(found[0].ready && found[0].serving && !found[0].terminating);
        assert_eq!(found[0].pod, None);
        assert!(!found[1].ready && !found[1].serving);
        assert_eq!(found[1].pod.as_ref().unwrap().namespace, "m");
    }
}
