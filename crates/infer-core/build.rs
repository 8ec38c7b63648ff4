//! Embeds `catalogue/`: each folder becomes a list of (file name, JSON text). A new file needs no
//! other change.

use std::{env, fs, path::Path};

fn main() {
    println!("cargo::rerun-if-changed=catalogue");
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let mut code = String::new();
    for (folder, name) in [
        ("runtimes", "RUNTIMES"),
        ("controllers", "CONTROLLERS"),
        ("sidecars", "SIDECARS"),
    ] {
        let folder = Path::new(&root).join("catalogue").join(folder);
        println!("cargo::rerun-if-changed={}", folder.display());
        let mut files: Vec<_> = fs::read_dir(&folder)
            .expect("the catalogue folder exists")
            .map(|entry| entry.expect("a readable folder").path())
            .filter(|path| path.extension().is_some_and(|ext| ext == "yaml"))
            .collect();
        files.sort();
        code.push_str(&format!("pub(super) static {name}: &[(&str, &str)] = &[\n"));
        for file in files {
            println!("cargo::rerun-if-changed={}", file.display());
            let text = fs::read_to_string(&file).expect("a readable catalogue file");
            let value: serde_json::Value = serde_saphyr::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let stem = file
                .file_name()
                .expect("a file has a name")
                .to_string_lossy()
                .into_owned();
            code.push_str(&format!("    ({stem:?}, {:?}),\n", value.to_string()));
        }
        code.push_str("];\n");
    }
    let out = Path::new(&env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("embedded.rs");
    fs::write(out, code).expect("OUT_DIR is writable");
}
