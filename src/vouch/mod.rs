//! Vouching for what lies in a `CARGO_HOME`: whatever the lock files can be asked about is what they say, or it is wrong.
//!
//! What was looked at once is known by its inodes, ctimes and sizes ([`Vouched`]), and looked at again only when one
//! of them changed. What is wrong is not saved, and removed so that cargo fetches it again.

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

/// A part of a `CARGO_HOME` that lock files can be asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) kind: Shared,
    /// Its directory.
    pub(crate) dir: &'a Path,
}

/// What it takes to vouch for something.
#[derive(Clone, Copy)]
pub(crate) struct Vouching<'a> {
    pub(crate) store: &'a Store,
    pub(crate) lease: &'a Lease,
    pub(crate) job: &'a Job,
    pub(crate) boot: &'a str,
    pub(crate) progress: &'a Progress,
}

/// What was vouched for, by path.
type Known = HashMap<RelPath, VouchedPart>;

/// What is wrong with a symlink or a file where cargo has a directory.
const NO_DIRECTORY: &str = "it is no directory";

/// The verdicts on what was found.
struct Judged {
    verdicts: Vec<Verdict>,
    /// Whether everything that lock files can be asked about got one.
    is_complete: bool,
}

/// Who had a home in hand last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftBy {
    /// A job that this one may read.
    Readable,
    /// Another one, or nobody knows.
    Foreign,
}

/// What something in a `CARGO_HOME` turned out to be. What nothing can be asked about gets no verdict.
#[derive(Debug)]
struct Verdict {
    /// A file, or a directory with all that is in it.
    path: RelPath,
    is: Is,
}

#[derive(Debug)]
enum Is {
    Right(Seen),
    /// Why, as a clause.
    Wrong(String),
    /// It belongs to a registry that no lock file names, whatever it is: neither saved nor removed.
    Strange,
}

impl Is {
    fn no_directory() -> Self {
        Self::Wrong(NO_DIRECTORY.to_owned())
    }

    /// The same of something that no lock file means: what is right in it is right.
    fn of_stranger(self) -> Self {
        match self {
            Self::Right(seen) => Self::Right(seen),
            Self::Wrong(_) | Self::Strange => Self::Strange,
        }
    }
}

/// What was found of what lock files can be asked about.
struct Judgement {
    wrong: Vec<Wrong>,
    /// What belongs to somebody else.
    strange: Vec<RelPath>,
    /// Whether everything else got a verdict.
    is_complete: bool,
}

/// What something right was compared with, and which files it is.
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

/// Something that is not what the lock files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// A file, or a directory with all that is in it.
    pub(crate) path: RelPath,
    /// Why, as a clause.
    pub(crate) why: String,
}

/// What a save leaves out of a part of a home.
pub(crate) struct LeftOut {
    /// Whether everything else is right that lock files can be asked about.
    pub(crate) is_complete: bool,
    /// A source of it that this job may have compiled as somebody else left it.
    pub(crate) left_source: Option<PathBuf>,
    /// What was left out.
    pub(crate) said: Said,
}

impl Vouching<'_> {
    /// Leaves out of what a save `found` at a time before `now` what is wrong, removes that, and says so.
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

    /// Returns what is wrong of what the lock files name, in a turn of its own if the job takes over from one that it may
    /// not read: what was looked at before is looked at again then, as far as it changed.
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

    /// Judges what was `found` at a time before `now`, and records what is right. Of what git ignores in a checkout only
    /// that of jobs that may be read is right.
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
            found.stat.kind != Kind::Dir && self.job.wanted.is_way(part.kind, &found.path)
        };
        let no_ways = found.iter().filter(is_no_way).map(|found| found.path.clone());
        wrong.extend(no_ways.map(|path| Wrong { path, why: NO_DIRECTORY.to_owned() }));
        if tag::is_wrong(part.dir, found) {
            wrong.push(Wrong { path: tag::path(), why: "it is not what cargo writes".to_owned() });
        }
        // What changed so lately may change again and keep its ctime.
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

/// Tells whether a path of `registry/` is a raw profile in the source of a crate that brings none of that name.
fn is_profile(registry: &Path, path: &RelPath) -> bool {
    let RegistryPart::Source(of) = registry_part(path) else { return false };
    let parts = of.source().zip(of.file()).filter(|_| is_raw_profile(path));
    let Some((source, file)) = parts else { return false };
    let below = path.as_bytes().get(source.as_bytes().len() + 1..);
    let below = below.and_then(|below| RelPath::parse(below).ok());
    below.is_some_and(|below| !brings(&registry.join(file.as_path()), of.name, &below))
}
