//! Finds live targets that are ahead of the store: cargo reuses more of them than of any
//! generation.
//!
//! In a workspace that is not cleaned, this happens if the last save was lost. Then the tree and
//! all mtimes stay as they are, as if nothing were ever restored.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::scores::Scores;
use super::standing::Checkout;
use crate::cargo::sources::below;
use crate::cargo::units::is_fingerprint;
use crate::fs::stat::{Kind, Stat};
use crate::fs::walk::Found;
use crate::job::Result;
use crate::job::note::Note;
use crate::job::sources::Glance;
use crate::job::{AreaPlace, Job};
use crate::model::ahead::{Other, Times, is_true_to_sources};
use crate::model::manifest::{EntryKind, GenerationId, Header, Manifest};
use crate::model::raw_path::RawPath;
use crate::model::rel_path::RelPath;
use crate::model::score::fates;
use crate::model::sketch::Sketch;
use crate::model::system::compare;
use crate::store::{Lease, Store, boot_id};
use crate::tree::graph::{self, Recorded, Surroundings};
use crate::tree::walk::{walk, walk_tree};

/// The parameters for deciding whether a live target is ahead.
pub(super) struct Live<'a> {
    pub(super) store: &'a Store,
    pub(super) lease: &'a Lease,
    pub(super) job: &'a Job,
    pub(super) place: &'a AreaPlace,
    pub(super) glance: &'a Glance,
}

impl Live<'_> {
    /// Returns a note if the tree at the place is ahead of the best generation.
    ///
    /// A tree is not ahead if the job that used it last is unknown, may not be read, or ran on
    /// another system; if its roots have moved; if it is still as a job restored or saved it; or if
    /// it cannot be read.
    pub(super) fn ahead(
        &self,
        scores: &Scores,
        index: usize,
        best: (&GenerationId, &Arc<Manifest>),
    ) -> Option<Note> {
        let reused_of_best = scores.each[index].score.reused?;
        let wanted = scores.wanted()?;
        if reused_of_best >= wanted {
            return None;
        }
        let Job { readable, system, .. } = self.job;
        let (id, owner) = self.store.tree_owner(&self.place.dir, &boot_id())?;
        let may_read = readable.contains(&id.series.scope) && readable.contains(&owner.scope);
        if !may_read || owner.system != *system {
            return None;
        }
        let before = match best {
            (of, manifest) if *of == id => Arc::clone(manifest),
            _ => Arc::new(self.store.read(self.lease, &id).ok()?),
        };
        let is_usable = compare(system, before.header.system.as_ref()).is_usable();
        let has_moved = before.header.roots != self.job.raw_roots();
        if !is_usable || has_moved || !self.was_built_in(&before).ok()? {
            return None;
        }
        let of_live = self.reuse(scores, &before).ok()??;
        let dir = self.place.dir.clone();
        (of_live > reused_of_best).then_some(Note::Ahead {
            dir,
            reused: of_live,
            wanted,
            reused_of_best,
        })
    }

    /// Tells whether a unit was built since the tree was the generation `before`. Looks only at
    /// fingerprints.
    fn was_built_in(&self, before: &Manifest) -> Result<bool> {
        let holds_none = |name: &[u8]| {
            matches!(
                name,
                b"deps" | b"examples" | b"incremental" | b"out" | b"run" | b"doc" | b"tmp"
            )
        };
        let wants = |path: &RelPath, kind| match kind {
            Kind::Dir => !holds_none(path.file_name()),
            _ => is_fingerprint(path),
        };
        let found = walk(&self.place.dir, wants)?.found;
        let mut files = found.iter().filter(|found| found.stat.kind == Kind::File);
        Ok(files.any(|Found { path, stat }| {
            let entry = before.entry(path).map(|entry| &entry.kind);
            !matches!(entry, Some(EntryKind::File(facts))
                if (facts.mtime, facts.size) == (stat.mtime, stat.size))
        }))
    }

    /// Returns how many of the units that the job used last time cargo will find fresh in the tree.
    /// Returns `None` if cargo might find a unit fresh that was built from other sources.
    fn reuse(&self, scores: &Scores, before: &Manifest) -> Result<Option<usize>> {
        let Job { roots, scratch, .. } = self.job;
        let dir = &self.place.dir;
        let checkout_files = self.glance.checkout_files(dir, roots);
        let found = checkout_files.leave_out(walk_tree(dir, scratch)?.found);
        let (sources, ctimes) = self.glance.sources();
        let around = Surroundings::of(self.job, self.place, &sources);
        let Recorded { graph, is_clear, .. } = graph::record(&found, &around, |_| true);
        let header = Header {
            toolchain: self.place.toolchain,
            environment: self.place.environment,
            components: self.place.components.clone(),
            roots: self.job.raw_roots(),
            cargo_home: self.job.home_of(self.place),
            ..before.header.clone()
        };
        let live = Manifest {
            header,
            entries: Vec::new(),
            kept: Vec::new(),
            graph,
            sources,
            units: Vec::new(),
        };
        if !is_clear
            || !is_true_to_sources(&live, before, &ctimes, |path| self.look_at(path, before))
        {
            return Ok(None);
        }
        let Some(sketch) = Sketch::of(&live) else { return Ok(None) };
        let contents = self.glance.contents();
        let standing =
            Checkout::new(self.job, self.place, &contents).standing(&live.header, &sketch);
        Ok(scores.reused_of(&sketch, &fates(&sketch, &standing)))
    }

    /// Returns the state of a path that is no source now. We set no times outside the checkouts.
    fn look_at(&self, path: &RawPath, before: &Manifest) -> Other {
        let path = Path::new(OsStr::from_bytes(path.as_bytes()));
        let inside = self.job.roots.iter().filter(|(_, dir)| path.starts_with(dir));
        let Some((root, dir)) = inside.max_by_key(|(_, dir)| dir.components().count()) else {
            return Other::Elsewhere;
        };
        if let Ok(stat) = Stat::of(path) {
            return Other::At(Times { mtime: stat.mtime, ctime: stat.inode.ctime });
        }
        let below = below(dir, path).ok().flatten();
        let was_source = before.sources.iter().any(|it| it.root == *root && it.path == below);
        let is_kept =
            before.kept.iter().any(|it| it.root == *root && Some(&it.path) == below.as_ref());
        if was_source && !is_kept { Other::Removed } else { Other::Lost }
    }
}
