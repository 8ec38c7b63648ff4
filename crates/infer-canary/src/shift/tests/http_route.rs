use super::*;
use proptest::prelude::*;

fn route(rules: &Value) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "llm", "namespace": "models", "uid": "u-r", "resourceVersion": "9"},
        "spec": {"parentRefs": [{"name": "gw"}], "rules": rules},
    })
}

fn plain() -> Value {
    route(&json!([
        {"matches": [{"path": {"value": "/v1"}}], "timeouts": {"request": "0s"},
            "backendRefs": [{"group": "", "kind": "Service", "name": "llama", "port": 80,
                "weight": 1, "filters": [{"type": "RequestHeaderModifier"}]}]},
        {"backendRefs": [{"name": "docs", "port": 80}]},
        {"backendRefs": [{"name": "llama", "port": 80}]},
    ]))
}

fn why_not(rules: &Value) -> String {
    refused(&stable(route(rules)), &wanted()).message()
}

#[test]
fn every_rule_that_leads_there_gets_the_share() {
    let shift = planned(&stable(plain()));
    assert_eq!((shift.via.as_str(), shift.objects.len()), ("httproute", 2));
    assert_eq!(shift.carrier, shift.entry);
    let with = with_share(&shift, &plain(), 25);
    let rules = &with["spec"]["rules"];
    assert_eq!(
        rules[0]["backendRefs"],
        json!([
            {"group": "", "kind": "Service", "name": "llama", "port": 80, "weight": 75,
                "filters": [{"type": "RequestHeaderModifier"}]},
            {"group": "", "kind": "Service", "name": "llama-canary", "port": 80, "weight": 25,
                "filters": [{"type": "RequestHeaderModifier"}]},
        ])
    );
    assert_eq!(rules[1], plain()["spec"]["rules"][1]);
    assert_eq!(rules[2]["backendRefs"][1]["weight"], 25);
    assert_eq!(shift.weight_of(&plain()), Weight::Absent);
    there_and_back(&shift, &plain());
}

#[test]
fn what_cannot_be_shared_is_refused_with_the_rule() {
    let two = json!([{"backendRefs": [{"name": "llama"}, {"name": "other"}]}]);
    let text = why_not(&two);
    assert!(
        text.contains("httproute/llm cannot be shared by weight: /spec/rules/0: it splits among"),
        "{text}"
    );
    assert!(
        why_not(&json!([{"backendRefs": [{"name": "llama"}, {"name": "llama"}]}]))
            .contains("more than once")
    );
    assert!(
        why_not(&json!([{"backendRefs": [{"name": "llama", "weight": 0}]}])).contains("weight 0")
    );
    let mirrored =
        json!([{"filters": [{"type": "RequestMirror"}], "backendRefs": [{"name": "llama"}]}]);
    assert!(why_not(&mirrored).contains("mirrors"));
    // A Service of another namespace, or what is no Service.
    for elsewhere in [
        json!({"name": "llama", "namespace": "other"}),
        json!({"name": "llama", "kind": "InferencePool", "group": "inference.networking.k8s.io"}),
    ] {
        assert!(
            why_not(&json!([{"backendRefs": [elsewhere]}])).starts_with("no Ingress, HTTPRoute")
        );
    }
}

#[test]
fn what_others_wrote_meanwhile_is_told_and_the_share_still_goes_to_zero() {
    let shift = planned(&stable(plain()));
    let with = with_share(&shift, &plain(), 25);
    let foreign = |route: &Value| match shift.weight_of(route) {
        Weight::Foreign(text) => text,
        other => panic!("{other:?}"),
    };
    let mut other = with.clone();
    other["spec"]["rules"][0]["backendRefs"][1]["weight"] = json!(80);
    assert!(
        foreign(&other).contains("the weights are 75 and 80"),
        "{}",
        foreign(&other)
    );
    assert_eq!(
        shift.weight_of(&with_share(&shift, &other, 0)),
        Weight::Share(0)
    );
    let mut uneven = with.clone();
    uneven["spec"]["rules"][2]["backendRefs"][0]["weight"] = json!(50);
    uneven["spec"]["rules"][2]["backendRefs"][1]["weight"] = json!(50);
    assert!(foreign(&uneven).contains("/spec/rules/2: not the share"));
    let mut third = with.clone();
    let list = third["spec"]["rules"][0]["backendRefs"]
        .as_array_mut()
        .unwrap();
    list.insert(0, json!({"name": "third", "weight": 10}));
    assert!(foreign(&third).contains("splits among"));
    shift.set_weight(&third, 10).unwrap_err();
    let zero = with_share(&shift, &third, 0);
    assert_eq!(zero["spec"]["rules"][0]["backendRefs"][2]["weight"], 0);
    assert_eq!(
        zero["spec"]["rules"][0]["backendRefs"][1]["weight"], 75,
        "not ours"
    );
    assert!(matches!(shift.weight_of(&zero), Weight::Foreign(_)));
    assert!(shift.is_idle(&zero) && !shift.is_idle(&third));
    assert!(shift.is_idle(&plain()) && !shift.is_idle(&with));
    // With nobody left to take the requests, 0 would answer nobody.
    let mut alone = with.clone();
    alone["spec"]["rules"][0]["backendRefs"]
        .as_array_mut()
        .unwrap()
        .remove(0);
    shift.set_weight(&alone, 0).unwrap_err();
    let mut unshared = with_share(&shift, &plain(), 0);
    let first = &mut unshared["spec"]["rules"][0]["backendRefs"];
    first.as_array_mut().unwrap().remove(0);
    assert!(!shift.is_idle(&unshared), "nobody else is left");
    let kept = patched(
        &alone,
        &shift.take_out(&alone, &Original::default()).unwrap(),
    );
    assert_eq!(kept["spec"]["rules"][0], alone["spec"]["rules"][0]);
    assert!(foreign(&route(&json!([]))).contains("no rule leads to service/llama any more"));
}

#[test]
fn a_rule_that_moved_is_taken_out_all_the_same() {
    let shift = planned(&stable(plain()));
    let original = shift.original_of(&plain()).unwrap();
    let mut moved = with_share(&shift, &plain(), 25);
    moved["spec"]["rules"].as_array_mut().unwrap().remove(1);
    let out = patched(&moved, &shift.take_out(&moved, &original).unwrap());
    assert_eq!(shift.weight_of(&out), Weight::Absent);
    assert_eq!(
        out["spec"]["rules"][1]["backendRefs"],
        json!([{"name": "llama", "port": 80}])
    );
}

/// A rule that leads to the stable Service, or elsewhere.
fn rule() -> impl Strategy<Value = Value> {
    let weight = proptest::option::of(1..=1_000_000_u32);
    (weight, any::<bool>(), "[a-z]{1,5}", 0..3_usize).prop_map(|(weight, leads, word, extra)| {
        let name = if leads { "llama" } else { "docs" };
        let mut backend = json!({"name": name, "port": 80, "x": word});
        if let Some(weight) = weight {
            backend["weight"] = json!(weight);
        }
        let mut rule = json!({"backendRefs": [backend], "name": word});
        if !leads {
            let list = rule["backendRefs"].as_array_mut().unwrap();
            list.extend((0..extra).map(|it| json!({"name": format!("o{it}")})));
        }
        rule
    })
}

proptest! {
    #[test]
    fn taken_out_it_is_what_it_was(
        rules in proptest::collection::vec(rule(), 0..5),
        shares in proptest::collection::vec(0..=100_u8, 1..5),
    ) {
        let mut rules = rules;
        rules.push(json!({"backendRefs": [{"name": "llama"}]}));
        let before = route(&json!(rules));
        let shift = planned(&stable(before.clone()));
        let original = shift.original_of(&before).unwrap();
        let mut now = before.clone();
        for share in shares {
            now = with_share(&shift, &now, share);
            prop_assert_eq!(shift.weight_of(&now), Weight::Share(share));
        }
        let out = patched(&now, &shift.take_out(&now, &original).unwrap());
        prop_assert_eq!(out, before);
    }
}
