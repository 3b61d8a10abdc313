//! Facts about a store, its series and its generations, from which gc decides what to remove.

use std::collections::{BTreeMap, BTreeSet};

use super::digest::Digest;
use super::manifest::{GenerationNumber, Series};
use super::raw_path::RawPath;
use super::scope::Lane;
use super::system::System;
use super::timestamp::Timestamp;

/// Facts about a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreFacts {
    /// Every series.
    pub series: Vec<SeriesFacts>,
    /// Every pack, with its size on disk in bytes.
    pub packs: BTreeMap<Digest, u64>,
    /// Packs that live leases name: they stay even if no generation names them.
    pub leased_packs: BTreeSet<Digest>,
    /// The bytes on disk of the hot trees, homes and mirrors that stay.
    pub dir_bytes: u64,
}

/// Facts about one series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesFacts {
    /// Its scope, area and key.
    pub series: Series,
    /// When a restore or save last used it, according to its stamp.
    pub last_used: Option<Timestamp>,
    /// Its generations.
    pub generations: Vec<GenerationFacts>,
}

/// Facts about one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationFacts {
    /// Its number in the series.
    pub number: GenerationNumber,
    /// The kind of job that saved it.
    pub job: String,
    /// Whether that job failed or was cancelled.
    pub partial: bool,
    /// The path of cargo's home, if it matters and was recorded.
    pub cargo_home: Option<RawPath>,
    /// The system it was built on, if it matters and was recorded.
    pub system: Option<System>,
    /// When it was saved.
    pub created: Timestamp,
    /// Whether a live lease names it.
    pub leased: bool,
    /// The packs it names.
    pub packs: Vec<Digest>,
    /// The size of its manifest on disk in bytes.
    pub manifest_bytes: u64,
}

/// The trust in the lane of a series. The more it is trusted, the later it is evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// The lane of a pull request.
    Pr,
    /// The lane of a branch.
    Branch,
    /// The protected lane.
    Protected,
}

impl SeriesFacts {
    /// Returns when the series was last used, at most `now`.
    ///
    /// It is in use now if a live lease names one of its generations, or if its stamp is in the
    /// future, which means that the clock went back. A save is a use, even if it was killed before
    /// it left a stamp.
    pub fn last_used_by(&self, now: Timestamp) -> Timestamp {
        if self.generations.iter().any(|generation| generation.leased) {
            return now;
        }
        let newest = self.generations.iter().max_by_key(|generation| generation.number);
        let saved = newest.map(|newest| newest.created);
        self.last_used.max(saved).unwrap_or_default().min(now)
    }

    /// Returns the trust in its lane.
    pub fn trust(&self) -> Trust {
        match self.series.scope.lane {
            Lane::Pr(_) => Trust::Pr,
            Lane::Branch(_) => Trust::Branch,
            Lane::Protected => Trust::Protected,
        }
    }
}
