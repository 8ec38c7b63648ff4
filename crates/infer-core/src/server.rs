//! Which containers of a pod template are inference servers, and where each one listens.
//!
//! Arguments beat the image: a command that is present and names no known server makes the
//! container opaque, whatever its image. Sidecars and init containers are never servers.

use crate::argv::{CommandLine, Environment, Flag, Flags, Variable};
use crate::catalogue::{Catalogue, Runtime};
use crate::image::{self, Image};
use crate::object;
use crate::pointer::Walk;
use serde_json::Value;

/// An inference server in a pod template.
#[derive(Clone, Debug)]
pub struct Server<'c> {
    /// What runs.
    pub runtime: &'c Runtime,
    /// The container's name.
    pub name: String,
    /// Pointer to the container, from the object's root.
    pub path: String,
    /// Its arguments.
    pub flags: Flags,
    /// The port it surely listens on.
    pub port: Option<u16>,
    /// Whether a kubelet can reach it; `None` where the address cannot be known.
    pub reachable: Option<bool>,
    /// Whether it speaks HTTPS; `None` where that cannot be known.
    pub tls: Option<bool>,
    /// Its health path; `None` where no probe can ask it, or that cannot be known.
    pub health_path: Option<String>,
    /// Whether it is told which model to serve; `None` where that cannot be known.
    pub has_model: Option<bool>,
}

/// Where a probe can ask a server for its health: nothing about it is a guess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Path.
    pub path: String,
    /// Port.
    pub port: u16,
    /// `HTTP` or `HTTPS`.
    pub scheme: &'static str,
}

impl Server<'_> {
    /// Where a probe can ask, if path, port, scheme and bind address are all known.
    pub fn endpoint(&self) -> Option<Endpoint> {
        if self.reachable != Some(true) || !self.runtime.tier.carries_fixes() {
            return None;
        }
        Some(Endpoint {
            path: self.health_path.clone()?,
            port: self.port?,
            scheme: if self.tls? { "HTTPS" } else { "HTTP" },
        })
    }

    /// How many seconds it surely goes on serving after SIGTERM.
    pub fn serves_after_sigterm(&self) -> u32 {
        match self.flags.get(&self.runtime.drain.finishes_flags) {
            Flag::Set(value) => value
                .parse::<f64>()
                .map_or(0, |seconds| seconds.max(0.0) as u32),
            Flag::Absent | Flag::Unknown => 0,
        }
    }
}

/// Words of an image's name or tag that tell of something beside a server.
const STOP_WORDS: &[&str] = &[
    "mock",
    "simulator",
    "sim",
    "proxy",
    "gateway",
    "router",
    "adapter",
    "benchmark",
    "exporter",
    "client",
    "sdk",
];

/// The inference servers of a pod template, which stands at `template_path` in its object.
pub fn servers<'c>(
    catalogue: &'c Catalogue,
    template: &Value,
    template_path: &str,
) -> Vec<Server<'c>> {
    // `helm test` runs clients, not servers.
    if object::annotation(template, "helm.sh/hook").is_some_and(|hook| hook.starts_with("test")) {
        return Vec::new();
    }
    let containers = template.at("/spec/containers").and_then(Value::as_array);
    containers
        .into_iter()
        .flatten()
        .enumerate()
        .filter_map(|(index, container)| {
            let path = format!("{template_path}/spec/containers/{index}");
            recognise(catalogue, container, path)
        })
        .collect()
}

fn recognise<'c>(catalogue: &'c Catalogue, container: &Value, path: String) -> Option<Server<'c>> {
    let reference = container
        .get("image")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let image = Image::parse(reference);
    let line = CommandLine::of(container);
    let by_argv = catalogue.runtimes.iter().find_map(|runtime| {
        let starts_other = runtime
            .not_server_argv
            .iter()
            .any(|m| line.after(m).is_some());
        let words = runtime.argv.iter().find_map(|marker| line.after(marker));
        (!starts_other).then_some(())?;
        words.map(|words| (runtime, Flags::new(words)))
    });
    let by_image = catalogue
        .runtimes
        .iter()
        .find(|runtime| has_image(runtime, &image));
    let (runtime, flags) = match by_argv {
        Some(found) => found,
        None if line.replaces_entrypoint => return None,
        None => {
            let runtime = by_image?;
            let first = line.words.first().and_then(Option::as_deref);
            let program = runtime.argv.first()?.split(' ').next()?;
            let other = |marker: &String| {
                first.is_some() && marker.strip_prefix(program).map(str::trim) == first
            };
            if runtime.not_server_argv.iter().any(other) {
                return None;
            }
            (runtime, Flags::new(&line.words))
        }
    };
    if flags.has(&runtime.no_http_flags) == Some(true) || is_follower(runtime, &flags) {
        return None;
    }
    let own_image = by_image.is_some_and(|by_image| by_image.name == runtime.name);
    let env = Environment::of(container);
    Some(Server {
        port: port(runtime, &flags, &env, container),
        reachable: reachable(runtime, &flags, &env, own_image),
        tls: tls(runtime, &flags),
        health_path: health_path(runtime, &flags),
        has_model: has_model(runtime, &flags, &env),
        runtime,
        name: container
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        path,
        flags,
    })
}

fn has_image(runtime: &Runtime, image: &Image<'_>) -> bool {
    // A slip of case is `invalid-image-name`, and must not hide the server from every other rule.
    let name = image.name.to_ascii_lowercase();
    let words = || {
        name.split(['-', '_', '.'])
            .chain(image.tag.split(['-', '_', '.']))
    };
    runtime
        .images
        .names
        .iter()
        .any(|glob| image::glob(glob, &name))
        && !runtime
            .images
            .not_server_tags
            .iter()
            .any(|glob| image::glob(glob, image.tag))
        && !words().any(|word| STOP_WORDS.contains(&word))
}

fn is_follower(runtime: &Runtime, flags: &Flags) -> bool {
    match flags.get(&runtime.follower_flags) {
        Flag::Set(rank) => rank != "0",
        Flag::Absent | Flag::Unknown => false,
    }
}

/// What flags and then environment say of a setting; the flag wins, as it does in every runtime.
fn setting<'a>(
    flags: &'a Flags,
    flag_names: &[String],
    env: &Environment<'a>,
    env_names: &[String],
) -> Flag<'a> {
    match flags.get(flag_names) {
        Flag::Absent => {}
        found => return found,
    }
    for name in env_names {
        match env.get(name) {
            Variable::Absent => {}
            Variable::Literal(value) => return Flag::Set(value),
            Variable::Elsewhere => return Flag::Unknown,
        }
    }
    Flag::Absent
}

fn port(runtime: &Runtime, flags: &Flags, env: &Environment<'_>, container: &Value) -> Option<u16> {
    match setting(flags, &runtime.port.flags, env, &runtime.port.env) {
        Flag::Set(value) => value.parse().ok().filter(|port| *port > 0),
        Flag::Unknown => None,
        Flag::Absent => {
            let declared = container.get("ports").and_then(Value::as_array);
            let agrees = declared.into_iter().flatten().any(|port| {
                port.get("containerPort").and_then(Value::as_u64)
                    == Some(u64::from(runtime.port.default))
            });
            (runtime.port.certain || agrees).then_some(runtime.port.default)
        }
    }
}

fn reachable(
    runtime: &Runtime,
    flags: &Flags,
    env: &Environment<'_>,
    own_image: bool,
) -> Option<bool> {
    let host = match setting(flags, &runtime.host.flags, env, &runtime.host.env) {
        Flag::Set(host) => host,
        Flag::Unknown => return None,
        Flag::Absent if own_image => &runtime.host.image_default,
        Flag::Absent => &runtime.host.default,
    };
    match host {
        "0.0.0.0" | "::" | "[::]" => Some(true),
        "127.0.0.1" | "::1" | "localhost" => Some(false),
        // One address of the pod, a list, a socket: whether the kubelet gets there is not known.
        _ => None,
    }
}

fn tls(runtime: &Runtime, flags: &Flags) -> Option<bool> {
    let mut all = !runtime.tls_flags.is_empty();
    for flag in &runtime.tls_flags {
        all &= flags.has(std::slice::from_ref(flag))?;
    }
    Some(all)
}

fn health_path(runtime: &Runtime, flags: &Flags) -> Option<String> {
    match flags.get(&runtime.health.prefix_flags) {
        Flag::Absent => Some(runtime.health.path.clone()),
        Flag::Unknown => None,
        Flag::Set(prefix) => {
            let open = flags.has(&runtime.health.prefix_unless_flags) == Some(false);
            open.then(|| format!("{}{}", prefix.trim_end_matches('/'), runtime.health.path))
        }
    }
}

fn has_model(runtime: &Runtime, flags: &Flags, env: &Environment<'_>) -> Option<bool> {
    if runtime.model.positional && flags.positional().is_some() {
        return Some(true);
    }
    match setting(flags, &runtime.model.flags, env, &runtime.model.env) {
        Flag::Set(_) => Some(true),
        Flag::Absent => Some(false),
        Flag::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(container: &Value) -> Option<(String, Option<Endpoint>)> {
        let catalogue = Catalogue::builtin();
        let template = json!({"spec": {"containers": [container]}});
        let found = servers(&catalogue, &template, "/spec/template");
        found
            .first()
            .map(|server| (server.runtime.name.clone(), server.endpoint()))
    }

    fn endpoint(path: &str, port: u16, scheme: &'static str) -> Endpoint {
        Endpoint {
            path: path.to_owned(),
            port,
            scheme,
        }
    }

    #[test]
    fn an_image_with_flags_only_is_its_server() {
        let found = one(&json!({"image": "mirror/x/vllm-openai:v0.9.1", "args": ["org/model"]}));
        assert_eq!(
            found,
            Some(("vllm".into(), Some(endpoint("/health", 8000, "HTTP"))))
        );
        let found = one(&json!({"image": "ghcr.io/ggml-org/llama.cpp:server",
            "args": ["-m", "x", "--port", "9000", "--api-prefix", "/llm/"]}));
        assert_eq!(
            found,
            Some((
                "llama.cpp".into(),
                Some(endpoint("/llm/health", 9000, "HTTP"))
            ))
        );
    }

    #[test]
    fn a_default_that_moves_needs_the_declared_port_beside_it() {
        let image = "ghcr.io/ggml-org/llama.cpp:server";
        assert_eq!(
            one(&json!({"image": image})),
            Some(("llama.cpp".into(), None))
        );
        let found = one(&json!({"image": image, "ports": [{"containerPort": 8080}]}));
        assert_eq!(found.unwrap().1, Some(endpoint("/health", 8080, "HTTP")));
        let found =
            one(&json!({"image": image, "env": [{"name": "LLAMA_ARG_PORT", "value": "81"}]}));
        assert_eq!(found.unwrap().1, Some(endpoint("/health", 81, "HTTP")));
    }

    #[test]
    fn nothing_is_guessed_about_where_it_listens() {
        let image = "ghcr.io/ggml-org/llama.cpp:server";
        for args in [
            json!(["--port", "$(PORT)"]),
            json!(["--port", "81", "--host", "127.0.0.1"]),
            json!(["--port", "81", "--host", "10.0.0.1"]),
            json!(["--port", "81", "--api-prefix", "/x", "--api-key", "k"]),
        ] {
            let env = json!([{"name": "PORT", "valueFrom": {}}]);
            let found = one(&json!({"image": image, "args": args, "env": env}));
            assert_eq!(found, Some(("llama.cpp".into(), None)), "{args}");
        }
        let tls = json!([
            "--port",
            "81",
            "--ssl-key-file",
            "k",
            "--ssl-cert-file",
            "c"
        ]);
        let found = one(&json!({"image": image, "args": tls}));
        assert_eq!(found.unwrap().1, Some(endpoint("/health", 81, "HTTPS")));
    }

    #[test]
    fn arguments_beat_the_image() {
        let found = one(&json!({"image": "ubuntu", "command": ["/app/llama-server"],
            "args": ["--host", "0.0.0.0", "--port", "80"]}));
        assert_eq!(
            found,
            Some(("llama.cpp".into(), Some(endpoint("/health", 80, "HTTP"))))
        );
        for command in [
            json!(["python", "x.py"]),
            json!(["vllm", "bench", "serve"]),
            json!(["sleep", "1"]),
        ] {
            let found = one(&json!({"image": "vllm/vllm-openai:v0.9.1", "command": command}));
            assert_eq!(found, None, "{command}");
        }
    }

    #[test]
    fn what_only_looks_like_a_server_is_none() {
        for container in [
            json!({"image": "x/vllm-openai-mock:1"}),
            json!({"image": "x/llama.cpp:light"}),
            json!({"image": "x/llama.cpp:full", "args": ["--run", "-m", "x"]}),
            json!({"image": "vllm/vllm-openai:v0.9.1", "args": ["bench", "serve"]}),
            json!({"image": "vllm/vllm-openai:v0.9.1", "args": ["m", "--node-rank", "1"]}),
            json!({"image": "vllm/vllm-openai:v0.9.1", "args": ["m", "--headless"]}),
            json!({"image": "nginx"}),
            json!({}),
        ] {
            assert_eq!(one(&container), None, "{container}");
        }
    }

    #[test]
    fn the_model_is_looked_for() {
        let catalogue = Catalogue::builtin();
        let has = |container: &Value| {
            let template = json!({"spec": {"containers": [container]}});
            servers(&catalogue, &template, "")[0].has_model
        };
        assert_eq!(has(&json!({"image": "x/llama.cpp:server"})), Some(false));
        assert_eq!(
            has(&json!({"image": "x/llama.cpp:server", "args": ["-hf", "a"]})),
            Some(true)
        );
        assert_eq!(
            has(&json!({"image": "x/llama.cpp:server", "envFrom": [{}]})),
            None
        );
        assert_eq!(
            has(&json!({"image": "x/vllm-openai:1.2", "args": ["org/m"]})),
            Some(true)
        );
    }
}
