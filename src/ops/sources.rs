//! Reading the sources of every root, and putting their mtimes back.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::Result;
use super::report::SourcesReport;
use crate::cargo::sources::{Listing, SourceFile, leads_to, list};
use crate::fs::At;
use crate::fs::beneath::Beneath;
use crate::fs::stat::Kind;
use crate::model::digest::{Digest, Hasher};
use crate::model::freshness::{Observed, refresh};
use crate::model::manifest::{Root, Source, SourceKind};
use crate::model::rel_path::RelPath;
use crate::model::timestamp::Timestamp;

/// Reads every source of `root`; `excluded` directories are none.
pub(super) fn observe(root: &Path, excluded: &[PathBuf]) -> Result<Vec<Observed>> {
    let Listing { files, dirs } = list(root, excluded)?;
    let of_files: Result<Vec<_>> = files.par_iter().map(|file| observe_file(root, file)).collect();
    let of_dirs = dirs.into_iter().map(|dir| Observed {
        path: dir.path,
        kind: SourceKind::Dir,
        digest: dir.names,
        mtime: dir.stat.mtime,
        leads_to: None,
    });
    let mut observed = of_files?;
    observed.extend(of_dirs);
    Ok(observed)
}

fn observe_file(root: &Path, file: &SourceFile) -> Result<Observed> {
    let full = root.join(file.path.as_path());
    let is_link = file.stat.kind == Kind::Symlink;
    let digest = if is_link {
        let target = std::fs::read_link(&full).at("read symlink", &full)?;
        Digest::of(target.as_os_str().as_encoded_bytes())
    } else {
        let mut hasher = Hasher::default();
        let read = File::open(&full).and_then(|mut file| io::copy(&mut file, &mut hasher));
        read.at("read", &full)?;
        hasher.finish()
    };
    Ok(Observed {
        path: Some(file.path.clone()),
        kind: if is_link { SourceKind::Symlink } else { SourceKind::File },
        digest,
        mtime: file.stat.mtime,
        leads_to: if is_link { leads_to(root, &file.path) } else { None },
    })
}

/// Records every source of every root, for a manifest.
pub(super) fn record(roots: &BTreeMap<Root, PathBuf>, excluded: &[PathBuf]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for (root, dir) in roots {
        let observed = observe(dir, excluded)?;
        sources.extend(observed.into_iter().map(|now| Source {
            root: root.clone(),
            path: now.path,
            kind: now.kind,
            digest: now.digest,
            mtime: now.mtime,
        }));
    }
    Ok(sources)
}

/// Tells whether two records have the same sources, whatever their mtimes.
pub(super) fn are_same(a: &[Source], b: &[Source]) -> bool {
    type Content = BTreeMap<(Root, Option<RelPath>), (SourceKind, Digest)>;
    let content = |sources: &[Source]| -> Content {
        let key = |source: &Source| (source.root.clone(), source.path.clone());
        sources.iter().map(|source| (key(source), (source.kind, source.digest))).collect()
    };
    content(a) == content(b)
}

/// Puts back the mtimes of what is as recorded, and makes the rest newer than `bound`.
///
/// `records` holds the sources of each generation that was restored. Returns what was done and
/// which files are changed.
pub(super) fn put_back(
    roots: &BTreeMap<Root, PathBuf>,
    records: &[&[Source]],
    excluded: &[PathBuf],
    bound: Timestamp,
) -> Result<(SourcesReport, Vec<PathBuf>)> {
    let mut report = SourcesReport::default();
    let mut changed = Vec::new();
    for (root, dir) in roots {
        let of_root = records.iter().map(|sources| -> Vec<&Source> {
            sources.iter().filter(|source| source.root == *root).collect()
        });
        let records: Vec<_> = of_root.filter(|record| !record.is_empty()).collect();
        if records.is_empty() {
            continue;
        }
        let refresh = refresh(&records, &observe(dir, excluded)?, bound);
        let beneath = Beneath::open(dir)?;
        // Files and links first, for nothing below a directory may change after its mtime is set.
        // Setting an mtime changes no directory, so any order would do; this one cannot be wrong.
        for (path, mtime) in refresh.mtimes.iter().rev() {
            match path {
                Some(path) => beneath.set_mtime(path, *mtime)?,
                None => beneath.set_own_mtime(*mtime)?,
            }
        }
        report.checked += refresh.checked;
        report.restored += refresh.unchanged;
        report.changed += refresh.checked - refresh.unchanged;
        changed.extend(refresh.changed.iter().map(|path| dir.join(path.as_path())));
    }
    Ok((report, changed))
}
