//! Predicts the crates that cargo will build again after a restore, from the generation's unit
//! graph.

mod packages;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::flags::differences;
use super::refreshing::FinalSources;
use crate::cargo::lock_file::Diff;
use crate::cargo::units::Units;
use crate::fs::stat::Stat;
use crate::job::{AreaPlace, Job};
use crate::model::always_build::AlwaysBuild;
use crate::model::digest::Digest;
use crate::model::freshness::Observed;
use crate::model::manifest::{Manifest, SourceKind};
use crate::model::raw_path::RawPath;
use crate::model::rebuild::{Moved, Now, PathNow, Rebuild, rebuilds};
use crate::model::rel_path::RelPath;
use crate::model::root::Root;
use crate::model::source::{SourceContent, is_of_git};
use crate::model::timestamp::Timestamp;

/// Returns the crates that cargo will build again although `manifest` was restored to `place`.
///
/// `outcome` holds the sources after the restore. The packages that `always_build` names are built
/// in any case.
pub(super) fn explain(
    job: &Job,
    place: &AreaPlace,
    manifest: &Manifest,
    final_sources: &FinalSources<'_>,
    always_build: &[AlwaysBuild],
) -> Vec<Rebuild> {
    let demanded = AlwaysBuild::units(always_build, manifest);
    let now = Now { demanded, ..Looking::at(job, manifest, final_sources).now(place) };
    rebuilds(&manifest.graph, &now)
}

/// Looks up the current state of the paths and packages that a generation names.
struct Looking<'a> {
    job: &'a Job,
    manifest: &'a Manifest,
    final_sources: &'a FinalSources<'a>,
    recorded: HashMap<(&'a Root, Option<&'a RelPath>), SourceContent>,
}

/// The current place of a path that a generation names.
struct Spot<'a> {
    full: PathBuf,
    /// Its root, the directory of that root, and its path in there, which is `None` for the root
    /// itself. `None` outside the roots.
    inside: Option<(&'a Root, &'a Path, Option<RelPath>)>,
    moved: Option<Moved>,
}

impl<'a> Looking<'a> {
    fn at(job: &'a Job, manifest: &'a Manifest, final_sources: &'a FinalSources<'a>) -> Self {
        let sources = manifest
            .sources
            .iter()
            .map(|source| ((&source.root, source.path.as_ref()), source.content()));
        let kept = manifest
            .kept
            .iter()
            .map(|kept| ((&kept.root, Some(&kept.path)), kept.as_source().content()));
        Self { job, manifest, final_sources, recorded: kept.chain(sources).collect() }
    }

    fn now(&self, place: &AreaPlace) -> Now {
        let Manifest { header, entries, graph, .. } = self.manifest;
        let (everything, every_path_crate) = differences(header, place);
        let units = Units::among(entries.iter().map(|entry| &entry.path));
        let crates = units.iter().map(|unit| unit.crate_name().into_owned()).collect();
        let variables = (0..).zip(&graph.variables).filter_map(|(index, variable)| {
            let value = self.job.environment.get(&variable.name);
            let value = value.map(|value| Digest::of(value.as_bytes()));
            (value != variable.value).then(|| (index, variable.name.clone()))
        });
        let named = graph.units.iter().flat_map(|unit| unit.files.iter().chain(&unit.fixed));
        let named: BTreeSet<_> = named.copied().collect();
        let path = |number: u32| Some((number, self.path(&self.spot(number)?, place)));
        Now {
            everything,
            every_path_crate,
            crates,
            new_versions: new_versions(lock_of(&header.components), lock_of(&place.components)),
            packages: self.packages(),
            variables: variables.collect(),
            paths: named.into_iter().filter_map(path).collect(),
            demanded: BTreeSet::new(),
        }
    }

    /// Returns the current place of the path with this number.
    fn spot(&self, number: u32) -> Option<Spot<'a>> {
        let number = number as usize;
        let Manifest { sources, graph, header, .. } = self.manifest;
        let Some(source) = sources.get(number) else {
            let other = graph.others.get(number - sources.len())?;
            return Some(self.spot_of(Path::new(OsStr::from_bytes(other.as_bytes()))));
        };
        let old = Path::new(OsStr::from_bytes(header.roots.get(&source.root)?.as_bytes()));
        let old = source.path.as_ref().map_or(old.to_owned(), |path| old.join(path.as_path()));
        Some(self.spot_of(&old))
    }

    /// Returns the current place of a path that was `old` when the generation was saved.
    fn spot_of(&self, old: &Path) -> Spot<'a> {
        let below = |(root, dir): (&'a Root, &'a RawPath)| {
            let dir = Path::new(OsStr::from_bytes(dir.as_bytes()));
            let below = old.strip_prefix(dir).ok()?;
            Some((dir.as_os_str().len(), root, below.to_owned()))
        };
        let inside = self.manifest.header.roots.iter().filter_map(below);
        let inside = inside.max_by_key(|(len, ..)| *len);
        let inside =
            inside.and_then(|(_, root, below)| Some((root, self.job.roots.get(root)?, below)));
        let Some((root, dir, below)) = inside else {
            return Spot { full: old.to_owned(), inside: None, moved: None };
        };
        // `join` with an empty path would add a slash.
        let is_root = below.as_os_str().is_empty();
        let full = if is_root { dir.clone() } else { dir.join(&below) };
        let moved = (full != old)
            .then(|| Moved { old: old.display().to_string(), new: full.display().to_string() });
        let path = RelPath::parse(below.as_os_str().as_bytes()).ok();
        Spot { full, inside: Some((root, dir, path)), moved }
    }

    /// Returns the current state of the path at `spot`, as cargo sees it: for a directory,
    /// everything in it counts.
    fn path(&self, spot: &Spot<'_>, place: &AreaPlace) -> PathNow {
        let shown = spot.shown();
        // Cargo follows symlinks.
        let on_disk = || spot.full.metadata().ok().map(|found| Stat::from(&found).mtime);
        let mut now = PathNow { shown, moved: spot.moved.clone(), ..PathNow::default() };
        let seen = spot.inside.as_ref().and_then(|(root, dir, path)| {
            let (observed, mtime) = self.final_sources.get(&(*dir, path.as_ref()))?;
            Some((*root, *dir, path.as_ref(), *observed, *mtime))
        });
        let Some((root, dir, path, observed, mtime)) = seen else {
            now.mtime = on_disk();
            return now;
        };
        let is_recorded = |path: Option<&RelPath>| {
            let (found, _) = self.final_sources[&(dir, path)];
            let recorded = self.recorded.get(&(root, path));
            if recorded.is_none() && path.is_some_and(is_of_git) {
                // No record exists, so nothing shows that the file changed; its mtime shows that it
                // is newer.
                return true;
            }
            recorded.is_some_and(|content| Some(*content) == found.content())
        };
        now.mtime = if observed.kind == SourceKind::Symlink { on_disk() } else { Some(mtime) };
        if observed.kind != SourceKind::Dir {
            now.changed.extend((!is_recorded(path)).then(|| now.shown.clone()));
            return now;
        }
        for ((_, path), (found, mtime)) in within(self.final_sources, dir, path) {
            now.mtime = now.mtime.max(Some(*mtime));
            if !is_recorded(*path) {
                let list =
                    if found.kind == SourceKind::Dir { &mut now.listed } else { &mut now.changed };
                list.push(shown_in(root, *path));
            }
        }
        if place.dir.starts_with(&spot.full) {
            // The target directory lies in it, so every build makes it newer.
            now.mtime = now.mtime.max(Some(self.manifest.header.newest_mtime));
        }
        now
    }
}

impl Spot<'_> {
    fn shown(&self) -> String {
        match &self.inside {
            Some((root, _, path)) => shown_in(root, path.as_ref()),
            None => self.full.display().to_string(),
        }
    }
}

/// Returns the name of a path in a root, for people.
pub(super) fn shown_in(root: &Root, path: Option<&RelPath>) -> String {
    match (root, path) {
        (Root::Repo, Some(path)) => path.to_string(),
        (root, Some(path)) => format!("{root}/{path}"),
        (root, None) => root.to_string(),
    }
}

/// A source of an outcome: its place, its state and its mtime.
type Seen<'a> = (&'a (&'a Path, Option<&'a RelPath>), &'a (&'a Observed, Timestamp));

/// Returns the sources in a directory of a root, including the directory itself.
fn within<'a>(
    final_sources: &'a FinalSources<'a>,
    dir: &'a Path,
    path: Option<&'a RelPath>,
) -> impl Iterator<Item = Seen<'a>> {
    let is_within = move |found: Option<&RelPath>| match (path, found) {
        (None, _) => true,
        (Some(path), Some(found)) => found.is_within(path),
        (Some(_), None) => false,
    };
    let from = final_sources.range((dir, path)..);
    from.take_while(move |((root, found), _)| *root == dir && is_within(*found))
}

fn lock_of(components: &BTreeMap<String, String>) -> &str {
    components.get("lock").map_or("", String::as_str)
}

/// Returns the packages that the new lock file names in another version than the old one, with the
/// new version. Path packages are left out: cargo updates their versions in a lock file only when
/// it builds.
fn new_versions(old: &str, new: &str) -> BTreeMap<String, String> {
    let Diff { added, removed } = Diff::between(old, new);
    let split = |line: &String| {
        let (name, version) = line.split_once(' ').filter(|_| !line.ends_with(" path"))?;
        Some((name.to_owned(), version.to_owned()))
    };
    let removed: BTreeMap<_, _> = removed.iter().filter_map(split).collect();
    let added = added.iter().filter_map(split);
    added.filter(|(name, _)| removed.contains_key(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_package_that_the_tree_may_hold_in_another_version_has_a_new_one() {
        type Case<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)]);
        #[rustfmt::skip]
        let cases: [Case<'_>; 6] = [
            ("the same",       "a 1.0.0",                    "a 1.0.0",                    &[]),
            ("bumped",         "a 1.0.0\nb 1.0.0",           "a 1.0.1\nb 1.0.0",           &[("a", "1.0.1")]),
            ("another commit", "a 1.0.0 git+https://x/a#12", "a 1.0.0 git+https://x/a#34", &[("a", "1.0.0 git+https://x/a#34")]),
            ("of a path",      "a 1.0.0 path",               "a 1.0.1 path",               &[]),
            ("new or gone",    "a 1.0.0",                    "b 1.0.0",                    &[]),
            ("no lock file",   "",                           "a 1.0.0",                    &[]),
        ];
        for (why, old, new, want) in cases {
            let want = want.iter().map(|(name, new)| ((*name).to_owned(), (*new).to_owned()));
            assert_eq!(new_versions(old, new), want.collect(), "{why}");
        }
    }
}
