//! Runs many histories, two at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::chance::story;
use super::mutants::Mutant;
use super::runner::{Count, Fault, live};
use crate::support::Result;

/// Called with a line about each history as soon as it is over.
pub(super) type Progress = fn(&str);

/// Reports nothing.
pub(super) fn quietly(_: &str) {}

/// Reports on stderr.
pub(super) fn aloud(line: &str) {
    // A failure to print is no failure of the test.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Parses `7`, or `0..500`.
pub(super) fn parse(seeds: &str) -> Result<Vec<u64>> {
    match seeds.split_once("..") {
        Some((first, end)) => Ok((first.parse()?..end.parse()?).collect()),
        None => Ok(vec![seeds.parse()?]),
    }
}

/// The results of some histories.
#[derive(Default)]
pub(super) struct Soaked {
    /// The faults that were found, by seed.
    pub(super) faults: BTreeMap<u64, Fault>,
    /// Each history with a fault, and how to replay it.
    pub(super) texts: Vec<String>,
    /// Errors of the test itself.
    errors: Vec<String>,
    histories: usize,
    count: Count,
}

/// Runs the histories of `seeds`, with every restore spoilt by `mutant`. Stops once the mutant is
/// found.
pub(super) fn soak(seeds: &[u64], mutant: Option<Mutant>, progress: Progress) -> Result<Soaked> {
    let began = Instant::now();
    let left = Mutex::new(seeds.iter().rev().copied().collect::<Vec<_>>());
    let soaked = Mutex::new(Soaked::default());
    let worker = || {
        loop {
            let Some(seed) = held(&left).pop() else { return };
            let about = live_through(seed, mutant, &soaked);
            let soaked = held(&soaked);
            if mutant.is_some() && !soaked.texts.is_empty() {
                held(&left).clear();
            }
            let secs = began.elapsed().as_secs();
            progress(&format!("{about}{soaked} of {} in {secs} s", seeds.len()));
        }
    };
    thread::scope(|scope| {
        for _ in 0..2.min(seeds.len()) {
            scope.spawn(worker);
        }
    });
    let soaked = soaked.into_inner().unwrap_or_else(PoisonError::into_inner);
    match soaked.errors.first() {
        Some(error) => Err(error.clone().into()),
        None => Ok(soaked),
    }
}

/// Runs one history, adds its result, and returns the line about it.
fn live_through(seed: u64, mutant: Option<Mutant>, soaked: &Mutex<Soaked>) -> String {
    let story = story(seed);
    let lived = live(&story, mutant);
    let mut soaked = held(soaked);
    soaked.histories += 1;
    match lived {
        Ok((count, None)) => {
            soaked.count.add(count);
            String::new()
        }
        Ok((count, Some(finding))) => {
            soaked.count.add(count);
            soaked.faults.insert(seed, finding.fault);
            let text = match mutant {
                Some(mutant) => format!("{mutant:?} is found by seed {seed}: {finding}\n"),
                None => {
                    format!("{story}{finding}\nagain: scripts/soak-freshness --seed {seed}\n")
                }
            };
            soaked.texts.push(text.clone());
            text
        }
        Err(error) => {
            let text = format!("{story}the test itself is wrong: {error}\n");
            soaked.errors.push(text.clone());
            text
        }
    }
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Display for Soaked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |fault| self.faults.values().filter(|found| **found == fault).count();
        let Count { jobs, restored, compared, fresh, others } = self.count;
        write!(
            f,
            "{} stale outputs, {} broken builds, {} needless rebuilds; {jobs} jobs, {restored} \
             restored, {compared} compared with a twin, {fresh} all fresh, {others} other generations \
             tried; {} histories",
            number(Fault::Stale),
            number(Fault::Broken),
            number(Fault::Needless),
            self.histories,
        )
    }
}
