//! The sentences for notes.

use std::fmt;

use serde::ser::{Serialize, Serializer};

use crate::cargo::tested::NEWEST_TESTED;
use crate::job::note::Note;
use crate::model::rebuild::some;
use crate::model::unit_use::MAX_AGE_DAYS;

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnotherKey(key) => write!(f, "saved under another key, {key}"),
            Self::AnotherHome { saved, now } => write!(
                f,
                "CARGO_HOME was `{saved}` when this was saved and is `{}` now: cargo builds every crate of a registry \
                 or git repository again",
                now.display()
            ),
            Self::AnotherSystem { saved, here } => match here.says_saved_on(saved) {
                Some(text) => f.write_str(&text),
                None => write!(f, "saved on {saved}; this is {here}"),
            },
            Self::AnotherJob(job) => write!(f, "saved by job `{job}`"),
            Self::PartialJob(job) => {
                write!(f, "saved by job `{job}`, which failed or was cancelled")
            }
            Self::NewerSystem(passed_over) => write!(f, "{passed_over}"),
            Self::UnusableTree(dir) => write!(
                f,
                "`{}` still holds a tree of such a system, and cargo would use it: delete it",
                dir.display()
            ),
            Self::AnotherRoot { root, saved, now } => {
                write!(f, "`{root}` was at `{saved}` when this was saved and is at `{now}` now")
            }
            Self::PathBound(crates) => write!(
                f,
                "cargo identifies these crates by their path and builds them again: {}",
                some(crates.iter(), "")
            ),
            Self::BestOf { generations, reused: Some((reused, wanted)), .. } => write!(
                f,
                "best of {generations} generations: cargo can reuse {reused} of the {wanted} units that this job used \
                 last time"
            ),
            Self::BestOf { generations, reused: None, fresh } => {
                write!(f, "best of {generations} generations: {fresh} of its units are fresh")
            }
            Self::Ahead { dir, reused, wanted, reused_of_best } => write!(
                f,
                "`{}` is ahead of the store and left as it is: of the {wanted} units that this job used last time, \
                 cargo can reuse {reused} here and {reused_of_best} of the best generation",
                dir.display()
            ),
            Self::UnknownRegistry { path, count } => write!(
                f,
                "{} not saved: no lock file names that registry, and a crate of this job with the same name has other \
                 bytes",
                super::and_others(path, *count)
            ),
            Self::ChangedByAnotherLane { dir, count } => {
                let (parts, them) = if *count == 1 { ("part", "it") } else { ("parts", "them") };
                write!(
                    f,
                    "a job of a lane that this one may not read changed {count} {parts} of `{}`: the saved version \
                     replaces {them}, or cargo makes {them} anew",
                    dir.display()
                )
            }
            Self::Units(group) => write!(f, "{group}"),
            Self::UseUnknown => write!(
                f,
                "cannot tell which units a job uses (is the disk mounted with `noatime`?): units stay stored for \
                 {MAX_AGE_DAYS} days after they were built, used or not"
            ),
            Self::SessionsLeft(crates) => write!(
                f,
                "rustc crashed, complained of what it keeps for incremental compilation, or failed to link: what it \
                 keeps of {} is not saved, and the next build compiles all of each crate",
                some(crates.iter(), "")
            ),
            Self::NothingThere(dir) => write!(f, "nothing in `{}`", dir.display()),
            Self::NoHotTree(why) => write!(f, "no hot tree: {why}"),
            Self::NewerCargo(release) => write!(
                f,
                "cargo {release} is newer than 1.{NEWEST_TESTED}, the newest that this version was tested with: files that it \
                 does not recognise are stored and restored as they are"
            ),
            Self::IncrementalOff(variable) => write!(
                f,
                "incremental compilation is off (`{variable}`): with it, the dev and test profiles compile the next \
                 commit several times faster; see \"Incremental compilation\" in docs/guide/workflows.md of runner-cache"
            ),
            Self::NotRestored(cache_mode) => {
                write!(f, "nothing is restored: the `cache-mode` of this job is `{cache_mode}`")
            }
            Self::NotSaved(cache_mode) => {
                write!(f, "nothing is saved: the `cache-mode` of this job is `{cache_mode}`")
            }
        }
    }
}

impl Serialize for Note {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        super::serialize(self.code(), self, serializer)
    }
}
