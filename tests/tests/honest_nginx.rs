//! The lab's NGINX shares nothing with the product: else a test through it would only show that the
//! product agrees with itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use infer_tests::root;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The crates of this repository that `package` depends on, itself included.
fn ours(package: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Command::new(cargo)
        .args(["tree", "-p", package, "-e", "normal,build,dev", "--prefix"])
        .args(["none", "--format", "{p}", "--offline", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&tree.stderr);
    assert!(tree.status.success(), "{errors}");
    // A crate by path is followed by where it is, in parentheses; one of a registry is not.
    let here = format!("({}", root().display());
    let text = String::from_utf8(tree.stdout).unwrap();
    let lines = text.lines().filter(|line| line.contains(&here));
    let names = lines.filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn the_lab_s_nginx_depends_on_nothing_of_ours() {
    let found = Vec::from_iter(ours("lab-nginx"));
    assert_eq!(
        found,
        ["lab-nginx"],
        "the lab's NGINX may not know what the product knows: it copies an annotation into a \
         directive and lets NGINX judge. Write what it needs in crates/lab-nginx itself"
    );
    // The same question has another answer where there is something to find.
    let webhook = ours("infer-webhook");
    assert!(
        webhook.contains("infer-core") && webhook.contains("infer-cluster"),
        "{webhook:?}"
    );
}

#[test]
fn the_lab_s_nginx_reads_no_file_of_ours() {
    let room = root().join("crates/lab-nginx");
    let build_script = room.join("build.rs");
    assert!(!build_script.exists(), "{}", build_script.display());
    let mut seen = 0;
    for entry in std::fs::read_dir(room.join("src")).unwrap() {
        let path = entry.unwrap().path();
        assert!(
            path.is_file(),
            "{}: this test reads one folder",
            path.display()
        );
        seen += 1;
        reads_nothing(&path);
    }
    assert!(seen > 10, "{seen} files");
}

/// Code is included or compiled in by these, and by nothing else.
fn reads_nothing(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    for (index, line) in text.lines().enumerate() {
        for word in ["include!", "include_str!", "include_bytes!", "#[path"] {
            let place = format!("{}:{}", path.display(), index + 1);
            assert!(!line.contains(word), "{place}: `{word}` in the lab's NGINX");
        }
    }
}
