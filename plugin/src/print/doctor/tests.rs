use super::*;
use crate::command::next;
use infer_core::catalogue::Catalogue;
use infer_doctor::Facts;
use std::fs;
use std::path::{Path, PathBuf};

/// 2026-11-25, in seconds since 1970.
const NOW: i64 = 1_795_564_800;
const WIDTH: usize = 80;

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/infer-doctor/tests/recorded")
}

fn look(ascii: bool, width: usize) -> Look {
    Look {
        colour: false,
        ascii,
        width,
    }
}

fn checkup(text: &str) -> Checkup {
    let parsed = infer_manifest::parse(text);
    assert_eq!(parsed.errors, []);
    let objects: Vec<_> = parsed.documents.into_iter().map(|it| it.object).collect();
    infer_doctor::checkup(&Catalogue::builtin(), &Facts::of_objects(&objects, NOW))
}

fn shown(checkup: &Checkup, look: Look) -> String {
    let commands = commands(checkup, 3, look);
    render(checkup, look) + &next(&commands)
}

#[test]
fn each_recorded_cluster_reads_as_its_golden_file() {
    let mut seen = 0;
    for entry in fs::read_dir(recorded()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "yaml") {
            continue;
        }
        seen += 1;
        let text = shown(
            &checkup(&fs::read_to_string(&path).unwrap()),
            look(false, WIDTH),
        );
        let golden = path.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&golden, &text).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(text, expected, "BLESS=1 accepts {}", golden.display());
        for line in text.lines() {
            // Commands are there to be copied, in one piece.
            let is_command = line.contains("  kubectl ");
            assert!(
                line.chars().count() <= WIDTH || is_command,
                "{}: {line}",
                path.display()
            );
            assert!(!line.contains('\u{1b}'), "{line}");
        }
    }
    assert!(seen >= Catalogue::builtin().controllers.len(), "{seen}");
}

#[test]
fn every_controller_of_the_catalogue_is_recorded() {
    for entry in Catalogue::builtin().controllers {
        let path = recorded().join(format!("{}.yaml", entry.name));
        let text = fs::read_to_string(&path).unwrap_or_default();
        let text = shown(&checkup(&text), look(false, WIDTH));
        assert!(
            text.contains(&format!(": {}", entry.title)),
            "{}: {text}",
            entry.name
        );
    }
}

#[test]
fn a_word_says_what_a_sign_and_a_colour_say() {
    let text = fs::read_to_string(recorded().join("gpus.yaml")).unwrap();
    let plain = shown(&checkup(&text), look(true, WIDTH));
    assert!(plain.is_ascii(), "{plain}");
    for word in ["ok", "warning", "error", "note"] {
        let row = |line: &&str| line.get(2..).is_some_and(|it| it.starts_with(word));
        assert!(plain.lines().any(|line| row(&line)), "{word}: {plain}");
    }
    let painted = render(
        &checkup(&text),
        Look {
            colour: true,
            ascii: true,
            width: WIDTH,
        },
    );
    assert!(painted.contains('\u{1b}'));
    let stripped = anstream::adapter::strip_str(&painted).to_string();
    assert!(plain.starts_with(&stripped));
}

#[test]
fn what_objects_say_cannot_command_the_terminal() {
    let class = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: a}\n\
        spec: {controller: \"x\\e[2Jy\"}\n";
    let text = shown(&checkup(class), look(false, WIDTH));
    assert!(
        text.contains("x\\u{1b}[2Jy") && !text.contains('\u{1b}'),
        "{text}"
    );
}
