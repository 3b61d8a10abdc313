//! Checks `registry/`: crate files have the digest that a lock file names, sources are what their crate files unpack
//! to, and index files are whole.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;

use super::part::found_digest;
use super::{Is, Judged, Known, Seen, Verdict, Vouching};
use crate::cargo::checksums::Expected;
use crate::cargo::crate_file::difference;
use crate::cargo::home::{CrateOf, RegistryPart, registry_part};
use crate::cargo::index_file::{IndexFile, flaw};
use crate::fs::beneath::open_regular;
use crate::fs::digest::digest_of_file;
use crate::fs::stat::{Kind, Stat};
use crate::fs::walk::Found;
use crate::job::Result;
use crate::job::error::chain;
use crate::model::digest::Digest;
use crate::model::rel_path::RelPath;

/// The size of the largest index file that is checked. The largest of crates.io has 3 MiB.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// The paths that were found of a crate.
#[derive(Default)]
struct Crate<'a> {
    file: Option<&'a Found>,
    /// The directory of its source, then everything in it.
    source: Vec<&'a Found>,
}

/// Judges the paths found in `dir`, a `registry/`.
pub(crate) fn verdicts(
    vouching: &Vouching<'_>,
    dir: &Path,
    found: &[Found],
    known: &Known,
) -> Result<Judged> {
    let mut crates: BTreeMap<CrateOf<'_>, Crate<'_>> = BTreeMap::new();
    let mut index = Vec::new();
    for found in found {
        match registry_part(&found.path) {
            RegistryPart::CrateFile(of) => crates.entry(of).or_default().file = Some(found),
            RegistryPart::Source(of) => crates.entry(of).or_default().source.push(found),
            RegistryPart::Index => index.push(found),
            RegistryPart::Other => {}
        }
    }
    let judging = Judging { vouching, dir, known };
    let of_crates = crates.par_iter().map(|(of, it)| judging.judge_crate(*of, it));
    let of_crates = of_crates.collect::<Result<Vec<_>>>()?;
    let of_index = index.par_iter().map(|found| judging.judge_index(found));
    let of_index = of_index.collect::<Result<Vec<_>>>()?;
    let parts = crates
        .values()
        .map(|it| usize::from(it.file.is_some()) + usize::from(!it.source.is_empty()));
    let is_complete = parts.sum::<usize>() == of_crates.iter().map(Vec::len).sum::<usize>();
    let of_crates = of_crates.into_iter().flatten();
    let verdicts = of_crates.chain(of_index.into_iter().flatten()).collect();
    Ok(Judged { verdicts, is_complete })
}

struct Judging<'a> {
    vouching: &'a Vouching<'a>,
    dir: &'a Path,
    known: &'a Known,
}

impl Judging<'_> {
    fn judge_crate(&self, of: CrateOf<'_>, found: &Crate<'_>) -> Result<Vec<Verdict>> {
        self.vouching.progress.check_stopped()?;
        let expected = self.vouching.job.locked_parts.checksums().of(of);
        // Without a digest in any lock file, there is nothing to compare with.
        if expected == Expected::Anything {
            let no_dir = found.source.first().filter(|top| top.stat.kind != Kind::Dir);
            let wrong =
                no_dir.map(|top| Verdict { path: top.path.clone(), is: Is::no_directory() });
            return Ok(wrong.into_iter().collect());
        }
        let mut verdicts = Vec::new();
        if let Some(file) = found.file {
            let is = self.judge_file(file, expected);
            verdicts.push(Verdict { path: file.path.clone(), is });
        }
        let digest = verdicts.first().map(|file| match &file.is {
            Is::Right(seen) => Some(seen.with),
            Is::Wrong(_) | Is::Strange => None,
        });
        let file = found.file.zip(digest.flatten());
        let is = self.judge_source(of, expected, file, &found.source);
        let source = found.source.first().zip(is);
        verdicts.extend(source.map(|(top, is)| Verdict { path: top.path.clone(), is }));
        if let Expected::OtherRegistry(_) = expected {
            for Verdict { is, .. } in &mut verdicts {
                *is = std::mem::replace(is, Is::Strange).of_stranger();
            }
        }
        Ok(verdicts)
    }

    fn judge_file(&self, file: &Found, expected: Expected) -> Is {
        let files = found_digest([file]);
        let known = self.known.get(&file.path).filter(|known| known.files == files);
        if let Some(known) = known.filter(|known| expected.is(&known.with)) {
            return Is::Right(Seen::of(known));
        }
        if file.stat.kind != Kind::File {
            return Is::Wrong("it is no file".to_owned());
        }
        let path = self.dir.join(file.path.as_path());
        let with = match digest_of_file(&path) {
            Ok(digest) => digest,
            Err(error) => return Is::Wrong(chain(&error)),
        };
        if !Stat::of(&path).is_ok_and(|now| now.inode == file.stat.inode) {
            return Is::Wrong("it changed while it was read".to_owned());
        }
        if expected.is(&with) {
            Is::Right(Seen { with, files })
        } else {
            Is::Wrong("its SHA-256 is not the one in Cargo.lock".to_owned())
        }
    }

    /// Judges an extracted source by its crate file, which was found right and has that digest. Returns `None` if the
    /// crate file is missing and may be kept elsewhere.
    fn judge_source(
        &self,
        of: CrateOf<'_>,
        expected: Expected,
        file: Option<(&Found, Digest)>,
        source: &[&Found],
    ) -> Option<Is> {
        let (top, rest) = source.split_first()?;
        if top.stat.kind != Kind::Dir {
            return Some(Is::no_directory());
        }
        let files = found_digest(rest.iter().copied());
        let known = self.known.get(&top.path).filter(|known| known.files == files);
        if let Some(known) = known.filter(|known| expected.is(&known.with)) {
            return Some(Is::Right(Seen::of(known)));
        }
        let Some((file, with)) = file else {
            let is_wrong = !self.is_local(of.registry);
            return is_wrong.then(|| Is::Wrong("its `.crate` file is missing or wrong".to_owned()));
        };
        let below = |found: &&&Found| {
            let rest = found.path.as_bytes().get(top.path.as_bytes().len() + 1..)?;
            Some((RelPath::parse(rest).ok()?, found.stat))
        };
        let found = rest.iter().filter_map(|found| below(&found)).collect();
        let path = |found: &Found| self.dir.join(found.path.as_path());
        Some(match difference(&path(file), of.name, &path(top), &found) {
            Ok(None) => Is::Right(Seen { with, files }),
            Ok(Some(difference)) => Is::Wrong(difference.to_string()),
            Err(error) => Is::Wrong(chain(&error)),
        })
    }

    /// Tells whether cargo keeps the crate files of a registry elsewhere, as those of a local one. It is not enough
    /// that only sources are here: any program may have removed the rest.
    fn is_local(&self, name: &[u8]) -> bool {
        let may_be_local =
            self.vouching.job.locked_parts.checksums().registries().may_be_local(name);
        let name = std::ffi::OsStr::new(std::str::from_utf8(name).unwrap_or_default());
        may_be_local
            && !["index", "cache"].iter().any(|part| self.dir.join(part).join(name).exists())
    }

    fn judge_index(&self, file: &Found) -> Result<Option<Verdict>> {
        self.vouching.progress.check_stopped()?;
        if file.stat.kind == Kind::Symlink {
            let is = Is::Wrong("it is a symlink".to_owned());
            return Ok(Some(Verdict { path: file.path.clone(), is }));
        }
        let kind = index_kind(&file.path);
        if kind == IndexFile::Other || file.stat.kind != Kind::File {
            return Ok(None);
        }
        let seen = Seen { with: whole(), files: found_digest([file]) };
        if self.known.get(&file.path).map(Seen::of) == Some(seen) {
            return Ok(Some(Verdict { path: file.path.clone(), is: Is::Right(seen) }));
        }
        if file.stat.size > MAX_INDEX_BYTES {
            return Ok(None);
        }
        let path = self.dir.join(file.path.as_path());
        // The save leaves out a file that cannot be read.
        let Ok(bytes) = read(&path) else { return Ok(None) };
        if !Stat::of(&path).is_ok_and(|now| now.inode == file.stat.inode) {
            return Ok(None);
        }
        let is = flaw(&bytes, kind).map_or(Is::Right(seen), |why| Is::Wrong(why.to_owned()));
        Ok(Some(Verdict { path: file.path.clone(), is }))
    }
}

/// Returns the kind of the file at `path` below `registry/`.
pub(super) fn index_kind(path: &RelPath) -> IndexFile {
    match registry_part(path) {
        RegistryPart::Index => IndexFile::of(path.components().skip(2)),
        _ => IndexFile::Other,
    }
}

/// Returns the digest that stands for index files, which are compared only with their own form.
pub(crate) fn whole() -> Digest {
    Digest::of(b"index")
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    open_regular(path)?.take(MAX_INDEX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
