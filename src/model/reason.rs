//! Reasons to remove a generation or an idle directory.

use std::fmt;

use serde::{Serialize, Serializer};

use super::area::Area;
use super::facts::Trust;
use super::pressure::Strain;
use super::quantity::{ByteSize, rough_duration};

/// Why a generation or an idle directory is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its series has been unused for long, and enough others of its group were used since.
    Unused {
        /// How long it has been unused, in seconds.
        idle_secs: u64,
        /// The number of series that are kept whatever their age.
        kept: usize,
        /// The area of these series.
        area: Area,
        /// The kind of lane of these series.
        trust: Trust,
    },
    /// There are enough newer generations of its kind of job.
    Superseded {
        /// The number of generations that are kept.
        limit: usize,
        /// The kind of job.
        job: String,
    },
    /// No job can use it: its generation is gone, the machine was rebooted, or it changed.
    Outdated,
    /// The filesystem is too full.
    Strained(Strain),
    /// The store is too large.
    TooLarge {
        /// The size of its packs, manifests, mirrors and homes.
        size: ByteSize,
        /// The largest size allowed.
        max_size: ByteSize,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unused { idle_secs, kept, area, trust } => {
                let lanes = match trust {
                    Trust::Pr => "pull requests",
                    Trust::Branch => "branches",
                    Trust::Protected => "the protected lane",
                };
                let idle = rough_duration(*idle_secs);
                write!(
                    f,
                    "series unused for {idle}, beyond the {kept} most recently used {area} series of {lanes}"
                )
            }
            Self::Superseded { limit: 1, job } => {
                write!(f, "more than 1 generation of job `{job}`")
            }
            Self::Superseded { limit, job } => {
                write!(f, "more than {limit} generations of job `{job}`")
            }
            Self::Outdated => f.write_str(
                "its generation is gone, it is older than the last restart, or it changed",
            ),
            Self::Strained(strain) => write!(f, "{strain}"),
            Self::TooLarge { size, max_size } => {
                write!(f, "store at {size}, above its max-size of {max_size}")
            }
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
