use super::*;
use proptest::prelude::*;

fn route(spec: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "llm", "namespace": "models", "uid": "u-v", "resourceVersion": "9"},
        "spec": {"hosts": ["llm.example.com"], "gateways": ["gw"]},
    });
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    object
}

fn to(host: &str) -> Value {
    json!({"destination": {"host": host, "port": {"number": 80}}})
}

fn plain() -> Value {
    let mut second = to("llama.models.svc.cluster.local");
    second["destination"]["subset"] = json!("v1");
    second["weight"] = json!(100);
    route(&json!({"http": [
        {"name": "a", "match": [{"uri": {"prefix": "/v1"}}], "timeout": "0s", "route": [to("llama")]},
        {"route": [to("docs")]},
        {"redirect": {"uri": "/x"}},
        {"route": [second]},
    ]}))
}

fn why_not(spec: &Value) -> String {
    refused(&stable(route(spec)), &wanted()).message()
}

#[test]
fn every_route_that_leads_there_gets_the_share() {
    let shift = planned(&stable(plain()));
    assert_eq!(shift.via.as_str(), "virtualservice");
    let with = with_share(&shift, &plain(), 10);
    let http = &with["spec"]["http"];
    assert_eq!(
        http[0]["route"],
        json!([
            {"destination": {"host": "llama", "port": {"number": 80}}, "weight": 90},
            {"destination": {"host": "llama-canary", "port": {"number": 80}}, "weight": 10},
        ])
    );
    assert_eq!(
        http[3]["route"][1],
        json!({"destination": {"host": "llama-canary.models.svc.cluster.local",
            "port": {"number": 80}}, "weight": 10}),
        "a subset is the stable host's"
    );
    assert_eq!(http[1], plain()["spec"]["http"][1]);
    there_and_back(&shift, &plain());
}

#[test]
fn what_cannot_be_shared_is_refused_with_the_place() {
    for (spec, place, why) in [
        (
            json!({"http": [{"route": [to("llama"), to("docs")]}]}),
            "/spec/http/0",
            "splits among",
        ),
        (
            json!({"http": [{"route": [to("llama")], "mirror": {"host": "docs"}}]}),
            "/spec/http/0",
            "mirrors",
        ),
        (
            json!({"http": [{"route": [to("llama")], "mirrors": [{"destination": {}}]}]}),
            "/spec/http/0",
            "mirrors",
        ),
        (
            json!({"http": [{"delegate": {"name": "x"}}, {"route": [to("llama")]}]}),
            "/spec/http/0",
            "delegates",
        ),
        (
            json!({"hosts": [], "http": [{"route": [to("llama")]}]}),
            "/spec/hosts",
            "has no hosts",
        ),
        (
            json!({"tcp": [{"route": [to("llama")]}]}),
            "/spec/tcp/0",
            "connections",
        ),
        (
            json!({"tls": [{"match": [], "route": [to("llama")]}], "http": [{"route": [to("llama")]}]}),
            "/spec/tls/0",
            "connections",
        ),
    ] {
        let text = why_not(&spec);
        assert!(text.contains(place) && text.contains(why), "{text}");
    }
    assert!(
        why_not(&json!({"http": [{"route": [to("llama.other.svc")]}]})).starts_with("no Ingress")
    );
}

#[test]
fn a_rule_of_the_stable_host_is_told_of() {
    let mut ruled = stable(plain());
    ruled.others.push(
        json!({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
        "metadata": {"name": "llama", "namespace": "models"}, "spec": {"host": "llama"}}),
    );
    let notes = planned(&ruled).notes;
    assert!(
        notes[0].starts_with("destinationrule/llama holds for service/llama only"),
        "{notes:?}"
    );
}

fn rule() -> impl Strategy<Value = Value> {
    let weight = proptest::option::of(0..=100_u32);
    let hosts = [
        "llama",
        "llama.models.svc",
        "llama.models.svc.cluster.local",
        "docs",
    ];
    (weight, 0..hosts.len(), "[a-z]{1,5}").prop_map(move |(weight, host, word)| {
        let mut entry = to(hosts[host]);
        entry["headers"] = json!({"request": {"set": {"x": word}}});
        if let Some(weight) = weight.filter(|it| *it > 0) {
            entry["weight"] = json!(weight);
        }
        json!({"name": word, "route": [entry], "x": word})
    })
}

proptest! {
    #[test]
    fn taken_out_it_is_what_it_was(
        rules in proptest::collection::vec(rule(), 0..5),
        shares in proptest::collection::vec(0..=100_u8, 1..5),
    ) {
        let mut rules = rules;
        rules.push(json!({"route": [to("llama")]}));
        let before = route(&json!({"http": rules}));
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
