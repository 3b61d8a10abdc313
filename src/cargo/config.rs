//! Cargo's configuration files, as far as they locate directories and programs.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::error::{Error, Result};
use crate::fs::At;
use crate::fs::regular::read_to_string;

/// The configuration files that apply in a directory, the strongest first.
#[derive(Debug, Default)]
pub(super) struct Config {
    files: Vec<(PathBuf, Table)>,
    /// Whether files include one another more deeply than we follow.
    is_cut_off: bool,
}

impl Config {
    /// Reads the files that apply in `dir`: those in its `.cargo`, in the `.cargo` of each parent,
    /// and in `cargo_home`.
    pub(super) fn read(dir: &Path, cargo_home: Option<&Path>) -> Result<Self> {
        let mut config = Self::default();
        let mut dirs: Vec<_> = dir.ancestors().map(|dir| dir.join(".cargo")).collect();
        if let Some(home) = cargo_home.filter(|home| !dirs.iter().any(|dir| dir == home)) {
            dirs.push(home.to_owned());
        }
        for dir in dirs {
            // If both exist, cargo reads the one with the old name.
            for name in ["config", "config.toml"] {
                if config.add(&dir.join(name), 0)? {
                    break;
                }
            }
        }
        Ok(config)
    }

    /// Returns a string of the `[build]` table, with the directory that it is relative to if it is
    /// a path: the parent of the `.cargo` directory that holds the file.
    pub(super) fn build(&self, key: &str) -> Option<(&str, &Path)> {
        self.files.iter().find_map(|(path, table)| {
            let value = table.get("build")?.get(key)?.as_str().filter(|value| !value.is_empty())?;
            Some((value, path.parent()?.parent()?))
        })
    }

    /// Returns the path of each file.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }

    /// Tells whether files that apply were not read, because they include one another too deeply.
    pub(super) fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// Returns the tables of all files, the strongest first.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Table> {
        self.files.iter().map(|(_, table)| table)
    }

    /// Returns the first linker that a `[target.…]` table names.
    pub(super) fn linker(&self) -> Option<&str> {
        let mut tables = self.files.iter().filter_map(|(_, table)| table.get("target")?.as_table());
        tables
            .find_map(|targets| targets.values().find_map(|target| target.get("linker")?.as_str()))
    }

    /// Adds the file at `path`, and then the weaker files that it includes; tells whether the file
    /// exists.
    fn add(&mut self, path: &Path, depth: usize) -> Result<bool> {
        /// Cargo refuses include cycles; the limit only keeps us from following one forever.
        const MAX_DEPTH: usize = 16;
        let text = match read_to_string(path) {
            Ok(text) => text,
            Err(error) if absent(error.kind()) => return Ok(false),
            Err(error) => return Ok(Err(error).at("read", path)?),
        };
        let table = text.parse::<Table>().map_err(|error| {
            Error::malformed_toml(format!("`{}`", path.display()), &text, &error)
        })?;
        let included = included(&table);
        self.files.push((path.to_owned(), table));
        self.is_cut_off |= !included.is_empty() && depth >= MAX_DEPTH;
        // Of several included files the last is the strongest.
        for name in included.iter().rev().filter(|_| depth < MAX_DEPTH) {
            self.add(&path.parent().unwrap_or(path).join(name), depth + 1)?;
        }
        Ok(true)
    }
}

/// Tells whether an error means that there is no such file. A `config` may also be a directory:
/// cargo looks only for files.
fn absent(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory)
}

/// Returns the paths of `include`, which is a list of paths or of tables with a `path`.
fn included(table: &Table) -> Vec<String> {
    let path = |value: &Value| {
        let path = value.get("path").unwrap_or(value);
        path.as_str().map(str::to_owned)
    };
    match table.get("include") {
        Some(Value::Array(values)) => values.iter().filter_map(path).collect(),
        Some(value) => path(value).into_iter().collect(),
        None => Vec::new(),
    }
}
