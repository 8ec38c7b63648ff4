//! OCI images as one tar archive that `ctr images import` takes: image layout and manifest as
//! opencontainers/image-spec says them (image-layout.md, manifest.md, config.md), layers not
//! compressed. Times and owners are zero, so the same content gives the same digests. A layer that
//! several images of an archive have is in it once.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
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
    /// What lies under its own layer.
    below: Vec<Rc<Layer>>,
    layer: Layer,
}

/// What several images begin with. In an archive it is once.
#[derive(Debug)]
pub struct Base {
    environment: BTreeMap<String, String>,
    user: u32,
    layers: Vec<Rc<Layer>>,
}

impl Base {
    /// An image that begins with this and runs `entrypoint`.
    #[must_use]
    pub fn image(&self, name: &str, entrypoint: &[&str]) -> Image {
        Image {
            name: name.to_string(),
            entrypoint: entrypoint.iter().map(ToString::to_string).collect(),
            environment: self.environment.clone(),
            user: self.user,
            below: self.layers.clone(),
            layer: Layer::default(),
        }
    }
}

/// The files of a layer.
#[derive(Debug, Default)]
struct Layer {
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
            below: Vec::new(),
            layer: Layer::default(),
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

    /// What other images begin with: its files, variables and user.
    #[must_use]
    pub fn into_base(self) -> Base {
        let mut layers = self.below;
        layers.push(Rc::new(self.layer));
        Base {
            environment: self.environment,
            user: self.user,
            layers,
        }
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
            self.layer
                .entries
                .entry(path[..end].to_string())
                .or_insert(Entry::Directory { mode: 0o755 });
        }
        self.layer.entries.insert(path.to_string(), entry);
    }

    /// Its layers from the lowest; its own one only where it has files.
    fn layers(&self) -> impl Iterator<Item = &Layer> {
        let own = Some(&self.layer).filter(|layer| !layer.entries.is_empty());
        self.below.iter().map(Rc::as_ref).chain(own)
    }

    fn config(&self, layers: &[&Blob]) -> Value {
        let ids = layers
            .iter()
            .map(|layer| format!("sha256:{}", layer.digest));
        let made = json!({ "created": EPOCH, "created_by": "cargo xtask" });
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
            "rootfs": { "type": "layers", "diff_ids": Vec::from_iter(ids) },
            "history": vec![made; layers.len()],
        })
    }

    /// The archive of this image alone: see [`archived`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn archived(self) -> Result<PathBuf> {
        let name = self.name.replace(['/', ':'], "_");
        archived(&name, &[self])
    }

    /// The entry of the index, and the blobs that it leads to, the layers apart.
    fn described(&self, layers: &[&Blob]) -> (Value, [(Blob, Vec<u8>); 2]) {
        let config = self.config(layers).to_string().into_bytes();
        let config_blob = Blob::of(&config);
        let layers: Vec<Value> = layers.iter().map(|blob| blob.descriptor(LAYER)).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config_blob.descriptor(CONFIG),
            "layers": layers,
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
        (entry, [(config_blob, config), (manifest_blob, manifest)])
    }
}

/// An archive of these images in the cache, whose file name begins with `name`; written when it is
/// not there.
///
/// # Errors
///
/// When a file that goes in cannot be read, or the archive cannot be written.
pub fn archived(name: &str, images: &[Image]) -> Result<PathBuf> {
    let cache = workspace::lab_cache()?.join("images");
    fs::create_dir_all(&cache).map_err(Error::io(format!("making {}", cache.display())))?;
    archived_in(&cache, name, images)
}

fn archived_in(cache: &Path, name: &str, images: &[Image]) -> Result<PathBuf> {
    let path = cache.join(format!("{name}-{}.tar", &key(images)?[..16]));
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
    let room = tempfile::tempfile_in(cache).map_err(Error::io(doing()))?;
    write(images, room, whole.as_file_mut()).map_err(Error::io(doing()))?;
    fs::set_permissions(whole.path(), fs::Permissions::from_mode(0o644))
        .map_err(Error::io(doing()))?;
    whole
        .persist(&path)
        .map_err(|error| Error::io(doing())(error.error))?;
    clear(cache, &[&format!("{name}-"), ".building-"], &path);
    Ok(path)
}

/// The layers of all images, each once.
fn distinct(images: &[Image]) -> Vec<&Layer> {
    let mut layers: Vec<&Layer> = Vec::new();
    for layer in images.iter().flat_map(Image::layers) {
        if !layers.iter().any(|known| std::ptr::eq(*known, layer)) {
            layers.push(layer);
        }
    }
    layers
}

/// A digest of everything that goes in.
fn key(images: &[Image]) -> Result<String> {
    let mut digest = Digest::default();
    let layers = distinct(images);
    for layer in &layers {
        layer.add_to(&mut digest)?;
    }
    for image in images {
        digest.field(image.name.as_bytes());
        digest.field(image.config(&[]).to_string().as_bytes());
        for layer in image.layers() {
            let number = layers.iter().position(|known| std::ptr::eq(*known, layer));
            digest.field(format!("{number:?}").as_bytes());
        }
    }
    Ok(digest.finish())
}

/// Writes the archive, with `room` for the layers.
fn write(images: &[Image], room: File, to: &mut File) -> io::Result<()> {
    let layers = distinct(images);
    let mut room = Hashed::new(room);
    let mut blobs = Vec::new();
    for layer in &layers {
        layer.write(&mut room)?;
        blobs.push(room.take());
    }
    let room = room
        .to
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    let blob_of = |layer: &Layer| {
        let number = layers.iter().position(|known| std::ptr::eq(*known, layer));
        &blobs[number.expect("it is a layer of one of the images")]
    };
    let mut entries = Vec::new();
    let mut small = Vec::new();
    for image in images {
        let (entry, blobs) = image.described(&image.layers().map(blob_of).collect::<Vec<_>>());
        entries.push(entry);
        small.extend(blobs);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries })
        .to_string()
        .into_bytes();
    let mut archive = Builder::new(BufWriter::with_capacity(1 << 20, to));
    let mut add = |path: &str, length: u64, content: &mut dyn Read| {
        let mut header = header(EntryType::Regular, 0o644, length);
        archive.append_data(&mut header, path, content)
    };
    let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
    add("oci-layout", layout.len() as u64, &mut layout.as_slice())?;
    add("index.json", index.len() as u64, &mut index.as_slice())?;
    let place = |blob: &Blob| format!("blobs/sha256/{}", blob.digest);
    for (blob, bytes) in &small {
        add(&place(blob), blob.length, &mut bytes.as_slice())?;
    }
    let mut room = BufReader::new(room);
    room.rewind()?;
    for blob in &blobs {
        add(
            &place(blob),
            blob.length,
            &mut (&mut room).take(blob.length),
        )?;
    }
    archive.into_inner()?.flush()
}

impl Layer {
    /// Adds everything that is in it.
    fn add_to(&self, digest: &mut Digest) -> Result<()> {
        digest.field(&(self.entries.len() as u64).to_le_bytes());
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
        Ok(())
    }

    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let mut tar = Builder::new(to);
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
        tar.finish()
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
struct Hashed<W: Write> {
    to: BufWriter<W>,
    digest: Digest,
    length: u64,
}

impl<W: Write> Hashed<W> {
    fn new(to: W) -> Self {
        Self {
            to: BufWriter::with_capacity(1 << 20, to),
            digest: Digest::default(),
            length: 0,
        }
    }

    /// What came since the last time.
    fn take(&mut self) -> Blob {
        Blob {
            digest: std::mem::take(&mut self.digest).finish(),
            length: std::mem::take(&mut self.length),
        }
    }
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
