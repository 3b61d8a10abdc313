//! Sketches: the inputs of a generation's units, as far as choosing among generations needs them.
//!
//! A sketch follows from the manifest and stands before its entries, so it is read as quickly as
//! the header. Its format on disk is described in `docs/FORMAT.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::digest::Hasher;
use super::manifest::{Manifest, SourceKind};
use super::mark::Mark;
use super::rel_path::RelPath;
use super::root::Root;
use super::source::{SourceContent, is_of_git};
use super::timestamp::Timestamp;
use super::unit_graph::{GraphPackage, GraphUnit, GraphVariable, ProfileMarks};
use super::unit_use::UnitDir;

/// The inputs of the units of a generation.
///
/// Units refer to packages, paths, variables and each other by index. An index out of range is
/// ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sketch {
    /// The workspace's settings for the units of each profile.
    pub profiles: Option<ProfileMarks>,
    /// The packages of the units.
    pub packages: Vec<GraphPackage>,
    /// The paths in the roots that units were built from.
    pub paths: Vec<SketchPath>,
    /// The variables that units were built with.
    pub variables: Vec<GraphVariable>,
    /// The units.
    pub units: Vec<SketchUnit>,
}

/// A path in a root that a unit was built from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Spot {
    /// The root it is in.
    pub root: Root,
    /// Its path below the root; `None` for the root itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<RelPath>,
    /// The part of it that counts.
    #[serde(skip_serializing_if = "Extent::is_itself", default)]
    pub extent: Extent,
}

/// The part of a path that counts.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// The path itself; for a directory, with everything in it.
    #[default]
    Itself,
    /// All files of the package in this directory.
    Package,
}

impl Extent {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_itself(&self) -> bool {
        *self == Self::Itself
    }
}

/// A spot and its recorded content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SketchPath {
    /// The spot.
    #[serde(flatten)]
    pub spot: Spot,
    /// The mark of its content; `None` if none was recorded.
    pub content: Option<Mark>,
}

/// A unit of a sketch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SketchUnit {
    /// The directory that stands for it. Its name contains cargo's hash of the unit's identity,
    /// version and build settings, but not of the contents of path packages.
    pub dir: UnitDir,
    /// Its role: the same for any version of its package.
    pub role: Mark,
    /// The index of its package.
    pub package: u32,
    /// The indices of the paths that it was built from.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub paths: Vec<u32>,
    /// The indices of the variables that it was built with.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub variables: Vec<u32>,
    /// The indices of the units that it depends on.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub deps: Vec<u32>,
    /// Whether the job that saved it used it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_used: bool,
    /// Whether cargo would have built it again at the place and time of the save.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_stale: bool,
    /// Whether it works only at the same roots.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_bound: bool,
}

/// The contents of the roots, recorded in a manifest or observed in a checkout.
#[derive(Clone, Debug, Default)]
pub struct Contents(BTreeMap<(Root, Option<RelPath>), Content>);

/// The content and mtime of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// The comparable content.
    pub content: SourceContent,
    /// Its mtime.
    pub mtime: Timestamp,
}

impl FromIterator<(Root, Option<RelPath>, Content)> for Contents {
    fn from_iter<I: IntoIterator<Item = (Root, Option<RelPath>, Content)>>(sources: I) -> Self {
        Self(sources.into_iter().map(|(root, path, content)| ((root, path), content)).collect())
    }
}

impl Contents {
    /// Returns the mark of a spot; `None` if nothing is there. The mark of a directory covers the
    /// names and contents of everything in it.
    pub fn mark(&self, spot: &Spot) -> Option<Mark> {
        let key = (spot.root.clone(), spot.path.clone());
        let Content { content, .. } = self.0.get(&key)?;
        if content.kind != SourceKind::Dir {
            return Some(content.whole_digest().into());
        }
        let mut hasher = Hasher::default();
        for (path, Content { content, .. }) in self.within(spot) {
            hasher.field(path.map_or(&b""[..], RelPath::as_bytes));
            hasher.field(content.whole_digest().to_string().as_bytes());
        }
        Some(hasher.finish().into())
    }

    /// Returns the newest mtime at a spot.
    fn newest(&self, spot: &Spot) -> Option<Timestamp> {
        self.within(spot).map(|(_, content)| content.mtime).max()
    }

    /// Tells whether a spot exists and everything there is as in `before`. Entries of `before` may
    /// be missing.
    pub fn is_part_of(&self, before: &Self, spot: &Spot) -> bool {
        let as_before = |(path, Content { content, .. }): (Option<&RelPath>, &Content)| {
            let before = before.0.get(&(spot.root.clone(), path.cloned()));
            before.is_some_and(|before| before.content == *content)
        };
        let is_there = self.0.contains_key(&(spot.root.clone(), spot.path.clone()));
        is_there && self.within(spot).all(as_before)
    }

    /// Returns the contents that a manifest recorded.
    pub fn of(manifest: &Manifest) -> Self {
        let sources = manifest.sources.iter().map(|source| {
            let content = Content { content: source.content(), mtime: source.mtime };
            (source.root.clone(), source.path.clone(), content)
        });
        sources.collect()
    }

    /// Returns the paths of a spot that count, with their contents.
    pub(super) fn within<'a>(
        &'a self,
        spot: &'a Spot,
    ) -> impl Iterator<Item = (Option<&'a RelPath>, &'a Content)> {
        let is_within = |path: Option<&RelPath>, dir: Option<&RelPath>| match (dir, path) {
            (None, _) => true,
            (Some(dir), Some(path)) => path.is_within(dir),
            (Some(_), None) => false,
        };
        let all = move || {
            let from = self.0.range((spot.root.clone(), spot.path.clone())..);
            let inside = from.take_while(move |((root, path), _)| {
                *root == spot.root && is_within(path.as_ref(), spot.path.as_ref())
            });
            inside.map(|((_, path), content)| (path.as_ref(), content))
        };
        let others: Vec<RelPath> = match spot.extent {
            Extent::Itself => Vec::new(),
            Extent::Package => all()
                .filter_map(|(path, _)| {
                    path.filter(|path| path.file_name() == b"Cargo.toml")?.parent()
                })
                .filter(|dir| Some(dir) != spot.path.as_ref())
                .collect(),
        };
        let is_package = spot.extent == Extent::Package;
        // A build that watches git's files names them.
        let is_git = spot.path.as_ref().is_some_and(is_of_git);
        all().filter(move |(path, content)| {
            if !is_git && path.is_some_and(is_of_git) {
                return false;
            }
            let is_other = path.is_some_and(|path| others.iter().any(|dir| path.is_within(dir)));
            !(is_other || is_package && content.content.kind == SourceKind::Dir)
        })
    }
}

impl Sketch {
    /// Returns the sketch of a generation; `None` if too little is known of its units.
    pub fn of(manifest: &Manifest) -> Option<Self> {
        let graph = &manifest.graph;
        graph.profiles.as_ref()?;
        let contents = Contents::of(manifest);
        let mut paths: BTreeMap<Spot, u32> = BTreeMap::new();
        let mut units = Vec::new();
        for unit in &graph.units {
            let (Some(dir), Some(role)) = (unit.dir.clone(), unit.role) else { return None };
            let mut numbers = Vec::new();
            let mut is_stale = is_stale_by_itself(unit, &graph.units);
            for spot in spots(manifest, unit) {
                is_stale |= !unit.by_content && contents.newest(&spot) > Some(unit.fresh_until());
                let next = u32::try_from(paths.len()).unwrap_or(u32::MAX);
                numbers.push(*paths.entry(spot).or_insert(next));
            }
            units.push(SketchUnit {
                dir,
                role,
                package: unit.package,
                paths: numbers,
                variables: unit.variables.clone(),
                deps: unit.deps.clone(),
                is_used: !unit.is_unused,
                is_stale,
                is_bound: unit.is_bound,
            });
        }
        let mut paths: Vec<_> = paths.into_iter().collect();
        paths.sort_by_key(|(_, number)| *number);
        let path = |(spot, _): (Spot, u32)| SketchPath { content: contents.mark(&spot), spot };
        Some(Self {
            profiles: graph.profiles.clone(),
            packages: graph.packages.clone(),
            paths: paths.into_iter().map(path).collect(),
            variables: graph.variables.clone(),
            units,
        })
    }
}

fn is_stale_by_itself(unit: &GraphUnit, units: &[GraphUnit]) -> bool {
    let was_built_since =
        |dep: &u32| units.get(*dep as usize).is_some_and(|dep| dep.built > unit.built);
    unit.is_unfinished || unit.deps.iter().any(was_built_since)
}

/// Returns the spots that a unit was built from.
pub(super) fn spots(manifest: &Manifest, unit: &GraphUnit) -> Vec<Spot> {
    let named = unit.files.iter().chain(&unit.fixed);
    let sources = named.filter_map(|number| manifest.sources.get(*number as usize));
    let spot = |source: &super::manifest::Source| Spot {
        root: source.root.clone(),
        path: source.path.clone(),
        extent: Extent::Itself,
    };
    let package = manifest.graph.packages.get(unit.package as usize);
    let dir = package.and_then(|package| package.dir.as_ref()).filter(|_| unit.whole_package);
    let package = dir.and_then(|dir| spot_of_package(manifest, dir.as_bytes()));
    sources.map(spot).chain(package).collect()
}

/// Returns the spot of the package in an absolute directory, relative to the innermost root.
fn spot_of_package(manifest: &Manifest, dir: &[u8]) -> Option<Spot> {
    let below = manifest.header.roots.iter().filter_map(|(root, top)| {
        let rest = dir.strip_prefix(top.as_bytes())?;
        let path = match rest.strip_prefix(b"/") {
            Some(rest) => Some(RelPath::parse(rest).ok()?),
            None => rest.is_empty().then_some(None)?,
        };
        Some((top.as_bytes().len(), root, path))
    });
    let (_, root, path) = below.max_by_key(|(len, ..)| *len)?;
    Some(Spot { root: root.clone(), path, extent: Extent::Package })
}

#[cfg(test)]
mod tests;
