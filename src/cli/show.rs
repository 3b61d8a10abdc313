//! `runner-cache show`.

use clap::Args;

use super::args::RootArgs;
use super::report::{print_json, to_stdout};
use super::text::{bytes, first_line, line};
use super::{Error, Result, Status};
use crate::model::area::Area;
use crate::model::manifest::{Entry, EntryKind, Manifest, Unit};
use crate::model::scope::Repository;
use crate::store::{Generation, Store};

/// Options of `show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    root: RootArgs,
    /// The area: registry, git, target, NAME-target, ./PATH of a further target
    #[arg(default_value = "target")]
    area: Area,
    /// The beginning of the key [default: any; the newest generation is shown]
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    key: String,
    /// The number of the generation in its series [default: the newest]
    #[arg(long, value_name = "N")]
    number: Option<u64>,
    /// Only of this repository
    #[arg(long, value_name = "OWNER/NAME")]
    repository: Option<Repository>,
    /// List every file, directory and symlink
    #[arg(long, conflicts_with = "json")]
    files: bool,
    /// List every unit of a target, and when a job last used it
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
            let lines: Vec<_> = manifest.entries.iter().map(line).collect();
            to_stdout(&lines.concat())?;
        }
        if self.units {
            let lines: Vec<_> = manifest.units.iter().map(unit_line).collect();
            to_stdout(&lines.concat())?;
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
            Error::Refused(format!("no such generation of {}: see `runner-cache list`", self.area))
        })
    }
}

fn text(generation: &Generation, manifest: &Manifest) -> String {
    let header = &manifest.header;
    let stored = header.packs.iter().map(|pack| pack.stored_bytes).sum();
    let mut text = format!(
        "{}\n  scope    {}\n  key      {}\n  number   {}\n  saved    {} UTC by job `{}`{}\n  from     `{}`\n",
        header.series.area,
        header.series.scope,
        header.series.key,
        u64::from(generation.id.number),
        header.created.date_time(),
        header.job,
        if header.partial { ", which failed or was cancelled" } else { "" },
        header.directory,
    );
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
    text += &largest(&manifest.entries);
    line!(text, "  restore  runner-cache restore --key {}", header.cache_key);
    text
}

/// Returns the ten directories at the second level that hold most.
fn largest(entries: &[Entry]) -> String {
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
    let line = |(dir, (files, size)): &(Vec<u8>, (u64, u64))| {
        let dir = String::from_utf8_lossy(dir);
        format!("  {:>10} {files:>6} files  {dir}\n", bytes(*size))
    };
    by_size.iter().take(10).map(line).collect()
}

fn line(entry: &Entry) -> String {
    let path = &entry.path;
    match &entry.kind {
        EntryKind::Dir { mode, .. } => format!("d {mode:04o} {:>12} {path}\n", ""),
        EntryKind::File(facts) => format!("f {:04o} {:>12} {path}\n", facts.mode, facts.size),
        EntryKind::HardLink { of } => format!("h      {:>12} {path} = {of}\n", ""),
        EntryKind::Symlink { target, .. } => format!("l      {:>12} {path} -> {target}\n", ""),
    }
}

fn unit_line(unit: &Unit) -> String {
    let mut text = String::new();
    let used = &unit.used;
    let unused = match used.unused_saves {
        0 => String::new(),
        1 => "  not by the last save's job".to_owned(),
        saves => format!("  not by the jobs of the last {saves} saves"),
    };
    let bound = if unit.is_bound { "  works at these roots alone" } else { "" };
    line!(text, "{}  used {}{unused}{bound}", unit.dir, used.last_used.date_time());
    text
}
