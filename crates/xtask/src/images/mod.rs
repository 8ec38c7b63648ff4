//! The images of the lab's node, packed from parts and from our own programs. Nothing is pulled: the
//! node has no registry, and its containerd imports these archives.
//!
//! Models are in no image. A pod mounts [`crate::parts::models`] at [`MODELS`] with a `hostPath`,
//! read-only: a quarter of a gigabyte need not be packed, imported and unpacked for each lab.

mod archive;
pub mod flawed;

use std::path::{Path, PathBuf};

pub use archive::{Image, archived};

use crate::parts::{self, Libraries};
use crate::{Error, Result};

/// The sandbox's image, under the name of the upstream one.
pub const PAUSE: &str = "registry.k8s.io/pause:3.10";

/// llama-server as the child of a small init, which passes signals on: it can be crashed.
pub const LLAMA_INIT: &str = "docker.io/lab/llama-server:init";

/// llama-server as process 1 of its container: the kernel drops a `kill -9` from inside.
pub const LLAMA_PID1: &str = "docker.io/lab/llama-server:pid1";

/// The lab's router: NGINX, and our program that writes its configuration.
pub const NGINX: &str = "docker.io/lab/nginx:lab";

/// Our webhook, with kubectl-infer beside it.
pub const WEBHOOK: &str = "docker.io/lab/infer-webhook:lab";

/// Where the images of llama-server expect models to be mounted.
pub const MODELS: &str = "/models";

/// The user of all but the sandbox: the `nonroot` of distroless images, which ours are like.
pub const USER: u32 = 65532;

/// The user of the sandbox, another than that of any container: it waits and needs no rights.
const PAUSE_USER: u32 = 65535;

/// Where images have the small init, and the program that flaws a server.
const CATATONIT: &str = "/usr/bin/catatonit";
const LAB_FLAW: &str = "/usr/bin/lab-flaw";

/// What busybox is called in images that have a shell.
const APPLETS: &[&str] = &[
    "[", "awk", "cat", "cp", "cut", "date", "df", "echo", "env", "false", "find", "free", "grep",
    "head", "hostname", "id", "kill", "killall", "ls", "mkdir", "mv", "nc", "netstat", "pgrep",
    "pidof", "pkill", "ps", "pwd", "rm", "sed", "seq", "sh", "sleep", "sort", "stat", "tail",
    "test", "timeout", "top", "touch", "tr", "true", "uname", "vi", "wc", "wget", "which", "xargs",
];

/// Every image; `programs` is the directory with our own programs ([`crate::workspace::program_dir`]).
///
/// # Errors
///
/// [`Error::PartMissing`] when a part is not in the cache; others when one of our programs is not
/// built, or an archive cannot be written.
pub fn all(programs: &Path) -> Result<Vec<PathBuf>> {
    Ok(vec![
        pause()?,
        llama(&programs.join("lab-flaw"))?,
        nginx(&programs.join("lab-nginx"))?,
        webhook(
            &programs.join("infer-webhook"),
            &programs.join("kubectl-infer"),
        )?,
    ])
}

/// The sandbox's first process: catatonit, which reaps and waits.
///
/// # Errors
///
/// As [`all`].
pub fn pause() -> Result<PathBuf> {
    let mut image = Image::new(PAUSE, &["/pause", "-P"], PAUSE_USER);
    image.file("pause", &of_init("catatonit")?)?;
    image.archived()
}

/// llama-server under catatonit, as process 1, and behind `lab_flaw` in each of the versions of
/// [`flawed`]. One archive: what they have in common is imported and unpacked once.
///
/// # Errors
///
/// As [`all`]; also when `lab_flaw` asks for a newer C library than the tree has.
pub fn llama(lab_flaw: &Path) -> Result<PathBuf> {
    let server = "/usr/bin/llama-server";
    let root = llama_root()?.into_base();
    let mut init = root.image(LLAMA_INIT, &[]);
    init.file(&CATATONIT[1..], &of_init("catatonit")?)?;
    let init = init.into_base();
    let mut flawed = init.image(LLAMA_INIT, &[]);
    built(lab_flaw)?;
    Libraries::of_tree(&parts::tree("llama")?).needed(lab_flaw)?;
    flawed.file(&LAB_FLAW[1..], lab_flaw)?;
    let flawed = flawed.into_base();
    let mut images = vec![
        root.image(LLAMA_PID1, &[server]),
        init.image(LLAMA_INIT, &[CATATONIT, "--", server]),
    ];
    images.extend(flawed::VERSIONS.iter().map(|version| {
        let start = [CATATONIT, "--", LAB_FLAW, "--name", version.name];
        let entrypoint = [&start, version.flags, &["--", server]].concat();
        flawed.image(&version.image(), &entrypoint)
    }));
    archived("docker.io_lab_llama-server", &images)
}

/// The upstream image's way of listening (ggml-org/llama.cpp, .devops/cpu.Dockerfile), and a shell
/// with wget, which a drain needs.
fn llama_root() -> Result<Image> {
    let mut image = debian_root(LLAMA_PID1, &[], "llama")?;
    image.environment("LLAMA_ARG_HOST", "0.0.0.0");
    image.directory(MODELS, 0o755);
    image.file("usr/bin/busybox", &of_init("busybox")?)?;
    for applet in APPLETS {
        image.link(&format!("usr/bin/{applet}"), "busybox");
    }
    Ok(image)
}

/// NGINX, and `lab_nginx` as the program that starts it. Writes below `/tmp` only.
///
/// # Errors
///
/// As [`all`]; also when the program asks for a newer C library than NGINX's suite has.
pub fn nginx(lab_nginx: &Path) -> Result<PathBuf> {
    let mut image = debian_root(NGINX, &["/usr/bin/lab-nginx"], "nginx")?;
    built(lab_nginx)?;
    Libraries::of_tree(&parts::tree("nginx")?).needed(lab_nginx)?;
    image.file("usr/bin/lab-nginx", lab_nginx)?;
    image.archived()
}

/// The webhook's program, kubectl-infer, and this machine's own C library, for which they were
/// linked. No shell.
///
/// # Errors
///
/// As [`all`].
pub fn webhook(infer_webhook: &Path, kubectl_infer: &Path) -> Result<PathBuf> {
    let mut image = Image::new(WEBHOOK, &["/usr/bin/infer-webhook"], USER);
    people(&mut image);
    let libraries = Libraries::of_machine();
    for (name, program) in [
        ("infer-webhook", infer_webhook),
        ("kubectl-infer", kubectl_infer),
    ] {
        built(program)?;
        for library in libraries.needed(program)? {
            image.file(&library.to_string_lossy(), &library)?;
        }
        image.file(&format!("usr/bin/{name}"), program)?;
    }
    image.archived()
}

/// An image that begins with the tree of a Debian part, laid out as Debian does.
fn debian_root(name: &str, entrypoint: &[&str], part: &str) -> Result<Image> {
    let mut image = Image::new(name, entrypoint, USER);
    image.tree(&parts::tree(part)?)?;
    for directory in ["bin", "lib", "sbin"] {
        image.link(directory, &format!("usr/{directory}"));
    }
    image.directory("usr/bin", 0o755);
    image.directory("usr/sbin", 0o755);
    // The path of the loader that is written in every program.
    image.link(
        "lib64/ld-linux-x86-64.so.2",
        "../usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    );
    people(&mut image);
    Ok(image)
}

/// Names for the users that occur: NGINX wants one for its workers where it is started by root.
fn people(image: &mut Image) {
    image.text(
        "etc/passwd",
        "root:x:0:0:root:/:/bin/sh\n\
         www-data:x:33:33:www-data:/:/bin/false\n\
         nobody:x:65534:65534:nobody:/:/bin/false\n\
         nonroot:x:65532:65532:nonroot:/tmp:/bin/false\n",
    );
    image.text(
        "etc/group",
        "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\nnonroot:x:65532:\n",
    );
}

fn of_init(name: &str) -> Result<PathBuf> {
    let mut found = parts::find(parts::named("init")?)?.unwrap_or_default();
    found.remove(name).ok_or_else(|| {
        Error::PartMissing(format!(
            "{name} is not in the cache.\nThen: cargo xtask setup --part init"
        ))
    })
}

fn built(program: &Path) -> Result<()> {
    if program.is_file() {
        return Ok(());
    }
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    Err(Error::Failed(format!(
        "{} is not built.\nThen: cargo build -p {name}",
        program.display()
    )))
}
