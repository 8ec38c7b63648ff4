//! What is absent from this repository, and stays so.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use infer_core::catalogue::Catalogue;
use infer_tests::root;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates that infer-core may depend on, itself included. All of them compute and nothing else:
/// none can open a file or a socket for us, read the clock or the environment, or run async code.
const PURE: [&str; 25] = [
    "block-buffer",
    "cfg-if",
    "cpufeatures",
    "crypto-common",
    "digest",
    "generic-array",
    "infer-core",
    "itoa",
    "json-patch",
    "jsonptr",
    "libc",
    "memchr",
    "proc-macro2",
    "quote",
    "serde",
    "serde_core",
    "serde_derive",
    "serde_json",
    "sha2",
    "syn",
    "thiserror",
    "thiserror-impl",
    "typenum",
    "unicode-ident",
    "zmij",
];

/// The crates in the tree of `package`.
fn tree(package: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Command::new(cargo)
        .args(["tree", "-p", package, "-e", "normal", "--prefix"])
        .args(["none", "--format", "{p}", "--offline", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&tree.stderr);
    assert!(tree.status.success(), "{errors}");
    let text = String::from_utf8(tree.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

/// What a drill's samples mean is decided without async, clock and network, too.
#[test]
fn the_account_of_a_drill_depends_on_pure_crates_only() {
    let crates = tree("infer-drill");
    assert!(crates.contains("serde_json"));
    let new: Vec<_> = crates
        .iter()
        .filter(|name| !PURE.contains(&name.as_str()) && *name != "infer-drill")
        .collect();
    assert!(new.is_empty(), "infer-drill now depends on {new:?}");
}

/// What a canary does next is decided without async, clock and network, too.
#[test]
fn the_machine_of_a_canary_depends_on_pure_crates_only() {
    let crates = tree("infer-canary");
    assert!(crates.contains("infer-verdict"));
    let own = ["infer-canary", "infer-verdict"];
    let new: Vec<_> = crates
        .iter()
        .filter(|name| !PURE.contains(&name.as_str()) && !own.contains(&name.as_str()))
        .collect();
    assert!(new.is_empty(), "infer-canary now depends on {new:?}");
}

/// What a cluster's objects say of it is decided without async, clock and network, too.
#[test]
fn a_checkup_depends_on_pure_crates_only() {
    let crates = tree("infer-doctor");
    assert!(crates.contains("infer-core"));
    let new: Vec<_> = crates
        .iter()
        .filter(|name| !PURE.contains(&name.as_str()) && *name != "infer-doctor")
        .collect();
    assert!(new.is_empty(), "infer-doctor now depends on {new:?}");
}

/// What a scaffold writes depends on nothing outside, too: of Kubernetes it has the types alone, and
/// these bring base64 and a calendar without a clock.
#[test]
fn a_scaffold_depends_on_pure_crates_only() {
    const TYPES: [&str; 5] = [
        "infer-scaffold",
        "k8s-openapi",
        "base64",
        "jiff",
        "jiff-core",
    ];
    let crates = tree("infer-scaffold");
    assert!(
        TYPES.iter().all(|name| crates.contains(*name)),
        "{crates:?}"
    );
    let new: Vec<_> = crates
        .iter()
        .filter(|name| !PURE.contains(&name.as_str()) && !TYPES.contains(&name.as_str()))
        .collect();
    assert!(new.is_empty(), "infer-scaffold now depends on {new:?}");
}

/// What is said of a route is decided without async, clock and network, too.
#[test]
fn a_route_s_report_depends_on_pure_crates_only() {
    let crates = tree("infer-inspect");
    assert!(crates.contains("infer-core"));
    let new: Vec<_> = crates
        .iter()
        .filter(|name| !PURE.contains(&name.as_str()) && *name != "infer-inspect")
        .collect();
    assert!(new.is_empty(), "infer-inspect now depends on {new:?}");
}

#[test]
fn the_engine_depends_on_pure_crates_only() {
    let crates = tree("infer-core");
    assert!(crates.contains("infer-core") && crates.contains("serde_json"));
    let new: Vec<_> = crates
        .iter()
        .filter(|name| !PURE.contains(&name.as_str()))
        .collect();
    assert!(
        new.is_empty(),
        "infer-core now depends on {new:?}. The engine stays free of async, files, clock, network and \
         kube clients. If the crate has none of these, for certain, add it to PURE in {}; else its \
         place is in infer-cluster, infer-manifest or a binary",
        file!()
    );
}

/// The Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{}", folder.display());
    found
}

/// Every Rust file of ours.
fn all_sources() -> Vec<PathBuf> {
    let rooms = ["crates", "webhook", "plugin", "tests"];
    let of = |room| sources(&root().join(room));
    rooms.into_iter().flat_map(of).collect()
}

/// The lines of a file that are code and no test, with their numbers.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().enumerate();
    lines
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line.to_owned()))
        .collect()
}

#[test]
fn the_engine_s_code_reaches_for_nothing_outside() {
    const FORBIDDEN: [&str; 13] = [
        "async ",
        ".await",
        "std::fs",
        "std::net",
        "std::env",
        "env::var",
        "std::process",
        "std::time",
        "std::thread",
        "std::io",
        "Instant::now",
        "SystemTime",
        "println!",
    ];
    let pure = [
        "crates/infer-core/src",
        "crates/infer-doctor/src",
        "crates/infer-inspect/src",
        "crates/infer-scaffold/src",
    ];
    for path in pure
        .into_iter()
        .flat_map(|room| sources(&root().join(room)))
    {
        for (number, line) in code(&path) {
            for word in FORBIDDEN {
                let place = format!("{}:{number}", path.display());
                assert!(!line.contains(word), "{place}: `{word}` in a pure crate");
            }
        }
    }
}

#[test]
fn no_rule_names_a_runtime_a_controller_or_a_sidecar() {
    let catalogue = Catalogue::builtin();
    let mut names: BTreeSet<String> = BTreeSet::new();
    names.extend(catalogue.runtimes.iter().map(|entry| entry.name.clone()));
    for entry in &catalogue.controllers {
        names.extend([entry.name.clone(), entry.title.clone()]);
        names.extend(entry.annotation_prefixes.iter().cloned());
    }
    for entry in &catalogue.sidecars {
        names.extend([entry.name.clone(), entry.title.clone()]);
    }
    assert!(names.len() >= 10, "{names:?}");
    for path in sources(&root().join("crates/infer-core/src/rules")) {
        let text = std::fs::read_to_string(&path).unwrap().to_lowercase();
        // A kind has its name from its makers: two kinds are called Gateway.
        let text = text
            .replace("kind::istiogateway", "")
            .replace("gateways.networking.istio.io", "");
        for name in &names {
            let place = path.display();
            assert!(
                !text.contains(&name.to_lowercase()),
                "{place} names {name}: rules ask, the catalogue answers"
            );
        }
    }
}

#[test]
fn no_file_outgrows_a_reader() {
    for path in all_sources() {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 600, "{} has {lines} lines", path.display());
    }
}

#[test]
fn there_is_no_attic() {
    for path in all_sources() {
        let inside = path.strip_prefix(root()).unwrap().with_extension("");
        for part in &inside {
            let name = part.to_str().unwrap();
            let attic = ["utils", "util", "common", "helpers", "helper", "misc"].contains(&name);
            assert!(!attic, "{}: name the concept", path.display());
        }
    }
}

#[test]
fn an_exception_from_a_lint_says_why() {
    // Split, so that this file does not hold what it looks for.
    let forbidden = [concat!("#[", "allow("), concat!("#![", "allow(")];
    for path in all_sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        for (index, line) in text.lines().enumerate() {
            let place = format!("{}:{}", path.display(), index + 1);
            assert!(
                !forbidden.iter().any(|word| line.contains(word)),
                "{place}: use `#[expect(…, reason = \"…\")]`"
            );
        }
    }
}
