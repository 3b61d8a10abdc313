//! The share of a job's units that came from the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::timestamp::Timestamp;
use super::unit_use::{Sight, UnitDir};

/// The number of units that a job used, and their origin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reuse {
    /// The units that the job used.
    pub used: u64,
    /// Of these, the units that are unchanged since the restore.
    pub fresh: u64,
    /// Of these, the units that were built.
    pub built: u64,
    /// The names of the crates of the built units.
    pub built_crates: BTreeSet<String>,
}

impl Reuse {
    /// Compares the units of a tree after the build with the restored ones. `restored` holds the
    /// time at which each unit of the restored generation was built, and is empty if nothing was
    /// restored. Returns `None` if use cannot be observed.
    ///
    /// Cargo writes the fingerprint of a unit anew whenever it builds the unit, and at no other
    /// time.
    pub fn of(
        restored: &BTreeMap<UnitDir, Timestamp>,
        now: &BTreeMap<UnitDir, Sight>,
    ) -> Option<Self> {
        let mut reuse = Self::default();
        for (unit, sight) in now {
            if !sight.was_used? {
                continue;
            }
            reuse.used += 1;
            if restored.get(unit) == Some(&sight.built) {
                reuse.fresh += 1;
            } else {
                reuse.built += 1;
                reuse.built_crates.insert(unit.crate_name().into_owned());
            }
        }
        Some(reuse)
    }

    /// Adds the units of another tree.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.used += other.used;
        self.fresh += other.fresh;
        self.built += other.built;
        self.built_crates.extend(other.built_crates);
        self
    }
}

impl fmt::Display for Reuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        let Self { used, fresh, built, built_crates } = self;
        if *used == 0 {
            return f.write_str("no unit was used");
        }
        // Round down, so that 100 % means that nothing was built.
        let per_mille = fresh * 1000 / used;
        let (percent, tenth) = (per_mille / 10, per_mille % 10);
        write!(f, "kept {fresh} of {used} units ({percent}.{tenth} %)")?;
        if *built == 0 {
            return Ok(());
        }
        let names: Vec<_> = built_crates.iter().take(SHOWN).map(String::as_str).collect();
        let dots = if built_crates.len() > SHOWN { ", …" } else { "" };
        write!(f, ", built {built}: {}{dots}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::super::rel_path::RelPath;
    use super::super::unit_use::Shape;
    use super::*;

    fn unit(name: &str) -> UnitDir {
        let dir = format!("debug/.fingerprint/{name}-0123456789abcdef");
        UnitDir::new(RelPath::parse(dir.as_bytes()).expect("a path below a root"))
    }

    #[test]
    fn a_unit_is_kept_only_if_it_was_used_and_not_built() {
        type Case<'a> =
            (&'a str, &'a [(&'a str, i64)], &'a [(&'a str, Option<bool>, i64)], &'a str);
        let at = |secs| Timestamp::new(secs, 0);
        #[rustfmt::skip]
        let cases: [Case<'_>; 9] = [
            ("all fresh",      &[("a", 1), ("b", 2)], &[("a", Some(true), 1), ("b", Some(true), 2)],  "kept 2 of 2 units (100.0 %)"),
            ("one built",      &[("a", 1), ("b", 2)], &[("a", Some(true), 1), ("b", Some(true), 3)],  "kept 1 of 2 units (50.0 %), built 1: b"),
            ("one is new",     &[("a", 1)],           &[("a", Some(true), 1), ("b", Some(true), 3)],  "kept 1 of 2 units (50.0 %), built 1: b"),
            ("built earlier",  &[("a", 5)],           &[("a", Some(true), 1)],                        "kept 0 of 1 units (0.0 %), built 1: a"),
            ("one not used",   &[("a", 1), ("b", 2)], &[("a", Some(true), 1), ("b", Some(false), 2)], "kept 1 of 1 units (100.0 %)"),
            ("one is gone",    &[("a", 1), ("b", 2)], &[("a", Some(true), 1)],                        "kept 1 of 1 units (100.0 %)"),
            ("no restore",     &[],                   &[("a", Some(true), 1)],                        "kept 0 of 1 units (0.0 %), built 1: a"),
            ("nothing used",   &[("a", 1)],           &[("a", Some(false), 1)],                       "no unit was used"),
            ("no telling",     &[("a", 1)],           &[("a", None, 1)],                              "none"),
        ];
        for (why, restored, now, want) in cases {
            let restored = restored.iter().map(|(name, secs)| (unit(name), at(*secs))).collect();
            let now = now.iter().map(|(name, was_used, secs)| {
                (unit(name), Sight { was_used: *was_used, built: at(*secs), shape: Shape::Known })
            });
            let reuse = Reuse::of(&restored, &now.collect());
            assert_eq!(reuse.map_or("none".to_owned(), |reuse| reuse.to_string()), want, "{why}");
        }
    }

    #[test]
    fn a_single_unit_that_was_built_is_never_rounded_away() {
        let names = ["a", "b", "c", "d"].map(str::to_owned);
        let reuse = Reuse { used: 5000, fresh: 4996, built: 4, built_crates: names.into() };
        assert_eq!(reuse.to_string(), "kept 4996 of 5000 units (99.9 %), built 4: a, b, c, …");
    }
}
