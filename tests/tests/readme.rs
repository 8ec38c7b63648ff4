//! What the README shows is what the commands print: its screens are the beginning of sessions that
//! `plugin/tests/cli` holds to the program.

use infer_tests::root;

/// A command as the README shows it, and the session that holds its output.
const SCREENS: [(&str, &str); 2] = [
    (
        "kubectl infer inspect ingress/llama -f manifests/examples/minimal --think 90s",
        "inspect-minimal.txt",
    ),
    (
        "kubectl infer inspect ingress/inference-ingress -f manifests/examples/chapter/as-written",
        "inspect-chapter.txt",
    ),
];

#[test]
fn its_screens_are_the_beginning_of_what_inspect_prints() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for (command, session) in SCREENS {
        let after = readme.split_once(&format!("$ {command}\n")).unwrap().1;
        let shown = after.split_once("\n…\n```").unwrap().0;
        let file = root().join("plugin/tests/sessions").join(session);
        let printed = std::fs::read_to_string(file).unwrap();
        assert!(
            printed.starts_with(shown) && shown.lines().count() > 10,
            "README.md does not show the beginning of {session}: copy it from there"
        );
    }
}
