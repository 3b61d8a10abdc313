//! Shared functions of the tests.

use std::collections::{BTreeMap, BTreeSet};

use super::area::Area;
use super::digest::Digest;
use super::manifest::{Header, Manifest, Series};
use super::raw_path::RawPath;
use super::root::Root;
use super::scope::Scope;
use super::timestamp::Timestamp;
use super::unit_graph::UnitGraph;

/// Returns the manifest of an empty target of a repo at `root`.
pub(crate) fn manifest_of(root: &str) -> Manifest {
    let scope = Scope {
        repository: "a/b".parse().expect("a repository"),
        lane: "protected".parse().expect("a lane"),
    };
    let key: super::names::Name = "k".parse().expect("a key");
    let header = Header {
        series: Series { scope, area: Area::Target, key: key.clone() },
        cache_key: key,
        created: Timestamp::default(),
        job: "test".to_owned(),
        partial: false,
        vouched: false,
        toolchain: Digest::of(b""),
        environment: None,
        components: BTreeMap::new(),
        roots: [(Root::Repo, RawPath::of(root.as_bytes()))].into(),
        cargo_home: None,
        system: None,
        directory: RawPath::of(format!("{root}/target").as_bytes()),
        binding: None,
        newest_mtime: Timestamp::default(),
        further: Vec::new(),
        distrusted: BTreeSet::new(),
        provenance: BTreeMap::new(),
        entries: 0,
        files: 0,
        bytes: 0,
        packs: Vec::new(),
    };
    Manifest {
        header,
        entries: Vec::new(),
        sources: Vec::new(),
        kept: Vec::new(),
        units: Vec::new(),
        graph: UnitGraph::default(),
    }
}
