//! What an event of a stream carries. Pure.
//!
//! Read are the shapes of OpenAI's chat completions, completions and responses, of Anthropic's
//! messages, and llama.cpp's own `/completion` (`tools/server/README.md` of ggml-org/llama.cpp).
//! An event of any other shape carries nothing that is known here.

use serde_json::Value;

use crate::sse::Event;

/// The longest error text that is kept.
const LONGEST_ERROR: usize = 500;

/// What one event carries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Carried {
    /// Non-empty content, reasoning, refusal, or a tool call's name or arguments. A role alone is
    /// not content (vllm-project/vllm issue 15106).
    pub content: bool,
    /// The stream's own end: `[DONE]`, `message_stop`, `response.completed` and its siblings.
    pub terminator: bool,
    /// Why generation ended.
    pub finish_reason: Option<String>,
    /// What the server says went wrong.
    pub error: Option<String>,
    /// `created`, in Unix seconds.
    pub created: Option<u64>,
    /// llama.cpp's account of its own work.
    pub timings: Option<Timings>,
}

/// `timings` of llama.cpp, in the last event of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timings {
    /// How long generation took, without the prompt.
    pub predicted_ms: f64,
    /// How many tokens were generated.
    pub predicted_n: u64,
    /// Speculative decoding: several tokens come out of one step.
    pub drafted: bool,
}

/// What this event carries.
#[must_use]
pub fn carried(event: &Event) -> Carried {
    let data = event.data.trim();
    if data == "[DONE]" {
        return Carried {
            terminator: true,
            ..Carried::default()
        };
    }
    let Ok(value) = serde_json::from_str::<Value>(data) else {
        return Carried {
            error: (event.name == "error").then(|| shortened(data)),
            ..Carried::default()
        };
    };
    let mut carried = Carried {
        error: error_of(&value, &event.name),
        created: value["created"].as_u64(),
        timings: timings_of(&value["timings"]),
        ..Carried::default()
    };
    match value["type"].as_str() {
        Some(kind) if kind.starts_with("response.") => responses(kind, &value, &mut carried),
        Some(kind) if value["choices"].is_null() => messages(kind, &value, &mut carried),
        _ => completions(&value, &mut carried),
    }
    carried
}

/// OpenAI's chat completions and completions, and llama.cpp's `/completion`.
fn completions(value: &Value, carried: &mut Carried) {
    for choice in value["choices"].as_array().into_iter().flatten() {
        let delta = &choice["delta"];
        carried.content |= filled(&choice["text"])
            || ["content", "reasoning_content", "reasoning", "refusal"]
                .iter()
                .any(|key| filled(&delta[*key]))
            || called(&delta["function_call"])
            || delta["tool_calls"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|call| called(&call["function"]) || called(&call["custom"]));
        if let Some(reason) = choice["finish_reason"].as_str() {
            carried.finish_reason = Some(reason.to_owned());
        }
    }
    if value["choices"].is_null() {
        carried.content |= filled(&value["content"]);
        // llama.cpp's own end: it sends no `[DONE]` there.
        if value["stop"] == Value::Bool(true) {
            carried.terminator = true;
            carried.finish_reason = value["stop_type"].as_str().map(str::to_owned);
        }
    }
}

/// OpenAI's responses.
fn responses(kind: &str, value: &Value, carried: &mut Carried) {
    carried.content = kind.ends_with(".delta") && filled(&value["delta"]);
    match kind {
        "response.completed" => carried.terminator = true,
        // Cut by a limit, and said so: the stream itself is whole.
        "response.incomplete" => {
            carried.terminator = true;
            carried.finish_reason = value["response"]["incomplete_details"]["reason"]
                .as_str()
                .map(str::to_owned);
        }
        "response.failed" => {
            carried.terminator = true;
            carried.error = carried
                .error
                .take()
                .or_else(|| error_of(&value["response"], "error"));
        }
        _ => {}
    }
}

/// Anthropic's messages.
fn messages(kind: &str, value: &Value, carried: &mut Carried) {
    match kind {
        "content_block_delta" => {
            // `signature_delta` is not something that a reader sees.
            carried.content = ["text", "thinking", "partial_json"]
                .iter()
                .any(|key| filled(&value["delta"][*key]));
        }
        "content_block_start" => {
            let block = &value["content_block"];
            carried.content = filled(&block["name"]) || filled(&block["text"]);
        }
        "message_delta" => {
            carried.finish_reason = value["delta"]["stop_reason"].as_str().map(str::to_owned);
        }
        "message_stop" => carried.terminator = true,
        _ => {}
    }
}

fn filled(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_empty(),
        // Some servers send content as a list of parts.
        Value::Array(parts) => !parts.is_empty(),
        _ => false,
    }
}

fn called(function: &Value) -> bool {
    ["name", "arguments", "input"]
        .iter()
        .any(|key| filled(&function[*key]))
}

fn timings_of(timings: &Value) -> Option<Timings> {
    Some(Timings {
        predicted_ms: timings["predicted_ms"].as_f64()?,
        predicted_n: timings["predicted_n"].as_u64()?,
        drafted: timings["draft_n"].as_u64().is_some_and(|n| n > 0),
    })
}

fn error_of(value: &Value, name: &str) -> Option<String> {
    let error = &value["error"];
    let text = error["message"].as_str().or(error.as_str());
    match text {
        Some(text) => Some(shortened(text)),
        None if !error.is_null() => Some(shortened(&error.to_string())),
        None if name == "error" || value["type"] == "error" => Some(shortened(
            value["message"].as_str().unwrap_or(&value.to_string()),
        )),
        None => None,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_ERROR).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(name: &str, data: &str) -> Carried {
        carried(&Event {
            name: name.to_owned(),
            data: data.to_owned(),
            began: Duration::ZERO,
            at: Duration::ZERO,
        })
    }

    #[test]
    fn content_and_what_is_none() {
        let content = [
            r#"{"choices":[{"delta":{"content":"a"}}]}"#,
            r#"{"choices":[{"delta":{"role":"assistant","content":" "}}]}"#,
            r#"{"choices":[{"delta":{"reasoning_content":"a"}}]}"#,
            r#"{"choices":[{"delta":{"reasoning":"a"}}]}"#,
            r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":""}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{"}}]}}]}"#,
            r#"{"choices":[{"text":"a"}]}"#,
            r#"{"type":"response.output_text.delta","delta":"a"}"#,
            r#"{"type":"response.function_call_arguments.delta","delta":"{"}"#,
            r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}"#,
            r#"{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"a"}}"#,
            r#"{"type":"content_block_start","content_block":{"type":"tool_use","name":"f"}}"#,
            r#"{"content":"a","stop":false}"#,
        ];
        for data in content {
            assert!(of("", data).content, "{data}");
        }
        let none = [
            r#"{"choices":[{"delta":{"role":"assistant"}}]}"#,
            r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
            r#"{"choices":[{"delta":{"role":"assistant","content":null}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[]}}]}"#,
            r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#,
            r#"{"choices":[{"text":""}]}"#,
            r#"{"choices":[],"usage":{"completion_tokens":3}}"#,
            r#"{"type":"response.created","response":{}}"#,
            r#"{"type":"response.output_text.delta","delta":""}"#,
            r#"{"type":"message_start","message":{"content":[]}}"#,
            r#"{"type":"content_block_start","content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_delta","delta":{"type":"signature_delta","signature":"a"}}"#,
            r#"{"type":"ping"}"#,
            r#"{"content":"","stop":true}"#,
            "ping",
            "",
            "[1]",
        ];
        for data in none {
            assert!(!of("", data).content, "{data}");
        }
    }

    #[test]
    fn the_end_and_its_reason() {
        for data in [
            "[DONE]",
            r#"{"type":"message_stop"}"#,
            r#"{"type":"response.completed","response":{}}"#,
            r#"{"type":"response.incomplete","response":{}}"#,
            r#"{"content":"","stop":true}"#,
        ] {
            assert!(of("", data).terminator, "{data}");
        }
        // A finish reason is the model's end, not the stream's: usage and `[DONE]` come after it.
        let last = of("", r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#);
        assert_eq!(last.finish_reason.as_deref(), Some("length"));
        assert!(!last.terminator);
    }

    #[test]
    fn errors_inside_the_stream() {
        for (name, data) in [
            ("", r#"{"error":{"message":"gone","code":500}}"#),
            ("", r#"{"error":"gone"}"#),
            ("error", "gone"),
            ("error", r#"{"type":"error","message":"gone"}"#),
            (
                "error",
                r#"{"type":"error","error":{"type":"x","message":"gone"}}"#,
            ),
            (
                "",
                r#"{"type":"response.failed","response":{"error":{"message":"gone"}}}"#,
            ),
        ] {
            assert_eq!(of(name, data).error.as_deref(), Some("gone"), "{data}");
        }
        assert_eq!(of("", r#"{"error":null,"choices":[]}"#).error, None);
    }

    #[test]
    fn timings_of_llama_cpp() {
        let carried = of(
            "",
            r#"{"choices":[],"created":7,"timings":{"predicted_ms":12.5,"predicted_n":3}}"#,
        );
        assert_eq!(carried.created, Some(7));
        assert_eq!(
            carried.timings,
            Some(Timings {
                predicted_ms: 12.5,
                predicted_n: 3,
                drafted: false
            })
        );
    }
}
