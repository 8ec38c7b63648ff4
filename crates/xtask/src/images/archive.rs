//! An OCI image as one tar archive that `ctr images import` takes: image layout and manifest as
//! opencontainers/image-spec says them (image-layout.md, manifest.md, config.md), one layer, not
//! compressed. Times and owners are zero, so the same content gives the same digests.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use crate::digest::{self, Digest};
use crate::{Error, Result, workspace};

/// An archive that no lab asked for in this time makes room for others: our programs are packed
/// anew after every build.
const KEPT: Duration = Duration::from_secs(3600);

const EPOCH: &str = "1970-01-01T00:00:00Z";

/// Media types of the image specification.
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image that is being put together.
#[derive(Debug)]
pub struct Image {
    name: String,
    entrypoint: Vec<String>,
    environment: BTreeMap<String, String>,
    user: u32,
    /// By path without a leading slash; a directory sorts before what is in it.
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
enum Entry {
    Directory { mode: u32 },
    File { from: PathBuf, mode: u32 },
    Text { text: String },
    Link { to: String },
}

/// A blob of the layout: its digest and length.
#[derive(Debug)]
struct Blob {
    digest: String,
    length: u64,
}

impl Blob {
    fn of(bytes: &[u8]) -> Self {
        Self {
            digest: digest::hex(bytes),
            length: bytes.len() as u64,
        }
    }

    fn descriptor(&self, kind: &str) -> Value {
        json!({
            "mediaType": kind,
            "digest": format!("sha256:{}", self.digest),
            "size": self.length,
        })
    }
}

impl Image {
    /// An image of this name (with its tag) that runs `entrypoint` as this user. It has `/tmp` and
    /// the directories that a runtime mounts over.
    #[must_use]
    pub fn new(name: &str, entrypoint: &[&str], user: u32) -> Self {
        let mut image = Self {
            name: name.to_string(),
            entrypoint: entrypoint.iter().map(ToString::to_string).collect(),
            environment: BTreeMap::new(),
            user,
            entries: BTreeMap::new(),
        };
        image.environment(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        for directory in ["dev", "etc", "proc", "sys"] {
            image.directory(directory, 0o755);
        }
        image.directory("tmp", 0o1777);
        image
    }

    /// Sets a variable.
    pub fn environment(&mut self, name: &str, value: &str) {
        self.environment.insert(name.into(), value.into());
    }

    /// Adds a directory.
    pub fn directory(&mut self, path: &str, mode: u32) {
        self.put(path, Entry::Directory { mode });
    }

    /// Adds a file with this content.
    pub fn text(&mut self, path: &str, text: &str) {
        self.put(path, Entry::Text { text: text.into() });
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, to: &str) {
        self.put(path, Entry::Link { to: to.into() });
    }

    /// Adds a file, or what a link points to, with its right to be run.
    ///
    /// # Errors
    ///
    /// When it is not there.
    pub fn file(&mut self, path: &str, from: &Path) -> Result<()> {
        let found = fs::metadata(from).map_err(Error::io(format!("reading {}", from.display())))?;
        // Whatever the cache's umask was.
        let mode = if found.permissions().mode() & 0o100 == 0 {
            0o644
        } else {
            0o755
        };
        let from = from.to_path_buf();
        self.put(path, Entry::File { from, mode });
        Ok(())
    }

    /// Adds everything below a directory at the same place below the image's top.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn tree(&mut self, from: &Path) -> Result<()> {
        self.below(from, "")
    }

    fn below(&mut self, from: &Path, at: &str) -> Result<()> {
        let doing = || format!("reading {}", from.display());
        for entry in fs::read_dir(from).map_err(Error::io(doing()))? {
            let entry = entry.map_err(Error::io(doing()))?;
            let name = entry.file_name();
            let path = format!("{at}{}", name.to_string_lossy());
            let kind = entry.file_type().map_err(Error::io(doing()))?;
            if kind.is_dir() {
                self.below(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_symlink() {
                let to = fs::read_link(entry.path()).map_err(Error::io(doing()))?;
                self.link(&path, &to.to_string_lossy());
            } else {
                self.file(&path, &entry.path())?;
            }
        }
        Ok(())
    }

    fn put(&mut self, path: &str, entry: Entry) {
        let path = path.trim_matches('/');
        for (end, _) in path.match_indices('/') {
            self.entries
                .entry(path[..end].to_string())
                .or_insert(Entry::Directory { mode: 0o755 });
        }
        self.entries.insert(path.to_string(), entry);
    }

    /// A digest of everything that goes in.
    fn key(&self) -> Result<String> {
        let mut digest = Digest::default();
        digest.field(self.config("").to_string().as_bytes());
        for (path, entry) in &self.entries {
            digest.field(path.as_bytes());
            match entry {
                Entry::File { from, mode } => {
                    digest.field(format!("file {mode:o}").as_bytes());
                    digest.file(from)?;
                }
                other => digest.field(format!("{other:?}").as_bytes()),
            }
        }
        Ok(digest.finish())
    }

    fn config(&self, layer: &str) -> Value {
        let environment: Vec<String> = self
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        json!({
            "architecture": architecture(),
            "os": "linux",
            "created": EPOCH,
            "config": {
                "Entrypoint": self.entrypoint,
                "Env": environment,
                "User": self.user.to_string(),
                "WorkingDir": "/",
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
            "history": [{ "created": EPOCH, "created_by": "cargo xtask" }],
        })
    }

    /// The archive in the cache, written when it is not there.
    ///
    /// # Errors
    ///
    /// When a file that goes in cannot be read, or the archive cannot be written.
    pub fn archived(&self) -> Result<PathBuf> {
        let cache = workspace::lab_cache()?.join("images");
        fs::create_dir_all(&cache).map_err(Error::io(format!("making {}", cache.display())))?;
        self.archived_in(&cache)
    }

    fn archived_in(&self, cache: &Path) -> Result<PathBuf> {
        let name = self.name.replace(['/', ':'], "_");
        let path = cache.join(format!("{name}-{}.tar", &self.key()?[..16]));
        if let Ok(file) = File::options().append(true).open(&path) {
            // In use: not to be cleared away.
            let _ = file.set_times(FileTimes::new().set_modified(SystemTime::now()));
            return Ok(path);
        }
        let doing = || format!("writing {}", path.display());
        // Renamed when it is whole, so two runs may write the same one.
        let mut whole = tempfile::Builder::new()
            .prefix(".building-")
            .tempfile_in(cache)
            .map_err(Error::io(doing()))?;
        let mut layer = tempfile::tempfile_in(cache).map_err(Error::io(doing()))?;
        self.write(&mut layer, whole.as_file_mut())
            .map_err(Error::io(doing()))?;
        fs::set_permissions(whole.path(), fs::Permissions::from_mode(0o644))
            .map_err(Error::io(doing()))?;
        whole
            .persist(&path)
            .map_err(|error| Error::io(doing())(error.error))?;
        clear(cache, &[&format!("{name}-"), ".building-"], &path);
        Ok(path)
    }

    /// Writes the archive, with `layer` as room for the layer.
    fn write(&self, layer: &mut File, to: &mut File) -> io::Result<()> {
        let blob = self.write_layer(layer)?;
        let config = self.config(&blob.digest).to_string().into_bytes();
        let config_blob = Blob::of(&config);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config_blob.descriptor(CONFIG),
            "layers": [blob.descriptor(LAYER)],
        })
        .to_string()
        .into_bytes();
        let manifest_blob = Blob::of(&manifest);
        let mut entry = manifest_blob.descriptor(MANIFEST);
        entry["platform"] = json!({ "architecture": architecture(), "os": "linux" });
        let tag = self.name.rsplit(':').next().unwrap_or_default();
        entry["annotations"] = json!({
            // containerd's importer takes the whole name from the first (core/images/annotations.go).
            "io.containerd.image.name": self.name,
            "org.opencontainers.image.ref.name": tag,
        });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] })
            .to_string()
            .into_bytes();
        let mut archive = Builder::new(BufWriter::with_capacity(1 << 20, to));
        let mut add = |path: &str, length: u64, content: &mut dyn io::Read| {
            let mut header = header(EntryType::Regular, 0o644, length);
            archive.append_data(&mut header, path, content)
        };
        let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
        add("oci-layout", layout.len() as u64, &mut layout.as_slice())?;
        add("index.json", index.len() as u64, &mut index.as_slice())?;
        for (blob, bytes) in [(&config_blob, &config), (&manifest_blob, &manifest)] {
            let path = format!("blobs/sha256/{}", blob.digest);
            add(&path, blob.length, &mut bytes.as_slice())?;
        }
        layer.rewind()?;
        let path = format!("blobs/sha256/{}", blob.digest);
        add(&path, blob.length, &mut BufReader::new(&*layer))?;
        archive.into_inner()?.flush()
    }

    fn write_layer(&self, layer: &mut File) -> io::Result<Blob> {
        let mut hashed = Hashed {
            to: BufWriter::with_capacity(1 << 20, layer),
            digest: Digest::default(),
            length: 0,
        };
        let mut tar = Builder::new(&mut hashed);
        for (path, entry) in &self.entries {
            match entry {
                Entry::Directory { mode } => {
                    let mut header = header(EntryType::Directory, *mode, 0);
                    tar.append_data(&mut header, format!("{path}/"), io::empty())?;
                }
                Entry::File { from, mode } => {
                    let file = File::open(from)?;
                    let length = file.metadata()?.len();
                    let mut header = header(EntryType::Regular, *mode, length);
                    tar.append_data(&mut header, path, file)?;
                }
                Entry::Text { text } => {
                    let mut header = header(EntryType::Regular, 0o644, text.len() as u64);
                    tar.append_data(&mut header, path, text.as_bytes())?;
                }
                Entry::Link { to } => {
                    let mut header = header(EntryType::Symlink, 0o777, 0);
                    tar.append_link(&mut header, path, to)?;
                }
            }
        }
        tar.finish()?;
        drop(tar);
        hashed.to.flush()?;
        Ok(Blob {
            length: hashed.length,
            digest: hashed.digest.finish(),
        })
    }
}

/// Removes archives of these beginnings that nobody asked for in a while, and halves that a killed
/// run left.
fn clear(cache: &Path, beginnings: &[&str], except: &Path) {
    let Ok(entries) = fs::read_dir(cache) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let old = entry
            .metadata()
            .and_then(|found| found.modified())
            .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > KEPT));
        if old && entry.path() != except && beginnings.iter().any(|begin| name.starts_with(begin)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn header(kind: EntryType, mode: u32, length: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(length);
    header
}

/// Go's name of this machine's architecture, which images use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Hashes and counts what it passes on.
struct Hashed<W> {
    to: W,
    digest: Digest,
    length: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.digest.write_all(&bytes[..written])?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests;
