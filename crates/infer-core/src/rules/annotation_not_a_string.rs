use crate::kind::pod_kind_of;
use crate::pointer::{self, Walk};
use crate::rule::{Check, Findings, Level, Phase, Rule};
use crate::world::World;
use serde_json::Value;

pub(super) static RULE: Rule = Rule {
    id: "annotation-not-a-string",
    summary: "an annotation is a number or a boolean, and the API server accepts only strings",
    page: include_str!("annotation_not_a_string.md"),
    level: Level::Error,
    phase: Phase::Findings,
    reads: &[],
    needs: &[],
    checks: &[Check::Object(check)],
};

fn check(_: &World<'_>, object: &Value, findings: &mut Findings) {
    look(object, "/metadata/annotations", findings);
    if let Some(template) = pod_kind_of(object).map(|kind| kind.template)
        && !template.is_empty()
    {
        look(
            object,
            &format!("{template}/metadata/annotations"),
            findings,
        );
    }
}

fn look(object: &Value, at: &str, findings: &mut Findings) {
    let annotations = object.at(at).and_then(Value::as_object);
    for (key, value) in annotations.into_iter().flatten() {
        let seen = match value {
            Value::String(_) | Value::Null => continue,
            Value::Number(_) => format!("the number {value}"),
            Value::Bool(_) => format!("the boolean {value}"),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "a map".to_owned(),
        };
        findings
            .add(
                pointer::join(at, key),
                format!("annotation is {seen}, the API server accepts only strings"),
            )
            .help(format!(
                "quote it: `{key}: \"{}\"`",
                value.to_string().replace('"', "\\\"")
            ));
    }
}
