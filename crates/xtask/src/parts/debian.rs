//! Programs unpacked from Debian packages: no root, nothing is installed, the machine's own package
//! lists stay as they are. apt checks the signatures with the machine's archive key.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::progress::Row;
use crate::{Error, Result, contain};

/// Used where no sources are configured.
const MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Unpacks the package of the first suite that has it and whose programs start here. Gives a line
/// about it.
pub(super) fn unpack(
    package: &str,
    suites: &[&str],
    programs: &str,
    provides: &[&str],
    to: &Path,
    row: &mut Row,
) -> Result<String> {
    for tool in ["apt-get", "dpkg", "dpkg-deb"] {
        if !super::on_path(tool) {
            return Err(Error::Failed(format!(
                "{tool} is not on PATH: this part comes from the Debian package {package}. On another system, \
                 install etcd 3.4 or newer in a directory beside kube-apiserver and kubectl."
            )));
        }
    }
    let mut reasons = Vec::new();
    for suite in suites {
        match from_suite(package, suite, to, row) {
            Ok(tree) => match adopt(&tree.join(programs), provides, &to.join("bin")) {
                Ok(version) => {
                    let _ = fs::remove_dir_all(to.join("apt"));
                    return Ok(format!("{version}, from Debian {suite}"));
                }
                Err(error) => reasons.push(format!("{suite}: {error}")),
            },
            Err(Error::Interrupted(signal)) => return Err(Error::Interrupted(signal)),
            Err(error) => reasons.push(format!("{suite}: {error}")),
        }
    }
    Err(Error::Failed(format!(
        "no Debian suite gave the package {package}. Is the network there?\n{}",
        reasons.join("\n")
    )))
}

/// Downloads and unpacks, with lists, status and cache of our own under `to/apt`.
fn from_suite(package: &str, suite: &str, to: &Path, row: &mut Row) -> Result<PathBuf> {
    let work = to.join("apt").join(suite);
    let made = |dir: &Path| {
        fs::create_dir_all(dir).map_err(Error::io(format!("making {}", dir.display())))
    };
    made(&work.join("lists/partial"))?;
    made(&work.join("archives/partial"))?;
    let write = |name: &str, text: &str| {
        let path = work.join(name);
        fs::write(&path, text).map_err(Error::io(format!("writing {}", path.display())))
    };
    let signed = if Path::new(KEYRING).exists() {
        format!("[signed-by={KEYRING}] ")
    } else {
        String::new()
    };
    write(
        "sources.list",
        &format!("deb {signed}{} {suite} main\n", mirror()),
    )?;
    write("status", "")?;
    let apt = |command: &str, more: &[&str]| -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["-q".into()];
        let mut option = |name: &str, value: OsString| {
            let mut text = OsString::from(format!("{name}="));
            text.push(value);
            arguments.extend(["-o".into(), text]);
        };
        option("APT::Sandbox::User", "root".into());
        option("Acquire::Languages", "none".into());
        option("Acquire::Retries", "2".into());
        option("Dir::Etc::sourcelist", work.join("sources.list").into());
        option("Dir::Etc::sourceparts", "/dev/null".into());
        option("Dir::State::Lists", work.join("lists").into());
        option("Dir::State::status", work.join("status").into());
        option("Dir::Cache::archives", work.join("archives").into());
        option("Dir::Cache::pkgcache", "".into());
        option("Dir::Cache::srcpkgcache", "".into());
        arguments.push(command.into());
        arguments.extend(more.iter().map(Into::into));
        arguments
    };
    row.note(&format!("reading Debian {suite}'s package list"));
    run("apt-get", apt("update", &[]), &work, row)?;
    row.note(&format!("fetching {package} of {suite}"));
    run("apt-get", apt("download", &[package]), &work, row)?;
    let archive = fs::read_dir(&work)
        .map_err(Error::io(format!("reading {}", work.display())))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "deb"))
        .ok_or_else(|| Error::Failed(format!("apt-get download {package} left no .deb file")))?;
    let tree = work.join("tree");
    run(
        "dpkg",
        vec!["-x".into(), archive.into(), tree.clone().into()],
        &work,
        row,
    )?;
    Ok(tree)
}

/// Moves the programs to `bin` if they start on this machine: another suite may want a newer libc.
fn adopt(programs: &Path, provides: &[&str], bin: &Path) -> Result<String> {
    let mut version = String::new();
    for name in provides {
        let file = programs.join(name);
        let output = Command::new(&file)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(Error::io(format!("starting {}", file.display())))?;
        if !output.status.success() {
            return Err(Error::Failed(format!(
                "{name} does not start here: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            )));
        }
        let said = String::from_utf8_lossy(&output.stdout);
        version = said.lines().next().unwrap_or(name).to_string();
        fs::rename(&file, bin.join(name))
            .map_err(Error::io(format!("moving {}", file.display())))?;
    }
    Ok(version)
}

fn run(program: &str, arguments: Vec<OsString>, directory: &Path, row: &mut Row) -> Result<()> {
    let (mut command, lifeline) = contain::program(program, arguments)?;
    command
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let log = row.follow(lifeline.spawn(&mut command)?, ToString::to_string)?;
    if log.code == 0 {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "{program} failed with exit code {}: {}",
        log.code,
        log.tail()
    )))
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
