//! What the model's own answer says of who gave it: which version, not which replica.

use infer_traffic::Exchange;
use serde_json::Value;

/// Fields of an answer that tell one version of a model server from another.
///
/// OpenAI's API has both: `system_fingerprint` is the server's build and configuration, `model` what
/// the server calls the model (llama.cpp `tools/server/server-task.cpp` writes `b4812-COMMIT` and the
/// file's name; vLLM its `--served-model-name`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// `system_fingerprint`.
    pub(crate) system: Option<String>,
    /// `model`.
    pub(crate) model: Option<String>,
}

/// A field of a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    System,
    Model,
}

impl Field {
    /// Each, the more telling one first.
    pub(crate) const ALL: [Field; 2] = [Field::System, Field::Model];

    /// Its name in an answer.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Field::System => "system_fingerprint",
            Field::Model => "model",
        }
    }
}

impl Fingerprint {
    /// Of a JSON answer, or of the first events of a stream, as far as its body was kept.
    pub(crate) fn of(exchange: &Exchange) -> Fingerprint {
        Fingerprint::of_body(&exchange.body)
    }

    fn of_body(body: &[u8]) -> Fingerprint {
        let body = body.trim_ascii_start();
        if body.starts_with(b"{") {
            return serde_json::from_slice(body)
                .map_or_else(|_| Fingerprint::default(), |it| of_object(&it));
        }
        let mut found = Fingerprint::default();
        for line in body.split(|byte| *byte == b'\n') {
            let Some(data) = line.strip_prefix(b"data:") else {
                continue;
            };
            let Ok(event) = serde_json::from_slice(data) else {
                continue;
            };
            let event = of_object(&event);
            found.system = found.system.or(event.system);
            found.model = found.model.or(event.model);
            if found.system.is_some() && found.model.is_some() {
                break;
            }
        }
        found
    }

    /// The value of a field.
    pub(crate) fn get(&self, field: Field) -> Option<&str> {
        match field {
            Field::System => self.system.as_deref(),
            Field::Model => self.model.as_deref(),
        }
    }

    /// Whether a field is this name: the whole value, or what stands before llama.cpp's `-COMMIT`.
    pub(crate) fn is(&self, field: Field, name: &str) -> bool {
        let Some(value) = self.get(field) else {
            return false;
        };
        let build = value.split_once('-').map(|(build, _)| build);
        value == name || (field == Field::System && build == Some(name))
    }

    /// What a person calls it.
    pub(crate) fn shown(&self) -> Option<&str> {
        Field::ALL.iter().find_map(|field| self.get(*field))
    }
}

fn of_object(object: &Value) -> Fingerprint {
    let text = |field: Field| {
        let value = object.get(field.as_str()).and_then(Value::as_str);
        value.filter(|it| !it.is_empty()).map(str::to_owned)
    };
    Fingerprint {
        system: text(Field::System),
        model: text(Field::Model),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Fingerprint {
        Fingerprint::of_body(body.as_bytes())
    }

    #[test]
    fn a_stream_says_it_in_its_events() {
        let stream = of(
            ": ping\n\ndata: {\"choices\":[]}\n\ndata: {\"model\":\"m\"}\n\n\
            data: {\"system_fingerprint\":\"b1-c\"}\n\ndata: [DONE]\n\n",
        );
        assert_eq!(stream.model.as_deref(), Some("m"));
        assert_eq!(stream.system.as_deref(), Some("b1-c"));
    }

    #[test]
    fn a_build_is_what_stands_before_the_commit() {
        let answer = of(r#"{"model":"org/m-1","system_fingerprint":"b4812-f1a2"}"#);
        for (field, name, wanted) in [
            (Field::System, "b4812", true),
            (Field::System, "b4812-f1a2", true),
            (Field::System, "b48", false),
            (Field::Model, "org/m-1", true),
            (Field::Model, "org/m", false),
        ] {
            assert_eq!(answer.is(field, name), wanted, "{name}");
        }
        assert_eq!(answer.shown(), Some("b4812-f1a2"));
        assert_eq!(of("no JSON"), Fingerprint::default());
        assert_eq!(of(r#"{"model":""}"#), Fingerprint::default());
    }
}
