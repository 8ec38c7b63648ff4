//! The second version: what differs from the stable one, and the change that makes it.

use crate::shift::Refusal;
use infer_core::catalogue::Catalogue;
use infer_core::pointer::{Walk, set};
use infer_core::server::servers;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;

/// Where the pod template of a Deployment is.
pub(crate) const TEMPLATE: &str = "/spec/template";

/// What a canary runs.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Version {
    /// The stable one with another image, other arguments, or both.
    Changed(Changed),
    /// A workload of this name that is there already.
    Existing(String),
}

/// What differs from the stable version.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    /// The image (`--image`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Arguments of the server (`--set-arg`, once for each).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<SetArg>,
}

/// Another image of a container.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The container; none for the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The image.
    pub image: String,
}

/// Another value of an argument.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetArg {
    /// The argument, with its dashes: `--ctx-size`.
    pub name: String,
    /// Its value; none for one that stands alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl Image {
    /// Reads `IMAGE` or `CONTAINER=IMAGE`. No image has an equals sign (distribution/reference
    /// reference.go).
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Image, String> {
        let (container, image) = match text.split_once('=') {
            Some((container, image)) => (Some(container.to_owned()), image),
            None => (None, text),
        };
        if image.is_empty() || container.as_deref() == Some("") {
            return Err(format!("{text:?} is no IMAGE and no CONTAINER=IMAGE"));
        }
        Ok(Image {
            container,
            image: image.to_owned(),
        })
    }
}

impl SetArg {
    /// Reads `--name=value`, or `--name` for one that stands alone.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<SetArg, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if !is_flag(name) {
            return Err(format!(
                "{text:?} names no argument: write it with its dashes, as in \
                 --set-arg=--ctx-size=8192"
            ));
        }
        Ok(SetArg {
            name: name.to_owned(),
            value,
        })
    }

    /// The words that it is written as where it is not there yet: two, since llama.cpp's server
    /// looks a whole word up as an option (ggml-org/llama.cpp common/arg.cpp
    /// `common_params_parse_ex`).
    fn words(&self) -> impl Iterator<Item = Value> {
        let words = [Some(self.name.as_str()), self.value.as_deref()];
        words.into_iter().flatten().map(Value::from)
    }
}

impl fmt::Display for Changed {
    /// `image server:b4812, --ctx-size 8192`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = self.image.iter().map(|it| format!("image {}", it.image));
        let arguments = self.arguments.iter().map(|it| match &it.value {
            Some(value) => format!("{} {value}", it.name),
            None => it.name.clone(),
        });
        let parts: Vec<String> = image.chain(arguments).collect();
        f.write_str(&parts.join(", "))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Version::Changed(changed) => changed.fmt(f),
            Version::Existing(name) => write!(f, "deployment/{name}"),
        }
    }
}

impl Changed {
    /// Makes the change in a Deployment.
    ///
    /// # Errors
    ///
    /// When it is not clear which container or argument is meant, or nothing would change. The
    /// Deployment is then not to be used.
    pub fn apply(&self, catalogue: &Catalogue, deployment: &mut Value) -> Result<(), Refusal> {
        let before = deployment.clone();
        let named = self.image.as_ref().and_then(|it| it.container.as_deref());
        let at = container(catalogue, deployment, named)?;
        // Told from the image that is there: the new one may be known to nobody.
        let serves = server(catalogue, deployment).unwrap_or_else(|| at.clone());
        if let Some(image) = &self.image {
            set(deployment, &format!("{at}/image"), json!(image.image));
        }
        for argument in &self.arguments {
            argument.apply(deployment, &serves)?;
        }
        if *deployment == before {
            return Err(Refusal::SameVersion {
                version: self.to_string(),
            });
        }
        Ok(())
    }
}

impl SetArg {
    fn apply(&self, deployment: &mut Value, container: &str) -> Result<(), Refusal> {
        let refused = |why: &str| Refusal::Argument {
            name: self.name.clone(),
            why: why.to_owned(),
        };
        if is_script(deployment.at(container).unwrap_or(&Value::Null)) {
            return Err(refused(
                "the server is started by a shell script, whose words are not changed",
            ));
        }
        let mut places = Vec::new();
        for list in ["command", "args"] {
            let pointer = format!("{container}/{list}");
            let words = deployment.at(&pointer).and_then(Value::as_array);
            for (index, word) in words.into_iter().flatten().enumerate() {
                let word = word.as_str().unwrap_or_default();
                let name = word.split_once('=').map_or(word, |(name, _)| name);
                if same_flag(name, &self.name) {
                    places.push((pointer.clone(), index));
                }
            }
        }
        match &places[..] {
            [] => {
                let pointer = format!("{container}/args");
                let mut words = match deployment.at(&pointer) {
                    Some(Value::Array(words)) => words.clone(),
                    None | Some(Value::Null) => Vec::new(),
                    Some(_) => return Err(refused("args of its container is no list")),
                };
                words.extend(self.words());
                set(deployment, &pointer, Value::Array(words));
                Ok(())
            }
            [(pointer, index)] => {
                let words = deployment
                    .pointer_mut(pointer)
                    .and_then(Value::as_array_mut);
                self.replace(words.unwrap_or(&mut Vec::new()), *index);
                Ok(())
            }
            _ => Err(refused(
                "it is there more than once, and which one is meant cannot be told",
            )),
        }
    }

    /// Replaces the value of the argument that stands at `index`, in the form that it has.
    fn replace(&self, words: &mut Vec<Value>, index: usize) {
        let word = words[index].as_str().unwrap_or_default().to_owned();
        let (name, joined) = match word.split_once('=') {
            Some((name, _)) => (name, true),
            None => (word.as_str(), false),
        };
        let next = words.get(index + 1).and_then(Value::as_str);
        let has_next = !joined && next.is_some_and(|next| !is_flag(next));
        match &self.value {
            Some(value) if joined => words[index] = json!(format!("{name}={value}")),
            Some(value) if has_next => words[index + 1] = json!(value),
            Some(value) => words.insert(index + 1, json!(value)),
            None if joined => words[index] = json!(name),
            // What follows may be a value of it, or a word of its own: it stays.
            None => {}
        }
    }
}

/// Whether a word is a flag: dashes and then something that is no number.
fn is_flag(word: &str) -> bool {
    let name = word.trim_start_matches('-');
    word.starts_with('-') && name.starts_with(|it: char| it.is_ascii_alphabetic())
}

/// Whether two words name the same argument: vLLM and llama.cpp read `_` as `-`.
fn same_flag(left: &str, right: &str) -> bool {
    left.replace('_', "-") == right.replace('_', "-")
}

/// Whether a shell starts the server.
fn is_script(container: &Value) -> bool {
    let lists = ["command", "args"].map(|it| container.get(it).and_then(Value::as_array));
    let mut words = lists
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(Value::as_str);
    let program = words.next().and_then(|word| word.rsplit('/').next());
    let is_shell = matches!(program, Some("sh" | "bash" | "ash" | "dash" | "zsh"));
    is_shell && words.any(|word| word.starts_with('-') && word.ends_with('c'))
}

/// Pointer to the container that is meant: the one of this name, else the inference server's, else
/// the only one.
fn container(
    catalogue: &Catalogue,
    deployment: &Value,
    name: Option<&str>,
) -> Result<String, Refusal> {
    let pointer = format!("{TEMPLATE}/spec/containers");
    let list = deployment.at(&pointer).and_then(Value::as_array);
    let names: Vec<&str> = list
        .into_iter()
        .flatten()
        .map(|it| it.get("name").and_then(Value::as_str).unwrap_or_default())
        .collect();
    let found = match name {
        Some(name) => names
            .iter()
            .position(|it| *it == name)
            .map(|index| format!("{pointer}/{index}")),
        None => server(catalogue, deployment)
            .or_else(|| (names.len() == 1).then(|| format!("{pointer}/0"))),
    };
    found.ok_or_else(|| Refusal::Container {
        asked: name.map(str::to_owned),
        names: names.iter().map(|it| (*it).to_owned()).collect(),
    })
}

/// Pointer to the container that the catalogue recognises as inference server, if there is one.
fn server(catalogue: &Catalogue, deployment: &Value) -> Option<String> {
    let template = deployment.at(TEMPLATE)?;
    match &servers(catalogue, template, TEMPLATE)[..] {
        [one] => Some(one.path.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLAMA: &str = "ghcr.io/ggml-org/llama.cpp:server-b4790";

    fn deployment(containers: &Value) -> Value {
        json!({"spec": {"template": {"spec": {"containers": containers}}}})
    }

    fn llama(command: &Value, args: &Value) -> Value {
        deployment(&json!([
            {"name": "proxy", "image": "envoy"},
            {"name": "server", "image": LLAMA, "command": command, "args": args},
        ]))
    }

    fn applied(before: &Value, image: Option<&str>, arguments: &[&str]) -> Result<Value, Refusal> {
        let changed = Changed {
            image: image.map(|it| Image::parse(it).unwrap()),
            arguments: arguments
                .iter()
                .map(|it| SetArg::parse(it).unwrap())
                .collect(),
        };
        let mut after = before.clone();
        changed.apply(&Catalogue::builtin(), &mut after)?;
        Ok(after)
    }

    fn container(object: &Value, index: usize, field: &str) -> Value {
        object["spec"]["template"]["spec"]["containers"][index][field].clone()
    }

    #[test]
    fn the_server_s_container_is_meant_unless_another_is_named() {
        let before = llama(&Value::Null, &json!(["-m", "/m.gguf"]));
        let after = applied(&before, Some("server:b4812"), &[]).unwrap();
        assert_eq!(container(&after, 1, "image"), "server:b4812");
        assert_eq!(container(&after, 0, "image"), "envoy");
        let after = applied(&before, Some("proxy=envoy:2"), &["--ctx-size=8"]).unwrap();
        assert_eq!(container(&after, 0, "image"), "envoy:2");
        assert_eq!(
            container(&after, 1, "args"),
            json!(["-m", "/m.gguf", "--ctx-size", "8"])
        );
        // The image of nobody's server, and arguments beside it.
        let after = applied(&before, Some("mine:1"), &["--ctx-size=8"]).unwrap();
        assert_eq!(container(&after, 1, "args")[3], "8");
    }

    #[test]
    fn without_a_server_the_only_container_is_meant() {
        let one = deployment(&json!([{"name": "a", "image": "mine:1"}]));
        let after = applied(&one, Some("mine:2"), &[]).unwrap();
        assert_eq!(container(&after, 0, "image"), "mine:2");
        let two = deployment(&json!([{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]));
        let refused = applied(&two, Some("mine:2"), &[]).unwrap_err().to_string();
        assert!(refused.contains("there are a, b") && refused.contains("--image=CONTAINER=IMAGE"));
        let refused = applied(&two, Some("c=mine:2"), &[])
            .unwrap_err()
            .to_string();
        assert!(refused.starts_with("there is no container c; there are a, b"));
    }

    #[test]
    fn an_argument_gets_its_value_in_the_form_that_it_has() {
        for (before, set, after) in [
            (
                json!(["--a", "1", "-b"]),
                "--a=2",
                json!(["--a", "2", "-b"]),
            ),
            (json!(["--a=1", "x"]), "--a=2", json!(["--a=2", "x"])),
            (json!(["--a", "-b"]), "--a=2", json!(["--a", "2", "-b"])),
            (json!(["--a", "-1"]), "--a=-2", json!(["--a", "-2"])),
            (json!(["--a"]), "--a=2", json!(["--a", "2"])),
            (json!(["--a_b", "1"]), "--a-b=2", json!(["--a_b", "2"])),
            (
                json!(["--ab", "1"]),
                "--a=2",
                json!(["--ab", "1", "--a", "2"]),
            ),
            (json!(["-m", "x"]), "--flag", json!(["-m", "x", "--flag"])),
            (Value::Null, "--a=2", json!(["--a", "2"])),
            (json!(["--a=1"]), "--a=b=c", json!(["--a=b=c"])),
        ] {
            let done = applied(&llama(&Value::Null, &before), None, &[set]).unwrap();
            assert_eq!(container(&done, 1, "args"), after, "{before} {set}");
        }
        let command = json!(["/app/llama-server", "--a", "1"]);
        let done = applied(&llama(&command, &json!(["-b"])), None, &["--a=2"]).unwrap();
        assert_eq!(
            container(&done, 1, "command"),
            json!(["/app/llama-server", "--a", "2"])
        );
        assert_eq!(container(&done, 1, "args"), json!(["-b"]));
    }

    #[test]
    fn what_cannot_be_set_surely_is_refused() {
        let script = json!(["sh", "-c", "exec /app/llama-server --a 1"]);
        for (before, set, why) in [
            (llama(&script, &Value::Null), "--a=2", "a shell script"),
            (
                llama(&Value::Null, &json!(["--a", "1", "--a=3"])),
                "--a=2",
                "more than once",
            ),
            (
                llama(&Value::Null, &json!(["--a", "2"])),
                "--a=2",
                "nothing to try",
            ),
            (
                llama(&Value::Null, &json!(["--a"])),
                "--a",
                "nothing to try",
            ),
        ] {
            let refused = applied(&before, None, &[set]).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
        let same = applied(&llama(&Value::Null, &json!([])), Some(LLAMA), &[]).unwrap_err();
        assert!(matches!(same, Refusal::SameVersion { .. }));
    }

    #[test]
    fn words_of_the_command_line_are_read() {
        assert_eq!(Image::parse("a:1").unwrap().container, None);
        let named = Image::parse("server=r/a:1@sha256:0").unwrap();
        assert_eq!(named.container.as_deref(), Some("server"));
        assert_eq!(named.image, "r/a:1@sha256:0");
        for bad in ["", "=a", "a="] {
            assert!(Image::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "a=1", "--=1", "-1"] {
            assert!(SetArg::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(SetArg::parse("--a=").unwrap().value.as_deref(), Some(""));
    }
}
