//! Saving: what changed goes into packs, and what is there now becomes a generation.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::compare::{Known, has_same_bytes};
use super::index::Index;
use super::job::{Job, Place};
use super::kept::{self, Keep};
use super::pack::{PackedFiles, Packing};
use super::progress::Progress;
use super::report::{AreaReport, Mode, Report, SourcesReport, chain};
use super::tree::{Tree, Unread, unread_facts};
use super::{Error, Result, sources};
use crate::cargo::build_lock::{BuildLocks, lock_builds};
use crate::cargo::home::Shared;
use crate::fs::crash::crash_point;
use crate::fs::stat::Kind;
use crate::fs::walk::{Found, walk};
use crate::model::area::Area;
use crate::model::choice::Hit;
use crate::model::manifest::{
    Content, Entry, EntryKind, FileFacts, GenerationId, Header, KeptFile, Manifest, PackUse,
    RawPath, Source,
};
use crate::model::timestamp::Timestamp;
use crate::store::{Event, Lease, Purpose, Store, TreeRecord, boot_id};

/// How long a save waits for a build that still runs in its directory.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a save is done.
#[derive(Clone, Copy, Debug)]
pub struct SaveOptions {
    /// The zstd level of new packs, 1 to 19.
    pub level: i32,
    /// The time of the save.
    pub now: Timestamp,
}

/// Everything the areas of one save share.
struct Saving<'a> {
    store: &'a Store,
    lease: &'a Lease,
    job: &'a Job,
    options: SaveOptions,
    sources: &'a [Source],
    boot: String,
    index: OnceLock<Index>,
    counter: AtomicU64,
    progress: &'a Progress,
}

/// Saves every area of `job`.
///
/// An area that fails leaves the store as it was for that area, and a warning in its report.
/// Killed at any instruction, each area is published whole or not at all. Any number of saves
/// and restores may run at once.
pub fn save(store: &Store, job: &Job, options: SaveOptions, progress: &Progress) -> Result<Report> {
    let started = Instant::now();
    store.reclaim()?;
    let lease = store.lease(Purpose::Save)?;
    crash_point("save: leased");
    let has_target = job.places.iter().any(|place| !place.area.is_shared());
    let sources = if has_target { sources::record(&job.roots, &job.excluded)? } else { Vec::new() };
    let saving = Saving {
        store,
        lease: &lease,
        job,
        options,
        sources: &sources,
        boot: boot_id(),
        index: OnceLock::new(),
        counter: AtomicU64::new(0),
        progress,
    };
    let areas = job.places.par_iter().map(|place| saving.report(place)).collect();
    let mut report = Report::of(job.key.clone(), areas);
    report.sources = SourcesReport { checked: sources.len() as u64, ..SourcesReport::default() };
    report.warnings.clone_from(&job.warnings);
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

impl Saving<'_> {
    fn report(&self, place: &Place) -> AreaReport {
        let started = Instant::now();
        let mut report = AreaReport::new(place.area.clone());
        if let Err(error) = self.save_area(place, &mut report) {
            report.fail(&error);
        }
        report.seconds = started.elapsed().as_secs_f64();
        report
    }

    fn save_area(&self, place: &Place, report: &mut AreaReport) -> Result<()> {
        let Some(found) = self.look(place, report)? else { return Ok(()) };
        let _locks = self.lock_builds(place)?;
        let after_stats = crate::fs::space::now_at(self.store.root())?;
        let tree = Tree::of(&place.dir, &found)?;
        let special = tree.special.iter().map(|path| {
            format!("`{}` is a socket, fifo or device and is left out", path.display())
        });
        report.warnings.extend(special);
        let keep = self.find_kept(place, &found)?;

        let known = Known::of(self.store, self.lease, &place.dir, &self.boot);
        let mut manifest = self.assemble(place, &tree, &keep, known.as_ref(), report)?;
        let header = &mut manifest.header;
        header.entries = tree.entries.len() as u64;
        let is_file = |found: &&Found| found.stat.kind == Kind::File;
        header.files = found.iter().filter(is_file).count() as u64;
        header.bytes = tree.files.iter().map(|(_, unread)| unread.stat.size).sum();
        header.newest_mtime = found.iter().map(|found| found.stat.mtime).max().unwrap_or_default();
        (report.files, report.bytes) = (header.files, header.bytes);

        let id = match self.identical(place, known.as_ref(), &manifest)? {
            Some(id) => {
                (report.mode, report.hit) = (Mode::Unchanged, Hit::Exact);
                id
            }
            None => {
                crash_point("save: packs visible");
                report.mode = Mode::Published;
                self.store.publish(self.lease, &manifest)?
            }
        };
        report.generation = Some(id.to_string());
        report.matched_key = Some(self.job.key.clone());
        self.store.stamp(&id.series, self.options.now)?;
        self.record(place, &tree, id.clone(), after_stats, report);
        crash_point("save: recorded");
        let event = if report.mode == Mode::Published { "save" } else { "stamp" };
        self.log(event, id, report)
    }

    /// Walks the area's directory; `None`, with the reason in the report, if there is nothing.
    fn look(&self, place: &Place, report: &mut AreaReport) -> Result<Option<Vec<Found>>> {
        let dir = &place.dir;
        let found = match shared(&place.area) {
            _ if !dir.is_dir() => Vec::new(),
            None => walk(dir, |_, _| true)?,
            Some(shared) => self.look_at_home(shared, place)?,
        };
        if found.iter().any(|found| found.stat.kind != Kind::Dir) {
            return Ok(Some(found));
        }
        let dir = dir.display();
        match place.area {
            Area::Target => report.warnings.push(format!(
                "`{dir}` is empty: nothing is saved. Is it where cargo builds? See CARGO_TARGET_DIR \
                 and `build.target-dir`"
            )),
            Area::Registry if !self.job.has_lock => report.warnings.push(format!(
                "no Cargo.lock says what of `{dir}` belongs to this repo: nothing is saved"
            )),
            _ => report.notes.push(format!("nothing in `{dir}`")),
        }
        Ok(None)
    }

    /// Walks what the lock files name of `CARGO_HOME`, leaving out half extractions.
    fn look_at_home(&self, kind: Shared, place: &Place) -> Result<Vec<Found>> {
        let wanted = &self.job.wanted;
        let mut found = walk(&place.dir, |path, what| match what {
            Kind::Dir => wanted.may_hold(kind, path),
            _ => wanted.wants(kind, path),
        })?;
        let whole: HashMap<_, _> = found
            .iter()
            .filter_map(|found| {
                let unit = crate::cargo::home::unit(kind, &found.path)?;
                let mark = found.path.file_name() == b".cargo-ok"
                    && found.path.parent().as_ref() == Some(&unit);
                (mark && (found.stat.size > 0 || kind == Shared::Git)).then_some((unit, ()))
            })
            .collect();
        found.retain(|found| match crate::cargo::home::unit(kind, &found.path) {
            Some(unit) if super::shared::needs_mark(&unit) => whole.contains_key(&unit),
            _ => true,
        });
        Ok(found)
    }

    fn lock_builds(&self, place: &Place) -> Result<Vec<crate::fs::lock::Lock>> {
        if place.area.is_shared() {
            return Ok(Vec::new());
        }
        match lock_builds(&place.dir, PATIENCE)? {
            BuildLocks::Held(locks) => Ok(locks),
            BuildLocks::Busy(path) => Err(Error::Busy { path, holder: "a cargo build" }),
        }
    }

    fn find_kept(&self, place: &Place, found: &[Found]) -> Result<Vec<Keep>> {
        if place.area.is_shared() {
            return Ok(Vec::new());
        }
        let Job { roots, excluded, .. } = self.job;
        kept::find(&place.dir, found, &place.workspace_root, roots, self.sources, excluded)
    }

    /// Completes the manifest: contents of unchanged files are taken from what is known, the
    /// others are read and packed.
    fn assemble(
        &self,
        place: &Place,
        tree: &Tree,
        keep: &[Keep],
        known: Option<&Known>,
        report: &mut AreaReport,
    ) -> Result<Manifest> {
        let mut facts: Vec<Option<FileFacts>> = Vec::new();
        let mut packs = Packs::default();
        for (index, unread) in &tree.files {
            let path = &tree.entries[*index].path;
            let recorded = known.and_then(|known| known.facts_of(path, &unread.stat));
            facts.push(recorded.map(|recorded| FileFacts {
                contents: recorded.contents.clone(),
                ..unread_facts(&unread.stat)
            }));
        }
        facts.extend(keep.iter().map(|_| None));
        let all: Vec<&Unread> = tree
            .files
            .iter()
            .map(|(_, unread)| unread)
            .chain(keep.iter().map(|keep| &keep.file))
            .collect();

        if facts.iter().any(Option::is_none) {
            self.drop_half_dead(known, &mut facts)?;
        }
        if let Some(known) = known {
            let listed = &known.manifest().header.packs;
            for content in facts.iter_mut().flatten().flat_map(|facts| &mut facts.contents) {
                content.pack = packs.index(&listed[content.pack as usize]);
            }
        }
        let missing: Vec<usize> = (0..all.len()).filter(|index| facts[*index].is_none()).collect();
        let unread: Vec<Unread> = missing.iter().map(|index| all[*index].clone()).collect();
        let packed = self.pack(&unread)?;
        report.stored_bytes = packed.stored_bytes;
        for index in &missing {
            facts[*index] = Some(unread_facts(&all[*index].stat));
        }
        for found in packed.contents {
            let pack = packs.index(&packed.packs[&found.content.digest]);
            let file =
                facts[missing[found.file]].as_mut().expect("every missing file got its facts");
            file.contents.push(Content { pack, ..found.content });
        }

        let mut facts = facts.into_iter().flatten();
        let mut entries = tree.entries.clone();
        for ((index, _), facts) in tree.files.iter().zip(&mut facts) {
            entries[*index].kind = EntryKind::File(facts);
        }
        let kept = keep.iter().zip(facts).map(|(keep, facts)| KeptFile {
            root: keep.root.clone(),
            path: keep.path.clone(),
            facts,
        });
        Ok(Manifest {
            header: self.header(place, packs.list),
            entries,
            kept: kept.collect(),
            sources: if place.area.is_shared() { Vec::new() } else { self.sources.to_vec() },
        })
    }

    /// Forgets what is known of files whose pack is less than half alive: they are read again and
    /// carried over.
    fn drop_half_dead(&self, known: Option<&Known>, facts: &mut [Option<FileFacts>]) -> Result<()> {
        if known.is_none() {
            return Ok(());
        }
        let index = self.index()?;
        for file in facts {
            let is_alive = |content: &Content| index.pack_of(content.digest).is_some();
            if file.as_ref().is_some_and(|facts| !facts.contents.iter().all(is_alive)) {
                *file = None;
            }
        }
        Ok(())
    }

    fn pack(&self, files: &[Unread]) -> Result<PackedFiles> {
        if files.is_empty() {
            return Ok(PackedFiles::default());
        }
        let packing = Packing {
            store: self.store,
            lease: self.lease,
            index: self.index()?,
            level: self.options.level,
            progress: self.progress,
            counter: &self.counter,
        };
        packing.pack(files)
    }

    fn index(&self) -> Result<&Index> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let index = Index::read(self.store, self.lease, &self.job.scope.chain())?;
        Ok(self.index.get_or_init(|| index))
    }

    fn header(&self, place: &Place, packs: Vec<PackUse>) -> Header {
        Header {
            series: self.job.series(place),
            cache_key: self.job.key.clone(),
            created: self.options.now,
            job: self.job.label.clone(),
            toolchain: place.toolchain,
            environment: place.environment,
            components: place.components.clone(),
            roots: self.job.raw_roots(),
            directory: RawPath::of(place.dir.as_os_str().as_encoded_bytes()),
            newest_mtime: Timestamp::default(),
            provenance: self.job.provenance.clone(),
            entries: 0,
            files: 0,
            bytes: 0,
            packs,
        }
    }

    /// Returns the generation that holds the same tree already, if this job would be given it
    /// for the same key.
    fn identical(
        &self,
        place: &Place,
        known: Option<&Known>,
        new: &Manifest,
    ) -> Result<Option<GenerationId>> {
        let chain = self.job.scope.chain();
        let serves = |id: &GenerationId| {
            id.series.key == place.series_key
                && id.series.area == place.area
                && chain.contains(&id.series.scope)
        };
        if let Some(known) = known.filter(|known| serves(known.generation())) {
            if is_same(known.manifest(), new) {
                return Ok(Some(known.generation().clone()));
            }
        }
        let (generations, _) = self.store.generations_of(&self.job.scope, &place.area)?;
        let of_series = generations.into_iter().filter(|generation| serves(&generation.id));
        let Some(newest) = of_series.max_by_key(|generation| generation.id.number) else {
            return Ok(None);
        };
        match self.store.read(self.lease, &newest.id) {
            Ok(manifest) if is_same(&manifest, new) => Ok(Some(newest.id)),
            // One that is gone or damaged is no reason not to save.
            _ => Ok(None),
        }
    }

    /// Records what is at the directory, so that the next job need not read it.
    fn record(
        &self,
        place: &Place,
        tree: &Tree,
        generation: GenerationId,
        now: Timestamp,
        report: &mut AreaReport,
    ) {
        let inode = |(index, unread): &(usize, Unread)| {
            (tree.entries[*index].path.clone(), unread.stat.inode)
        };
        let mut record = TreeRecord { generation, inodes: tree.files.iter().map(inode).collect() };
        record.settle(now);
        if let Err(error) = self.store.record_tree(&place.dir, &self.boot, &record) {
            // It only saves time: the generation is published.
            report.warnings.push(chain(&error));
        }
    }

    fn log(&self, event: &str, id: GenerationId, report: &AreaReport) -> Result<()> {
        Ok(self.store.log(&Event {
            time: self.options.now,
            event: event.to_owned(),
            generation: Some(id),
            detail: self.job.label.clone(),
            bytes: report.stored_bytes,
            millis: 0,
        })?)
    }
}

/// The packs of a manifest, each listed once.
#[derive(Default)]
struct Packs {
    list: Vec<PackUse>,
    indices: BTreeMap<crate::model::digest::Digest, u32>,
}

impl Packs {
    fn index(&mut self, pack: &PackUse) -> u32 {
        *self.indices.entry(pack.digest).or_insert_with(|| {
            self.list.push(pack.clone());
            u32::try_from(self.list.len() - 1)
                .expect("fewer packs than contents of 32 MiB fit on a disk")
        })
    }
}

/// Returns which part of `CARGO_HOME` an area is, if it is one.
pub(super) fn shared(area: &Area) -> Option<Shared> {
    match area {
        Area::Registry => Some(Shared::Registry),
        Area::Git => Some(Shared::Git),
        _ => None,
    }
}

/// Tells whether two manifests hold the same tree built from the same sources at the same roots.
///
/// The mtimes of sources do not count: the older record goes with the older mtimes of the tree.
/// In `CARGO_HOME` no mtime counts, for other jobs move those of directories, and cargo ignores
/// them there.
fn is_same(old: &Manifest, new: &Manifest) -> bool {
    let mtimes_count = !new.header.series.area.is_shared();
    let same_entry = |(a, b): (&Entry, &Entry)| {
        a.path == b.path
            && match (&a.kind, &b.kind) {
                (EntryKind::File(a), EntryKind::File(b)) => {
                    has_same_bytes(a, b)
                        && a.mode == b.mode
                        && (a.mtime == b.mtime || !mtimes_count)
                }
                (EntryKind::Dir { mode: a, mtime: at }, EntryKind::Dir { mode: b, mtime: bt }) => {
                    a == b && (at == bt || !mtimes_count)
                }
                (a, b) => a == b,
            }
    };
    let same_kept = |(a, b): (&KeptFile, &KeptFile)| {
        (&a.root, &a.path) == (&b.root, &b.path) && has_same_bytes(&a.facts, &b.facts)
    };
    old.entries.len() == new.entries.len()
        && old.kept.len() == new.kept.len()
        && (old.header.roots == new.header.roots || !mtimes_count)
        && old.entries.iter().zip(&new.entries).all(same_entry)
        && old.kept.iter().zip(&new.kept).all(same_kept)
        && sources::are_same(&old.sources, &new.sources)
}
