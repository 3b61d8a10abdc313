//! Setting aside what a job of another lane may have changed in a `CARGO_HOME`, where no lock file says how it was.
//!
//! A lock file that git tracks proves crates and the files of git checkouts. It says nothing of an index, of the refs of
//! git repositories, and of crates that it does not name: without such a lock file cargo makes one from what lies there.
//! Of these only what a generation of this lane holds, byte for byte, is left for cargo to find.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;

use super::{Part, Vouching};
use crate::cargo::home::{CrateOf, STAGED_PREFIX, Shared, unit};
use crate::fs::beneath::Beneath;
use crate::fs::stat::{Kind, Stat};
use crate::fs::walk::Walked;
use crate::job::Result;
use crate::job::locks::{keep_packages_still, keep_packages_unused};
use crate::model::manifest::{Entry, EntryKind, FileFacts, Manifest};
use crate::model::rel_path::RelPath;
use crate::model::source::is_executable;
use crate::tree::compare::holds;
use crate::tree::missed::why;
use crate::tree::staged::Staged;
use crate::tree::walk::walk;

/// What became of what nothing proves.
#[derive(Debug)]
pub(crate) enum Unproven {
    /// There was nothing.
    None,
    /// It is not there any more; how that is said.
    SetAside(String),
    /// Some of it stays, and cargo builds with it.
    Stays,
}

impl Vouching<'_> {
    /// Removes what nothing proves of a part of a home that a job left which this one may not read. What `saved` holds, a
    /// generation of this lane, stays.
    ///
    /// Both of cargo's locks are held for the renames. After an error everything is where it was.
    pub(crate) fn set_unproven_aside(
        &self,
        part: Part<'_>,
        saved: Option<&Manifest>,
    ) -> Result<Unproven> {
        if !part.dir.is_dir() || self.unproven(part, saved)?.is_empty() {
            return Ok(Unproven::None);
        }
        let _locks = keep_packages_unused(&self.job.cargo_home, self.progress)?;
        let all = self.unproven_unlocked(part, saved)?;
        let may_go = |top: &RelPath| self.is_made_anew(part, top, saved);
        let (unproven, staying): (Vec<_>, Vec<_>) = all.into_iter().partition(may_go);
        let home = Beneath::open(part.dir)?;
        let staged = Staged::within(self.lease, part.dir, part.dir)?;
        let aside = Beneath::open(staged.path())?;
        for path in &unproven {
            aside.create_parents(path)?;
            aside.rename_from(path, &home, path)?;
        }
        // A lock file that git tracks says enough of the rest.
        if !staying.is_empty() && !self.job.is_locked {
            return Ok(Unproven::Stays);
        }
        let count = match unproven.len() {
            0 => return Ok(Unproven::None),
            1 => "1 part".to_owned(),
            parts => format!("{parts} parts"),
        };
        Ok(Unproven::SetAside(format!(
            "{count} of `{}` set aside: a job of another lane may have changed them, and no lock file that git tracks says \
             what they were",
            part.dir.display()
        )))
    }

    fn unproven(&self, part: Part<'_>, saved: Option<&Manifest>) -> Result<BTreeSet<RelPath>> {
        let _lock = keep_packages_still(&self.job.cargo_home, self.progress)?;
        self.unproven_unlocked(part, saved)
    }

    /// The same, while the caller keeps cargo out.
    fn unproven_unlocked(
        &self,
        part: Part<'_>,
        saved: Option<&Manifest>,
    ) -> Result<BTreeSet<RelPath>> {
        let Walked { found, missed } =
            walk(part.dir, |path, kind| self.needs_proof(part.kind, path, kind))?;
        let top = |path: &RelPath| unit(part.kind, path).unwrap_or_else(|| path.clone());
        let mut there: BTreeMap<RelPath, BTreeMap<&RelPath, &Stat>> = BTreeMap::new();
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
        let is_proven = |(top, found): &(&RelPath, &BTreeMap<&RelPath, &Stat>)| {
            self.progress.go_on()?;
            let (Some(saved), Some(entries)) = (saved, kept.get(*top)) else { return Ok(false) };
            is_as_saved(&home, saved, entries, found)
        };
        let verdicts: Vec<_> = there.iter().collect();
        let verdicts = verdicts.into_par_iter().map(|it| Ok((it.0.clone(), is_proven(&it)?)));
        let verdicts = verdicts.collect::<Result<Vec<_>>>()?;
        let unproven = verdicts.into_iter().filter(|(_, is_proven)| !is_proven).map(|(top, _)| top);
        Ok(unproven.chain(missed.iter().map(|missed| top(&missed.path))).collect())
    }

    /// Tells whether something comes again that is removed: from the generation, from what lies beside it, or, unless a
    /// lock file says enough of it, from where cargo fetches it. Where nothing was ever saved and cargo may fetch nothing,
    /// it could build nothing without it.
    fn is_made_anew(&self, part: Part<'_>, top: &RelPath, saved: Option<&Manifest>) -> bool {
        let is_there = |below: RelPath| part.dir.join(below.as_path()).exists();
        let names: Vec<_> = top.components().collect();
        let origin = match (part.kind, &names[..]) {
            (Shared::Registry, [b"src", registry, name]) => CrateOf { registry, name }.file(),
            (Shared::Git, [b"checkouts", repository, _]) => {
                RelPath::parse(&[b"db/", *repository].concat()).ok()
            }
            _ => None,
        };
        let is_saved = saved.is_some_and(|saved| saved.entry(top).is_some());
        let is_fetched = !self.job.is_locked && (saved.is_some() || !self.is_offline());
        is_saved || is_fetched || origin.is_some_and(is_there)
    }

    fn is_offline(&self) -> bool {
        let offline = self.job.environment.get("CARGO_NET_OFFLINE");
        offline.is_some_and(|value| value == "true")
    }

    /// Tells whether something in a home, or what it may hold, is nothing that a lock file proves.
    fn needs_proof(&self, part: Shared, path: &RelPath, kind: Kind) -> bool {
        let mut names = path.components();
        let (first, second, third) = (names.next(), names.next(), names.next());
        let is_staged = |name: Option<&[u8]>| {
            name.is_some_and(|name| name.starts_with(STAGED_PREFIX.as_bytes()))
        };
        if is_staged(first) || is_staged(second) {
            return false;
        }
        match (part, self.job.is_locked) {
            (_, false) => first != Some(b"CACHEDIR.TAG"),
            (Shared::Git, true) if kind == Kind::Dir => self.job.wanted.may_hold(part, path),
            (Shared::Git, true) => self.job.wanted.wants(part, path),
            // Where a registry is, its index says.
            (Shared::Registry, true) => {
                first == Some(b"index") && third.is_none_or(|name| name == b"config.json")
            }
        }
    }
}

/// Tells whether a part holds what a generation says, names, bytes and executable bits.
fn is_as_saved(
    home: &Beneath,
    saved: &Manifest,
    entries: &[&Entry],
    found: &BTreeMap<&RelPath, &Stat>,
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
                let leads_to = |path: &Path| std::fs::read_link(path).ok();
                stat.kind == Kind::Symlink
                    && leads_to(&home.full(path))
                        .is_some_and(|to| to.as_os_str().as_encoded_bytes() == target.as_bytes())
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
    // What cannot be read proves nothing.
    let has_its_bytes = || holds(home, path, facts).or_else(|error| why(error).map(|_| false));
    Ok(looks_same && has_its_bytes()?)
}
