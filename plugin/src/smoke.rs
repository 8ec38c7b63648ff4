//! The smoke request: the smallest one that shows that a model generates, as its runtime wants it.

use infer_core::argv::Flag;
use infer_core::catalogue::{Catalogue, SmokeModel};
use infer_core::server::Server;
use serde_json::{Map, Value};

/// A runtime's smoke request. It is a POST of JSON.
#[derive(Clone, Debug)]
pub(crate) struct Smoke {
    /// The runtime, as the catalogue names it.
    pub(crate) runtime: String,
    /// Path of the API, from the server's root.
    pub(crate) path: String,
    body: Map<String, Value>,
    stream_field: String,
    tokens_field: String,
    /// How the body names the model, where that is still to be asked for.
    unnamed: Option<SmokeModel>,
}

impl Smoke {
    /// The smoke request of a server, with what its flags say about prefix and model.
    pub(crate) fn of(server: &Server<'_>) -> Smoke {
        let runtime = server.runtime;
        let entry = &runtime.smoke;
        let prefix = match server.flags.get(&runtime.health.prefix_flags) {
            Flag::Set(prefix) => prefix.trim_end_matches('/'),
            Flag::Absent | Flag::Unknown => "",
        };
        let mut smoke = Smoke {
            runtime: runtime.name.clone(),
            path: format!("{prefix}{}", entry.path),
            // A test of the catalogue holds every body to be an object.
            body: serde_json::from_str(&entry.body).unwrap_or_default(),
            stream_field: entry.stream_field.clone(),
            tokens_field: entry.tokens_field.clone(),
            unnamed: None,
        };
        if let Some(model) = &entry.model {
            match name_in_flags(server, model) {
                Some(name) => smoke.name(&model.field, name),
                None => {
                    smoke.unnamed = Some(SmokeModel {
                        list: format!("{prefix}{}", model.list),
                        ..model.clone()
                    });
                }
            }
        }
        smoke
    }

    /// The path whose answer to a GET names the model; none where there is nothing to ask.
    pub(crate) fn asks(&self) -> Option<&str> {
        self.unnamed.as_ref().map(|model| model.list.as_str())
    }

    /// Takes the model's name from an answer to what [`Smoke::asks`] wants to know. Returns the
    /// name; none where the answer holds none, and the request then goes without.
    pub(crate) fn answered(&mut self, answer: &[u8]) -> Option<String> {
        let model = self.unnamed.take()?;
        let answer: Value = serde_json::from_slice(answer).ok()?;
        // OpenAI's list: {"data": [{"id": NAME}]}.
        let name = answer.pointer("/data/0/id")?.as_str()?.to_owned();
        self.name(&model.field, name.clone());
        Some(name)
    }

    /// Puts a prefix before its paths: the one under which a route serves them.
    pub(crate) fn below(&mut self, prefix: &str) {
        self.path.insert_str(0, prefix);
        if let Some(model) = &mut self.unnamed {
            model.list.insert_str(0, prefix);
        }
    }

    /// The body, asking for a stream or not, and for this many tokens instead of a few.
    pub(crate) fn body(&self, stream: bool, tokens: Option<u32>) -> String {
        let mut body = self.body.clone();
        if stream {
            body.insert(self.stream_field.clone(), Value::Bool(true));
        }
        if let Some(tokens) = tokens {
            body.insert(self.tokens_field.clone(), Value::from(tokens));
        }
        Value::Object(body).to_string()
    }

    /// The same request with a prompt of its own: the number of the request before it. Pickers that
    /// route by prefix hash the beginning (gateway-api-inference-extension,
    /// `docs/proposals/005-prefix-cache-aware-routing-proposal`), and would send all to one replica.
    /// Unchanged where the body has no prompt of a known form.
    pub(crate) fn numbered(&self, number: u64) -> Smoke {
        let mut smoke = self.clone();
        let last = smoke.body.get_mut("messages").and_then(Value::as_array_mut);
        let prompt = match last.and_then(|messages| messages.last_mut()) {
            Some(message) => message.get_mut("content"),
            None => smoke.body.get_mut("prompt"),
        };
        if let Some(Value::String(prompt)) = prompt {
            prompt.insert_str(0, &format!("{number}: "));
        }
        smoke
    }

    fn name(&mut self, field: &str, name: String) {
        self.body.insert(field.to_owned(), Value::String(name));
    }
}

/// The name that clients give the model, where the server's command line says it.
fn name_in_flags(server: &Server<'_>, model: &SmokeModel) -> Option<String> {
    for flag in &model.flags {
        match server.flags.get(std::slice::from_ref(flag)) {
            Flag::Set(name) if !name.is_empty() => return Some(name.to_owned()),
            Flag::Absent => {}
            // Something that cannot be read decides: the server knows it.
            Flag::Set(_) | Flag::Unknown => return None,
        }
    }
    let positional = server.runtime.model.positional && !model.flags.is_empty();
    let first = server.flags.positional().filter(|_| positional)?;
    first.clone()
}

/// The smoke request of the first runtime among pod templates' servers.
pub(crate) fn first(servers: &[Server<'_>]) -> Option<Smoke> {
    servers.first().map(Smoke::of)
}

/// The servers of a pod or of a pod template.
pub(crate) fn servers<'c>(catalogue: &'c Catalogue, template: &Value) -> Vec<Server<'c>> {
    infer_core::server::servers(catalogue, template, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn smoke(image: &str, args: &[&str]) -> Smoke {
        let pod = json!({"spec": {"containers": [{"name": "s", "image": image, "args": args}]}});
        let catalogue = Catalogue::builtin();
        first(&servers(&catalogue, &pod)).unwrap()
    }

    fn body(smoke: &Smoke) -> Value {
        serde_json::from_str(&smoke.body(false, None)).unwrap()
    }

    const LLAMA: &str = "ghcr.io/ggml-org/llama.cpp:server";
    const VLLM: &str = "vllm/vllm-openai:v0.33.0";

    #[test]
    fn llama_cpp_wants_no_model_and_keeps_its_prefix() {
        let plain = smoke(LLAMA, &["-m", "/m.gguf"]);
        assert_eq!(
            (plain.path.as_str(), plain.asks()),
            ("/v1/chat/completions", None)
        );
        assert_eq!(body(&plain).get("model"), None);
        let prefixed = smoke(LLAMA, &["-m", "/m.gguf", "--api-prefix", "/llm/"]);
        assert_eq!(prefixed.path, "/llm/v1/chat/completions");
    }

    #[test]
    fn vllm_is_given_the_name_that_its_flags_say() {
        for (args, name) in [
            (&["--model", "org/a", "--served-model-name", "b"][..], "b"),
            (&["--model=org/a"], "org/a"),
            (&["org/c", "--port", "1"], "org/c"),
        ] {
            let smoke = smoke(VLLM, args);
            assert_eq!(body(&smoke)["model"], name, "{args:?}");
            assert_eq!(smoke.asks(), None);
        }
    }

    #[test]
    fn a_name_that_flags_do_not_say_is_asked_for() {
        let mut smoke = smoke(VLLM, &["--port", "8000"]);
        assert_eq!(smoke.asks(), Some("/v1/models"));
        let answer = br#"{"object":"list","data":[{"id":"m","object":"model"}]}"#;
        assert_eq!(smoke.answered(answer).as_deref(), Some("m"));
        assert_eq!(
            (body(&smoke)["model"].as_str(), smoke.asks()),
            (Some("m"), None)
        );
    }

    #[test]
    fn an_answer_without_a_name_leaves_the_request_as_it_is() {
        let mut smoke = smoke(VLLM, &["--port", "8000"]);
        assert_eq!(smoke.answered(b"<html>"), None);
        assert_eq!(body(&smoke).get("model"), None);
    }

    #[test]
    fn a_numbered_request_begins_with_its_number() {
        let chat = smoke(LLAMA, &["-m", "/m.gguf"]);
        let prompt = |smoke: &Smoke| body(smoke)["messages"][0]["content"].clone();
        assert_eq!(prompt(&chat), "ping");
        assert_eq!(prompt(&chat.numbered(7)), "7: ping");
        let plain = smoke(VLLM, &["org/a"]);
        assert_eq!(body(&plain.numbered(8))["prompt"], "8: ping");
        assert_eq!(body(&plain.numbered(8))["model"], "org/a");
    }

    #[test]
    fn a_stream_and_a_length_are_asked_for_in_the_body() {
        let smoke = smoke(LLAMA, &["-m", "/m.gguf"]);
        let body: Value = serde_json::from_str(&smoke.body(true, Some(900))).unwrap();
        assert_eq!(
            (&body["stream"], &body["max_tokens"]),
            (&json!(true), &json!(900))
        );
    }
}
