//! Small real stores for tests.

use std::error::Error;
use std::path::Path;

use super::{Lease, PackDraft, Purpose, Store};
use crate::model::digest::Digest;
use crate::model::manifest::{
    Content, Entry, EntryKind, FileFacts, GenerationId, Header, Manifest, PackUse, Series,
};
use crate::model::raw_path::RawPath;
use crate::model::rel_path::RelPath;
use crate::model::scope::Scope;
use crate::model::timestamp::Timestamp;
use crate::model::unit_graph::UnitGraph;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Parses `lane area key` as a series of the repository `a/b`.
pub(crate) fn series(text: &str) -> Series {
    let words: Vec<_> = text.split_whitespace().collect();
    let [lane, area, key] = words[..] else { panic!("{text}") };
    Series {
        scope: Scope {
            repository: "a/b".parse().expect("a repository"),
            lane: lane.parse().expect("a lane"),
        },
        area: area.parse().expect("an area"),
        key: key.parse().expect("a key"),
    }
}

/// Publishes a pack of these contents.
pub(crate) fn pack(store: &Store, lease: &Lease, contents: &[&str]) -> Result<PackUse> {
    let contents: Vec<_> = contents.iter().map(|content| content.as_bytes()).collect();
    pack_as(
        store,
        lease,
        &contents.iter().map(|bytes| (Digest::of(bytes), *bytes)).collect::<Vec<_>>(),
    )
}

/// Publishes a pack of contents under these digests, which may be wrong.
pub(crate) fn pack_as(
    store: &Store,
    lease: &Lease,
    contents: &[(Digest, &[u8])],
) -> Result<PackUse> {
    let mut draft = PackDraft::default();
    let mut writer = store.pack_writer(lease, &mut draft);
    for (digest, bytes) in contents {
        writer.room(bytes.len()).copy_from_slice(bytes);
        writer.append(*digest, bytes.len())?;
    }
    let staged = writer.stage(crate::model::level::Level::default())?;
    let staged = staged.ok_or("a pack of nothing")?;
    let pack = staged.pack().clone();
    staged.publish()?;
    Ok(pack)
}

/// Returns a manifest with a file for each content of each pack.
pub(crate) fn manifest(series: &Series, secs: i64, packs: &[(PackUse, Vec<&str>)]) -> Manifest {
    let mut entries = Vec::new();
    for (index, (_, contents)) in packs.iter().enumerate() {
        for (number, content) in contents.iter().enumerate() {
            let path = format!("{index:04}-{number:04}");
            let content = Content {
                offset: 0,
                len: content.len() as u64,
                digest: Digest::of(content.as_bytes()),
                pack: u32::try_from(index).expect("a few packs"),
            };
            let facts = FileFacts {
                mode: 0o644,
                mtime: Timestamp::default(),
                size: content.len,
                contents: vec![content],
            };
            let path = RelPath::parse(path.as_bytes()).expect("a path below a root");
            entries.push(Entry { path, kind: EntryKind::File(facts) });
        }
    }
    let sizes = packs.iter().flat_map(|(_, contents)| contents).map(|content| content.len() as u64);
    let header = Header {
        series: series.clone(),
        cache_key: series.key.clone(),
        created: Timestamp::new(secs, 0),
        job: "test".to_owned(),
        partial: false,
        vouched: false,
        toolchain: Digest::of(b"toolchain"),
        environment: None,
        components: [].into(),
        roots: [].into(),
        cargo_home: None,
        system: None,
        directory: RawPath::of(b"/target"),
        binding: None,
        newest_mtime: Timestamp::default(),
        further: Vec::new(),
        distrusted: [].into(),
        provenance: [].into(),
        entries: entries.len() as u64,
        files: entries.len() as u64,
        bytes: sizes.sum(),
        packs: packs.iter().map(|(pack, _)| pack.clone()).collect(),
    };
    let graph = UnitGraph::default();
    Manifest { header, entries, sources: Vec::new(), kept: Vec::new(), units: Vec::new(), graph }
}

/// Publishes a generation created at `secs` seconds after 1970, with a pack for each list of
/// contents.
pub(crate) fn save(
    store: &Store,
    text: &str,
    secs: i64,
    packs: &[&[&str]],
) -> Result<GenerationId> {
    let lease = store.lease(Purpose::Save)?;
    let mut used = Vec::new();
    for contents in packs {
        used.push((pack(store, &lease, contents)?, contents.to_vec()));
    }
    let series = series(text);
    let id = store.publish(&lease, &manifest(&series, secs, &used))?;
    store.stamp(&series, Timestamp::new(secs, 0))?;
    Ok(id)
}

/// Returns every path below the root with its bytes, except gc's lock file.
pub(crate) fn image(root: &Path) -> Result<Vec<(RelPath, Vec<u8>)>> {
    let mut image = Vec::new();
    for found in crate::fs::walk::walk(root, |path, _| path.as_bytes() != b"gc.lock")? {
        let path = root.join(found.path.as_path());
        let bytes = if path.is_file() { std::fs::read(&path)? } else { Vec::new() };
        image.push((found.path, bytes));
    }
    Ok(image)
}
