//! The directory of a scaffold: a kustomize base, and Helm values below it.

use crate::print::text::shell;
use crate::problem::Problem;
use infer_scaffold::Scaffold;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where Helm values go: `kubectl apply -f DIR` and `check -f DIR` read the files of DIR itself as
/// objects, and values are none.
const HELM: &str = "helm";

/// What was written.
pub(super) struct Report {
    /// The paths, one a line.
    pub(super) written: String,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

/// Writes it.
///
/// # Errors
///
/// Files that are there already, all of them, unless they may be overwritten; then nothing was
/// written. Or a file that cannot be written.
pub(super) fn write(
    directory: &str,
    scaffold: &Scaffold,
    overwrite: bool,
) -> Result<Report, Vec<Problem>> {
    let directory = Path::new(directory);
    let files = files(directory, scaffold);
    if !overwrite {
        let there: Vec<Problem> = files
            .iter()
            .filter(|(path, _)| path.symlink_metadata().is_ok())
            .map(|(path, _)| Problem::new("is there already").file(path.display().to_string()))
            .collect();
        if let Some(last) = there.len().checked_sub(1) {
            let help = "`--force` overwrites what is there, another `--output-dir` leaves it alone";
            let add_help = |(index, problem): (usize, Problem)| match index == last {
                true => problem.help(help),
                false => problem,
            };
            return Err(there.into_iter().enumerate().map(add_help).collect());
        }
    }
    let mut written = String::new();
    for (path, text) in &files {
        save(path, text, overwrite).map_err(|error| {
            vec![
                Problem::new(format!("cannot be written: {error}"))
                    .file(path.display().to_string()),
            ]
        })?;
        written.push_str(&format!("{}\n", shell(&path.display().to_string())));
    }
    Ok(Report {
        written,
        notes: strangers(directory, &files),
    })
}

fn files(directory: &Path, scaffold: &Scaffold) -> Vec<(PathBuf, String)> {
    let mut files = vec![(
        directory.join("kustomization.yaml"),
        scaffold.kustomization().yaml(),
    )];
    let objects = scaffold.documents.iter();
    files.extend(objects.map(|document| (directory.join(document.file_name()), document.yaml())));
    let values = scaffold.values.iter();
    files.extend(values.map(|values| {
        let path = directory.join(HELM).join(values.file_name());
        (path, values.document.yaml())
    }));
    files
}

fn save(path: &Path, text: &str, overwrite: bool) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut options = OpenOptions::new();
    options.write(true);
    if overwrite {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.open(path)?.write_all(text.as_bytes())
}

/// Manifests of the directory that are no part of this: left by another scaffold, perhaps.
fn strangers(directory: &Path, files: &[(PathBuf, String)]) -> Vec<String> {
    let ours: BTreeSet<&Path> = files.iter().map(|(path, _)| path.as_path()).collect();
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_manifest = |path: &Path| {
        let extension = path.extension().and_then(|it| it.to_str());
        matches!(extension, Some("yaml" | "yml" | "json")) && path.is_file()
    };
    let mut others: Vec<String> = entries
        .map(|entry| entry.path())
        .filter(|path| is_manifest(path) && !ours.contains(path.as_path()))
        .map(|path| path.display().to_string())
        .collect();
    others.sort();
    if others.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "no part of this base, and left as they are: {}",
        others.join(", ")
    )]
}
