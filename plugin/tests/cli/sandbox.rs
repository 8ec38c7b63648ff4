//! Sessions: the program as kubectl runs it, in a directory of its own and without the
//! environment of whoever runs the tests.

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A directory with files, in which the program runs.
pub(crate) struct Place {
    directory: TempDir,
}

/// What a run left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new(files: &[(&str, &str)]) -> Place {
        let place = Place {
            directory: tempfile::tempdir().unwrap(),
        };
        for (name, text) in files {
            let path = place.directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        place
    }

    /// With the example of this name as a directory.
    pub(crate) fn of_example(name: &str) -> Place {
        let place = Place::new(&[]);
        let from = examples().join(name);
        let to = place.directory.path().join(name);
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-infer"));
        command
            .args(args)
            .current_dir(self.directory.path())
            .env_clear()
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        Run::of(self.command(args).output().unwrap())
    }

    pub(crate) fn run_with_stdin(&self, args: &[&str], stdin: &str) -> Run {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        pipe.write_all(stdin.as_bytes()).unwrap();
        drop(pipe);
        Run::of(child.wait_with_output().unwrap())
    }
}

impl Run {
    pub(crate) fn of(output: Output) -> Run {
        Run {
            code: output.status.code().expect("no signal"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Standard output as what it must be with `-o json`: one document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/examples")
}

/// Holds a text against the file of this name under `tests/sessions`; `BLESS=1` writes it there.
pub(crate) fn session(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sessions")
        .join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text,
        expected,
        "BLESS=1 accepts what is new in {}",
        path.display()
    );
}

/// (level, rule, line, column) of a report's findings, in its order.
pub(crate) fn findings(report: &Value) -> Vec<(String, String, u64, u64)> {
    let text = |finding: &Value, member: &str| finding[member].as_str().unwrap().to_owned();
    let list = report["findings"].as_array().unwrap();
    list.iter()
        .map(|finding| {
            (
                text(finding, "level"),
                text(finding, "rule"),
                finding["line"].as_u64().unwrap(),
                finding["column"].as_u64().unwrap(),
            )
        })
        .collect()
}

/// (file, line, message) of a report's errors.
pub(crate) fn errors(report: &Value) -> Vec<(Option<&str>, Option<u64>, &str)> {
    let list = report["errors"].as_array().unwrap();
    list.iter()
        .map(|error| {
            (
                error["file"].as_str(),
                error["line"].as_u64(),
                error["message"].as_str().unwrap(),
            )
        })
        .collect()
}

pub(crate) const SERVER: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: llama
spec:
  selector: {matchLabels: {app: llama}}
  template:
    metadata: {labels: {app: llama}}
    spec:
      terminationGracePeriodSeconds: 610
      containers:
        - name: server
          image: ghcr.io/ggml-org/llama.cpp:server
          args: [-m, /models/model.gguf, --port, \"8080\"]
          readinessProbe: {httpGet: {path: /health, port: 8080}, timeoutSeconds: 2}
          lifecycle: {preStop: {sleep: {seconds: 600}}}
";

/// A server that lacks only what `no-readiness-probe`, a warning, asks for.
pub(crate) fn without_probe() -> String {
    SERVER
        .lines()
        .filter(|line| !line.contains("readinessProbe"))
        .fold(String::new(), |text, line| text + line + "\n")
}

/// The least that is an error.
pub(crate) fn with_error() -> String {
    SERVER.replace("ggml-org", "GGML-org")
}

pub(crate) const BROKEN: &str = "apiVersion: v1\nkind: Service\nmetadata:\n  name: x\n bad: 1\n";
