//! Puts back the kept files that a checkout lacks, if their units stay fresh.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::choice::Choice;
use super::put_back::PutBack;
use super::standing::fates_in;
use crate::cargo::manifests::is_other_repo;
use crate::fs::At;
use crate::fs::beneath::Beneath;
use crate::job::{AreaPlace, Job};
use crate::job::{Error, Result};
use crate::model::configuration::is_configuration;
use crate::model::kept::{StaysAway, stays_away};
use crate::model::manifest::{Entry, EntryKind, FileFacts, KeptFile, Manifest, Source};
use crate::model::rel_path::RelPath;
use crate::model::root::Root;
use crate::model::sketch::Contents;
use crate::model::timestamp::Timestamp;
use crate::store::Lease;
use crate::tree::staged::Staged;
use crate::tree::unpack::Unpacker;

/// Creates the kept files that a checkout lacks, before its sources are read. Returns the created
/// files, and the errors for others, whose roots will look new.
///
/// Each file appears by a rename, with the mtime `bound`, which is later than every restored mtime:
/// the file may look old only when the trees are in place.
pub(super) fn create_missing(
    unpacker: &Unpacker<'_>,
    lease: &Lease,
    roots: &BTreeMap<Root, PathBuf>,
    manifests: &[&Manifest],
    bound: Timestamp,
) -> (PutBack, Vec<Error>) {
    let (mut created, mut failed) = (PutBack::new(), Vec::new());
    for manifest in manifests {
        for (root, dir) in roots {
            let is_lacking = |kept: &&KeptFile| {
                kept.root == *root
                    && may_be_at(dir, &kept.path)
                    && may_run(manifest, kept)
                    && !is_there(dir, &kept.path)
                    && !created.contains(&(root.clone(), kept.path.clone()))
            };
            let lacking: Vec<_> = manifest.kept.iter().filter(is_lacking).collect();
            if lacking.is_empty() {
                continue;
            }
            failed.extend(create(unpacker, lease, dir, manifest, &lacking, bound).err());
            let here = lacking.iter().filter(|kept| is_there(dir, &kept.path));
            created.extend(here.map(|kept| (root.clone(), kept.path.clone())));
        }
    }
    (created, failed)
}

fn is_there(root: &Path, path: &RelPath) -> bool {
    root.join(path.as_path()).symlink_metadata().is_ok()
}

/// Tells whether a file that a build script wrote may be put at a path. It may not if git, cargo or
/// rustup would obey it there, if a directory above it is a symlink or another repository, or if
/// another file is the same Rust module.
fn may_be_at(root: &Path, path: &RelPath) -> bool {
    if is_configuration(path) {
        return false;
    }
    let full = root.join(path.as_path());
    let mut dirs = full.ancestors().skip(1).take_while(|dir| *dir != root);
    if dirs.any(|dir| dir.is_symlink() || is_other_repo(dir) || is_bare_repo(dir)) {
        return false;
    }
    let is_module = full.extension().is_some_and(|extension| extension == "rs");
    let twin = match full.file_name() {
        Some(name) if name == "mod.rs" => full.parent().map(|dir| dir.with_extension("rs")),
        _ => is_module.then(|| full.with_extension("").join("mod.rs")),
    };
    twin.is_none_or(|twin| twin.symlink_metadata().is_err())
}

/// Tells whether a directory is a git repository without a checkout, as git recognises one.
fn is_bare_repo(dir: &Path) -> bool {
    dir.join("HEAD").exists() && dir.join("objects").is_dir() && dir.join("refs").is_dir()
}

/// Tells whether a file may be put back with its recorded mode. An executable file may only if it
/// is a source that was recorded as executable. For any other file nobody knows which program would
/// run it, so its build script must write it again.
fn may_run(manifest: &Manifest, kept: &KeptFile) -> bool {
    let is_it =
        |source: &&Source| source.root == kept.root && source.path.as_ref() == Some(&kept.path);
    kept.facts.mode & 0o111 == 0
        || manifest.sources.iter().find(is_it).is_some_and(|source| source.is_executable)
}

fn create(
    unpacker: &Unpacker<'_>,
    lease: &Lease,
    root: &Path,
    manifest: &Manifest,
    lacking: &[&KeptFile],
    bound: Timestamp,
) -> Result<()> {
    let name = |index: usize| {
        RelPath::parse(index.to_string().as_bytes()).expect("digits are a path below a root")
    };
    let entry = |(index, kept): (usize, &&KeptFile)| Entry {
        path: name(index),
        kind: EntryKind::File(FileFacts {
            mtime: bound,
            mode: kept.facts.mode & 0o777,
            ..kept.facts.clone()
        }),
    };
    let mut entries: Vec<_> = lacking.iter().enumerate().map(entry).collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let dest = Beneath::open(root)?;
    let staged = Staged::within(lease, root, Path::new("kept"))?;
    let staging = Beneath::open(staged.path())?;
    unpacker.unpack(&manifest.header.packs, &entries, &staging, None)?;
    let mut done = Ok(());
    for (index, kept) in lacking.iter().enumerate() {
        let put = dest.create_parents(&kept.path);
        let put = put.and_then(|()| dest.rename_from(&kept.path, &staging, &name(index)));
        // A file that cannot be put back does not stop the others.
        done = done.and(put);
    }
    Ok(done?)
}

/// Returns the kept files of a generation that stay away, and the units that must be built again
/// for them. The checkout has these `contents`; the files in `away` stay away in any case.
pub(super) fn judge(
    job: &Job,
    place: &AreaPlace,
    choice: &Choice,
    contents: &Contents,
    away: &PutBack,
) -> StaysAway {
    let manifest = &choice.manifest;
    if manifest.kept.is_empty() {
        return StaysAway::default();
    }
    let fates = fates_in(job, place, manifest, contents);
    let here = |kept: &KeptFile| job.roots.get(&kept.root).cloned();
    stays_away(
        manifest,
        fates.as_deref(),
        |kept| {
            let is_away = away.contains(&(kept.root.clone(), kept.path.clone()));
            let may_be = |root: PathBuf| may_be_at(&root, &kept.path) && may_run(manifest, kept);
            !is_away && here(kept).is_some_and(may_be)
        },
        |kept| here(kept).is_some_and(|root| is_there(&root, &kept.path)),
    )
}

/// Removes the `created` files that stay away. Tells whether there were any.
pub(super) fn take_away(
    roots: &BTreeMap<Root, PathBuf>,
    created: &mut PutBack,
    away: &PutBack,
) -> Result<bool> {
    let going: Vec<_> = created.intersection(away).cloned().collect();
    for (root, path) in &going {
        let full = roots[root].join(path.as_path());
        std::fs::remove_file(&full).at("remove", &full)?;
        created.remove(&(root.clone(), path.clone()));
    }
    Ok(!going.is_empty())
}
