//! Removes the wrong parts of a `CARGO_HOME`, so that cargo fetches them again.

use std::collections::HashSet;

use super::{LeftBy, Part, Vouching, Wrong};
use crate::cargo::home::{RegistryPart, Shared, registry_part, unit};
use crate::fs::beneath::Beneath;
use crate::fs::space::now_at;
use crate::fs::stat::Kind;
use crate::job::Result;
use crate::job::error::chain;
use crate::job::locks::keep_packages_unused;
use crate::job::warning::{Fate, FoundBy, Warning};
use crate::model::rel_path::RelPath;
use crate::tree::staged::Staged;
use crate::tree::walk::walk;

/// The number of paths that are named; the others are only counted.
const SHOWN: usize = 5;

/// The result of removing wrong parts.
pub(crate) struct Removal {
    /// A warning for each wrong part.
    pub(crate) warnings: Vec<Warning>,
    /// Whether none of them is left.
    pub(crate) is_done: bool,
}

impl Vouching<'_> {
    /// Removes the `wrong` parts. Returns a warning for each, with the outcome of its removal.
    ///
    /// Holds both of cargo's locks, so that nothing is removed that cargo is writing or reading. Judges the parts once
    /// more under the locks. Each part is removed by one rename.
    pub(crate) fn remove(
        &self,
        part: Part<'_>,
        wrong: &[Wrong],
        (found, left_by): (FoundBy, LeftBy),
    ) -> Removal {
        if wrong.is_empty() {
            return Removal { warnings: Vec::new(), is_done: true };
        }
        let removed = self.try_remove(part, wrong, left_by);
        let fate = |path: &RelPath| match &removed {
            Ok(removed) if removed.contains(path) => Fate::Removed,
            Ok(_) => Fate::Mended,
            Err(error) => Fate::Stays(chain(error)),
        };
        let warning = |Wrong { path, why }: &Wrong| Warning::Wrong {
            path: part.dir.join(path.as_path()),
            why: why.clone(),
            found,
            fate: fate(path),
        };
        let mut warnings: Vec<_> = wrong.iter().take(SHOWN).map(warning).collect();
        let others = wrong.len().saturating_sub(SHOWN);
        if others > 0 {
            warnings.push(Warning::MoreWrong { count: others, dir: part.dir.to_owned() });
        }
        Removal { warnings, is_done: removed.is_ok() }
    }

    /// Returns the parts that were still wrong and were removed.
    fn try_remove(
        &self,
        part: Part<'_>,
        wrong: &[Wrong],
        left_by: LeftBy,
    ) -> Result<HashSet<RelPath>> {
        let _locks = keep_packages_unused(&self.job.cargo_home, self.progress)?;
        let wrong = self.still_wrong(part, wrong, left_by)?;
        if wrong.is_empty() {
            return Ok(wrong);
        }
        let home = Beneath::open(part.dir)?;
        let staged = Staged::within(self.lease, part.dir, part.dir)?;
        let aside = Beneath::open(staged.path())?;
        for path in &wrong {
            aside.create_parents(path)?;
            home.move_to(path, &aside)?;
        }
        Ok(wrong)
    }

    fn still_wrong(
        &self,
        part: Part<'_>,
        wrong: &[Wrong],
        left_by: LeftBy,
    ) -> Result<HashSet<RelPath>> {
        let mut tops: HashSet<RelPath> = wrong.iter().map(|wrong| wrong.path.clone()).collect();
        // A source is judged by its crate file, so that is needed too.
        tops.extend(wrong.iter().filter_map(|wrong| crate_file_of(part.kind, &wrong.path)));
        let above = |path: &RelPath| std::iter::successors(path.parent(), RelPath::parent);
        let parents: HashSet<_> = tops.iter().flat_map(above).collect();
        let is_of = |path: &RelPath| {
            tops.contains(path) || unit(part.kind, path).is_some_and(|unit| tops.contains(&unit))
        };
        let walked = walk(part.dir, |path, what| {
            is_of(path) || what == Kind::Dir && parents.contains(path)
        })?;
        let now = now_at(self.store.root())?;
        let found = self
            .judge(part, &walked.found, now, left_by)?
            .wrong
            .into_iter()
            .map(|wrong| wrong.path);
        Ok(found.filter(|path| wrong.iter().any(|wrong| wrong.path == *path)).collect())
    }
}

fn crate_file_of(kind: Shared, path: &RelPath) -> Option<RelPath> {
    match (kind, registry_part(path)) {
        (Shared::Registry, RegistryPart::Source(of)) => of.file(),
        _ => None,
    }
}
