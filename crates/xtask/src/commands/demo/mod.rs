//! `cargo xtask demo`

mod canary;
mod crash;

use std::ffi::OsString;
use std::process::{Command, Stdio};

use clap::Args;
use serde_json::json;
use similar::TextDiff;
use xtask::lab::{self, Lab, Level, Options, webhook};
use xtask::{Error, Result, contain, parts, say, workspace};

/// Show the product on real input; needs no cluster and no arguments
///
/// First `kubectl infer check` and `inspect` on the chapter's manifests as they were written. Then, on a
/// throw-away API server, the repaired ones go through kubectl and our webhook, and you see what it
/// changed and why. Last, as root, the chapter's exercise on a throw-away node: one of two model
/// servers behind NGINX is killed under real requests.
#[derive(Debug, Args)]
pub(crate) struct Arguments {}

const AS_WRITTEN: &str = "manifests/examples/chapter/as-written";
const REPAIRED: &str = "manifests/examples/chapter/repaired";
/// What a platform has before anyone deploys: the namespace, in the webhook's scope, and the class
/// that the Ingress names.
const PLATFORM: &str = "manifests/examples/chapter/cluster";
const NAMESPACE: &str = "inference";
/// The same manifests go here too, out of the webhook's scope: what would have been stored without
/// it.
const CONTROL: &str = "without-webhook";
/// A server of which a person wrote the least.
const MINIMAL: &str = "manifests/examples/minimal";
const PORT: u16 = 9443;

pub(crate) fn run(_: &Arguments) -> Result<i32> {
    say::heading("1. The chapter's manifests, as written");
    build("kubectl-infer")?;
    offline(&["check", "-f", AS_WRITTEN], 2)?;
    say::heading("Why a generation that is silent for 90 seconds dies");
    offline(
        &["inspect", "ingress/llama", "-f", MINIMAL, "--think", "90s"],
        2,
    )?;
    say::heading("Why the chapter's 90/10 does nothing");
    offline(
        &["inspect", "ingress/inference-ingress", "-f", AS_WRITTEN],
        0,
    )?;

    say::heading("2. A throw-away API server");
    build("infer-webhook")?;
    parts::ensure(&parts::of(Level::L1))?;
    let mut options = Options::new(Level::L1);
    options.directory = Some(workspace::root());
    let command: [OsString; 2] = [workspace::own_program()?.into(), "inside-demo".into()];
    match lab::run(&options, &command)? {
        0 => crash::run(),
        code => Ok(code),
    }
}

/// The part that runs on the node.
pub(crate) fn inside_crash() -> Result<i32> {
    crash::inside()
}

/// Runs a command that reads files. It needs no cluster, and so no kubectl: kubectl would do no more
/// than start this program. 2 is what the commands say of findings, and findings are what we came
/// for.
fn offline(arguments: &[&str], expected: i32) -> Result<()> {
    shown("kubectl infer", arguments);
    let program = workspace::program_dir()?.join("kubectl-infer");
    let status = Command::new(&program)
        .args(arguments)
        .current_dir(workspace::root())
        .stdin(Stdio::null())
        .status()
        .map_err(Error::io(format!("starting {}", program.display())))?;
    let code = contain::exit_code(status);
    if code != expected {
        return Err(Error::Failed(format!(
            "kubectl-infer {} gave exit code {code}, not {expected}",
            arguments.join(" ")
        )));
    }
    say::result(&format!("(exit code {code})"));
    Ok(())
}

/// The part that runs in the lab.
pub(crate) fn inside() -> Result<i32> {
    let lab = Lab::current().ok_or_else(|| {
        Error::Failed("not in a lab (a hidden command of `cargo xtask demo`)".into())
    })?;
    say::heading("3. Our webhook, registered by URL");
    prepare(&lab)?;
    let options = webhook::Options {
        port: PORT,
        with_cluster: true,
        ..webhook::Options::default()
    };
    let webhook = webhook::Webhook::start(&lab, &options)?;
    webhook.register(&lab, "kubectl-infer", &[webhook::SCOPE_LABEL])?;
    say::line(&format!(
        "infer-webhook listens on https://{}; namespace {NAMESPACE} carries {}={}",
        webhook.address(),
        webhook::SCOPE_LABEL.0,
        webhook::SCOPE_LABEL.1
    ));

    say::heading("4. What it would change, and why");
    kubectl(
        &[
            "infer", "diff", "-n", NAMESPACE, "-f", PLATFORM, "-f", REPAIRED,
        ],
        &[0],
    )?;

    say::heading("5. The repaired manifests, applied through it");
    kubectl(&["apply", "-n", NAMESPACE, "-f", REPAIRED], &[0])?;

    say::heading("6. What the API server stored: without the webhook (-), with it (+)");
    apply_control(&lab)?;
    let changed = [
        stored_diff(&lab, "deployment")?,
        stored_diff(&lab, "ingress")?,
    ];
    if changed.iter().all(String::is_empty) {
        return Err(Error::Failed(format!(
            "the webhook changed nothing. Its log:\n{}",
            webhook.log()
        )));
    }
    for diff in changed {
        say::result(diff.trim_end());
    }
    say::heading("7. A server of which nobody wrote more than the image");
    kubectl(
        &[
            "infer", "diff", "-n", NAMESPACE, "-f", PLATFORM, "-f", MINIMAL,
        ],
        &[0],
    )?;
    kubectl(&["apply", "-n", NAMESPACE, "-f", MINIMAL], &[0])?;

    Ok(0)
}

/// The platform's objects, and the namespace for comparison.
fn prepare(lab: &Lab) -> Result<()> {
    kubectl(&["apply", "-f", PLATFORM], &[0])?;
    let control = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": CONTROL}});
    lab.kubectl_ok(&["apply", "-f", "-"], &control.to_string())
        .map(drop)
}

fn apply_control(lab: &Lab) -> Result<()> {
    lab.kubectl_ok(&["apply", "-n", CONTROL, "-f", REPAIRED], "")
        .map(drop)
}

/// The unified diff of what is stored in the two namespaces; empty where nothing differs.
fn stored_diff(lab: &Lab, kind: &str) -> Result<String> {
    let stored = |namespace: &str| -> Result<String> {
        let yaml = lab.kubectl_ok(&["get", kind, "-n", namespace, "-o", "yaml"], "")?;
        Ok(without_incidentals(&yaml))
    };
    let (before, after) = (stored(CONTROL)?, stored(NAMESPACE)?);
    if before == after {
        return Ok(String::new());
    }
    let name = |namespace: &str| format!("{kind} in {namespace}");
    Ok(TextDiff::from_lines(&before, &after)
        .unified_diff()
        .context_radius(3)
        .header(&name(CONTROL), &name(NAMESPACE))
        .to_string())
}

/// Leaves out what differs between any two objects, and kubectl's copy of what was applied.
fn without_incidentals(yaml: &str) -> String {
    let incidental = [
        "uid:",
        "resourceVersion:",
        "creationTimestamp:",
        "generation:",
        "namespace:",
    ];
    let mut kept = String::new();
    let mut lines = yaml.lines();
    while let Some(line) = lines.next() {
        let text = line.trim_start();
        if text.starts_with("kubectl.kubernetes.io/last-applied-configuration:") {
            lines.next();
        } else if !incidental.iter().any(|field| text.starts_with(field)) {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// Runs kubectl as a person would, with the command line shown.
fn kubectl(arguments: &[&str], expected: &[i32]) -> Result<()> {
    shown("kubectl", arguments);
    let status = Command::new("kubectl")
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .map_err(Error::io("starting kubectl"))?;
    let code = contain::exit_code(status);
    if expected.contains(&code) {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "kubectl {} gave exit code {code}",
        arguments.join(" ")
    )))
}

fn shown(program: &str, arguments: &[&str]) {
    say::result(&format!("$ {program} {}", arguments.join(" ")));
}

fn build(package: &str) -> Result<()> {
    let arguments = ["build", "--quiet", "-p", package];
    let (mut cargo, lifeline) = contain::program("cargo", arguments.map(Into::into))?;
    cargo.current_dir(workspace::root()).stdin(Stdio::null());
    match lifeline.spawn(&mut cargo)?.wait()? {
        0 => Ok(()),
        code => Err(Error::Failed(format!(
            "cargo build -p {package} gave exit code {code}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::without_incidentals;

    #[test]
    fn incidentals_are_left_out_and_nothing_else() {
        let stored = "kind: Deployment\nmetadata:\n  annotations:\n    \
                      kubectl.kubernetes.io/last-applied-configuration: |\n      {\"a\":1}\n    \
                      kept: \"1\"\n  uid: 1-2\n  namespace: inference\nspec:\n  replicas: 1\n";
        let kept = "kind: Deployment\nmetadata:\n  annotations:\n    kept: \"1\"\n\
                    spec:\n  replicas: 1\n";
        assert_eq!(without_incidentals(stored), kept);
    }
}
