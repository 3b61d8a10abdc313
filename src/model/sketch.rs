//! A sketch of a generation: what its units were built from, as far as choosing among generations needs it.
//!
//! It follows from the manifest and stands before its entries, so that it is read as quickly as the header.
//! How it stands on disk: `docs/FORMAT.md`.

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

/// What the units of a generation were built from.
///
/// Units name packages, paths, variables and each other by their index. An index that leads nowhere stands
/// for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sketch {
    /// What the workspace says of how the units of each profile are built.
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

/// Something in a root that a unit was built from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Spot {
    /// The root it is in.
    pub root: Root,
    /// Where it is below the root; the root itself has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<RelPath>,
    /// How much of it counts.
    #[serde(skip_serializing_if = "Extent::is_itself", default)]
    pub extent: Extent,
}

/// How much of what is at a path counts.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// It, and of a directory all that is in it.
    #[default]
    Itself,
    /// All files of the package that it is the directory of.
    Package,
}

impl Extent {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_itself(&self) -> bool {
        *self == Self::Itself
    }
}

/// A spot, and what was there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SketchPath {
    /// Where it is.
    #[serde(flatten)]
    pub spot: Spot,
    /// What was there; none if nothing that was recorded.
    pub content: Option<Mark>,
}

/// A unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SketchUnit {
    /// The directory that stands for it. It carries cargo's hash of what the unit is, in which version and how
    /// it is built; not of the contents of path packages.
    pub dir: UnitDir,
    /// What it is for, whatever version its package has.
    pub role: Mark,
    /// Its package.
    pub package: u32,
    /// What it was built from.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub paths: Vec<u32>,
    /// The variables it was built with.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub variables: Vec<u32>,
    /// Units that it depends on.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub deps: Vec<u32>,
    /// Whether the job that saved it used it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_used: bool,
    /// Whether cargo would have built it again where it was saved.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_stale: bool,
    /// Whether it works only where the roots are as they were.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_bound: bool,
}

/// What is in the roots: recorded in a manifest, or seen in a checkout.
#[derive(Clone, Debug, Default)]
pub struct Contents(BTreeMap<(Root, Option<RelPath>), Content>);

/// What is at one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// What counts of it.
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
    /// Returns what is at a spot; none if nothing is there. Of a directory the names and contents of all that
    /// is in it count.
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

    /// Returns the newest mtime of what is at a spot.
    fn newest(&self, spot: &Spot) -> Option<Timestamp> {
        self.within(spot).map(|(_, content)| content.mtime).max()
    }

    /// Tells whether a spot is there and all of it is as `before` has it. Of what `before` has there more may
    /// be gone.
    pub fn is_part_of(&self, before: &Self, spot: &Spot) -> bool {
        let as_before = |(path, Content { content, .. }): (Option<&RelPath>, &Content)| {
            let before = before.0.get(&(spot.root.clone(), path.cloned()));
            before.is_some_and(|before| before.content == *content)
        };
        let is_there = self.0.contains_key(&(spot.root.clone(), spot.path.clone()));
        is_there && self.within(spot).all(as_before)
    }

    /// Returns what a manifest recorded.
    pub fn of(manifest: &Manifest) -> Self {
        let sources = manifest.sources.iter().map(|source| {
            let content = Content { content: source.content(), mtime: source.mtime };
            (source.root.clone(), source.path.clone(), content)
        });
        sources.collect()
    }

    /// Returns what counts of a spot.
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
        // What a build watches of git, it names.
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
    /// Sketches a generation; none where its units are not known well enough.
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

/// Returns what in the roots a unit was built from.
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

/// Returns the spot of the package in an absolute directory, of which the innermost root counts.
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
