//! Records the packages of units, one for each target of a package and its features.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::read::Read;
use super::{Recorder, index};
use crate::cargo::home::version_in;
use crate::cargo::seen::is_of_manifest;
use crate::model::raw_path::RawPath;
use crate::model::unit_graph::{Features, GraphPackage, GraphTarget};

impl Recorder<'_> {
    /// Returns the index of the package of a unit; the package lies in `dir`.
    pub(crate) fn package(&mut self, read: &Read<'_>, dir: Option<&Path>) -> u32 {
        let name = read.unit.crate_name();
        let home = self.around.cargo_home;
        let mut package = GraphPackage {
            version: dir.and_then(|dir| version_in(dir.strip_prefix(home).ok()?, &name)),
            name: name.into_owned(),
            features: read.features().map(|all| Features { asked: all, ..Features::default() }),
            ..GraphPackage::default()
        };
        if let Some(dir) = dir.filter(|dir| !dir.starts_with(home)) {
            package.dir = Some(RawPath::of(dir.as_os_str().as_bytes()));
            package.version = self.version_of_source(&package.name, dir);
            package.is_outside = !dir.starts_with(self.around.workspace_root);
            package.features = read.features().map(|all| self.manifests.features(dir, &all));
            let reads = read.variables.iter().map(|variable| variable.name.clone());
            let reads = reads.filter(|name| is_of_manifest(name)).collect();
            let target = GraphTarget { unit: read.name(), reads };
            if let Some(seen) = self.manifests.seen(dir, &target, package.features.as_ref()) {
                package.target = Some(target);
                package.manifest = Some(seen.mark);
                package.asks = seen.asks;
            }
        }
        index(&mut self.packages, package)
    }

    /// Returns the version of the package in `dir` if it replaces a package from a source, as `cargo vendor` does.
    fn version_of_source(&mut self, name: &str, dir: &Path) -> Option<String> {
        let key = (name.to_owned(), self.manifests.version(dir)?.to_owned());
        self.from_sources.contains(&key).then_some(key.1)
    }
}
