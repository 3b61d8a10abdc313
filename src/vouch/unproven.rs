//! Changes that a job of another lane made in a `CARGO_HOME` and that no lock file shows.
//!
//! A lock file that git tracks proves crates and the files of git checkouts. It does not cover the `.git`
//! directory of a checkout, nor an index. Without such a lock file cargo makes one from the index and the crates it finds.
//! We compare all these with the generation that is about to be restored. If the generation lacks a source, we compare
//! it with its `.crate` file; if it lacks a checkout, with the commit that the checkout's name abbreviates.
//!
//! Other jobs may use the home, and may be unable to fetch. So a changed part is either replaced in one step, or cargo can
//! make it again from files that stay.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;

use super::{Part, Vouching};
use crate::cargo::crate_file::{Difference, difference, is_raw_profile};
use crate::cargo::git_repository::{Looked, commit_of, look_at_checkout};
use crate::cargo::home::{RegistryPart, STAGED_PREFIX, Shared, registry_part, unit};
use crate::fs::beneath::Beneath;
use crate::fs::regular::read_to_string;
use crate::fs::stat::{Kind, Stat};
use crate::fs::walk::Walked;
use crate::job::Result;
use crate::job::locks::{keep_packages_still, keep_packages_unused};
use crate::job::note::Note;
use crate::model::manifest::{Entry, EntryKind, FileFacts, Manifest};
use crate::model::rel_path::RelPath;
use crate::model::source::is_executable;
use crate::tree::compare::holds;
use crate::tree::missed::why;
use crate::tree::staged::Staged;
use crate::tree::walk::walk;

/// The paths of one part of a home: a file, or a directory with everything in it.
type There<'a> = BTreeMap<&'a RelPath, &'a Stat>;

/// The changed parts of a home, each a file or a directory with everything in it.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// Parts that the generation has with other bytes.
    pub(crate) saved: BTreeSet<RelPath>,
    /// Parts that the generation lacks and cargo makes again.
    pub(crate) made: BTreeSet<RelPath>,
}

impl Changed {
    /// Notes how many parts of `dir` were changed, if any.
    pub(crate) fn note(&self, dir: &Path) -> Option<Note> {
        let count = self.saved.len() + self.made.len();
        (count > 0).then(|| Note::ChangedByAnotherLane { dir: dir.to_owned(), count })
    }
}

impl Vouching<'_> {
    /// Finds the parts that were changed by a job that this one may not read: those that differ from `saved`, a
    /// generation of this lane, or from their `.crate` file or commit.
    pub(crate) fn changed(&self, part: Part<'_>, saved: Option<&Manifest>) -> Result<Changed> {
        if !part.dir.is_dir() {
            return Ok(Changed::default());
        }
        let _lock = keep_packages_still(&self.job.cargo_home, self.progress)?;
        self.changed_in(part, saved)
    }

    /// Removes the `changed` parts that still differ; cargo makes them again.
    ///
    /// Holds both of cargo's locks. After an error some of the parts may be gone.
    pub(crate) fn remove_changed(&self, part: Part<'_>, changed: &BTreeSet<RelPath>) -> Result<()> {
        if changed.is_empty() {
            return Ok(());
        }
        let _locks = keep_packages_unused(&self.job.cargo_home, self.progress)?;
        let home = Beneath::open(part.dir)?;
        let staged = Staged::within(self.lease, part.dir, part.dir)?;
        let aside = Beneath::open(staged.path())?;
        for path in self.changed_in(part, None)?.made.intersection(changed) {
            aside.create_parents(path)?;
            home.move_to(path, &aside)?;
        }
        Ok(())
    }

    /// Finds the changed parts. The caller holds cargo's package lock.
    fn changed_in(&self, part: Part<'_>, saved: Option<&Manifest>) -> Result<Changed> {
        let Walked { mut found, .. } =
            walk(part.dir, |path, kind| self.needs_proof(part.kind, path, kind))?;
        // An instrumented build script writes raw profiles; no crate is compiled from them.
        let is_saved = |path: &RelPath| saved.is_some_and(|saved| saved.entry(path).is_some());
        found.retain(|found| {
            part.kind == Shared::Git || !is_raw_profile(&found.path) || is_saved(&found.path)
        });
        let top = |path: &RelPath| unit(part.kind, path).unwrap_or_else(|| path.clone());
        let mut there: BTreeMap<RelPath, There<'_>> = BTreeMap::new();
        for found in &found {
            let is_way = unit(part.kind, &found.path).is_none() && found.stat.kind == Kind::Dir;
            if !is_way {
                there.entry(top(&found.path)).or_default().insert(&found.path, &found.stat);
            }
        }
        let mut kept: BTreeMap<RelPath, Vec<&Entry>> = BTreeMap::new();
        for entry in saved.into_iter().flat_map(|saved| &saved.entries) {
            kept.entry(top(&entry.path)).or_default().push(entry);
        }
        let home = Beneath::open(part.dir)?;
        let verdict = |(top, found): (&RelPath, &There<'_>)| {
            self.progress.check_stopped()?;
            Ok(match (saved, kept.get(top)) {
                (Some(saved), Some(entries)) => !is_as_saved(&home, saved, entries, found)?,
                _ if part.kind == Shared::Registry => is_other_than_its_crate(&home, top, found),
                _ => self.is_other_than_its_commit(&home, top, found),
            })
        };
        let there: Vec<_> = there.iter().collect();
        let verdicts = there.par_iter().map(|it| verdict(*it)).collect::<Result<Vec<_>>>()?;
        let changed = there.iter().zip(verdicts).filter(|(_, is_changed)| *is_changed);
        let (saved, made) =
            changed.map(|((top, _), _)| (*top).clone()).partition(|top| kept.contains_key(top));
        Ok(Changed { saved, made })
    }

    /// Tells whether a checkout differs from the commit that its name abbreviates. `false` without the repository from
    /// which cargo would make the checkout again.
    fn is_other_than_its_commit(&self, home: &Beneath, top: &RelPath, found: &There<'_>) -> bool {
        let names: Vec<_> = top.components().collect();
        let [b"checkouts", repository, short] = names[..] else { return false };
        let database = RelPath::parse(&[b"db/", repository].concat());
        if !database.is_ok_and(|database| home.full(&database).is_dir()) {
            return false;
        }
        let dir = home.full(top);
        let commit = commit_of(&dir).filter(|commit| commit.as_bytes().starts_with(short));
        let Some(commit) = commit else { return true };
        let found = below(top, found);
        // The repository may have the same tags. The checkout is made again all the same, with the tags of the
        // repository.
        if has_tags(&dir, &found) {
            return true;
        }
        let looked = look_at_checkout(&dir, &found, commit.as_bytes(), &self.job.environment);
        // A build script wrote the files that git ignores, and cargo need not run it again; so these files stay.
        matches!(looked, Ok(Looked::Wrong(_)))
    }

    /// Tells whether no lock file proves the file at `path`, or the files that may be in the directory at `path`.
    fn needs_proof(&self, part: Shared, path: &RelPath, kind: Kind) -> bool {
        let mut names = path.components();
        let (first, second, third) = (names.next(), names.next(), names.next());
        let is_staged = |name: Option<&[u8]>| {
            name.is_some_and(|name| name.starts_with(STAGED_PREFIX.as_bytes()))
        };
        if is_staged(first) || is_staged(second) {
            return false;
        }
        let wanted = &self.job.locked_parts;
        match (part, self.job.is_locked) {
            (Shared::Registry, false) => first != Some(b"CACHEDIR.TAG"),
            // The index names the URL from which crates are fetched.
            (Shared::Registry, true) => {
                first == Some(b"index") && third.is_none_or(|name| name == b"config.json")
            }
            // A repository changes with each fetch.
            (Shared::Git, _) if first != Some(b"checkouts") => false,
            (Shared::Git, false) => true,
            (Shared::Git, true) if kind == Kind::Dir => wanted.may_hold(part, path),
            (Shared::Git, true) => wanted.wants(part, path),
        }
    }
}

/// Tells whether a part is as a generation says: names, bytes and executable bits.
fn is_as_saved(
    home: &Beneath,
    saved: &Manifest,
    entries: &[&Entry],
    found: &There<'_>,
) -> Result<bool> {
    if entries.len() != found.len() {
        return Ok(false);
    }
    for Entry { path, kind } in entries {
        let Some(stat) = found.get(path) else { return Ok(false) };
        let is_same = match kind {
            EntryKind::Dir { .. } => stat.kind == Kind::Dir,
            EntryKind::File(facts) => is_file(home, path, stat, facts)?,
            EntryKind::HardLink { of } => match saved.entry(of).map(|first| &first.kind) {
                Some(EntryKind::File(facts)) => is_file(home, path, stat, facts)?,
                _ => false,
            },
            EntryKind::Symlink { target, .. } => {
                let now = std::fs::read_link(home.full(path)).ok();
                now.is_some_and(|now| now.as_os_str().as_encoded_bytes() == target.as_bytes())
            }
        };
        if !is_same {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_file(home: &Beneath, path: &RelPath, stat: &Stat, facts: &FileFacts) -> Result<bool> {
    let looks_same = stat.kind == Kind::File
        && stat.size == facts.size
        && is_executable(stat.mode) == is_executable(facts.mode);
    // A file that cannot be read counts as different.
    let has_its_bytes = || holds(home, path, facts).or_else(|error| why(error).map(|_| false));
    Ok(looks_same && has_its_bytes()?)
}

/// Tells whether a part is a source that differs from its `.crate` file, which exists. Cargo extracts such a source
/// again.
fn is_other_than_its_crate(home: &Beneath, top: &RelPath, found: &There<'_>) -> bool {
    let RegistryPart::Source(of) = registry_part(top) else { return false };
    let file = of.file().map(|file| home.full(&file));
    let Some(file) = file.filter(|file| file.symlink_metadata().is_ok_and(|it| it.is_file()))
    else {
        return false;
    };
    let different = difference(&file, of.name, &home.full(top), &below(top, found));
    // A file that is not a `.crate` file proves nothing, and cargo could not extract it.
    !matches!(different, Ok(None | Some(Difference::Refused(_))) | Err(_))
}

/// Returns the paths that were found below a directory, relative to it.
fn below(top: &RelPath, found: &There<'_>) -> BTreeMap<RelPath, Stat> {
    let below = |(path, stat): (&&RelPath, &&Stat)| {
        let rest = path.as_bytes().get(top.as_bytes().len() + 1..)?;
        Some((RelPath::parse(rest).ok()?, **stat))
    };
    found.iter().filter_map(below).collect()
}

/// Tells whether a checkout has tags or replacement objects.
fn has_tags(dir: &Path, found: &BTreeMap<RelPath, Stat>) -> bool {
    const REFS: [&str; 2] = ["refs/tags/", "refs/replace/"];
    let is_one = |path: &RelPath| {
        let below = path.as_bytes().strip_prefix(b".git/").unwrap_or_default();
        REFS.iter().any(|refs| below.starts_with(refs.as_bytes()))
    };
    let is_file = |(path, stat): (&RelPath, &Stat)| stat.kind != Kind::Dir && is_one(path);
    let packed = read_to_string(&dir.join(".git/packed-refs")).unwrap_or_default();
    found.iter().any(is_file) || REFS.iter().any(|refs| packed.contains(refs))
}
