//! `runner-cache list`.

use clap::Args;
use serde::Serialize;

use super::Result;
use super::args::RootArgs;
use crate::front::Status;
use crate::front::print::{Text, line, print_json, to_stderr, to_stdout};
use crate::front::text::{bytes, short_key};
use crate::job::error::chain;
use crate::model::area::{Area, as_shown};
use crate::model::names::Name;
use crate::model::timestamp::Timestamp;
use crate::store::Generation;

/// Options of `list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    root: RootArgs,
    /// Print one JSON object to stdout
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct List {
    generations: Vec<Row>,
    packs: usize,
    pack_bytes: u64,
}

#[derive(Serialize)]
struct Row {
    scope: String,
    #[serde(serialize_with = "as_shown")]
    area: Area,
    key: Name,
    number: u64,
    created: Timestamp,
    last_used: Option<Timestamp>,
    job: String,
    partial: bool,
    files: u64,
    bytes: u64,
    stored_bytes: u64,
}

impl ListArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let store = self.root.open()?;
        let (mut generations, failures) = store.generations()?;
        for failure in failures {
            to_stderr(&line!("warning: {}", chain(&failure)));
        }
        generations.sort_by(|a, b| a.id.cmp(&b.id));
        let mut rows = Vec::new();
        for generation in &generations {
            let last_used = store.last_used(&generation.id.series);
            rows.push(Row::of(generation, last_used));
        }
        let packs = store.packs()?.packs;
        let pack_bytes = packs.iter().map(|(_, bytes)| bytes).sum();
        let list = List { generations: rows, packs: packs.len(), pack_bytes };
        if self.json {
            print_json(&list)?;
        } else {
            to_stdout(&text(&list))?;
        }
        Ok(Status::Done)
    }
}

impl Row {
    fn of(generation: &Generation, last_used: Option<Timestamp>) -> Self {
        let header = &generation.header;
        let series = &generation.id.series;
        Self {
            scope: series.scope.to_string(),
            area: series.area.clone(),
            key: series.key.clone(),
            number: generation.id.number.into(),
            created: header.created,
            last_used,
            job: header.job.clone(),
            partial: header.partial,
            files: header.files,
            bytes: header.bytes,
            stored_bytes: header.packs.iter().map(|pack| pack.stored_bytes).sum(),
        }
    }
}

fn text(list: &List) -> Text {
    let mut text = Text::default();
    let mut scope = "";
    for row in &list.generations {
        if row.scope != scope {
            line!(text, "{}", row.scope);
            scope = &row.scope;
        }
        line!(
            text,
            "  {:<20} {:<26} #{:<3} {} {:>6} files {:>10}  {}{}",
            row.area.to_string(),
            short_key(row.key.as_str()),
            row.number,
            row.created.date_time(),
            row.files,
            bytes(row.bytes),
            row.job,
            if row.partial { ", partial" } else { "" },
        );
    }
    let (count, packs) = (list.generations.len(), list.packs);
    line!(text, "{count} generations in {packs} packs of {}", bytes(list.pack_bytes));
    text
}
