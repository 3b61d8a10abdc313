//! The outputs of the main step.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use crate::github::files::{self, Files};
use crate::job::report::{AreaReport, Report};
use crate::model::choice::Hit;
use crate::model::git_ref::CommitId;
use crate::model::names::Name;

/// The outputs of the main step. All of them are set, even after a failure.
#[derive(Clone, Debug, Default)]
pub(super) struct Outputs {
    pub(super) cache_key: Option<Name>,
    pub(super) dependency_keys: BTreeMap<Name, Name>,
    pub(super) dependency_refs: BTreeMap<Name, CommitId>,
    pub(super) free_bytes: Option<u64>,
    hit: bool,
    matched_key: Option<Name>,
    areas: Vec<serde_json::Value>,
    restored_bytes: u64,
}

impl Outputs {
    /// Sets the outputs from the report of a restore or a lookup. Areas that are not in place count
    /// no restored bytes.
    pub(super) fn tell(&mut self, report: &Report, is_in_place: bool) {
        self.hit = report.hit == Hit::Exact;
        self.matched_key = report.matched_key.clone().filter(|_| report.hit != Hit::Miss);
        self.areas = report.areas.iter().map(area).collect();
        let hits = report.areas.iter().filter(|area| is_in_place && area.hit != Hit::Miss);
        self.restored_bytes = hits.map(|area| area.bytes).sum();
    }

    /// Writes the outputs to the runner's file.
    pub(super) fn write(&self, files: &Files) -> Result<(), files::Error> {
        let name = |name: &Option<Name>| name.as_ref().map(Name::to_string).unwrap_or_default();
        let free_bytes = self.free_bytes.map(|bytes| bytes.to_string()).unwrap_or_default();
        files.output(&[
            ("cache-key", &name(&self.cache_key)),
            ("cache-hit", &self.hit.to_string()),
            ("cache-matched-key", &name(&self.matched_key)),
            ("dependency-keys", &as_json(&self.dependency_keys)),
            ("dependency-refs", &as_json(&self.dependency_refs)),
            ("areas", &as_json(&self.areas)),
            ("restored-bytes", &self.restored_bytes.to_string()),
            ("free-bytes", &free_bytes),
        ])
    }
}

fn area(area: &AreaReport) -> serde_json::Value {
    let AreaReport { name, hit, mode, files, bytes, seconds, .. } = area;
    json!({
        "name": name, "hit": hit, "mode": mode, "files": files, "bytes": bytes, "seconds": seconds,
    })
}

fn as_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("names, hashes and numbers are plain JSON")
}
