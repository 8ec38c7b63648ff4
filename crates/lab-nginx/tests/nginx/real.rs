//! The real program: where it is, and what `nginx -t` says of a text.

use lab_nginx::render::{Objects, Settings, render};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::objects::{ingress, ingress_at, objects, settings};

/// Names the program; without it the one on PATH is taken, then the lab's.
const PROGRAM: &str = "INFER_LAB_NGINX";

/// The program, or none after saying that the test proves nothing.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(PROGRAM).map(PathBuf::from) {
        assert!(
            named.is_file(),
            "{PROGRAM}={}: no such file",
            named.display()
        );
        return Some(named);
    }
    let found = on_path().or_else(of_the_lab);
    if found.is_none() {
        eprintln!("SKIPPED: no nginx: `cargo xtask setup` gets one, {PROGRAM}=FILE names one");
    }
    found
}

fn on_path() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&folders).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|it| it.join("nginx")).find(|it| it.is_file())
}

/// `nginx-*/bin/nginx` in the lab's cache, which `INFER_LAB_CACHE` moves.
fn of_the_lab() -> Option<PathBuf> {
    let named = std::env::var_os("INFER_LAB_CACHE").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let cache = named.or_else(|| Some(home?.join(".cache/kubectl-infer/lab")))?;
    let entries = std::fs::read_dir(cache).ok()?.filter_map(Result::ok);
    let parts = entries.filter(|it| it.file_name().to_string_lossy().starts_with("nginx-"));
    parts
        .map(|it| it.path().join("bin/nginx"))
        .find(|it| it.is_file())
}

/// Settings whose files are below `directory`.
pub(crate) fn settings_in(directory: &Path) -> Settings {
    Settings {
        directory: directory.to_owned(),
        observer_log: Some(directory.join("observer.log")),
        worker_user: rustix::process::geteuid().is_root().then_some("root root"),
        ..settings()
    }
}

/// The arguments that name a configuration.
pub(crate) fn arguments(configuration: &Path, directory: &Path) -> Vec<OsString> {
    let configuration = configuration.as_os_str();
    let directory = directory.as_os_str();
    [
        "-c".as_ref(),
        configuration,
        "-p".as_ref(),
        directory,
        "-e".as_ref(),
        "stderr".as_ref(),
    ]
    .map(OsString::from)
    .to_vec()
}

/// What `nginx -t` says; empty where it accepts without a word of warning.
pub(crate) fn judge(program: &Path, objects: &Objects) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nginx.conf");
    // Ports that nobody listens on: it binds them.
    let settings = Settings {
        http_port: 18080,
        status_port: 18081,
        ..settings_in(directory.path())
    };
    std::fs::write(&path, render(objects, &settings).text).unwrap();
    let run = Command::new(program)
        .env_remove("NGINX")
        .args(arguments(&path, directory.path()))
        .args(["-t", "-q"])
        .output();
    let output = run.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.success(), !said.contains("[emerg]"), "{said}");
    said
}

#[test]
fn nginx_accepts_what_is_rendered_without_a_warning() {
    let Some(program) = program() else { return };
    let long = format!("{}.example", ["x"; 120].join("."));
    let mut all = objects(vec![
        ingress("a", "llm.example", &[]),
        ingress_at("b", "llm.example", "/v1", &[]),
        ingress("c", "*.wild.example", &[]),
        ingress("d", &long, &[]),
    ]);
    assert_eq!(judge(&program, &all), "");
    all.slices.clear();
    assert_eq!(judge(&program, &all), "", "nobody ready");
    assert_eq!(judge(&program, &objects(Vec::new())), "", "no Ingress");
}

/// For every annotation a value that NGINX reads, and one that it does not.
const VALUES: [(&str, &str, &str); 15] = [
    ("proxy-connect-timeout", "10", "ten"),
    ("proxy-send-timeout", "3600s", "3600 s"),
    ("proxy-read-timeout", "1h", "1 hour"),
    (
        "proxy-next-upstream",
        "error timeout http_503 non_idempotent",
        "http_418",
    ),
    ("proxy-next-upstream-timeout", "30", "-1"),
    ("proxy-next-upstream-tries", "1", "many"),
    ("proxy-buffering", "on", "true"),
    ("proxy-request-buffering", "off", "false"),
    ("proxy-http-version", "1.0", "3"),
    ("proxy-body-size", "64m", "64Mi"),
    ("client-body-buffer-size", "1m", "1Mi"),
    ("proxy-busy-buffers-size", "8k", "1g"),
    ("proxy-max-temp-file-size", "0", "zero"),
    ("proxy-cookie-domain", "a.example b.example", "a b c d"),
    ("proxy-cookie-path", "/a /b", "/a"),
];

#[test]
fn nginx_judges_every_annotation_that_is_known() {
    let Some(program) = program() else { return };
    let known: Vec<_> = lab_nginx::annotation::DIRECTIVES
        .iter()
        .map(|it| it.annotation)
        .collect();
    assert_eq!(
        known,
        VALUES.map(|(annotation, ..)| annotation),
        "one row for each"
    );
    for (annotation, good, bad) in VALUES {
        for ready in [true, false] {
            let judge = |value| {
                let mut all = objects(vec![ingress("a", "a.example", &[(annotation, value)])]);
                if !ready {
                    all.slices.clear();
                }
                judge(&program, &all)
            };
            assert_eq!(judge(good), "", "{annotation}: {good}");
            assert!(
                judge(bad).contains("[emerg]"),
                "{annotation}: {bad:?} was accepted"
            );
        }
    }
}
