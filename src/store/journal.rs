//! The journal: one line per restore, save or expiry.

use std::io::Write;

use serde::{Deserialize, Serialize};

use super::error::Result;
use super::open::Store;
use crate::fs::At;
use crate::fs::regular::append_to;
use crate::fs::stat::Kind;
use crate::model::manifest::GenerationId;
use crate::model::timestamp::Timestamp;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened, by the clock of the host.
    pub time: Timestamp,
    /// What happened: `restore`, `save`, `stamp`, `miss`, `expire`.
    pub event: String,
    /// The generation it was about, if there was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub generation: Option<GenerationId>,
    /// The area and the kind of job, or why a generation was expired.
    #[serde(default)]
    pub detail: String,
    /// The bytes restored, saved or freed.
    #[serde(default)]
    pub bytes: u64,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub millis: u64,
}

impl Store {
    /// Appends a line to the journal of the month. Several processes may do so at once.
    pub fn log(&self, event: &Event) -> Result<()> {
        let path = self.journal_dir().join(format!("{}.jsonl", event.time.year_month()));
        let mut line = serde_json::to_vec(event).expect("events are plain JSON");
        line.push(b'\n');
        self.make_way(&path, Kind::File)?;
        let mut file = append_to(&path)?;
        // One `write` to an append-only file: lines of several processes do not mix.
        Ok(file.write_all(&line).at("write", &path)?)
    }
}
