//! Random workspaces and random histories: no build is ever stale or broken, and none builds a unit
//! that a workspace that was never wiped would have kept.
//!
//! A seed determines a history: packages, commits, and the jobs that build them on a host with two
//! workspaces. Every file of every package has a value that the program prints, so every stale file
//! shows. `scripts/soak-freshness` runs many histories, or replays one.

mod chance;
mod dice;
mod host;
mod mtimes;
mod mutants;
mod render;
mod runner;
mod scripts;
mod soak;
mod story;
mod world;

use std::collections::BTreeMap;

use crate::support::Result;
use mutants::{MUTANTS, Mutant};
use runner::{Fault, live};
use soak::{aloud, parse, quietly, soak};
use story::{Build, Job, Mtimes, Restore, Save, Start, Story};

/// `scripts/soak-freshness` sets this to the seeds of other histories: `0..500`.
const SEEDS: &str = "RUNNER_CACHE_HISTORIES";

fn other_seeds() -> Result<Option<Vec<u64>>> {
    std::env::var(SEEDS).ok().map(|seeds| parse(&seeds)).transpose()
}

#[test]
fn no_build_is_stale_or_broken_and_none_is_needless() -> Result {
    let soaked = match other_seeds()? {
        Some(seeds) => soak(&seeds, None, aloud)?,
        None => soak(&(0..16).collect::<Vec<_>>(), None, quietly)?,
    };
    assert!(soaked.faults.is_empty(), "{soaked}\n{}", soaked.texts.concat());
    Ok(())
}

#[test]
fn each_mutant_is_found() -> Result {
    let cases = [
        (Mutant::CommitTimes, 1, Fault::Stale),
        (Mutant::SlowClock, 1, Fault::Stale),
        (Mutant::NoDirectories, 5, Fault::Needless),
        (Mutant::NoIgnoredFiles, 2, Fault::Broken),
        (Mutant::AllIgnoredFiles, 7, Fault::Stale),
        (Mutant::OldModes, 20, Fault::Stale),
        (Mutant::TargetWins, 17, Fault::Stale),
        (Mutant::NoSecond, 1, Fault::Needless),
        (Mutant::OldGit, 5, Fault::Stale),
        (Mutant::NoSubmodules, 6, Fault::Needless),
    ];
    assert_eq!(cases.map(|(mutant, ..)| mutant), MUTANTS, "each of them");
    for (mutant, seed, fault) in cases {
        if let Some(seeds) = other_seeds()? {
            let found = soak(&seeds, Some(mutant), aloud)?.faults;
            assert!(!found.is_empty(), "{mutant:?} is not found");
        } else {
            let found = soak(&[seed], Some(mutant), quietly)?.faults;
            assert_eq!(found, BTreeMap::from([(seed, fault)]), "{mutant:?}");
        }
    }
    Ok(())
}

/// The last save leaves out units that its job did not use, and a twin keeps them. Cargo gives the
/// programs of both builds the same name.
#[test]
fn a_program_of_other_features_is_another_unit() -> Result {
    let job = |label, is_extra| Job {
        place: 0,
        start: Start::Cloned,
        loses_home: false,
        commit: 0,
        mtimes: Mtimes::Now,
        restore: Restore::Done,
        key: None,
        label,
        build: Build { is_extra, ..Build::default() },
        save: Save::Done,
        clock_secs: 0,
    };
    let jobs = vec![job("default", false), job("other", true), job("other", false)];
    let (count, finding) = live(&Story { jobs, ..chance::story(0) }, None)?;
    assert!(finding.is_none(), "{finding:?}");
    assert_eq!((count.compared, count.fresh), (2, 0), "the last job builds the program again");
    Ok(())
}
