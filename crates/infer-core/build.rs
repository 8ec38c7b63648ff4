//! Embeds `catalogue/`: each folder becomes a list of (file name, JSON text). A new file needs no
//! other change.

use std::{env, fs, path::Path};

fn main() {
    println!("cargo::rerun-if-changed=catalogue");
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let mut code = String::new();
    let mut digest = FNV_OFFSET;
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
            digest = fnv(digest, &stem);
            digest = fnv(digest, &value.to_string());
            code.push_str(&format!("    ({stem:?}, {:?}),\n", value.to_string()));
        }
        code.push_str("];\n");
    }
    println!(
        "cargo::rustc-env=INFER_CATALOGUE_DIGEST={:08x}",
        digest >> 32
    );
    let out = Path::new(&env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("embedded.rs");
    fs::write(out, code).expect("OUT_DIR is writable");
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: it tells versions apart, it protects nothing.
fn fnv(mut hash: u64, text: &str) -> u64 {
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}
