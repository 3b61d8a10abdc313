//! Vouches for the parts of a `CARGO_HOME`: each part that the lock files can be asked about is as they say, or wrong.
//!
//! A part that was checked once is recorded with its inodes, ctimes and sizes ([`Vouched`]), and is checked again only
//! after one of them changed. A wrong part is not saved, and is removed so that cargo fetches it again.

mod compiled;
mod git;
mod listed;
mod look;
mod part;
mod registry;
mod removal;
mod restored;
mod tag;
mod unproven;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

pub(crate) use self::look::look_at_home;
use crate::cargo::crate_file::{brings, is_raw_profile};
use crate::cargo::home::{RegistryPart, Shared, registry_part, unit};
use crate::fs::space::now_at;
use crate::fs::stat::Kind;
use crate::fs::walk::Found;
use crate::job::Job;
use crate::job::Result;
use crate::job::note::Note;
use crate::job::progress::Progress;
use crate::job::report::Said;
use crate::job::warning::FoundBy;
use crate::model::digest::Digest;
use crate::model::rel_path::RelPath;
use crate::model::timestamp::Timestamp;
use crate::store::{Lease, SETTLED_NANOS, Store, Vouched, VouchedPart};

use removal::Removal;
pub(crate) use restored::Restored;
pub(crate) use unproven::Changed;

/// One of the directories of a `CARGO_HOME` that are saved: `registry` or `git`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) kind: Shared,
    /// The path of the directory.
    pub(crate) dir: &'a Path,
}

/// The store, lease and job that parts are vouched for with.
#[derive(Clone, Copy)]
pub(crate) struct Vouching<'a> {
    pub(crate) store: &'a Store,
    pub(crate) lease: &'a Lease,
    pub(crate) job: &'a Job,
    pub(crate) boot: &'a str,
    pub(crate) progress: &'a Progress,
}

/// The parts that were vouched for, by path.
type Known = HashMap<RelPath, VouchedPart>;

/// The reason why a symlink or a file is wrong where cargo has a directory.
const NO_DIRECTORY: &str = "it is no directory";

/// The verdicts on the parts that were found.
struct Judged {
    verdicts: Vec<Verdict>,
    /// Whether every part that lock files can be asked about got a verdict.
    is_complete: bool,
}

/// The job that last used a home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftBy {
    /// A job that this one may read.
    Readable,
    /// Another job, or an unknown one.
    Foreign,
}

/// The verdict on a part of a `CARGO_HOME`. Parts that lock files cannot be asked about get none.
#[derive(Debug)]
struct Verdict {
    /// The path of a file, or of a directory with everything in it.
    path: RelPath,
    is: Is,
}

#[derive(Debug)]
enum Is {
    Right(Seen),
    /// The reason, as a clause.
    Wrong(String),
    /// It belongs to a registry that no lock file names. It is neither saved nor removed, whatever it holds.
    Strange,
}

impl Is {
    fn no_directory() -> Self {
        Self::Wrong(NO_DIRECTORY.to_owned())
    }

    /// Returns the verdict on a part that no lock file names: it is right or strange, never wrong.
    fn of_stranger(self) -> Self {
        match self {
            Self::Right(seen) => Self::Right(seen),
            Self::Wrong(_) | Self::Strange => Self::Strange,
        }
    }
}

/// The result of judging the parts that lock files can be asked about.
struct Judgement {
    wrong: Vec<Wrong>,
    /// The paths of parts that belong to a registry that no lock file names.
    strange: Vec<RelPath>,
    /// Whether every other part got a verdict.
    is_complete: bool,
}

/// The digest that a right part was compared with, and the digest of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    with: Digest,
    files: Digest,
}

impl Seen {
    fn of(part: &VouchedPart) -> Self {
        Self { with: part.with, files: part.files }
    }

    fn in_turn(self, turn: u64) -> VouchedPart {
        VouchedPart { with: self.with, files: self.files, turn }
    }
}

/// A part that is not as the lock files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The path of a file, or of a directory with everything in it.
    pub(crate) path: RelPath,
    /// The reason, as a clause.
    pub(crate) why: String,
}

/// The result of leaving wrong parts out of a save.
pub(crate) struct LeftOut {
    /// Whether every other part that lock files can be asked about is right.
    pub(crate) is_complete: bool,
    /// A wrong source that this job may have compiled in the state in which another job left it.
    pub(crate) left_source: Option<PathBuf>,
    /// What was left out.
    pub(crate) said: Said,
}

impl Vouching<'_> {
    /// Drops the paths of wrong parts, and of parts of unknown registries, from the paths that a save `found` at a time
    /// before `now`. Removes the wrong parts from the home, and reports both kinds.
    pub(crate) fn leave_out_wrong(
        &self,
        part: Part<'_>,
        found: &mut Vec<Found>,
        now: Timestamp,
    ) -> Result<LeftOut> {
        let judgement = self.judge(part, found, now, LeftBy::Readable)?;
        found.retain(|found| part.kind == Shared::Git || !is_profile(part.dir, &found.path));
        let Judgement { wrong, strange, is_complete } = judgement;
        if wrong.is_empty() && strange.is_empty() {
            return Ok(LeftOut { is_complete, left_source: None, said: Said::default() });
        }
        let left_source = self.left_source(part, &wrong);
        let paths: HashSet<_> = wrong.iter().map(|wrong| &wrong.path).chain(&strange).collect();
        let is_wrong = |path: &RelPath| {
            paths.contains(path) || unit(part.kind, path).is_some_and(|it| paths.contains(&it))
        };
        found.retain(|found| !is_wrong(&found.path));
        let note = strange.first().map(|first| Note::UnknownRegistry {
            path: part.dir.join(first.as_path()),
            count: strange.len(),
        });
        let Removal { warnings, .. } = self.remove(part, &wrong, (FoundBy::Save, LeftBy::Readable));
        let said = Said { notes: note.into_iter().collect(), warnings };
        Ok(LeftOut { is_complete, left_source, said })
    }

    /// Returns the wrong parts that the lock files name. If the job takes over from one that it may not read, this
    /// begins a new turn: parts that were checked before are checked again if they changed.
    pub(crate) fn look_over(&self, part: Part<'_>, left_by: LeftBy) -> Result<Vec<Wrong>> {
        let found = look_at_home(self.job, part.kind, part.dir, self.progress)?.found;
        let now = now_at(self.store.root())?;
        if left_by == LeftBy::Foreign {
            let mut vouched = self.store.vouched(part.dir, self.boot);
            vouched.turn += 1;
            self.store.set_vouched(part.dir, self.boot, &vouched)?;
        }
        Ok(self.judge(part, &found, now, left_by)?.wrong)
    }

    /// Judges the paths that were `found` at a time before `now`, and records the right parts. The files that git
    /// ignores in a checkout are right only if a job that this one may read left them.
    fn judge(
        &self,
        part: Part<'_>,
        found: &[Found],
        now: Timestamp,
        left_by: LeftBy,
    ) -> Result<Judgement> {
        let Vouched { placed, turn, mut parts } = self.store.vouched(part.dir, self.boot);
        let known = parts.clone();
        let (mut wrong, mut strange) = (Vec::new(), Vec::new());
        let Judged { verdicts, is_complete } = self.verdicts(part, found, &known, left_by)?;
        for Verdict { path, is } in verdicts {
            match is {
                Is::Right(seen) => drop(parts.insert(path, seen.in_turn(turn))),
                Is::Wrong(why) => {
                    parts.remove(&path);
                    wrong.push(Wrong { path, why });
                }
                Is::Strange => {
                    parts.remove(&path);
                    strange.push(path);
                }
            }
        }
        let is_no_way = |found: &&Found| {
            found.stat.kind != Kind::Dir && self.job.locked_parts.is_way(part.kind, &found.path)
        };
        let no_ways = found.iter().filter(is_no_way).map(|found| found.path.clone());
        wrong.extend(no_ways.map(|path| Wrong { path, why: NO_DIRECTORY.to_owned() }));
        if tag::is_wrong(part.dir, found) {
            wrong.push(Wrong {
                path: tag::path(),
                why: "cargo did not write its content".to_owned(),
            });
        }
        // A file that changed this recently may change again and keep its ctime.
        let recent = now.minus(0, SETTLED_NANOS);
        for found in found.iter().filter(|found| found.stat.inode.ctime >= recent) {
            parts.remove(&unit(part.kind, &found.path).unwrap_or_else(|| found.path.clone()));
        }
        if parts != known {
            self.store.set_vouched(part.dir, self.boot, &Vouched { placed, turn, parts })?;
        }
        Ok(Judgement { wrong, strange, is_complete })
    }

    fn verdicts(
        &self,
        part: Part<'_>,
        found: &[Found],
        known: &Known,
        left_by: LeftBy,
    ) -> Result<Judged> {
        match part.kind {
            Shared::Registry => registry::verdicts(self, part.dir, found, known),
            Shared::Git => git::verdicts(self, part.dir, found, known, left_by),
        }
    }
}

/// Tells whether a path of `registry/` is a raw profile in the source of a crate, and not a file of the crate itself.
fn is_profile(registry: &Path, path: &RelPath) -> bool {
    let RegistryPart::Source(of) = registry_part(path) else { return false };
    let parts = of.source().zip(of.file()).filter(|_| is_raw_profile(path));
    let Some((source, file)) = parts else { return false };
    let below = path.as_bytes().get(source.as_bytes().len() + 1..);
    let below = below.and_then(|below| RelPath::parse(below).ok());
    below.is_some_and(|below| !brings(&registry.join(file.as_path()), of.name, &below))
}
