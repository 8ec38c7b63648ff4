use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tar::{Archive, EntryType};

use super::{Image, archived_in};
use crate::digest;

/// A small image whose program is the file `program` of a directory.
fn image(directory: &Path) -> Image {
    let program = directory.join("program");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut image = Image::new("docker.io/lab/test:one", &["/usr/bin/test", "-x"], 65532);
    image.environment("LAB", "yes");
    image.file("usr/bin/test", &program).unwrap();
    image.link("bin", "usr/bin");
    image.text("etc/passwd", "root:x:0:0::/:/bin/sh\n");
    image
}

fn archived(cache: &Path, image: Image) -> PathBuf {
    archived_in(cache, "test", &[image]).unwrap()
}

/// The files of an archive.
fn files(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = Archive::new(File::open(archive).unwrap());
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        found.insert(entry.path().unwrap().display().to_string(), bytes);
    }
    found
}

/// The blob that a descriptor names, checked against its digest and length.
fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
    let digest = descriptor["digest"].as_str().unwrap();
    let hex = digest.strip_prefix("sha256:").unwrap();
    let bytes = &files[&format!("blobs/sha256/{hex}")];
    assert_eq!(digest::hex(bytes), hex);
    assert_eq!(descriptor["size"], bytes.len());
    bytes
}

#[test]
fn an_archive_is_an_image_layout_whose_digests_are_right() {
    let directory = tempfile::tempdir().unwrap();
    let archive = archived(directory.path(), image(directory.path()));
    let files = files(&archive);
    assert_eq!(files["oci-layout"], br#"{"imageLayoutVersion":"1.0.0"}"#);
    let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
    let entry = &index["manifests"][0];
    assert_eq!(
        entry["annotations"]["io.containerd.image.name"],
        "docker.io/lab/test:one"
    );
    let manifest: Value = serde_json::from_slice(blob(&files, entry)).unwrap();
    let config: Value = serde_json::from_slice(blob(&files, &manifest["config"])).unwrap();
    assert_eq!(config["config"]["Entrypoint"][0], "/usr/bin/test");
    assert_eq!(config["config"]["User"], "65532");
    assert_eq!(config["config"]["Env"][0], "LAB=yes");
    let layer = blob(&files, &manifest["layers"][0]);
    let diff = format!("sha256:{}", digest::hex(layer));
    assert_eq!(config["rootfs"]["diff_ids"][0], diff.as_str());
    assert_eq!(files.len(), 5, "nothing but these: {:?}", files.keys());
}

#[test]
fn a_layer_has_directories_first_and_neither_times_nor_owners() {
    let directory = tempfile::tempdir().unwrap();
    let archive = archived(directory.path(), image(directory.path()));
    let files = files(&archive);
    let layer = files
        .values()
        .find(|bytes| bytes.get(257..262) == Some(b"ustar".as_slice()))
        .unwrap();
    let mut seen: Vec<(String, EntryType, u32)> = Vec::new();
    let mut layer = Archive::new(layer.as_slice());
    for entry in layer.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!(header.mtime().unwrap(), 0);
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        let path = entry.path().unwrap().display().to_string();
        if let Some(parent) = Path::new(path.trim_end_matches('/')).parent()
            && parent != Path::new("")
        {
            let there = seen
                .iter()
                .any(|(name, kind, _)| *kind == EntryType::Directory && Path::new(name) == parent);
            assert!(there, "{path} comes before its directory");
        }
        seen.push((path, header.entry_type(), header.mode().unwrap()));
    }
    let has = |path: &str, kind: EntryType, mode: u32| {
        assert!(
            seen.contains(&(path.to_string(), kind, mode)),
            "{path}: {seen:?}"
        );
    };
    has("tmp/", EntryType::Directory, 0o1777);
    has("usr/bin/", EntryType::Directory, 0o755);
    has("usr/bin/test", EntryType::Regular, 0o755);
    has("etc/passwd", EntryType::Regular, 0o644);
    has("bin", EntryType::Symlink, 0o777);
}

#[test]
fn the_same_content_gives_the_same_bytes_and_other_content_another_archive() {
    let made = |content: &str| -> (PathBuf, String) {
        let directory = tempfile::tempdir().unwrap();
        let mut image = image(directory.path());
        let program = directory.path().join("program");
        fs::write(&program, content).unwrap();
        image.file("usr/bin/test", &program).unwrap();
        let archive = archived(directory.path(), image);
        let bytes = fs::read(&archive).unwrap();
        (archive.file_name().unwrap().into(), digest::hex(&bytes))
    };
    let (name, digest) = made("one");
    // Written at another time, in another directory.
    std::thread::sleep(std::time::Duration::from_millis(10));
    assert_eq!(made("one"), (name.clone(), digest.clone()));
    let (other_name, other_digest) = made("two");
    assert_ne!(other_name, name);
    assert_ne!(other_digest, digest);
}

#[test]
fn an_archive_that_is_there_is_not_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let first = archived(directory.path(), image(directory.path()));
    fs::write(&first, "mark").unwrap();
    let second = archived(directory.path(), image(directory.path()));
    assert_eq!(second, first);
    assert_eq!(fs::read_to_string(&first).unwrap(), "mark");
    let halves = fs::read_dir(directory.path())
        .unwrap()
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with(".building-")
        })
        .count();
    assert_eq!(halves, 0, "something unfinished stayed");
}

#[test]
fn images_of_one_archive_share_the_layers_that_they_have_in_common() {
    let directory = tempfile::tempdir().unwrap();
    let names = ["docker.io/lab/test:plain", "docker.io/lab/test:more"];
    let base = image(directory.path()).into_base();
    let plain = base.image(names[0], &["/usr/bin/test"]);
    let mut more = base.image(names[1], &["/usr/bin/more"]);
    more.text("usr/bin/more", "more\n");
    let archive = archived_in(directory.path(), "both", &[plain, more]).unwrap();
    let files = files(&archive);
    let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
    let layers = |number: usize| -> Vec<Value> {
        let entry = &index["manifests"][number];
        assert_eq!(
            entry["annotations"]["io.containerd.image.name"],
            names[number]
        );
        let manifest: Value = serde_json::from_slice(blob(&files, entry)).unwrap();
        let config: Value = serde_json::from_slice(blob(&files, &manifest["config"])).unwrap();
        assert_eq!(config["config"]["Env"][0], "LAB=yes");
        assert_eq!(config["config"]["User"], "65532");
        let layers = manifest["layers"].as_array().unwrap().clone();
        for (layer, diff) in layers
            .iter()
            .zip(config["rootfs"]["diff_ids"].as_array().unwrap())
        {
            assert_eq!(&layer["digest"], diff);
            blob(&files, layer);
        }
        assert_eq!(config["history"].as_array().unwrap().len(), layers.len());
        layers
    };
    let (plain, more) = (layers(0), layers(1));
    assert_eq!((plain.len(), more.len()), (1, 2));
    assert_eq!(plain[0], more[0]);
    // Layout, index, two of each config and manifest, two layers.
    assert_eq!(files.len(), 8, "{:?}", files.keys());
}
