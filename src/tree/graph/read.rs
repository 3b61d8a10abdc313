//! Reads what cargo recorded of the units of a tree.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::Surroundings;
use crate::cargo::dep_info;
use crate::cargo::fingerprint::{self, Check, Fingerprint, Flavor, Variable};
use crate::cargo::units::{Units, is_fingerprint, is_rustc_dep_info, profile_of};
use crate::fs::regular;
use crate::fs::stat::{Kind, Stat};
use crate::fs::walk::Found;
use crate::model::digest::Hasher;
use crate::model::mark::Mark;
use crate::model::rel_path::RelPath;
use crate::model::timestamp::Timestamp;
use crate::model::unit_use::UnitDir;

/// The largest file that is read. Cargo writes none of this size: the longest of blvm-node's 525 units has 26 kB.
const MAX_BYTES: u64 = 16 << 20;

/// A unit as cargo recorded it.
pub(crate) struct Read<'a> {
    pub(crate) unit: &'a UnitDir,
    /// The kind of the unit: the name of its JSON file, as `lib-serde.json`.
    pub(crate) kind: &'a [u8],
    /// `None` if its build did not finish.
    pub(crate) hash: Option<u64>,
    pub(crate) print: Fingerprint,
    /// Whether it is unknown what the unit was built from.
    pub(crate) is_unclear: bool,
    pub(crate) built: Timestamp,
    /// The file that rustc compiled, if it is known.
    pub(crate) main: Option<PathBuf>,
    /// Whether a path below one of the roots was compiled in, for instance by `env!("CARGO_MANIFEST_DIR")`.
    pub(in crate::tree) has_root: bool,
    /// The files that rustc read in the package's directory, relative to it.
    pub(crate) own: Vec<PathBuf>,
    /// The files that cargo looks for at their absolute paths, without those in excluded directories.
    pub(crate) elsewhere: Vec<PathBuf>,
    /// All files that rustc read, if cargo's own dep-info is unreadable; without those in excluded directories.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) variables: Vec<Variable>,
    /// The role of the unit, whatever version its package has.
    pub(crate) role: Mark,
}

impl Read<'_> {
    /// Returns cargo's name of the unit: `lib-serde`.
    pub(crate) fn name(&self) -> String {
        let name = self.kind.strip_suffix(b".json").unwrap_or(self.kind);
        String::from_utf8_lossy(name).into_owned()
    }

    /// Returns the features that are on. Cargo records none for the run of a build script.
    pub(crate) fn features(&self) -> Option<BTreeSet<String>> {
        serde_json::from_str(&self.print.flavor.features).ok()
    }
}

/// Reads every unit of the tree with the `found` paths. If another version of cargo wrote a unit in an unknown form,
/// only its hash may be known.
pub(crate) fn read<'a>(
    around: &'a Surroundings<'a>,
    found: &'a [Found],
    units: &'a Units,
) -> Vec<Read<'a>> {
    let (dep_infos, linked) = (dep_infos(found, units), linked(found, units));
    let reader = Reader { around, found, units, dep_infos, linked };
    let paths: Vec<_> = found.iter().map(|found| &found.path).collect();
    let is_print = |path: &&RelPath| path.as_bytes().ends_with(b".json") && is_fingerprint(path);
    let prints: Vec<_> = paths.into_iter().filter(is_print).collect();
    prints.par_iter().filter_map(|path| reader.read(path)).collect()
}

/// Returns the dep-info that rustc wrote for each unit.
fn dep_infos<'a>(found: &'a [Found], units: &'a Units) -> HashMap<&'a UnitDir, &'a RelPath> {
    let paths = found.iter().map(|found| &found.path).filter(|path| is_rustc_dep_info(path));
    paths.filter_map(|path| Some((units.of(path)?, path))).collect()
}

/// Returns the path of the dep-info of a dynamic library, or of a program for wasm, in cargo's layout by kind. These
/// file names have no hash, so another unit of the same name may have overwritten the dep-info.
fn dep_info_without_hash(json: &RelPath) -> Option<RelPath> {
    let target = json.file_name().strip_suffix(b".json")?;
    let target = target.strip_prefix(b"lib-").or_else(|| target.strip_prefix(b"bin-"))?;
    let name: Vec<_> = target.iter().map(|byte| if *byte == b'-' { b'_' } else { *byte }).collect();
    RelPath::parse(&[profile_of(json)?, b"deps/", &name, b".d"].concat()).ok()
}

/// Returns the units that have more files than `cargo check` writes.
fn linked<'a>(found: &'a [Found], units: &'a Units) -> HashSet<&'a UnitDir> {
    let is_checked = |path: &RelPath| {
        let name = path.file_name();
        name.ends_with(b".d") || name.ends_with(b".rmeta") || is_fingerprint(path)
    };
    let files = found.iter().filter(|found| found.stat.kind == Kind::File);
    let files = files.map(|found| &found.path).filter(|path| !is_checked(path));
    files.filter_map(|path| units.of(path)).collect()
}

struct Reader<'a> {
    around: &'a Surroundings<'a>,
    found: &'a [Found],
    units: &'a Units,
    dep_infos: HashMap<&'a UnitDir, &'a RelPath>,
    linked: HashSet<&'a UnitDir>,
}

impl<'a> Reader<'a> {
    fn read(&self, json: &'a RelPath) -> Option<Read<'a>> {
        let hash = RelPath::parse(json.as_bytes().strip_suffix(b".json")?).ok()?;
        let print = self.bytes(json).and_then(|json| Fingerprint::parse(&json));
        let unit = self.units.of(json)?;
        let flavor = print.as_ref().map(|print| print.flavor.clone()).unwrap_or_default();
        let mut read = Read {
            unit,
            role: self.role(unit, json, &flavor),
            kind: json.file_name(),
            hash: fingerprint::hash(&self.bytes(&hash)?),
            is_unclear: print.is_none(),
            print: print.unwrap_or_default(),
            built: self.stat(&hash)?.mtime,
            main: None,
            has_root: false,
            own: Vec::new(),
            elsewhere: Vec::new(),
            files: Vec::new(),
            variables: Vec::new(),
        };
        for check in &read.print.checks {
            match check {
                Check::DepInfo(path)
                | Check::Content(path)
                | Check::Changed { output: path, .. } => {
                    read.built = self.stat(path).map_or(read.built, |stat| stat.mtime);
                }
                Check::Variable(variable) => read.variables.push(variable.clone()),
                Check::Package { .. } | Check::Other => {}
            }
            if let Check::DepInfo(path) | Check::Content(path) = check {
                let own = self.dep_infos.get(read.unit).and_then(|path| self.bytes(path));
                read.is_unclear |= own.is_none();
                let dep_info = own.or_else(|| self.bytes(&dep_info_without_hash(json)?));
                let dep_info = dep_info.unwrap_or_default();
                let files = self.files(&dep_info);
                read.has_root =
                    dep_info::variables(&dep_info).iter().any(|it| self.names_root(*it));
                read.main = files.first().cloned();
                read.is_unclear |= files.is_empty();
                // Rustc may have found the output of a build script at a path other than today's.
                match self.bytes(path).and_then(|bytes| fingerprint::inputs(&bytes)) {
                    Some(inputs) => {
                        read.own.extend(inputs.own);
                        read.elsewhere.extend(inputs.others);
                        read.variables.extend(inputs.variables);
                    }
                    None => read.files.extend(files),
                }
            }
        }
        for files in [&mut read.files, &mut read.elsewhere] {
            files.retain(|file| !self.around.is_excluded(file));
        }
        Some(read)
    }

    /// Returns the role of a unit: another version of the same unit has the same role.
    fn role(&self, unit: &UnitDir, json: &RelPath, flavor: &Flavor) -> Mark {
        let mut hasher = Hasher::default();
        hasher.field(profile_of(json).unwrap_or_default());
        hasher.field(unit.crate_name().as_bytes());
        hasher.field(json.file_name());
        hasher.field(flavor.features.as_bytes());
        hasher.field(&flavor.compile_kind.to_le_bytes());
        hasher.field(&[u8::from(self.linked.contains(unit))]);
        hasher.finish().into()
    }

    /// Returns the files that rustc read, from its dep-info. The first is the file that rustc compiled.
    fn files(&self, dep_info: &[u8]) -> Vec<PathBuf> {
        let files = dep_info::files(dep_info).into_iter();
        files.map(|file| self.around.workspace_root.join(file)).collect()
    }

    /// Tells whether the value of a variable is a path below a root. `OUT_DIR` does not count: it is nearly always used
    /// to include files, which cargo then finds at their present path. For a package in the roots the build script runs
    /// again.
    fn names_root(&self, (name, value): (&[u8], &[u8])) -> bool {
        let value = Path::new(OsStr::from_bytes(value));
        name != b"OUT_DIR" && self.around.roots.values().any(|root| value.starts_with(root))
    }

    /// Returns the bytes of a file, or `None` if it cannot be read or is too large.
    fn bytes(&self, path: &RelPath) -> Option<Vec<u8>> {
        let stat = self.stat(path)?;
        let is_ours = stat.kind == Kind::File && stat.size <= MAX_BYTES;
        is_ours.then(|| regular::read(&self.around.dir.join(path.as_path())).ok())?
    }

    fn stat(&self, path: &RelPath) -> Option<&'a Stat> {
        let index = self.found.binary_search_by(|found| found.path.cmp(path)).ok()?;
        Some(&self.found[index].stat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dep_info_without_a_hash_is_found_by_the_name_of_its_target() {
        #[rustfmt::skip]
        let cases = [
            ("debug/.fingerprint/dy-a-0123456789abcdef/lib-dy-a.json",             Some("debug/deps/dy_a.d")),
            ("wasm/debug/.fingerprint/app-0123456789abcdef/bin-app.json",          Some("wasm/debug/deps/app.d")),
            ("debug/.fingerprint/a-0123456789abcdef/test-lib-a.json",              None),
            ("debug/.fingerprint/a-0123456789abcdef/build-script-build-script-build.json", None),
            ("debug/.fingerprint/a-0123456789abcdef/lib-a",                        None),
        ];
        for (json, want) in cases {
            let path = RelPath::parse(json.as_bytes()).expect("a path below a root");
            let found = dep_info_without_hash(&path);
            assert_eq!(found.as_ref().map(RelPath::as_bytes), want.map(str::as_bytes), "{json}");
        }
    }
}
