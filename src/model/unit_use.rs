//! The units of a target that a job uses, and those that a save drops.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::rel_path::RelPath;
use super::timestamp::Timestamp;

/// A unit, by the directory that stands for it, relative to the target directory.
///
/// `debug/.fingerprint/serde-2a8e…` or `debug/build/serde/2a8e…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnitDir(RelPath);

impl UnitDir {
    /// Returns the unit that this directory stands for.
    pub fn new(dir: RelPath) -> Self {
        Self(dir)
    }

    /// Returns the directory.
    pub fn path(&self) -> &RelPath {
        &self.0
    }

    /// Returns the name of its profile directory.
    pub fn profile_dir(&self) -> Option<Cow<'_, str>> {
        let mut profile = None;
        for name in self.0.components() {
            if matches!(name, b".fingerprint" | b"build") && profile.is_some() {
                break;
            }
            profile = Some(name);
        }
        profile.map(String::from_utf8_lossy)
    }

    /// Returns the name of its package.
    pub fn crate_name(&self) -> Cow<'_, str> {
        let mut names: Vec<_> = self.0.components().collect();
        let last = names.pop().unwrap_or_default();
        let dash = last.iter().rposition(|byte| *byte == b'-');
        let name = dash.map_or_else(|| names.pop().unwrap_or(last), |dash| &last[..dash]);
        String::from_utf8_lossy(name)
    }
}

impl fmt::Display for UnitDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_path().display())
    }
}

/// The recorded use of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitUse {
    /// When a job that used it was last saved.
    pub last_used: Timestamp,
    /// The number of saves of its job since then that did not use it.
    pub unused_saves: u16,
}

/// The observed state of a unit in the live tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Whether cargo read it since the tree was restored; `None` if that cannot be observed.
    pub was_used: Option<bool>,
    /// When it was last built.
    pub built: Timestamp,
    /// The shape of its files.
    pub shape: Shape,
}

/// The shape of a unit, judged by the names of its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// As a known version of cargo leaves it.
    #[default]
    Known,
    /// Its fingerprint says that it is built, but the outputs are gone: cargo will build it again.
    Hollow,
    /// No known version of cargo writes such a fingerprint, so nothing can be said of it.
    Unknown,
    /// A part of it could not be read.
    Unread,
}

/// The origin of the tree that a job worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was restored from a generation of the same key and kind of job.
    SameJob,
    /// It was restored from a fallback, or from a generation of another kind of job.
    OtherJob,
    /// It was not restored by us.
    Unknown,
}

/// The policy for dropping unused units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitPolicy {
    /// The number of saves of a job without use after which a unit is dropped, 1 or more.
    pub unit_saves: u16,
}

/// The age in days after which a unit is dropped if use cannot be observed. A unit in use is then
/// rebuilt once in that time, and an unused one takes space for as long.
pub const MAX_AGE_DAYS: i64 = 30;

/// Why a unit is dropped from the stored copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unused {
    /// This many saves of the job did not use it.
    Saves(u16),
    /// It came with a tree of another key or kind of job, and this job did not use it.
    BroughtAlong,
    /// Use cannot be observed here, and it was built this many days ago.
    BuiltDaysAgo(i64),
    /// Its fingerprint says that it is built, but the outputs are gone.
    Hollow,
    /// A part of it could not be read.
    Unread,
}

/// The units of a tree that a save keeps and drops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitPlan {
    /// The kept units, with their use.
    pub kept: BTreeMap<UnitDir, UnitUse>,
    /// The dropped units, with reasons.
    pub pruned: BTreeMap<UnitDir, Unused>,
    /// The units that are kept, used or not, because their shape is unknown.
    pub unknown: BTreeSet<UnitDir>,
}

/// Units that share a line in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitGroup {
    /// Why they are dropped; `None` if they stay because their shape is unknown.
    pub why: Option<Unused>,
    /// How many they are.
    pub count: usize,
    /// The crates that they are of.
    pub crates: BTreeSet<String>,
}

impl UnitPlan {
    /// Groups the units that leave by their reason, the largest group first, then those of unknown shape.
    pub fn groups(&self) -> Vec<UnitGroup> {
        let mut groups: BTreeMap<Unused, UnitGroup> = BTreeMap::new();
        for (unit, why) in &self.pruned {
            let new = || UnitGroup { why: Some(*why), count: 0, crates: BTreeSet::new() };
            let group = groups.entry(*why).or_insert_with(new);
            group.count += 1;
            group.crates.insert(unit.crate_name().into_owned());
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        if !self.unknown.is_empty() {
            let crates = self.unknown.iter().map(|unit| unit.crate_name().into_owned()).collect();
            groups.push(UnitGroup { why: None, count: self.unknown.len(), crates });
        }
        groups
    }
}

impl UnitPolicy {
    /// Tells whether the next save of its job drops a unit, unless that job uses it.
    pub fn is_about_to_leave(&self, used: UnitUse) -> bool {
        used.unused_saves.saturating_add(1) >= self.unit_saves
    }

    /// Returns the plan for the units of a tree.
    ///
    /// Used units are kept, unless only their fingerprint is left or a part could not be read.
    /// Units of unknown shape are kept. A job that used nothing, or did not finish (`is_partial`),
    /// tells nothing about the other units: all of them are kept as they were.
    pub fn plan(
        &self,
        seen: &BTreeMap<UnitDir, Sight>,
        remembered: &BTreeMap<UnitDir, UnitUse>,
        origin: Origin,
        is_partial: bool,
        now: Timestamp,
    ) -> UnitPlan {
        let has_built = seen.values().any(|sight| sight.was_used == Some(true));
        let mut plan = UnitPlan::default();
        for (unit, sight) in seen {
            let before = remembered
                .get(unit)
                .copied()
                .unwrap_or(UnitUse { last_used: sight.built, unused_saves: 0 });
            let days = now.secs().saturating_sub(sight.built.secs()) / 86_400;
            let verdict = match sight.was_used {
                _ if sight.shape == Shape::Unread => Err(Unused::Unread),
                _ if sight.shape == Shape::Hollow => Err(Unused::Hollow),
                Some(true) => Ok(UnitUse { last_used: now, unused_saves: 0 }),
                _ if is_partial || sight.shape == Shape::Unknown => Ok(before),
                None if days >= MAX_AGE_DAYS => Err(Unused::BuiltDaysAgo(days)),
                Some(false) if has_built && origin == Origin::OtherJob => Err(Unused::BroughtAlong),
                Some(false) if has_built => {
                    let unused_saves = before.unused_saves.saturating_add(1);
                    if unused_saves < self.unit_saves {
                        Ok(UnitUse { unused_saves, ..before })
                    } else {
                        Err(Unused::Saves(unused_saves))
                    }
                }
                Some(false) | None => Ok(before),
            };
            if sight.shape == Shape::Unknown {
                plan.unknown.insert(unit.clone());
            }
            match verdict {
                Ok(kept) => drop(plan.kept.insert(unit.clone(), kept)),
                Err(why) => drop(plan.pruned.insert(unit.clone(), why)),
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_SECS: i64 = 10_000_000;
    const POLICY: UnitPolicy = UnitPolicy { unit_saves: 3 };

    fn unit(name: &str) -> UnitDir {
        UnitDir::new(RelPath::parse(name.as_bytes()).expect("a path below a root"))
    }

    fn sight(was_used: Option<bool>, days: i64) -> Sight {
        let built = Timestamp::new(NOW_SECS - days * 86_400, 0);
        Sight { was_used, built, shape: Shape::Known }
    }

    /// Returns the plan for a unit `a` beside `b`, which the job used if `has_built`.
    fn verdict(
        was_used: Option<bool>,
        days: i64,
        unused_saves: Option<u16>,
        origin: Origin,
        is_partial: bool,
        has_built: bool,
    ) -> Result<u16, Unused> {
        let mut seen = BTreeMap::from([(unit("a"), sight(was_used, days))]);
        if has_built {
            seen.insert(unit("b"), sight(Some(true), 0));
        }
        let last_used = Timestamp::new(1, 0);
        let remembered =
            unused_saves.map(|unused_saves| (unit("a"), UnitUse { last_used, unused_saves }));
        let plan = POLICY.plan(
            &seen,
            &remembered.into_iter().collect(),
            origin,
            is_partial,
            Timestamp::new(NOW_SECS, 0),
        );
        assert_eq!(plan.kept.len() + plan.pruned.len(), seen.len());
        match plan.kept.get(&unit("a")) {
            Some(kept) => Ok(kept.unused_saves),
            None => Err(plan.pruned[&unit("a")]),
        }
    }

    #[test]
    fn a_unit_says_what_package_it_is_of_in_both_layouts() {
        let cases = [
            ("debug/.fingerprint/proc-macro2-0123456789abcdef", "proc-macro2"),
            ("debug/build/proc-macro2/0123456789abcdef", "proc-macro2"),
            ("0123456789abcdef", "0123456789abcdef"),
        ];
        for (dir, want) in cases {
            assert_eq!(unit(dir).crate_name(), want, "{dir}");
        }
    }

    fn lines(plan: &UnitPlan) -> Vec<String> {
        plan.groups().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn dropped_units_are_counted_and_named_by_their_reason() {
        let dir = |name: &str| unit(&format!("debug/.fingerprint/{name}-0123456789abcdef"));
        let mut pruned = BTreeMap::from([(dir("one"), Unused::BroughtAlong)]);
        pruned.extend(["a", "b", "c", "d"].map(|name| (dir(name), Unused::Saves(3))));
        let plan = UnitPlan { pruned, ..UnitPlan::default() };
        let want = [
            "4 units not stored (not used in the last 3 saves of this job): a, b, c, …",
            "1 unit not stored (from the tree of another key or job, not used): one",
        ];
        assert_eq!(lines(&plan), want);
    }

    #[test]
    fn a_unit_of_which_nothing_is_left_goes_whoever_used_it() {
        let hollow = Sight { shape: Shape::Hollow, ..sight(Some(true), 0) };
        let seen = BTreeMap::from([(unit("a"), hollow), (unit("b"), sight(Some(true), 0))]);
        for is_partial in [false, true] {
            let now = Timestamp::new(NOW_SECS, 0);
            let plan = POLICY.plan(&seen, &BTreeMap::new(), Origin::SameJob, is_partial, now);
            assert_eq!(plan.pruned, BTreeMap::from([(unit("a"), Unused::Hollow)]));
            assert_eq!(plan.kept.keys().collect::<Vec<_>>(), [&unit("b")]);
        }
    }

    #[test]
    fn a_unit_of_unknown_shape_stays_however_long_it_was_not_used_and_is_mentioned() {
        let unknown = |was_used| Sight { shape: Shape::Unknown, ..sight(was_used, 400) };
        for (was_used, origin) in [
            (Some(false), Origin::OtherJob),
            (Some(false), Origin::SameJob),
            (None, Origin::Unknown),
        ] {
            let seen =
                BTreeMap::from([(unit("a"), unknown(was_used)), (unit("b"), sight(Some(true), 0))]);
            let before = UnitUse { last_used: Timestamp::new(1, 0), unused_saves: 9 };
            let remembered = BTreeMap::from([(unit("a"), before)]);
            let now = Timestamp::new(NOW_SECS, 0);
            let plan = POLICY.plan(&seen, &remembered, origin, false, now);
            assert_eq!(plan.kept.get(&unit("a")), Some(&before), "{origin:?}");
            assert_eq!(plan.unknown, [unit("a")].into(), "{origin:?}");
            let want = "1 unit with an unknown fingerprint format, stored and never pruned: a";
            assert_eq!(lines(&plan), [want], "{origin:?}");
        }
    }

    #[test]
    fn used_units_stay_and_the_rest_goes_when_its_time_has_come() {
        use Origin::{OtherJob, SameJob, Unknown};
        use Unused::{BroughtAlong, BuiltDaysAgo, Saves};
        #[rustfmt::skip]
        let cases = [
            //  why                             used         days  before   origin    partial  built  verdict
            ("used",                            Some(true),  0,    Some(2), SameJob,  false,   true,  Ok(0)),
            ("used, of another job",            Some(true),  0,    Some(2), OtherJob, false,   true,  Ok(0)),
            ("used, in a job that failed",      Some(true),  0,    Some(2), SameJob,  true,    true,  Ok(0)),
            ("not used once",                   Some(false), 0,    Some(0), SameJob,  false,   true,  Ok(1)),
            ("not used, never seen before",     Some(false), 0,    None,    Unknown,  false,   true,  Ok(1)),
            ("not used three times",            Some(false), 0,    Some(2), SameJob,  false,   true,  Err(Saves(3))),
            ("not used, but the job failed",    Some(false), 0,    Some(2), SameJob,  true,    true,  Ok(2)),
            ("not used, and nothing was",       Some(false), 0,    Some(2), SameJob,  false,   false, Ok(2)),
            ("brought along",                   Some(false), 0,    Some(0), OtherJob, false,   true,  Err(BroughtAlong)),
            ("brought along, nothing was used", Some(false), 0,    Some(0), OtherJob, false,   false, Ok(0)),
            ("brought along, the job failed",   Some(false), 0,    Some(0), OtherJob, true,    true,  Ok(0)),
            ("no telling, new",                 None,        29,   Some(9), SameJob,  false,   true,  Ok(9)),
            ("no telling, old",                 None,        30,   Some(0), SameJob,  false,   true,  Err(BuiltDaysAgo(30))),
            ("no telling, old, job failed",     None,        30,   Some(0), SameJob,  true,    true,  Ok(0)),
            ("built in the future",             None,        -400, None,    Unknown,  false,   true,  Ok(0)),
        ];
        for (why, used, days, before, origin, partial, built, want) in cases {
            assert_eq!(verdict(used, days, before, origin, partial, built), want, "{why}");
        }
    }
}
