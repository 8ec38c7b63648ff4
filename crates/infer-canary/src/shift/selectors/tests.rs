use super::*;
use proptest::prelude::*;

fn selecting(selector: Value) -> Selecting {
    Selecting {
        by: Named::new("Service", "s"),
        selector,
    }
}

fn labels(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn apart(of: &Value, selectors: &[Value], spared: &[Value]) -> Changes {
    let all = |list: &[Value]| list.iter().cloned().map(selecting).collect::<Vec<_>>();
    tell_apart(&labels(of), &all(selectors), &all(spared)).unwrap()
}

#[test]
fn a_label_that_all_select_by_is_changed_alone() {
    let changes = apart(
        &json!({"app": "llama", "tier": "gpu"}),
        &[
            json!({"matchLabels": {"app": "llama", "tier": "gpu"}}),
            json!({"matchLabels": {"tier": "gpu"}}),
        ],
        &[],
    );
    assert_eq!(
        changes,
        Changes::from([("tier".into(), "gpu-canary".into())])
    );
}

#[test]
fn where_none_is_common_one_of_each_is_changed() {
    let changes = apart(
        &json!({"app": "llama", "tier": "gpu"}),
        &[
            json!({"matchLabels": {"app": "llama"}}),
            json!({"matchLabels": {"tier": "gpu"}}),
        ],
        &[],
    );
    assert_eq!(changes.len(), 2);
}

#[test]
fn a_label_that_a_policy_selects_by_is_spared() {
    let of = json!({"a": "1", "b": "1"});
    let both = [json!({"matchLabels": {"a": "1", "b": "1"}})];
    assert!(apart(&of, &both, &[]).contains_key("a"));
    let spared = [json!({"matchLabels": {"a": "1"}})];
    assert!(apart(&of, &both, &spared).contains_key("b"));
}

#[test]
fn expressions_count_and_what_cannot_be_told_apart_is_refused() {
    let listed = json!({"matchExpressions": [
        {"key": "app", "operator": "In", "values": ["llama", "other"]},
        {"key": "tier", "operator": "Exists"}]});
    let of = json!({"app": "llama", "tier": "gpu"});
    let changes = apart(&of, std::slice::from_ref(&listed), &[]);
    assert_eq!(changes["app"], "llama-canary");
    let changed = selecting(listed).changed(&changes);
    assert_eq!(
        changed,
        json!({"matchLabels": {"app": "llama-canary"},
            "matchExpressions": [{"key": "tier", "operator": "Exists"}]})
    );
    let exists = json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]});
    let refused = tell_apart(&labels(&of), &[selecting(exists)], &[]).unwrap_err();
    assert!(matches!(refused, Refusal::SameLabels { by } if by.name == "s"));
}

#[test]
fn selectors_are_written_as_kubectl_reads_them() {
    let selector = json!({"matchLabels": {"a": "1"}, "matchExpressions": [
        {"key": "b", "operator": "In", "values": ["x", "y"]},
        {"key": "c", "operator": "NotIn", "values": ["z"]},
        {"key": "d", "operator": "Exists"},
        {"key": "e", "operator": "DoesNotExist"}]});
    assert_eq!(selector_text(&selector), "a=1,b in (x,y),c notin (z),d,!e");
}

/// A selector that surely selects these labels: some of them by value, some in a list.
fn selector_of(labels: Map<String, Value>) -> impl Strategy<Value = Value> {
    let keys: Vec<String> = labels.keys().cloned().collect();
    let count = keys.len();
    proptest::collection::vec(0..3_u8, count).prop_map(move |how| {
        let (mut equal, mut listed) = (Map::new(), Vec::new());
        for (key, how) in keys.iter().zip(how) {
            match how {
                0 => {
                    equal.insert(key.clone(), labels[key].clone());
                }
                1 => listed
                    .push(json!({"key": key, "operator": "In", "values": [labels[key], "other"]})),
                _ => {}
            }
        }
        json!({"matchLabels": equal, "matchExpressions": listed})
    })
}

fn cases() -> impl Strategy<Value = (Map<String, Value>, Vec<Value>)> {
    let labels = proptest::collection::btree_map("[a-e]", "[a-c]{0,70}", 1..5);
    labels.prop_flat_map(|labels| {
        let labels: Map<String, Value> = labels
            .into_iter()
            .map(|(key, value)| (key, json!(&value[..value.len().min(63)])))
            .collect();
        let selectors = proptest::collection::vec(selector_of(labels.clone()), 1..4);
        (Just(labels), selectors)
    })
}

proptest! {
    #[test]
    fn neither_side_selects_the_other_s_pods((stable, selectors) in cases()) {
        let selectors: Vec<Selecting> = selectors.into_iter().map(selecting).collect();
        let changes = tell_apart(&stable, &selectors, &[]).unwrap();
        let mut canary = stable.clone();
        super::super::copies::change(&mut canary, &changes);
        for (key, value) in &canary {
            prop_assert!(value.as_str().unwrap().len() <= 63);
            prop_assert_eq!(changes.contains_key(key), value != &stable[key]);
        }
        for selecting in selectors.iter().filter(|it| it.selects(&stable)) {
            prop_assert!(!selecting.selects(&canary));
            let ours = tests::selecting(selecting.changed(&changes));
            prop_assert!(ours.selects(&canary), "{ours:?} {canary:?}");
            prop_assert!(!ours.selects(&stable));
        }
    }
}
