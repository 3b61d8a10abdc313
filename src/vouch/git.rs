//! What lies in `git/`: checkouts are the revisions that a lock file names, and repositories are whole.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;

use super::part::found_digest;
use super::{Is, Judged, Known, LeftBy, Seen, Verdict, Vouching};
use crate::cargo::git_database::look_at_database;
use crate::cargo::git_repository::{Files, Looked, look_at_checkout};
use crate::cargo::home::{Shared, unit};
use crate::fs::stat::Kind;
use crate::fs::walk::Found;
use crate::job::Result;
use crate::model::digest::Digest;
use crate::model::rel_path::RelPath;

/// Judges what was found in `dir`, a `git/`.
pub(crate) fn verdicts(
    vouching: &Vouching<'_>,
    dir: &Path,
    found: &[Found],
    known: &Known,
    left_by: LeftBy,
) -> Result<Judged> {
    let mut parts: BTreeMap<RelPath, Vec<&Found>> = BTreeMap::new();
    for found in found {
        if let Some(top) = unit(Shared::Git, &found.path) {
            parts.entry(top).or_default().push(found);
        }
    }
    let judge = |(top, found): (&RelPath, &Vec<&Found>)| {
        vouching.progress.go_on()?;
        Ok(judge(vouching, dir, (top, found), known.get(top).map(Seen::of), left_by))
    };
    let judged = parts.par_iter().map(judge).collect::<Result<Vec<_>>>()?;
    let is_complete = judged.iter().all(Option::is_some);
    let parts = parts.into_keys().zip(judged);
    let verdicts = parts.filter_map(|(path, is)| Some(Verdict { path, is: is? })).collect();
    Ok(Judged { verdicts, is_complete })
}

/// Judges a repository or a checkout; no verdict where there is no git to ask.
fn judge(
    vouching: &Vouching<'_>,
    dir: &Path,
    (top, found): (&RelPath, &[&Found]),
    known: Option<Seen>,
    left_by: LeftBy,
) -> Option<Is> {
    if found.first().is_none_or(|first| first.path != *top || first.stat.kind != Kind::Dir) {
        return Some(Is::no_directory());
    }
    let full = dir.join(top.as_path());
    let files = found_digest(found.iter().copied());
    let below = |found: &&Found| {
        let rest = found.path.as_bytes().get(top.as_bytes().len() + 1..)?;
        Some((RelPath::parse(rest).ok()?, found.stat))
    };
    let below = || -> Files { found.iter().filter_map(below).collect() };
    let mut wrong = None;
    for ask in asks(vouching, top) {
        let seen = Seen { with: ask.digest(), files };
        let and_more = Seen { with: ask.digest_and_more(), files };
        if known == Some(seen) || (known == Some(and_more) && left_by == LeftBy::Readable) {
            return known.map(Is::Right);
        }
        let looked = match ask {
            Ask::Whole => look_at_database(&full, &below()),
            Ask::Revision(rev) => look_at_checkout(&full, &below(), rev, &vouching.job.environment),
        };
        match looked {
            Ok(Looked::Right) => return Some(Is::Right(seen)),
            Ok(Looked::RightAndMore(_)) if left_by == LeftBy::Readable => {
                return Some(Is::Right(and_more));
            }
            Ok(Looked::Unknown) => return None,
            Ok(Looked::RightAndMore(why) | Looked::Wrong(why)) => drop(wrong.get_or_insert(why)),
            Err(error) => drop(wrong.get_or_insert(error.to_string())),
        }
    }
    wrong.map(Is::Wrong)
}

/// What something in `git/` is asked.
enum Ask<'a> {
    /// Whether it is whole.
    Whole,
    /// Whether it is this revision.
    Revision(&'a [u8]),
}

impl Ask<'_> {
    fn digest(&self) -> Digest {
        match self {
            Self::Whole => whole(),
            Self::Revision(rev) => Digest::of(rev),
        }
    }

    /// The same where there is more that git ignores.
    fn digest_and_more(&self) -> Digest {
        Digest::of(format!("{} and more", self.digest()).as_bytes())
    }
}

/// Returns what repositories are compared with: nothing but their own form.
pub(crate) fn whole() -> Digest {
    Digest::of(b"repository")
}

fn asks<'a>(vouching: &'a Vouching<'_>, top: &'a RelPath) -> Vec<Ask<'a>> {
    let names: Vec<&[u8]> = top.components().collect();
    match names[..] {
        [b"checkouts", repository, short] => {
            let revisions = vouching.job.wanted.revisions(repository, short);
            revisions.map(Ask::Revision).collect()
        }
        _ => vec![Ask::Whole],
    }
}

/// Returns what something at `top` was compared with when a generation with it was vouched for.
pub(super) fn compared_with(vouching: &Vouching<'_>, top: &RelPath) -> Option<Digest> {
    // Two revisions with one abbreviation are too rare to be told apart.
    match &asks(vouching, top)[..] {
        // What git ignores is that of a job that may be read.
        [ask @ Ask::Revision(_)] => Some(ask.digest_and_more()),
        [ask] => Some(ask.digest()),
        _ => None,
    }
}
