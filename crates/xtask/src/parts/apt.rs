//! apt as a way to fetch packages: no root, nothing is installed, the machine's own package lists
//! stay as they are. apt checks the signatures with the machine's archive keys.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::progress::Row;
use super::run;
use crate::{Error, Result};

/// Used where no sources are configured.
const MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What dpkg says of the packages that the machine has.
const STATUS: &str = "/var/lib/dpkg/status";

/// Directories that a merged-usr system has below `usr` only.
const MERGED: [&str; 5] = ["bin", "sbin", "lib", "lib32", "lib64"];

/// apt-get with lists, cache and state of its own in `work`.
#[derive(Debug)]
pub(super) struct Apt {
    work: PathBuf,
    options: Vec<OsString>,
}

impl Apt {
    /// One suite of Debian, for a machine that has nothing: what is fetched is complete.
    pub(super) fn of_suite(suite: &str, work: &Path) -> Result<Self> {
        let mut apt = Self::in_directory(work)?;
        let signed = if Path::new(KEYRING).exists() {
            format!("[signed-by={KEYRING}] ")
        } else {
            String::new()
        };
        let sources = work.join("sources.list");
        let status = work.join("status");
        write(
            &sources,
            &format!("deb {signed}{} {suite} main\n", mirror()),
        )?;
        write(&status, "")?;
        apt.option("Dir::Etc::sourcelist", sources);
        apt.option("Dir::Etc::sourceparts", "/dev/null");
        apt.option("Dir::State::status", status);
        Ok(apt)
    }

    /// This machine's own sources and packages: what is fetched is what it lacks.
    pub(super) fn of_machine(work: &Path) -> Result<Self> {
        let mut apt = Self::in_directory(work)?;
        apt.option("Dir::State::status", STATUS);
        Ok(apt)
    }

    fn in_directory(work: &Path) -> Result<Self> {
        for tool in ["apt-get", "dpkg", "dpkg-deb"] {
            if !super::on_path(tool) {
                return Err(Error::Failed(format!("{tool} is not on PATH")));
            }
        }
        for name in ["lists/partial", "archives/partial", "state"] {
            let dir = work.join(name);
            fs::create_dir_all(&dir).map_err(Error::io(format!("making {}", dir.display())))?;
        }
        let mut apt = Self {
            work: work.to_path_buf(),
            options: vec!["-q".into()],
        };
        for (name, value) in [
            ("APT::Sandbox::User", "root"),
            ("Acquire::Languages", "none"),
            ("Acquire::Retries", "2"),
            ("Acquire::http::Timeout", "30"),
            ("Acquire::https::Timeout", "30"),
            // Its locks belong to who installs; we only fetch.
            ("Debug::NoLocking", "1"),
            ("Dir::Cache::pkgcache", ""),
            ("Dir::Cache::srcpkgcache", ""),
        ] {
            apt.option(name, value);
        }
        apt.option("Dir::State", work.join("state"));
        apt.option("Dir::State::Lists", work.join("lists"));
        apt.option("Dir::Cache::archives", work.join("archives"));
        Ok(apt)
    }

    fn option(&mut self, name: &str, value: impl AsRef<OsStr>) {
        let mut text = OsString::from(format!("{name}="));
        text.push(value);
        self.options.extend(["-o".into(), text]);
    }

    fn run(&self, words: &[&str], row: &mut Row) -> Result<()> {
        let mut arguments = self.options.clone();
        arguments.extend(words.iter().map(Into::into));
        run("apt-get".as_ref(), arguments, &self.work, row)
    }

    /// Reads the package lists.
    pub(super) fn update(&self, row: &mut Row) -> Result<()> {
        self.run(&["update"], row)
    }

    /// Fetches these packages alone.
    pub(super) fn fetch(&self, packages: &[&str], row: &mut Row) -> Result<()> {
        self.run(&[&["download"], packages].concat(), row)
    }

    /// Fetches these packages and what they need that is not there.
    pub(super) fn fetch_with_dependencies(&self, packages: &[&str], row: &mut Row) -> Result<()> {
        let install = [
            "install",
            "--download-only",
            "--yes",
            "--no-install-recommends",
        ];
        self.run(&[&install, packages].concat(), row)
    }

    /// Unpacks everything fetched into one tree, in which all is below `usr`.
    pub(super) fn unpack(&self, tree: &Path, row: &mut Row) -> Result<()> {
        fs::create_dir_all(tree).map_err(Error::io(format!("making {}", tree.display())))?;
        let mut archives = Vec::new();
        // `download` leaves them here, `install` there.
        for dir in [self.work.clone(), self.work.join("archives")] {
            let found = fs::read_dir(&dir)
                .map_err(Error::io(format!("reading {}", dir.display())))?
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|end| end == "deb"));
            archives.extend(found);
        }
        archives.sort();
        for archive in archives {
            run(
                "dpkg".as_ref(),
                vec!["-x".into(), archive.into(), tree.into()],
                &self.work,
                row,
            )?;
        }
        for name in MERGED {
            let dir = tree.join(name);
            if dir.is_dir() && !dir.is_symlink() {
                merge(&dir, &tree.join("usr").join(name))?;
            }
        }
        Ok(())
    }
}

/// Moves what is in one directory into another, into its directories where it has them.
fn merge(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(Error::io(format!("making {}", to.display())))?;
    for entry in fs::read_dir(from)
        .map_err(Error::io(format!("reading {}", from.display())))?
        .flatten()
    {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() && !source.is_symlink() && target.is_dir() {
            merge(&source, &target)?;
        } else {
            fs::rename(&source, &target)
                .map_err(Error::io(format!("moving {}", source.display())))?;
        }
    }
    fs::remove_dir(from).map_err(Error::io(format!("removing {}", from.display())))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Error::io(format!("writing {}", path.display())))
}

/// Runs a program that only says something about itself; gives the first line of what it said.
pub(super) fn first_words(program: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io(format!("starting {}", program.display())))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(Error::Failed(format!(
            "{} does not start here: {}",
            program.display(),
            complained.trim()
        )));
    }
    // llama-server and nginx tell their version on stderr, and Envoy begins with an empty line.
    let mut lines = said.lines().chain(complained.lines());
    let first = lines.find(|line| !line.trim().is_empty());
    Ok(first.unwrap_or_default().trim().to_string())
}

/// The archive that this machine's apt uses, so that a local mirror is ours too.
fn mirror() -> String {
    let output = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(REPO_URI) $(COMPONENT)",
            "Created-By: Packages",
        ])
        .stdin(Stdio::null())
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default()
        .lines()
        .filter_map(|line| line.strip_suffix(" main"))
        .map(|uri| uri.trim_end_matches('/'))
        .find(|uri| uri.ends_with("/debian"))
        .unwrap_or(MIRROR)
        .to_string()
}
