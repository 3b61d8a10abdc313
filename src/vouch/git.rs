//! Checks `git/`: checkouts are the revisions that a lock file names, and repositories are whole.

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

/// Judges the paths found in `dir`, a `git/`.
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
        vouching.progress.check_stopped()?;
        Ok(judge(vouching, dir, (top, found), known.get(top).map(Seen::of), left_by))
    };
    let judged = parts.par_iter().map(judge).collect::<Result<Vec<_>>>()?;
    let is_complete = judged.iter().all(Option::is_some);
    let parts = parts.into_keys().zip(judged);
    let verdicts = parts.filter_map(|(path, is)| Some(Verdict { path, is: is? })).collect();
    Ok(Judged { verdicts, is_complete })
}

/// Judges a repository or a checkout. Returns `None` if the revision is no full SHA-1 or git is missing.
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

/// The question asked about a repository or checkout in `git/`.
enum Ask<'a> {
    /// Is it whole?
    Whole,
    /// Is it this revision?
    Revision(&'a [u8]),
}

impl Ask<'_> {
    fn digest(&self) -> Digest {
        match self {
            Self::Whole => whole(),
            Self::Revision(rev) => Digest::of(rev),
        }
    }

    /// Returns the digest for a checkout that also holds files that git ignores.
    fn digest_and_more(&self) -> Digest {
        Digest::of(format!("{} and more", self.digest()).as_bytes())
    }
}

/// Returns the digest that stands for repositories, which are compared only with their own form.
pub(crate) fn whole() -> Digest {
    Digest::of(b"repository")
}

fn asks<'a>(vouching: &'a Vouching<'_>, top: &'a RelPath) -> Vec<Ask<'a>> {
    let names: Vec<&[u8]> = top.components().collect();
    match names[..] {
        [b"checkouts", repository, short] => {
            let revisions = vouching.job.locked_parts.revisions(repository, short);
            revisions.map(Ask::Revision).collect()
        }
        _ => vec![Ask::Whole],
    }
}

/// Returns the digest that `top` was compared with when its generation was vouched for.
pub(super) fn compared_with(vouching: &Vouching<'_>, top: &RelPath) -> Option<Digest> {
    // Two revisions with the same abbreviation are too rare to be told apart.
    match &asks(vouching, top)[..] {
        // The files that git ignores are from a job that this one may read.
        [ask @ Ask::Revision(_)] => Some(ask.digest_and_more()),
        [ask] => Some(ask.digest()),
        _ => None,
    }
}
