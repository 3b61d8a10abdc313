//! A history: its commits, and the jobs that build them, one after another.

use std::fmt;

use super::world::World;

/// An hour, in seconds.
pub(super) const HOUR: i64 = 3600;

/// A history, determined by its seed alone.
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
    /// The index of its parent.
    pub(super) parent: Option<usize>,
    /// Its changes, in words.
    pub(super) about: String,
}

/// One job of a runner.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// The workspace in which it runs, one of two.
    pub(super) place: usize,
    pub(super) start: Start,
    /// Whether `CARGO_HOME` is lost before it.
    pub(super) loses_home: bool,
    /// The index of the commit it builds.
    pub(super) commit: usize,
    pub(super) mtimes: Mtimes,
    pub(super) restore: Restore,
    /// The key that it sets, if any.
    pub(super) key: Option<&'static str>,
    pub(super) label: &'static str,
    pub(super) build: Build,
    pub(super) save: Save,
    /// The error of its host's clock while it builds and saves, in seconds.
    pub(super) clock_secs: i64,
}

impl Job {
    /// Tells whether its save parks the target as a hot tree: the saves of every other commit do.
    pub(super) fn puts_by(&self) -> bool {
        self.commit.is_multiple_of(2)
    }
}

/// The state of the workspace before the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Empty: the repos are cloned.
    Cloned,
    /// As the job before left it, with its target; the commit is checked out over it.
    Uncleaned,
}

/// The mtimes of a checkout, before the restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mtimes {
    /// Those that git gives with a right clock.
    Now,
    /// Those that git gives with a clock that is wrong by so many seconds.
    Off(i64),
    /// All are from 2001, as from an archive.
    Old,
    /// Every third file is from 2001.
    SomeOld,
    /// All are from 2001 except those of directories.
    OldFiles,
}

/// The course of a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restore {
    Done,
    /// It is killed at a crash point, and the job goes on.
    Killed(&'static str),
    /// It is killed at a crash point, and repeated.
    Again(&'static str),
    None,
}

/// The time and the course of a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Save {
    Done,
    /// After the next job, which runs in the other workspace, has built and saved.
    AfterTheNext,
    /// After the next job has built, before it saves.
    BeforeTheNext,
    /// The program's source was edited after the build.
    Edited,
    /// It is killed at a crash point.
    Killed(&'static str),
    None,
}

/// The command of cargo.
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

/// The command, options and variables of cargo.
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
