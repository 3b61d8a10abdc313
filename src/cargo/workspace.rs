//! Finds the root of a workspace by cargo's rules, without running cargo.
//!
//! See "The workspaces section" in the Cargo Book, and `find_workspace_root` in cargo's sources.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use toml::Table;

use super::error::{Error, Result};
use crate::fs::At;
use crate::fs::regular::read_to_string;

/// Returns the canonical path of a repo's directory.
pub(super) fn open_repo(repo: &Path) -> Result<PathBuf> {
    match repo.canonicalize() {
        Ok(repo) if repo.is_dir() => Ok(repo),
        Err(error) if error.kind() != ErrorKind::NotFound => Ok(Err(error).at("find", repo)?),
        _ => Err(Error::RepoMissing(repo.to_owned())),
    }
}

/// Returns the root of the workspace that cargo would use in `repo`, a canonical path; `None` if
/// there is no manifest in `repo` or above it in the same checkout.
///
/// A root may lie above the checkout: an umbrella workspace around several repos.
pub(super) fn root(repo: &Path, cargo_home: Option<&Path>) -> Result<Option<PathBuf>> {
    let in_checkout = |dir: &&Path| checkout(repo).is_none_or(|top| dir.starts_with(top));
    let mut dirs = repo.ancestors().take_while(in_checkout);
    let Some(package) = dirs.find(|dir| dir.join(MANIFEST).is_file()) else {
        return Ok(None);
    };
    for dir in package.ancestors() {
        // Cargo takes no package that it packages for a member, and does not look above its home
        // for the workspace of a package inside it.
        let left_home = cargo_home.is_some_and(|home| {
            package != home && package.starts_with(home) && home.parent() == Some(dir)
        });
        if dir != package && (dir.ends_with("target/package") || left_home) {
            break;
        }
        let Some(manifest) = read(&dir.join(MANIFEST))? else { continue };
        if let Some(root) = root_by(&manifest, dir, package) {
            return Ok(Some(root));
        }
    }
    Ok(Some(package.to_owned()))
}

/// Returns the top of the git checkout that holds `dir`.
pub(super) fn checkout(dir: &Path) -> Option<&Path> {
    dir.ancestors().find(|dir| dir.join(".git").exists())
}

/// The name of a manifest.
pub(super) const MANIFEST: &str = "Cargo.toml";

/// Returns the workspace root that the manifest in `dir` declares for `package`.
fn root_by(manifest: &Table, dir: &Path, package: &Path) -> Option<PathBuf> {
    if let Some(workspace) = manifest.get("workspace") {
        let below = |list: &str| {
            let paths = workspace.get(list).and_then(toml::Value::as_array);
            let mut paths = paths.into_iter().flatten().filter_map(toml::Value::as_str);
            // Cargo compares with members as written: a glob covers no path here.
            paths.any(|path| package.starts_with(dir.join(path)))
        };
        return (below("members") || !below("exclude")).then(|| dir.to_owned());
    }
    let root = manifest.get("package")?.get("workspace")?.as_str()?;
    Some(without_dots(&dir.join(root)))
}

/// Returns the name of the package in `dir`, if there is one.
pub fn package_name(dir: &Path) -> Option<String> {
    let manifest = read(&dir.join(MANIFEST)).ok()??;
    Some(manifest.get("package")?.get("name")?.as_str()?.to_owned())
}

fn read(path: &Path) -> Result<Option<Table>> {
    let text = match read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Ok(Err(error).at("read", path)?),
    };
    let table = text.parse::<Table>();
    table
        .map(Some)
        .map_err(|error| Error::malformed_toml(format!("`{}`", path.display()), &text, &error))
}

/// Removes `.` and `..` by name alone, as cargo does with paths in manifests.
pub(super) fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}
