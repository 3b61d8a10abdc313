//! A history: what was committed, and the jobs that built it, one after another.

use std::fmt;

use super::world::World;

/// An hour, in seconds.
pub(super) const HOUR: i64 = 3600;

/// A history. It follows from its seed alone.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) seed: u64,
    pub(super) commits: Vec<Commit>,
    pub(super) jobs: Vec<Job>,
}

/// A commit.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub(super) world: World,
    /// The index of the commit it was made from.
    pub(super) parent: Option<usize>,
    /// What it changed.
    pub(super) about: String,
}

/// One job of a runner.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// Which of two workspaces it runs in.
    pub(super) place: usize,
    pub(super) start: Start,
    /// Whether `CARGO_HOME` is lost before.
    pub(super) loses_home: bool,
    /// The index of the commit it builds.
    pub(super) commit: usize,
    pub(super) mtimes: Mtimes,
    pub(super) restore: Restore,
    /// The key that it gives, if any.
    pub(super) key: Option<&'static str>,
    pub(super) label: &'static str,
    pub(super) build: Build,
    pub(super) save: Save,
    /// By how many seconds the clock of its host is wrong while it builds and saves.
    pub(super) clock_secs: i64,
}

impl Job {
    /// Tells whether its save puts the target by: that of every other commit.
    pub(super) fn puts_by(&self) -> bool {
        self.commit.is_multiple_of(2)
    }
}

/// What is in the workspace before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Nothing: it is cloned.
    Cloned,
    /// What the job before left there, with its target; the commit is checked out there.
    Uncleaned,
}

/// How the checkout gives mtimes, before the restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mtimes {
    /// As git does by a right clock.
    Now,
    /// As git does by a clock that is wrong by so many seconds.
    Off(i64),
    /// All are of 2001, as from an archive.
    Old,
    /// As `Old`, every third file.
    SomeOld,
    /// All of 2001 but the directories.
    OldFiles,
}

/// How the restore goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restore {
    Done,
    /// It is killed at a crash point, and the job goes on.
    Killed(&'static str),
    /// It is killed at a crash point, and done again.
    Again(&'static str),
    None,
}

/// When the job saves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Save {
    Done,
    /// After the next job has built and saved, which runs in the other workspace.
    AfterTheNext,
    /// After the next job has built, before that one saves.
    BeforeTheNext,
    /// The program's source was edited after the build.
    Edited,
    /// It is killed at a crash point.
    Killed(&'static str),
    None,
}

/// What cargo is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Goal {
    #[default]
    Build,
    /// `build --release`
    Release,
    Check,
    /// `build --tests`
    Test,
}

impl Goal {
    /// Tells whether there is a program to run afterwards.
    pub(super) fn runs(self) -> bool {
        matches!(self, Self::Build | Self::Release)
    }
}

/// What cargo is called with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Build {
    pub(super) goal: Goal,
    /// `--features extra`
    pub(super) is_extra: bool,
    /// `SHOP`
    pub(super) shop: Option<String>,
    /// `CARGO_PROFILE_DEV_OPT_LEVEL`, which is part of the key.
    pub(super) opt_level: Option<usize>,
    pub(super) is_incremental: bool,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "history {}", self.seed)?;
        for package in &self.commits[0].world.packages {
            writeln!(
                f,
                "  package {} ({:?}) uses {:?}, script {:?}",
                package.name,
                package.home,
                package.uses,
                package.script.as_ref().map(|script| (script.rule, script.into)),
            )?;
        }
        for (index, commit) in self.commits.iter().enumerate() {
            writeln!(f, "  commit {index} of {:?}: {}", commit.parent, commit.about)?;
        }
        for (index, job) in self.jobs.iter().enumerate() {
            writeln!(f, "  job {index}: {job:?}")?;
        }
        Ok(())
    }
}
