//! The sessions of incremental compilation that a save stores: of each crate the newest, if a unit that stays was
//! compiled with it, and if rustc did not break off over it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use crate::cargo::incremental::{Crate, Part, Session, Trace, incremental_of};
use crate::cargo::messages::{End, blame_sessions};
use crate::cargo::units::Units;
use crate::fs::walk::Found;
use crate::model::manifest::Manifest;
use crate::model::rel_path::RelPath;
use crate::model::timestamp::Timestamp;
use crate::model::unit_use::{UnitDir, UnitPlan};

/// Sessions that no restore may bring back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Distrusted {
    /// The crates.
    pub(super) crates: BTreeSet<String>,
    /// The directories of the sessions, in the tree and in the one that it began as.
    pub(super) sessions: BTreeSet<RelPath>,
}

/// Leaves out of the tree in `dir` the sessions that no unit of `plan` needs, and those that rustc broke off over.
/// `began_as` is the tree that the job began with.
///
/// A profile of which no compiled unit is known keeps everything: cargo may have another layout.
pub(super) fn leave_sessions(
    dir: &Path,
    units: &Units,
    plan: &UnitPlan,
    found: Vec<Found>,
    began_as: Option<&Manifest>,
) -> (Vec<Found>, Distrusted) {
    let dirs = crate_dirs(&found);
    if dirs.is_empty() {
        return (found, Distrusted::default());
    }
    let compiled = compilations(units, plan, &found);
    let of = |of: &Crate| compiled.get(of).map_or(&[][..], Vec::as_slice);
    let crates: BTreeSet<&Crate> = dirs.values().map(|it| &it.of).collect();
    let with_complaint = crates.iter().map(|it| (*it, newest_complaint(dir, of(it))));
    let complaints: HashMap<&Crate, Timestamp> =
        with_complaint.filter_map(|(of, complaint)| Some((of, complaint?))).collect();
    let mut staying: HashMap<&RelPath, &Session> = HashMap::new();
    for it in crates {
        let is_trusted = |began| complaints.get(it).is_none_or(|complaint| *complaint < began);
        let newest: Vec<_> = dirs
            .iter()
            .filter(|(_, crate_dir)| crate_dir.of == *it)
            .filter_map(|(path, crate_dir)| Some((path, crate_dir.newest()?)))
            .filter(|(_, (_, began))| is_trusted(*began))
            .collect();
        let began: Vec<_> = newest.iter().map(|(_, session)| *session).collect();
        let stays = newest.iter().zip(stay(&began, of(it))).filter(|(_, stays)| *stays);
        staying.extend(stays.map(|((path, (session, _)), _)| (*path, *session)));
    }
    let profiles: HashSet<&[u8]> = compiled.keys().map(Crate::profile).collect();
    let is_stored = |found: &Found| {
        let Some((dir, of)) = incremental_of(&found.path) else { return true };
        match staying.get(&dir) {
            None => !profiles.contains(of.profile()),
            Some(session) => Session::of(&found.path, &dir)
                .is_none_or(|(of, part)| of == **session && part != Part::Working),
        }
    };
    let mut distrusted = Distrusted::default();
    if complaints.is_empty() {
        return (found.into_iter().filter(is_stored).collect(), distrusted);
    }
    let before = began_as.into_iter().flat_map(|manifest| &manifest.entries);
    for path in found.iter().map(|found| &found.path).chain(before.map(|entry| &entry.path)) {
        let Some((dir, of, session)) = finalized_session(path) else { continue };
        let Some(complaint) = complaints.get(&of) else { continue };
        let began = dirs.get(&dir).and_then(|it| it.locks.get(&session));
        // The lock of one that rustc removed meanwhile is gone.
        if began.is_none_or(|began| began <= complaint) {
            distrusted.crates.insert(of.name());
            distrusted.sessions.insert(path.clone());
        }
    }
    (found.into_iter().filter(is_stored).collect(), distrusted)
}

/// Returns when rustc last complained of a session of the crate that was compiled so, into units that stay. It says
/// nothing against sessions that began later.
fn newest_complaint(dir: &Path, compiled: &[Compilation]) -> Option<Timestamp> {
    compiled.iter().filter(|it| it.is_kept).filter_map(|it| it.complaint(dir)).max()
}

/// Returns the session whose directory a path is, with its crate and that crate's directory.
fn finalized_session(path: &RelPath) -> Option<(RelPath, Crate, Session)> {
    let (dir, of) = incremental_of(path)?;
    let (session, part) = Session::of(path, &dir)?;
    let is_dir = part == Part::Finalized && path.parent().as_ref() == Some(&dir);
    is_dir.then_some((dir, of, session))
}

/// The directory of a crate's incremental compilation.
struct CrateDir {
    of: Crate,
    finalized: BTreeSet<Session>,
    /// The mtimes of the locks.
    locks: BTreeMap<Session, Timestamp>,
}

impl CrateDir {
    /// Returns the session that rustc would start from, and when it began.
    fn newest(&self) -> Option<(&Session, Timestamp)> {
        let with_lock = |session| Some((session, *self.locks.get(session)?));
        self.finalized.iter().rev().find_map(with_lock)
    }
}

fn crate_dirs(found: &[Found]) -> BTreeMap<RelPath, CrateDir> {
    let mut dirs = BTreeMap::new();
    for Found { path, stat } in found {
        let Some((dir, of)) = incremental_of(path) else { continue };
        let new = || CrateDir { of, finalized: BTreeSet::new(), locks: BTreeMap::new() };
        let session = Session::of(path, &dir);
        let crate_dir = dirs.entry(dir).or_insert_with(new);
        match session {
            Some((session, Part::Finalized)) => drop(crate_dir.finalized.insert(session)),
            Some((session, Part::Lock)) => drop(crate_dir.locks.insert(session, stat.mtime)),
            Some((_, Part::Working)) | None => {}
        }
    }
    dirs
}

/// The last compilation of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Compilation {
    /// When cargo started rustc.
    invoked: Option<Timestamp>,
    /// When rustc had succeeded.
    built: Option<Timestamp>,
    /// The file of what it said, and when that was written.
    messages: Option<(RelPath, Timestamp)>,
    /// Whether the unit stays.
    is_kept: bool,
}

impl Compilation {
    /// Returns between which times it ran; `None` if it failed, or if that is not known.
    fn span(&self) -> Option<(Timestamp, Timestamp)> {
        self.invoked.zip(self.built).filter(|(invoked, built)| invoked <= built)
    }

    /// Returns when rustc wrote its messages, if they speak against the sessions that it used.
    fn complaint(&self, dir: &Path) -> Option<Timestamp> {
        let (path, written) = self.messages.as_ref()?;
        let end = if self.span().is_some() { End::Success } else { End::Failure };
        // Of what cannot be read nobody knows what rustc said.
        let blames = blame_sessions(&dir.join(path.as_path()), end).unwrap_or(false);
        blames.then_some(*written)
    }
}

/// Returns the last compilation of each unit that rustc compiled, by crate.
fn compilations(
    units: &Units,
    plan: &UnitPlan,
    found: &[Found],
) -> BTreeMap<Crate, Vec<Compilation>> {
    /// The length of the hash in a fingerprint, in bytes; cargo empties the file when it starts to build the unit.
    const HASH_LEN: u64 = 16;
    let mut all: BTreeMap<&UnitDir, (Option<Crate>, Compilation)> = BTreeMap::new();
    for Found { path, stat } in found {
        let (Some(trace), Some(unit)) = (Trace::of(path), units.of(path)) else { continue };
        let (of, compilation) = all.entry(unit).or_default();
        compilation.is_kept = plan.kept.contains_key(unit);
        match trace {
            Trace::Invoked => compilation.invoked = Some(stat.mtime),
            Trace::Hash(named) => {
                compilation.built = Some(stat.mtime).filter(|_| stat.size == HASH_LEN);
                *of = Some(named);
            }
            Trace::Messages(named) => {
                compilation.messages = Some((path.clone(), stat.mtime));
                *of = Some(named);
            }
            Trace::Other(named) => *of = Some(named),
        }
    }
    let mut compilations: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (of, compilation) in all.into_values() {
        if let Some(of) = of {
            compilations.entry(of).or_default().push(compilation);
        }
    }
    compilations
}

/// Tells which of the sessions of one crate stay. With each comes the time when it began, by the clock of mtimes.
///
/// A session stays if it began while a unit that stays was compiled. If it began while only units that leave were, it
/// leaves with them. Of those that began at no such time as many of the newest stay as there are units that stay whose
/// last compilation failed or is not known: a rustc that fails leaves the session before.
fn stay(sessions: &[(&Session, Timestamp)], compiled: &[Compilation]) -> Vec<bool> {
    let of_kept = |is_kept: bool| compiled.iter().filter(move |it| it.is_kept == is_kept);
    let began_in = |began: Timestamp, is_kept| {
        let mut spans = of_kept(is_kept).filter_map(Compilation::span);
        spans.any(|(invoked, built)| (invoked..=built).contains(&began))
    };
    let mut stays: Vec<_> = sessions.iter().map(|(_, began)| began_in(*began, true)).collect();
    let is_nobodys = |index: &usize| !stays[*index] && !began_in(sessions[*index].1, false);
    let mut nobodys: Vec<_> = (0..sessions.len()).filter(is_nobodys).collect();
    nobodys.sort_by_key(|index| std::cmp::Reverse(sessions[*index].0));
    let without_time = of_kept(true).filter(|it| it.span().is_none()).count();
    for index in nobodys.into_iter().take(without_time) {
        stays[index] = true;
    }
    stays
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why, the sessions by the time in their name with the mtime of the lock in milliseconds, the compilations as
    /// `invoked..built`, or `invoked..` if it failed, with whether the unit stays, and the sessions that stay.
    type Case<'a> = (&'a str, &'a [(&'a str, i64)], &'a [(&'a str, bool)], &'a [&'a str]);

    #[test]
    fn a_session_stays_with_a_unit_that_was_compiled_with_it() {
        let at = |millis: i64| Timestamp::new(1000, u32::try_from(millis * 1_000_000).expect("ns"));
        #[rustfmt::skip]
        let cases: [Case<'_>; 16] = [
            //why                                sessions                        units that stay, or leave                      stay
            ("its own",                          &[("a", 20)],                   &[("10..30", true)],                           &["a"]),
            ("at once",                          &[("a", 10)],                   &[("10..30", true)],                           &["a"]),
            ("at the end",                       &[("a", 30)],                   &[("10..30", true)],                           &["a"]),
            ("before",                           &[("a", 9)],                    &[("10..30", true)],                           &[]),
            ("after",                            &[("a", 31)],                   &[("10..30", true)],                           &[]),
            ("of one that leaves",               &[("a", 20)],                   &[("10..30", false)],                          &[]),
            ("one of each",                      &[("a", 20), ("b", 50)],        &[("10..30", true), ("40..60", false)],        &["a"]),
            ("at the same time",                 &[("a", 20), ("b", 21)],        &[("10..30", true), ("11..31", false)],        &["a", "b"]),
            ("no unit",                          &[("a", 20)],                   &[],                                           &[]),
            ("failed",                           &[("a", 20)],                   &[("40..", true)],                             &["a"]),
            ("failed: the newest",               &[("a", 20), ("c", 10), ("b", 30)], &[("40..", true)],                         &["c"]),
            ("failed: two units",                &[("a", 20), ("c", 10), ("b", 30)], &[("40..", true), ("41..", true)],         &["c", "b"]),
            ("failed beside one",                &[("a", 20), ("b", 50)],        &[("10..30", true), ("60..", true)],           &["a", "b"]),
            ("failed beside one that leaves",    &[("a", 20), ("b", 50)],        &[("10..30", false), ("60..", true)],          &["b"]),
            ("failed, and leaves",               &[("a", 20)],                   &[("40..", false)],                            &[]),
            ("times make no sense",              &[("a", 20), ("b", 21)],        &[("30..10", true)],                           &["b"]),
        ];
        for (why, sessions, units, want) in cases {
            let names: Vec<_> = sessions
                .iter()
                .map(|(name, _)| {
                    let name = format!("s-{name}-1-2");
                    Session::parse(name.as_bytes()).expect("a session").0
                })
                .collect();
            let began: Vec<_> =
                sessions.iter().zip(&names).map(|((_, began), name)| (name, at(*began))).collect();
            let compilation = |(span, is_kept): &(&str, bool)| {
                let (invoked, built) = span.split_once("..").expect("a span");
                let time = |text: &str| text.parse().ok().map(at);
                let (invoked, built) = (time(invoked), time(built));
                Compilation { invoked, built, messages: None, is_kept: *is_kept }
            };
            let compiled: Vec<_> = units.iter().map(compilation).collect();
            let stays = stay(&began, &compiled);
            let found: BTreeSet<_> = sessions
                .iter()
                .zip(stays)
                .filter_map(|((name, _), stays)| stays.then_some(*name))
                .collect();
            assert_eq!(found, want.iter().copied().collect(), "{why}");
        }
    }
}
