//! What a generation remembers of its units, so that a restore can tell which cargo will build again.
//!
//! How it stands on disk: `docs/FORMAT.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::manifest::RawPath;
use super::mark::Mark;
use super::timestamp::Timestamp;
use super::unit_use::UnitDir;

/// The units of a tree, and what makes them stale.
///
/// Units name packages, variables and each other by their index. They name paths by one number: that of
/// a source of the manifest, or, from the number of sources on, of one of [`Self::others`]. A number
/// that leads nowhere stands for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnitGraph {
    /// The packages that the units are of.
    pub packages: Vec<GraphPackage>,
    /// Variables that units were built with.
    pub variables: Vec<GraphVariable>,
    /// Paths that are no sources of the manifest, absolute.
    pub others: Vec<RawPath>,
    /// The units.
    pub units: Vec<GraphUnit>,
    /// What the workspace says of how the units of each profile are built. None where an older version saved
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profiles: Option<ProfileMarks>,
}

/// What a workspace says of how the units in each profile directory (`debug`, `release`) are built: the profiles
/// that lie there, and cargo's configuration in the checkout.
pub type ProfileMarks = BTreeMap<String, Mark>;

/// A package that units are of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GraphPackage {
    /// Its name.
    pub name: String,
    /// Its absolute directory, of a path package.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dir: Option<RawPath>,
    /// Whether that lies outside the root of the workspace: then cargo knows it by that path.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_outside: bool,
    /// Its version, of a package of a registry, or the abbreviated commit, of one of a git repository.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// What the manifest of a path package means, comments and layout aside.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub manifest: Option<Mark>,
}

/// A variable that units were built with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GraphVariable {
    /// Its name.
    pub name: String,
    /// The digest of its value; none if it was not set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<Digest>,
}

/// A unit, and what makes it stale.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and a field on disk")]
pub struct GraphUnit {
    /// The directory that stands for it; none where an older version saved it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dir: Option<UnitDir>,
    /// What it is for, whatever version its package has: equal for two units of which a build wants only one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<Mark>,
    /// Whether the job that saved it did not use it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_unused: bool,
    /// Its package.
    pub package: u32,
    /// The time that cargo compares with: when the build of the unit began.
    pub built: Timestamp,
    /// Paths in its package. Wherever that lies, cargo looks for them there.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub files: Vec<u32>,
    /// Paths elsewhere. Cargo looks for them where they were.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub fixed: Vec<u32>,
    /// Whether every file of the package counts: its build script names none.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub whole_package: bool,
    /// Whether cargo compares the contents of the paths, not their mtimes (`build.fingerprint`).
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub by_content: bool,
    /// Variables.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub variables: Vec<u32>,
    /// Units that it depends on.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub deps: Vec<u32>,
    /// Whether it works only where the roots are as they were.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_bound: bool,
    /// Whether its build did not come to an end, or one that it depends on was built again since.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_unfinished: bool,
}
