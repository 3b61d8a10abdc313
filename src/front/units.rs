//! The sentences for units that a save leaves out.

use std::collections::BTreeSet;
use std::fmt;

use crate::model::unit_use::{UnitGroup, Unused};

/// The largest number of crate names in a line.
const SHOWN: usize = 3;

impl fmt::Display for UnitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = if self.count == 1 { "unit" } else { "units" };
        write!(f, "{} {units} ", self.count)?;
        match self.why {
            Some(why) => write!(f, "not stored ({why}): ")?,
            None => f.write_str("with an unknown fingerprint format, stored and never pruned: ")?,
        }
        f.write_str(&first_of(&self.crates))
    }
}

impl fmt::Display for Unused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Saves(saves) => write!(f, "not used in the last {saves} saves of this job"),
            Self::BroughtAlong => f.write_str("from the tree of another key or job, not used"),
            Self::BuiltDaysAgo(days) => {
                write!(f, "built {days} days ago on a disk that does not record use")
            }
            Self::Hollow => f.write_str("built, but the artifacts are gone"),
            Self::Unread => f.write_str("some files could not be read"),
        }
    }
}

/// Joins the first of some names.
fn first_of(names: &BTreeSet<String>) -> String {
    let dots = if names.len() > SHOWN { ", …" } else { "" };
    let names: Vec<_> = names.iter().take(SHOWN).map(String::as_str).collect();
    format!("{}{dots}", names.join(", "))
}
