//! `runner-cache show`.

use clap::Args;

use super::args::RootArgs;
use super::{Error, Result};
use crate::front::Status;
use crate::front::print::{Text, line, print_json, to_stdout};
use crate::front::text::{bytes, first_line};
use crate::model::area::Area;
use crate::model::manifest::{Entry, EntryKind, Manifest, Unit};
use crate::model::scope::Repository;
use crate::store::{Generation, Store};

/// Options of `show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    root: RootArgs,
    /// The area: `registry`, `git`, `target`, `NAME-target`, or `./PATH` for a further target
    #[arg(default_value = "target")]
    area: Area,
    /// The beginning of the key [default: any key; the newest generation is shown]
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    key: String,
    /// The number of the generation in its series [default: the newest]
    #[arg(long, value_name = "N")]
    number: Option<u64>,
    /// Show only generations of this repository
    #[arg(long, value_name = "OWNER/NAME")]
    repository: Option<Repository>,
    /// List every file, directory and symlink
    #[arg(long, conflicts_with = "json")]
    files: bool,
    /// List every unit of a target, and the time of its last use
    #[arg(long, conflicts_with = "json")]
    units: bool,
    /// Print the header as one JSON object to stdout
    #[arg(long)]
    json: bool,
}

impl ShowArgs {
    pub(super) fn run(&self) -> Result<Status> {
        let store = self.root.open()?;
        let generation = self.choose(&store)?;
        let manifest = store.read_unleased(&generation.id)?;
        if self.json {
            print_json(&manifest.header)?;
        } else {
            to_stdout(&text(&generation, &manifest))?;
        }
        if self.files {
            let mut text = Text::default();
            manifest.entries.iter().for_each(|entry| add_entry(&mut text, entry));
            to_stdout(&text)?;
        }
        if self.units {
            let mut text = Text::default();
            manifest.units.iter().for_each(|unit| add_unit(&mut text, unit));
            to_stdout(&text)?;
        }
        Ok(Status::Done)
    }

    fn choose(&self, store: &Store) -> Result<Generation> {
        let (generations, _) = store.generations()?;
        let fits = |generation: &Generation| {
            let series = &generation.id.series;
            series.area == self.area
                && series.key.as_str().starts_with(&self.key)
                && self.number.is_none_or(|number| number == u64::from(generation.id.number))
                && self.repository.as_ref().is_none_or(|name| *name == series.scope.repository)
        };
        let fitting = generations.into_iter().filter(fits);
        let newest =
            fitting.max_by_key(|generation| (generation.header.created, generation.id.number));
        newest.ok_or_else(|| {
            Error::refused(format!("no such generation of {}: see `runner-cache list`", self.area))
        })
    }
}

fn text(generation: &Generation, manifest: &Manifest) -> Text {
    let header = &manifest.header;
    let stored = header.packs.iter().map(|pack| pack.stored_bytes).sum();
    let partial = if header.partial { ", which failed or was cancelled" } else { "" };
    let mut text = line!("{}", header.series.area);
    line!(text, "  scope    {}", header.series.scope);
    line!(text, "  key      {}", header.series.key);
    line!(text, "  number   {}", u64::from(generation.id.number));
    line!(text, "  saved    {} UTC by job `{}`{partial}", header.created.date_time(), header.job);
    line!(text, "  from     `{}`", header.directory);
    for (root, path) in &header.roots {
        line!(text, "  root     {root} at `{path}`");
    }
    if let Some(home) = &header.cargo_home {
        line!(text, "  root     CARGO_HOME at `{home}`");
    }
    if let Some(system) = &header.system {
        line!(text, "  system   {system}");
    }
    for (name, value) in &header.components {
        line!(text, "  key part {name}: {}", first_line(value));
    }
    line!(
        text,
        "  holds    {} files, {} in {} packs of {}",
        header.files,
        bytes(header.bytes),
        header.packs.len(),
        bytes(stored)
    );
    line!(
        text,
        "  sources  {} files and directories, {} files kept that no checkout brings",
        manifest.sources.len(),
        manifest.kept.len()
    );
    line!(
        text,
        "  manifest `{}` ({})",
        generation.path().display(),
        bytes(generation.manifest_bytes)
    );
    add_largest(&mut text, &manifest.entries);
    line!(text, "  restore  runner-cache restore --key {}", header.cache_key);
    text
}

/// Adds the ten largest directories at the second level.
fn add_largest(text: &mut Text, entries: &[Entry]) {
    let mut by_dir = std::collections::BTreeMap::<Vec<u8>, (u64, u64)>::new();
    for entry in entries {
        if let EntryKind::File(facts) = &entry.kind {
            let dir: Vec<_> = entry.path.components().take(2).collect();
            let (files, bytes) = by_dir.entry(dir.join(&b'/')).or_default();
            *files += 1;
            *bytes += facts.size;
        }
    }
    let mut by_size: Vec<_> = by_dir.into_iter().collect();
    by_size.sort_by_key(|(_, (_, bytes))| std::cmp::Reverse(*bytes));
    for (dir, (files, size)) in by_size.iter().take(10) {
        let dir = String::from_utf8_lossy(dir);
        line!(text, "  {:>10} {files:>6} files  {dir}", bytes(*size));
    }
}

fn add_entry(text: &mut Text, entry: &Entry) {
    let path = &entry.path;
    match &entry.kind {
        EntryKind::Dir { mode, .. } => line!(text, "d {mode:04o} {:>12} {path}", ""),
        EntryKind::File(facts) => line!(text, "f {:04o} {:>12} {path}", facts.mode, facts.size),
        EntryKind::HardLink { of } => line!(text, "h      {:>12} {path} = {of}", ""),
        EntryKind::Symlink { target, .. } => line!(text, "l      {:>12} {path} -> {target}", ""),
    }
}

fn add_unit(text: &mut Text, unit: &Unit) {
    let used = &unit.used;
    let unused = match used.unused_saves {
        0 => String::new(),
        1 => "  not by the last save's job".to_owned(),
        saves => format!("  not by the jobs of the last {saves} saves"),
    };
    let bound = if unit.is_bound { "  works at these roots alone" } else { "" };
    line!(text, "{}  used {}{unused}{bound}", unit.dir, used.last_used.date_time());
}
