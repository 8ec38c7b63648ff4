//! Files, directories and stdin, by kubectl's rules for `-f`.

use std::fs;
use std::io::{self, Read};

use infer_manifest::{Loaded, load};

fn loaded(paths: &[&str]) -> Loaded {
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    load(&paths, &mut "kind: Stdin\n".as_bytes())
}

fn kinds(loaded: &Loaded) -> Vec<(&str, String)> {
    loaded
        .documents
        .iter()
        .map(|one| {
            let kind = one.object["kind"].as_str().unwrap_or_default();
            (kind, loaded.sources[one.source].name.clone())
        })
        .collect()
}

#[test]
fn a_directory_gives_its_manifests_sorted_and_none_below_it() {
    let room = tempfile::tempdir().expect("a directory");
    let root = room.path();
    fs::create_dir(root.join("below.yaml")).expect("a directory");
    for (name, text) in [
        ("b.yml", "kind: B\n---\nkind: B2\n"),
        ("a.yaml", "kind: A\n"),
        ("c.json", "{\"kind\": \"C\"}"),
        ("d.txt", "kind: D\n"),
        ("e.YAML", "kind: E\n"),
        ("below.yaml/f.yaml", "kind: F\n"),
    ] {
        fs::write(root.join(name), text).expect("written");
    }
    let root = root.to_str().expect("UTF-8");
    let found = loaded(&[root, &format!("{root}/d.txt"), "-"]);
    assert_eq!(found.errors, []);
    assert_eq!(
        kinds(&found),
        [
            ("A", format!("{root}/a.yaml")),
            ("B", format!("{root}/b.yml")),
            ("B2", format!("{root}/b.yml")),
            ("C", format!("{root}/c.json")),
            ("D", format!("{root}/d.txt")),
            ("Stdin", "<stdin>".to_owned()),
        ]
    );
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_is_read() {
    let room = tempfile::tempdir().expect("a directory");
    let root = room.path();
    fs::write(root.join("a.yaml"), "kind: A\n---\na: é [\nb: [\n").expect("written");
    fs::write(root.join("b.yaml"), b"kind: B\nname: \xc3\xa9\xff\n").expect("written");
    fs::write(root.join("c.yaml"), "kind: C\n").expect("written");
    std::os::unix::fs::symlink("nowhere", root.join("d.yaml")).expect("a link");
    let root = root.to_str().expect("UTF-8");
    let found = loaded(&[
        root,
        &format!("{root}/none"),
        "https://example.com/x.yaml",
        "-",
        "-",
    ]);
    let told: Vec<String> = found
        .errors
        .iter()
        .map(|error| error.to_string().replace(root, "ROOT"))
        .collect();
    assert_eq!(
        told,
        [
            "ROOT/a.yaml:4:4: unclosed bracket '['",
            "ROOT/b.yaml:2:8: not UTF-8 text",
            "ROOT/d.yaml: cannot be read: No such file or directory (os error 2)",
            "ROOT/none: cannot be read: No such file or directory (os error 2)",
            "https://example.com/x.yaml: addresses are not fetched",
            "<stdin>: `-` is given twice",
        ]
    );
    assert!(found.errors[1..5].iter().all(|error| error.help.is_some()));
    let kinds: Vec<&str> = kinds(&found).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["A", "C", "Stdin"]);
}

#[test]
fn spans_lead_into_the_text_of_their_source() {
    let room = tempfile::tempdir().expect("a directory");
    let wide: Vec<u8> = "\u{feff}kind: é\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(room.path().join("a.yaml"), wide).expect("written");
    fs::write(room.path().join("b.yaml"), "\u{feff}kind: é\r\n").expect("written");
    let found = loaded(&[room.path().to_str().expect("UTF-8")]);
    assert_eq!(found.errors, []);
    assert_eq!(found.documents.len(), 2);
    for document in &found.documents {
        let text = &found.sources[document.source].text;
        assert_eq!(&text[document.places.field("/kind")], "kind: é");
        // Not a character of line 1: columns would be off by one there.
        assert_eq!(document.places.field("/kind").start, 0);
    }
}

#[test]
fn a_reader_that_fails_is_an_error_with_its_name() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the pipe is gone"))
        }
    }
    let found = load(&["-".to_owned()], &mut Broken);
    assert_eq!(
        found.errors[0].to_string(),
        "<stdin>: cannot be read: the pipe is gone"
    );
}

#[test]
fn a_reader_without_end_is_cut() {
    let found = load(&["-".to_owned()], &mut io::repeat(b' '));
    assert_eq!(found.errors[0].message, "larger than 64 MiB");
}
