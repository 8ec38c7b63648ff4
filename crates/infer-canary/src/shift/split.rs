//! What HTTPRoutes and VirtualServices have in common: rules, each with a list of weighted backends.

use super::{Original, Refusal, RuleWeight, Shift, Weight};
use infer_core::object;
use infer_core::pointer::Walk;
use serde_json::{Value, json};

/// How a kind of route writes it.
#[derive(Debug)]
pub(super) struct Form {
    /// Pointer to the list of rules.
    pub(super) rules: &'static str,
    /// The member of a rule that lists its backends.
    pub(super) backends: &'static str,
    /// Whether a backend is this Service of this namespace.
    pub(super) is_service: fn(&Value, &str, &str) -> bool,
    /// Makes a backend lead to the Service of this name instead.
    pub(super) rename: fn(&mut Value, &str),
}

/// A rule that leads to the stable Service or to the canary's.
struct Place {
    rule: usize,
    stable: Vec<usize>,
    canary: Vec<usize>,
    /// How many lead elsewhere.
    others: usize,
}

impl Place {
    /// Whether it holds what we write, or what we can begin with.
    fn is_plain(&self) -> bool {
        self.stable.len() == 1 && self.canary.len() <= 1 && self.others == 0
    }
}

impl Form {
    /// Whether a route of this form leads to a Service.
    pub(super) fn leads_to(&self, route: &Value, service: &str) -> bool {
        let own = object::namespace(route);
        let rules = route.at(self.rules).and_then(Value::as_array);
        let backends = rules.into_iter().flatten();
        let mut backends = backends.flat_map(|rule| self.backends_of(rule));
        backends.any(|it| (self.is_service)(it, own, service))
    }

    fn backends_of<'a>(&self, rule: &'a Value) -> impl Iterator<Item = &'a Value> + use<'a> {
        let list = rule.get(self.backends).and_then(Value::as_array);
        list.into_iter().flatten()
    }

    fn places(&self, shift: &Shift, route: &Value) -> Vec<Place> {
        let rules = route.at(self.rules).and_then(Value::as_array);
        let mut places = Vec::new();
        for (rule, it) in rules.into_iter().flatten().enumerate() {
            let mut place = Place {
                rule,
                stable: Vec::new(),
                canary: Vec::new(),
                others: 0,
            };
            for (index, backend) in self.backends_of(it).enumerate() {
                let is = |service| (self.is_service)(backend, &shift.namespace, service);
                if is(&shift.canary.service) {
                    place.canary.push(index);
                } else if is(&shift.stable.service) {
                    place.stable.push(index);
                } else {
                    place.others += 1;
                }
            }
            if !place.stable.is_empty() || !place.canary.is_empty() {
                places.push(place);
            }
        }
        places
    }

    fn backend(&self, rule: usize, index: usize) -> String {
        format!("{}/{rule}/{}/{index}", self.rules, self.backends)
    }

    fn weight(&self, route: &Value, rule: usize, index: usize) -> Option<i64> {
        let backend = route.at(&self.backend(rule, index))?;
        backend.get("weight").and_then(Value::as_i64)
    }

    fn refused(&self, shift: &Shift, rule: usize, why: &str) -> Refusal {
        Refusal::CannotShare {
            route: shift.carrier.clone(),
            path: format!("{}/{rule}", self.rules),
            why: why.to_owned(),
        }
    }

    /// Why a rule cannot be shared.
    fn why_not(&self, place: &Place, shift: &Shift) -> String {
        match (place.stable.len(), place.others) {
            (0, _) => format!("it leads to the canary and not to {}", shift.stable.service),
            (1, 0) => "it names the canary more than once".to_owned(),
            (1, _) => "it splits among several backends already".to_owned(),
            _ => format!("it names {} more than once", shift.stable.service),
        }
    }

    pub(super) fn weight_of(&self, shift: &Shift, route: &Value) -> Weight {
        let places = self.places(shift, route);
        let Some(_) = places.first() else {
            let service = &shift.stable.service;
            return Weight::Foreign(format!("no rule leads to service/{service} any more"));
        };
        let mut found: Option<Weight> = None;
        for place in &places {
            let at = format!("{}/{}", self.rules, place.rule);
            let weight = match (&place.canary[..], &place.stable[..]) {
                _ if !place.is_plain() => {
                    return Weight::Foreign(format!("{at}: {}", self.why_not(place, shift)));
                }
                (&[canary], &[stable]) => {
                    let weight = |index| self.weight(route, place.rule, index);
                    match (weight(stable), weight(canary)) {
                        (Some(rest), Some(share))
                            if (0..=100).contains(&share) && rest == 100 - share =>
                        {
                            Weight::Share(u8::try_from(share).unwrap_or(100))
                        }
                        (rest, share) => {
                            let said = |it: Option<i64>| {
                                it.map_or_else(|| "<unset>".to_owned(), |it| it.to_string())
                            };
                            return Weight::Foreign(format!(
                                "{at}: the weights are {} and {}; ours add up to 100",
                                said(rest),
                                said(share)
                            ));
                        }
                    }
                }
                _ => Weight::Absent,
            };
            match &found {
                Some(found) if *found != weight => {
                    return Weight::Foreign(format!("{at}: not the share of the other rules"));
                }
                _ => found = Some(weight),
            }
        }
        found.unwrap_or(Weight::Absent)
    }

    /// Whether the canary gets no request: it is in no rule, or has weight 0 beside another backend.
    pub(super) fn is_idle(&self, shift: &Shift, route: &Value) -> bool {
        self.places(shift, route).iter().all(|place| {
            let weight = |index: &usize| self.weight(route, place.rule, *index);
            let is_alone = place.stable.is_empty() && place.others == 0;
            place.canary.is_empty()
                || (!is_alone && place.canary.iter().all(|it| weight(it) == Some(0)))
        })
    }

    /// The weights that are there, where every rule that leads to the stable Service leads nowhere
    /// else.
    pub(super) fn original_of(&self, shift: &Shift, route: &Value) -> Result<Original, Refusal> {
        let mut weights = Vec::new();
        for place in self.places(shift, route) {
            let &[stable] = &place.stable[..] else {
                return Err(self.refused(shift, place.rule, &self.why_not(&place, shift)));
            };
            if place.others > 0 || !place.canary.is_empty() {
                return Err(self.refused(
                    shift,
                    place.rule,
                    "it splits among several backends already",
                ));
            }
            let weight = self.weight(route, place.rule, stable);
            if weight == Some(0) {
                return Err(self.refused(shift, place.rule, "its only backend has weight 0"));
            }
            weights.push(RuleWeight {
                rule: place.rule,
                weight,
            });
        }
        Ok(Original { weights })
    }

    /// Where a rule holds what we did not write, only a share of 0 is set: the rest of it stays.
    pub(super) fn set_weight(
        &self,
        shift: &Shift,
        route: &mut Value,
        share: u8,
    ) -> Result<(), Refusal> {
        let places = self.places(shift, route);
        if places.is_empty() {
            return Err(Refusal::CannotShare {
                route: shift.carrier.clone(),
                path: self.rules.to_owned(),
                why: format!("no rule leads to service/{} any more", shift.stable.service),
            });
        }
        for place in places {
            let at = |index| self.backend(place.rule, index);
            if !place.is_plain() {
                let is_some_left = !place.stable.is_empty() || place.others > 0;
                if share > 0 || !is_some_left {
                    return Err(self.refused(shift, place.rule, &self.why_not(&place, shift)));
                }
                for index in &place.canary {
                    put_weight(route, &at(*index), 0);
                }
                continue;
            }
            let stable = place.stable[0];
            put_weight(route, &at(stable), i64::from(100 - share));
            match place.canary.first() {
                Some(canary) => put_weight(route, &at(*canary), i64::from(share)),
                None => {
                    let mut entry = route.at(&at(stable)).cloned().unwrap_or_default();
                    (self.rename)(&mut entry, &shift.canary.service);
                    entry["weight"] = json!(share);
                    let list = format!("{}/{}/{}", self.rules, place.rule, self.backends);
                    if let Some(list) = route.pointer_mut(&list).and_then(Value::as_array_mut) {
                        list.push(entry);
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes the canary out of every rule. A rule that would lead nowhere then keeps it.
    pub(super) fn take_out(&self, shift: &Shift, route: &mut Value, original: &Original) {
        for place in self.places(shift, route) {
            if place.canary.is_empty() || (place.stable.is_empty() && place.others == 0) {
                continue;
            }
            if let ([stable], 0) = (&place.stable[..], place.others) {
                let mut known = original.weights.iter();
                let known = known.find(|it| it.rule == place.rule);
                let backend = route.pointer_mut(&self.backend(place.rule, *stable));
                if let Some(Value::Object(backend)) = backend {
                    match known.and_then(|it| it.weight) {
                        Some(weight) => backend.insert("weight".to_owned(), json!(weight)),
                        None => backend.remove("weight"),
                    };
                }
            }
            let list = format!("{}/{}/{}", self.rules, place.rule, self.backends);
            if let Some(list) = route.pointer_mut(&list).and_then(Value::as_array_mut) {
                let mut index = 0;
                list.retain(|_| {
                    index += 1;
                    !place.canary.contains(&(index - 1))
                });
            }
        }
    }
}

fn put_weight(route: &mut Value, backend: &str, weight: i64) {
    if let Some(backend) = route.pointer_mut(backend) {
        backend["weight"] = json!(weight);
    }
}
