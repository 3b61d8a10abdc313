//! A store that lost or changed bytes: a miss with a warning, never a wrong tree or half of one.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::*;

/// A host with a saved target of two packs, and a listing of the target.
fn saved() -> Result<(Host, Listing)> {
    let host = Host::new()?;
    let target = host.target();
    for number in 0..5 {
        write(&target, format!("debug/deps/{number}"), noise(number, 20_000))?;
    }
    host.save()?.done()?;
    write(&target, "debug/deps/later", noise(99, 20_000))?;
    host.save()?.done()?;
    assert_eq!(host.packs()?.len(), 2);
    Ok((host, list(&target)?))
}

fn flip(path: &Path, at: usize) -> Result {
    let mut bytes = fs::read(path)?;
    bytes[at] ^= 0x10;
    Ok(fs::write(path, bytes)?)
}

fn truncate(path: &Path, keep: u64) -> Result {
    Ok(File::options().write(true).open(path)?.set_len(keep)?)
}

/// Writes a pack with the same members as the one at `path`, but with other bytes.
fn forge(path: &Path, change: impl Fn(&mut Vec<u8>)) -> Result {
    let mut old = tar::Archive::new(zstd::Decoder::new(File::open(path)?)?);
    let mut new = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1)?);
    for entry in old.entries()? {
        let mut entry = entry?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        change(&mut bytes);
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_path(entry.path()?)?;
        header.set_cksum();
        new.append(&header, &bytes[..])?;
    }
    Ok(fs::write(path, new.into_inner()?.finish()?)?)
}

type Damage = fn(&[PathBuf]) -> Result;

#[rustfmt::skip]
const DAMAGED_PACKS: &[(&str, Damage)] = &[
    ("deleted",                   |packs| Ok(fs::remove_file(&packs[0])?)),
    ("empty",                     |packs| truncate(&packs[0], 0)),
    ("truncated",                 |packs| truncate(&packs[0], packs[0].metadata()?.len() / 2)),
    ("short of its checksum",     |packs| truncate(&packs[0], packs[0].metadata()?.len() - 1)),
    ("a byte of its magic",       |packs| flip(&packs[0], 0)),
    ("a byte in the middle",      |packs| { let len = fs::read(&packs[0])?.len(); flip(&packs[0], len / 2) }),
    ("its last byte",             |packs| { let len = fs::read(&packs[0])?.len(); flip(&packs[0], len - 1) }),
    ("swapped with another",      |packs| { let first = fs::read(&packs[0])?; fs::copy(&packs[1], &packs[0])?; Ok(fs::write(&packs[1], first)?) }),
    ("forged, other bytes",       |packs| forge(&packs[0], |bytes| bytes[7] ^= 1)),
    ("forged, shorter",           |packs| forge(&packs[0], |bytes| bytes.truncate(100))),
    ("forged, longer",            |packs| forge(&packs[0], |bytes| bytes.push(0))),
    ("a directory",               |packs| { fs::remove_file(&packs[0])?; Ok(fs::create_dir(&packs[0])?) }),
];

#[test]
fn a_damaged_pack_is_a_miss_and_leaves_what_was_there() -> Result {
    for (why, damage) in DAMAGED_PACKS {
        let (host, _) = saved()?;
        damage(&host.packs()?)?;
        fs::remove_dir_all(host.target())?;
        for before in ["nothing", "another tree"] {
            if before == "another tree" {
                write(&host.target(), "debug/other", "of another job")?;
            }
            let there = list(&host.target())?;
            let restored = host.restore()?.done().map_err(|error| format!("{why}: {error}"))?;
            assert_eq!(restored.areas(), ["target failed miss"], "{why}, {before}");
            assert_eq!(restored.report["hit"], "miss", "{why}, {before}");
            let pack = "store/packs/";
            let named = restored.stderr.lines().find(|line| line.starts_with("warning: target: "));
            let named = named.ok_or_else(|| format!("{why}: no warning"))?;
            assert!(named.contains(pack) || named.contains("pack "), "{why}: {named}");
            expect_same(&there, &host.target(), why)?;
            assert_eq!(host.leftovers()?, [] as [&Path; 0], "{why}, {before}");
        }
    }
    Ok(())
}

#[test]
fn the_save_after_a_damaged_pack_makes_the_store_whole_again() -> Result {
    let mut wrong = Vec::new();
    for (why, damage) in DAMAGED_PACKS {
        let (host, _) = saved()?;
        damage(&host.packs()?)?;
        let aside = host.path("aside");
        fs::rename(host.target(), &aside)?;
        host.restore()?.done()?;
        // The job then builds a tree that is nearly the same.
        if host.target().exists() {
            fs::remove_dir_all(host.target())?;
        }
        fs::rename(&aside, host.target())?;
        write(&host.target(), "debug/deps/new", why)?;
        let built = list(&host.target())?;
        let saved = host.save()?;
        host.lose_target()?;
        let restored = host.restore()?;
        if restored.areas() != ["target unpack exact"] {
            wrong.push(format!("{why}:\n{}{}", saved.stderr, restored.stderr));
            continue;
        }
        expect_same(&built, &host.target(), why)?;
    }
    assert_eq!(wrong.len(), 0, "{}", wrong.join("\n"));
    Ok(())
}

/// A save that read no file, because none had changed, referred to lost objects: the generation of
/// the same tree, or its packs. No test noticed, because every test changed a file.
#[test]
fn a_lost_pack_is_stored_again_although_nothing_changed() -> Result {
    let (host, built) = saved()?;
    for pack in host.packs()? {
        fs::remove_file(&pack)?;
        host.save()?.done()?;
        assert_eq!(host.verify()?, [""; 0], "after the loss of {}", pack.display());
        host.lose_target()?;
        assert_eq!(host.restore()?.areas(), ["target unpack exact"]);
        expect_same(&built, &host.target(), "after the save")?;
    }
    Ok(())
}

#[test]
fn a_damaged_manifest_gives_way_to_the_generation_before_it() -> Result {
    type Break = fn(&Path) -> Result;
    #[rustfmt::skip]
    let damages: [(&str, Break); 9] = [
        ("empty",                 |path| truncate(path, 0)),
        ("truncated at once",     |path| truncate(path, 10)),
        ("truncated",             |path| truncate(path, path.metadata()?.len() / 2)),
        ("short of its checksum", |path| truncate(path, path.metadata()?.len() - 1)),
        ("a byte of its magic",   |path| flip(path, 0)),
        ("a byte of its entries", |path| { let len = fs::read(path)?.len(); flip(path, len - 40) }),
        ("its last byte",         |path| { let len = fs::read(path)?.len(); flip(path, len - 1) }),
        ("a newer format",        |path| rewrite_manifest(path, |lines| lines[0]["manifest"] = json!(2))),
        ("a line less",           |path| {
            let text = zstd::decode_all(File::open(path)?)?;
            let lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
            let less = [&lines[..2], &lines[3..]].concat().concat();
            Ok(fs::write(path, zstd::encode_all(&less[..], 3)?)?)
        }),
    ];
    for (why, damage) in damages {
        let (host, _) = saved()?;
        let manifests = host.manifests()?;
        host.lose_target()?;
        fs::remove_file(&manifests[1])?;
        host.restore()?.done()?;
        let first = list(&host.target())?;

        let (host, _) = saved()?;
        let manifests = host.manifests()?;
        damage(&manifests[1])?;
        host.lose_target()?;
        let restored = host.restore()?.done().map_err(|error| format!("{why}: {error}"))?;
        assert_eq!(restored.areas(), ["target unpack exact"], "{why}");
        restored.says(&[&format!("warning: target: `{}` ", manifests[1].display())])?;
        let names = |listing: &Listing| listing.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&list(&host.target())?), names(&first), "{why}");

        damage(&manifests[0]).map_err(|error| format!("{why}: {error}"))?;
        host.lose_target()?;
        let restored = host.restore()?.done().map_err(|error| format!("{why}: {error}"))?;
        assert_eq!((restored.areas().len(), &restored.report["hit"]), (0, &"miss".into()), "{why}");
        assert!(!host.target().exists(), "{why}");

        // Neither prevents the next save.
        write(&host.target(), "debug/app", "built")?;
        host.save()?.done().map_err(|error| format!("{why}: {error}"))?;
        host.lose_target()?;
        assert_eq!(host.restore()?.done()?.areas(), ["target unpack exact"], "{why}");
        assert_eq!(host.leftovers()?, [] as [&Path; 0], "{why}");
    }
    Ok(())
}

#[test]
fn a_damaged_sketch_is_reported_and_costs_nothing_but_the_choice() -> Result {
    let (host, _) = saved()?;
    let newest = host.manifests()?.pop().ok_or("no manifest")?;
    let bytes = fs::read(&newest)?;
    let magic = 0x184D_2A50_u32.to_le_bytes();
    let sketch = bytes.windows(4).position(|window| window == magic).ok_or("no sketch")?;
    flip(&newest, sketch + 20)?;
    let whole = list(&host.target())?;
    host.lose_target()?;
    let restored = host.restore()?.done()?;
    restored.says(&[&format!("warning: target: `{}` ", newest.display())])?;
    assert_eq!(differences(&whole, &list(&host.target())?), [""; 0]);
    let verified = Outcome::of(host.store_command("verify", &[]).output()?)?;
    assert_eq!(verified.status, Some(4), "{verified:?}");
    Ok(())
}

#[test]
fn a_generation_with_the_last_number_is_named_and_followed_by_none() -> Result {
    let (host, _) = saved()?;
    let newest = host.manifests()?.pop().ok_or("no manifest")?;
    let number = newest.file_prefix().ok_or("no number")?.to_string_lossy().into_owned();
    let name = newest.file_name().ok_or("no name")?.to_string_lossy();
    let last = newest.with_file_name(name.replace(&number, &u64::MAX.to_string()));
    fs::rename(&newest, &last)?;
    write(&host.target(), "debug/app", "built again")?;
    let outcome = Outcome::of(host.command("save", &[]).output()?)?;
    assert!(outcome.stderr.contains(&format!("no generation can follow `{}`", last.display())));
    fs::remove_file(&last)?;
    host.save()?.done()?;
    Ok(())
}

#[test]
fn a_store_that_cannot_be_understood_is_named_with_what_to_do() -> Result {
    let id = "0123456789abcdef01234567";
    #[rustfmt::skip]
    let cases = [
        ("garbage",             "garbage".to_owned(),                                                                    "is damaged"),
        ("empty",               String::new(),                                                                           "is damaged"),
        ("half",                "{\"format\": 1".to_owned(),                                                             "is damaged"),
        ("a newer format",      json!({ "format": 2, "id": id }).to_string(),                                            "has format 2, this program knows 1"),
        ("an unknown feature",  json!({ "format": 1, "id": id, "features": { "incompatible": ["x"] } }).to_string(),     "has format 1 with `x`"),
    ];
    for (why, text, what) in cases {
        let (host, _) = saved()?;
        let path = host.root().join("store.json");
        fs::write(&path, text)?;
        let before = (list(&host.root())?, list(&host.target())?);
        for verb in ["restore", "save"] {
            let outcome = Outcome::of(host.command(verb, &[]).output()?)?;
            assert_eq!(outcome.status, Some(1), "{verb}, {why}");
            outcome.says(&[&format!("error: `{}` {what}", path.display()), "  help: "])?;
            // The help must not name a command that cannot open such a store.
            assert!(!outcome.stderr.contains("runner-cache gc"), "{why}: {}", outcome.stderr);
            assert!(outcome.stderr.contains("--root"), "{why}: {}", outcome.stderr);
        }
        assert!((list(&host.root())?, list(&host.target())?) == before, "{why}");
    }
    Ok(())
}
