use std::collections::BTreeSet;
use std::error::Error;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::model::manifest::{Entry, EntryKind, FileFacts, GenerationId, Manifest, PackUse};
use crate::model::rel_path::RelPath;
use crate::store::Use;
use crate::store::sample::{image, manifest, pack, pack_as, save, series};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// A small intact store, and the values with which a case damages it.
struct Sample {
    store: Store,
    a: GenerationId,
    b: GenerationId,
}

/// Creates a store: generation `a` has two packs; `b` shares one of them and has another.
fn sample(dir: &Path) -> Result<Sample> {
    let store = Store::open_or_init(dir)?;
    let a = save(&store, "pr/1 target k", 1, &[&["a1", "a2"], &["shared"]])?;
    let b = save(&store, "protected registry l", 1, &[&["b"], &["shared"]])?;
    Ok(Sample { store, a, b })
}

impl Sample {
    fn manifest(&self) -> PathBuf {
        self.store.generation_path(&self.a)
    }

    fn pack(&self, id: &GenerationId, index: usize) -> Result<PathBuf> {
        let manifest = self.store.read_unleased(id)?;
        Ok(self.store.pack_path(manifest.header.packs[index].digest))
    }

    /// Publishes a manifest with one file, after `change` was applied to it.
    fn publish(&self, contents: &[&str], change: impl Fn(&mut Manifest)) -> Result {
        let lease = self.store.lease(Purpose::Save)?;
        let pack = pack(&self.store, &lease, &["c"])?;
        self.publish_with(&lease, pack, contents, change)
    }

    fn publish_with(
        &self,
        lease: &crate::store::Lease,
        pack: PackUse,
        contents: &[&str],
        change: impl Fn(&mut Manifest),
    ) -> Result {
        let mut manifest = manifest(&series("branch/c target k"), 1, &[(pack, contents.to_vec())]);
        change(&mut manifest);
        self.store.publish(lease, &manifest)?;
        Ok(())
    }
}

fn change(path: &Path, change: impl Fn(&mut Vec<u8>)) -> Result {
    let mut bytes = fs::read(path)?;
    change(&mut bytes);
    Ok(fs::write(path, bytes)?)
}

fn flip_a_byte(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

/// Replaces text in a manifest, which remains a whole zstd frame.
fn edit(path: &Path, from: &str, to: &str) -> Result {
    let text = String::from_utf8(zstd::decode_all(&fs::read(path)?[..])?)?;
    assert!(text.contains(from), "`{from}` is not in {text}");
    Ok(fs::write(path, zstd::encode_all(text.replace(from, to).as_bytes(), 1)?)?)
}

/// Stores these bytes as a pack, under their own digest.
fn file_as_pack(store: &Store, bytes: &[u8]) -> Result<PackUse> {
    let digest = Digest::of(bytes);
    let path = store.pack_path(digest);
    fs::create_dir_all(path.parent().ok_or("a root")?)?;
    fs::write(path, bytes)?;
    Ok(PackUse { digest, stored_bytes: bytes.len() as u64, content_bytes: 0 })
}

/// Turns the one file of a manifest into the fingerprint of a unit in `debug/`. Adds the artifact if it has a name.
fn make_unit(manifest: &mut Manifest, dir: &str, artifact: Option<&str>) {
    let path = |text: &str| {
        let text = text.replace('#', "0123456789abcdef");
        RelPath::parse(text.as_bytes()).expect("a path below a root")
    };
    let EntryKind::File(facts) = manifest.entries[0].kind.clone() else { panic!("a file") };
    let sized = |size| EntryKind::File(FileFacts { size, ..facts.clone() });
    let mut files = vec![(path(&format!("{dir}/lib-a")), sized(16))];
    files.extend(artifact.map(|artifact| (path(artifact), sized(1))));
    // A second, whole unit shows that the layout is a known one.
    let twin = dir.replace('#', "aaaaaaaaaaaaaaaa");
    files.push((path(&format!("{twin}/lib-a")), sized(16)));
    let twin = twin.strip_suffix("/fingerprint").map_or_else(
        || "debug/deps/liba-aaaaaaaaaaaaaaaa.rlib".to_owned(),
        |unit| format!("{unit}/out/liba.rlib"),
    );
    files.push((path(&twin), sized(1)));
    let mut entries = std::collections::BTreeMap::new();
    for (path, kind) in files {
        let dirs = std::iter::successors(path.parent(), RelPath::parent);
        entries.extend(dirs.map(|dir| {
            (
                dir,
                EntryKind::Dir {
                    mode: 0o755,
                    mtime: crate::model::timestamp::Timestamp::default(),
                },
            )
        }));
        entries.insert(path, kind);
    }
    manifest.entries = entries.into_iter().map(|(path, kind)| Entry { path, kind }).collect();
    manifest.header.entries = manifest.entries.len() as u64;
    manifest.header.files = 3 + u64::from(artifact.is_some());
    manifest.header.bytes = 33 + u64::from(artifact.is_some());
}

type Damaging = fn(&Sample) -> Result;

/// Every kind of fault in a store, and exactly the findings of `verify`.
#[rustfmt::skip]
const CASES: &[(&str, Damaging, &[&str])] = &[
    ("untouched",                     |_| Ok(()), &[]),
    ("pack: a byte flipped",          |s| change(&s.pack(&s.a, 0)?, |bytes| flip_a_byte(bytes)), &["pack-damaged"]),
    ("pack: the first byte flipped",  |s| change(&s.pack(&s.a, 0)?, |bytes| bytes[0] ^= 1), &["pack-damaged"]),
    ("pack: the last byte flipped",   |s| change(&s.pack(&s.a, 0)?, |bytes| *bytes.last_mut().expect("a byte") ^= 1), &["pack-damaged"]),
    ("pack: cut off",                 |s| change(&s.pack(&s.a, 0)?, |bytes| bytes.truncate(bytes.len() - 1)), &["pack-damaged"]),
    ("pack: empty",                   |s| change(&s.pack(&s.a, 0)?, Vec::clear), &["pack-damaged"]),
    ("pack: a byte more",             |s| change(&s.pack(&s.a, 0)?, |bytes| bytes.push(0)), &["pack-damaged"]),
    ("pack: two swapped",             |s| {
        let (a, b) = (s.pack(&s.a, 0)?, s.pack(&s.b, 0)?);
        Ok(crate::fs::rename::exchange(&a, &b)?)
    }, &["pack-damaged", "pack-damaged"]),
    ("pack: deleted",                 |s| Ok(fs::remove_file(s.pack(&s.a, 0)?)?), &["pack-missing"]),
    ("pack: deleted, named by two",   |s| Ok(fs::remove_file(s.pack(&s.a, 1)?)?), &["pack-missing"]),
    ("pack: a directory",             |s| {
        let path = s.pack(&s.a, 0)?;
        fs::remove_file(&path)?;
        Ok(fs::create_dir(&path)?)
    }, &["pack-stranger", "pack-unreadable"]),
    ("pack: no zstd frame",           |s| file_as_pack(&s.store, b"hello").map(drop), &["pack-unreadable", "pack-unreferenced"]),
    ("pack: no tar",                  |s| file_as_pack(&s.store, &zstd::encode_all(&[7; 2000][..], 1)?).map(drop), &["pack-unreadable", "pack-unreferenced"]),
    ("pack: a member with a path",    |s| {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_path("etc/passwd")?;
        header.set_size(0);
        header.set_cksum();
        tar.append(&header, &[][..])?;
        file_as_pack(&s.store, &zstd::encode_all(&tar.into_inner()?[..], 1)?).map(drop)
    }, &["pack-unreadable", "pack-unreferenced"]),
    ("pack: another checksum",        |s| {
        let mut bytes = fs::read(s.pack(&s.a, 0)?)?;
        *bytes.last_mut().expect("a byte") ^= 1;
        file_as_pack(&s.store, &bytes).map(drop)
    }, &["pack-unreadable", "pack-unreferenced"]),
    ("pack: named, no zstd frame",    |s| {
        let pack = file_as_pack(&s.store, b"hello")?;
        s.publish_with(&s.store.lease(Purpose::Save)?, pack, &["c"], |_| {})
    }, &["pack-unreadable"]),
    ("pack: no manifest names it",         |s| {
        let lease = s.store.lease(Purpose::Save)?;
        pack(&s.store, &lease, &["c"]).map(drop)
    }, &["pack-unreferenced"]),
    ("pack: under another's name",    |s| {
        let path = s.pack(&s.a, 0)?;
        let other = s.store.root().join("packs/zz");
        fs::create_dir(&other)?;
        Ok(fs::copy(&path, other.join(path.file_name().ok_or("a root")?)).map(drop)?)
    }, &["pack-stranger"]),
    ("packs: a foreign file",         |s| Ok(fs::write(s.store.root().join("packs/notes.txt"), "")?), &["pack-stranger"]),
    ("packs: a symlink",              |s| {
        let path = s.pack(&s.a, 0)?;
        let moved = s.store.root().join("packs/moved");
        fs::rename(&path, &moved)?;
        Ok(std::os::unix::fs::symlink(&moved, &path)?)
    }, &["pack-stranger", "pack-stranger", "pack-unreadable"]),
    ("content: other bytes",          |s| {
        let lease = s.store.lease(Purpose::Save)?;
        let pack = pack_as(&s.store, &lease, &[(Digest::of(b"c"), b"not c")])?;
        s.publish_with(&lease, pack, &["c"], |_| {})
    }, &["content-damaged"]),
    ("content: not in the pack",      |s| s.publish(&["c", "d", "e"], |_| {}), &["content-missing"]),
    ("content: another length",       |s| s.publish(&["c"], |manifest| {
        let EntryKind::File(facts) = &mut manifest.entries[0].kind else { return };
        (facts.size, facts.contents[0].len, manifest.header.bytes) = (2, 2, 2);
    }), &["manifest-flawed"]),
    ("manifest: a byte flipped",      |s| change(&s.manifest(), |bytes| flip_a_byte(bytes)), &["manifest-unreadable"]),
    ("manifest: checksum flipped",    |s| change(&s.manifest(), |bytes| *bytes.last_mut().expect("a byte") ^= 1), &["manifest-unreadable"]),
    ("manifest: cut off",             |s| change(&s.manifest(), |bytes| bytes.truncate(bytes.len() / 2)), &["manifest-unreadable"]),
    ("manifest: empty",               |s| change(&s.manifest(), Vec::clear), &["manifest-unreadable"]),
    ("manifest: a byte more",         |s| change(&s.manifest(), |bytes| bytes.push(0)), &["manifest-unreadable"]),
    ("manifest: a line less",         |s| edit(&s.manifest(), "\n{\"end\"", "\n\n{\"end\""), &["manifest-unreadable"]),
    ("manifest: a path that leaves",  |s| edit(&s.manifest(), "\"0000-0000\"", "\"../0000-0000\""), &["manifest-unreadable"]),
    ("manifest: of format 2",         |s| edit(&s.manifest(), "{\"manifest\":1", "{\"manifest\":2"), &["manifest-newer"]),
    ("manifest: of another series",   |s| {
        let from = s.manifest();
        let to = s.store.generation_path(&s.b).with_file_name("0000000007.manifest.zst");
        Ok(fs::rename(from, to)?)
    }, &["manifest-misplaced"]),
    ("manifest: of another key",      |s| edit(&s.manifest(), "\"key\":\"k\"", "\"key\":\"k2\""), &["manifest-misplaced"]),
    ("manifest: deleted",             |s| Ok(fs::remove_file(s.manifest())?), &["pack-unreferenced"]),
    ("manifest: counts wrongly",      |s| s.publish(&["c"], |manifest| manifest.header.files += 1), &["manifest-flawed"]),
    ("manifest: link to nothing",     |s| s.publish(&["c"], |manifest| {
        let of = RelPath::parse(b"nothing").expect("a path below a root");
        manifest.entries[0].kind = EntryKind::HardLink { of };
    }), &["manifest-flawed"]),
    ("manifest: no such pack number", |s| s.publish(&["c"], |manifest| {
        let EntryKind::File(facts) = &mut manifest.entries[0].kind else { return };
        facts.contents[0].pack = 9;
    }), &["manifest-flawed"]),
    ("manifest: another pack size",   |s| s.publish(&["c"], |manifest| manifest.header.packs[0].stored_bytes += 1), &["manifest-flawed"]),
    ("manifest: other content bytes", |s| s.publish(&["c"], |manifest| manifest.header.packs[0].content_bytes += 1), &["manifest-flawed"]),
    ("series: a foreign file",        |s| Ok(fs::write(s.manifest().with_file_name("notes.txt"), "")?), &["series-stranger"]),
    ("series: a file higher up",      |s| Ok(fs::write(s.store.root().join("series/0000000001.manifest.zst"), "")?), &["series-stranger"]),
    ("unit: whole",                   |s| s.publish(&["c"], |manifest| make_unit(manifest, "debug/.fingerprint/a-#", Some("debug/deps/liba-#.rlib"))), &[]),
    ("unit: its artifact is gone",    |s| s.publish(&["c"], |manifest| make_unit(manifest, "debug/.fingerprint/a-#", Some("debug/deps/liba-#.d"))), &["unit-hollow"]),
    ("unit: nothing but this",        |s| s.publish(&["c"], |manifest| make_unit(manifest, "debug/.fingerprint/a-#", None)), &["unit-hollow"]),
    ("unit: of an unknown shape",     |s| s.publish(&["c"], |manifest| make_unit(manifest, "debug/.fingerprint/a-#", Some("debug/.fingerprint/a-#/state.db"))), &["fingerprint-unknown"]),
    ("unit: the other layout",        |s| s.publish(&["c"], |manifest| make_unit(manifest, "debug/build/a/#/fingerprint", Some("debug/build/a/#/out/liba-#.rlib"))), &[]),
    ("unit: gone in the other layout", |s| s.publish(&["c"], |manifest| make_unit(manifest, "debug/build/a/#/fingerprint", Some("debug/build/a/0000000000000000/out/liba.rlib"))), &["unit-hollow"]),
    ("series: a directory below",     |s| Ok(fs::create_dir(s.manifest().with_file_name("0000000002.manifest.zst"))?), &["series-stranger"]),
    ("stamp: no time",                |s| Ok(fs::write(s.store.root().join("stamps/a%2Fb@pr%2F1/target/k"), "yesterday")?), &["stamp-unreadable"]),
    ("lease: its process ended",      |s| Ok(fs::write(s.store.root().join("leases/dead"), "")?), &["lease-dead"]),
    ("lease: a directory",            |s| Ok(fs::create_dir(s.store.root().join("leases/odd"))?), &["entry-odd"]),
    ("hot: a tree without a record",  |s| Ok(fs::create_dir(s.store.root().join("hot/odd"))?), &["entry-odd"]),
    ("staging: left behind",          |s| Ok(fs::create_dir(s.store.root().join("staging/dead"))?), &["staging-left"]),
    ("trash: left behind",            |s| Ok(fs::create_dir(s.store.root().join("trash/dead"))?), &["trash-left"]),
    ("root: others may read",         |s| Ok(fs::set_permissions(s.store.root(), Permissions::from_mode(0o755))?), &["public-mode"]),
];

#[test]
fn each_damage_has_its_code_and_looking_repairs_nothing() -> Result {
    for (why, damage, want) in CASES {
        let dir = tempfile::tempdir()?;
        let sample = sample(&dir.path().join("store"))?;
        damage(&sample)?;
        let before = image(sample.store.root())?;
        let report = verify(&sample.store)?;
        let mut codes: Vec<_> = report.findings.iter().map(|finding| finding.code).collect();
        codes.sort_unstable();
        assert_eq!(codes, *want, "{why}: {:#?}", report.findings);
        let notes = documented_codes().into_iter().filter(|(_, severity)| *severity == "note");
        let notes: BTreeSet<_> = notes.map(|(code, _)| code).collect();
        let is_damage = |code: &&str| !notes.contains(code);
        assert_eq!(report.has_damage(), want.iter().any(is_damage), "{why}");
        assert_eq!(image(sample.store.root())?, before, "{why}: verify changed something");
    }
    Ok(())
}

/// The rows of the table at the top of `verify.rs`: code and severity.
fn documented_codes() -> Vec<(&'static str, &'static str)> {
    let rows = include_str!("../verify.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
    rows.filter_map(|row| {
        let (code, rest) = row.split_once("` | ")?;
        Some((code, rest.split_once(" |")?.0))
    })
    .collect()
}

#[test]
fn every_code_is_documented_and_has_a_case() {
    let documented: BTreeSet<_> = documented_codes().into_iter().map(|(code, _)| code).collect();
    let tried: BTreeSet<_> = CASES.iter().flat_map(|(_, _, codes)| *codes).copied().collect();
    assert_eq!(documented, tried);
}

#[test]
fn everything_is_counted() -> Result {
    let dir = tempfile::tempdir()?;
    let sample = sample(&dir.path().join("store"))?;
    let report = verify(&sample.store)?;
    let bytes: u64 = sample.store.packs()?.packs.iter().map(|(_, bytes)| bytes).sum();
    assert_eq!((report.generations, report.packs, report.contents, report.bytes), (2, 3, 4, bytes));
    Ok(())
}

#[test]
fn a_pack_that_a_save_is_about_to_name_is_no_leftover() -> Result {
    let dir = tempfile::tempdir()?;
    let Sample { store, .. } = sample(&dir.path().join("store"))?;
    let lease = store.lease(Purpose::Save)?;
    pack(&store, &lease, &["c"])?;
    assert_eq!(verify(&store)?.findings, []);
    lease.name(&Use::Pack(Digest::of(b"another")))?;
    drop(lease);
    let codes: Vec<_> = verify(&store)?.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["pack-unreferenced"]);
    Ok(())
}

#[test]
fn a_missing_pack_is_reported_with_the_manifests_that_name_it() -> Result {
    let dir = tempfile::tempdir()?;
    let sample = sample(&dir.path().join("store"))?;
    let path = sample.pack(&sample.a, 1)?;
    fs::remove_file(&path)?;
    let findings = verify(&sample.store)?.findings;
    let first = sample.manifest();
    assert_eq!(findings[0].path, path);
    assert_eq!(findings[0].what, format!("`{}` and 1 other manifest name it", first.display()));
    Ok(())
}

#[test]
fn of_many_manifests_the_one_that_is_wrong_is_named() -> Result {
    let dir = tempfile::tempdir()?;
    let Sample { store, .. } = sample(&dir.path().join("store"))?;
    let lease = store.lease(Purpose::Save)?;
    let pack = pack(&store, &lease, &["c"])?;
    let series = series("branch/c target k");
    let mut wrong = PathBuf::new();
    for number in 1..=9 {
        let contents = if number == 6 { vec!["c", "not there"] } else { vec!["c"] };
        let id = store.publish(&lease, &manifest(&series, 1, &[(pack.clone(), contents)]))?;
        if number == 6 {
            wrong = store.generation_path(&id);
        }
    }
    let findings = verify(&store)?.findings;
    let found: Vec<_> = findings.iter().map(|finding| (finding.code, &finding.path)).collect();
    assert_eq!(found, [("content-missing", &wrong)]);
    Ok(())
}
