//! The parts of a manifest that cargo compares when it checks whether a unit is fresh.
//!
//! A manifest describes all targets of a package, and much that no compiler gets. These parts make cargo build a unit
//! again (`calculate_normal` in cargo's `compiler/fingerprint`, `TargetInner` in its manifests):
//!
//! - the name and version of the package, the edition, and `[lints]`;
//! - the entry of the unit's own target;
//! - the names of all features, and the features that are on;
//! - the target's dependencies; the lock file has their versions;
//! - the values that the code reads by `env!("CARGO_PKG_DESCRIPTION")` and the like.
//!
//! The parts of the workspace that the package inherits count the same.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::meaning::text_of;
use super::package::{Dependency, Package, strings};
use crate::model::digest::Hasher;
use crate::model::mark::Mark;
use crate::model::unit_graph::{Asks, Features, GraphTarget};

/// The variables of a package that cargo compares if the code reads them, each with its key in the manifest
/// (`metadata_envs!` in cargo's manifests). Every unit depends on the name and the version, whose variables are not
/// here.
const VARIABLES: [(&str, &str); 8] = [
    ("CARGO_PKG_AUTHORS", "authors"),
    ("CARGO_PKG_DESCRIPTION", "description"),
    ("CARGO_PKG_HOMEPAGE", "homepage"),
    ("CARGO_PKG_LICENSE", "license"),
    ("CARGO_PKG_LICENSE_FILE", "license-file"),
    ("CARGO_PKG_README", "readme"),
    ("CARGO_PKG_REPOSITORY", "repository"),
    ("CARGO_PKG_RUST_VERSION", "rust-version"),
];

/// The default readme of a package: the first of these files that exists.
const READMES: [&str; 3] = ["README.md", "README.txt", "README"];

/// The keys that decide whether and how a target is tested, benchmarked and documented.
const SWITCHES: [&str; 6] = ["test", "bench", "doc", "doctest", "harness", "proc-macro"];

/// Tells whether cargo compares a variable with the manifest if the code reads it.
pub fn is_of_manifest(variable: &str) -> bool {
    VARIABLES.iter().any(|(name, _)| *name == variable)
}

/// Returns the name of a unit without that of its target: `test-bin-` for `test-bin-app`.
pub fn kind_of(unit: &str) -> &str {
    &unit[..unit.len() - parts(unit).2.len()]
}

/// The manifests of packages, each read once.
#[derive(Debug, Default)]
pub struct Manifests {
    packages: HashMap<PathBuf, Option<Package>>,
    /// Earlier answers, by the directory of the package.
    answers: HashMap<PathBuf, HashMap<Question, Option<Seen>>>,
}

type Question = (GraphTarget, Option<Features>);

/// The parts of a manifest that cargo compares for the units of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Equal for two manifests if cargo sees no difference between them.
    pub mark: Mark,
    /// The features that the target asks of its dependencies.
    pub asks: Asks,
}

/// A kind of targets that a manifest lists.
struct Kind {
    /// As in the names of units.
    name: &'static str,
    table: &'static str,
    /// Where cargo finds targets that the manifest does not list, unless the key `auto` forbids it.
    dir: &'static str,
    auto: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind { name: "bin", table: "bin", dir: "src/bin", auto: "autobins" },
    Kind { name: "integration-test", table: "test", dir: "tests", auto: "autotests" },
    Kind { name: "example", table: "example", dir: "examples", auto: "autoexamples" },
    Kind { name: "bench", table: "bench", dir: "benches", auto: "autobenches" },
];

impl Manifests {
    /// Tells whether there is a package in `dir`, a canonical path.
    pub fn has_package(&mut self, dir: &Path) -> bool {
        self.package(dir).is_some()
    }

    /// Returns the version of the package in `dir`, a canonical path. An inherited version counts if the workspace has
    /// it; without any version it is `None`.
    pub fn version(&mut self, dir: &Path) -> Option<&str> {
        self.package(dir)?.own.get("version")?.as_str()
    }

    /// Returns the parts of the manifest in `dir`, a canonical path, that cargo compares for the units of a target.
    /// `None` if there is no such package or target.
    pub fn seen(
        &mut self,
        dir: &Path,
        target: &GraphTarget,
        features: Option<&Features>,
    ) -> Option<Seen> {
        let question = (target.clone(), features.cloned());
        let known = self.answers.get(dir).and_then(|answers| answers.get(&question));
        if let Some(answer) = known {
            return answer.clone();
        }
        let answer = self.package(dir).and_then(|package| package.seen(target, features));
        self.answers.entry(dir.to_owned()).or_default().insert(question, answer.clone());
        answer
    }

    /// Returns the targets of the same kind as that of `unit`, as cargo would name their units, each with its path
    /// relative to the package. Covers the targets in the directory where cargo looks for them.
    pub fn like(&mut self, dir: &Path, unit: &str) -> Vec<(String, String)> {
        self.package(dir).map(|package| package.like(unit)).unwrap_or_default()
    }

    /// Splits the features of a unit into those that follow from others and those that were asked for.
    pub fn features(&mut self, dir: &Path, all: &BTreeSet<String>) -> Features {
        let mut asked = all.clone();
        if let Some(package) = self.package(dir) {
            for name in all {
                let others = asked.iter().filter(|other| *other != name).map(String::as_str);
                if package.enabled(others).features.contains(name.as_str()) {
                    asked.remove(name);
                }
            }
        }
        Features { implied: all.difference(&asked).cloned().collect(), asked }
    }

    fn package(&mut self, dir: &Path) -> Option<&Package> {
        let known = self.packages.entry(dir.to_owned());
        known.or_insert_with_key(|dir| Package::read(dir)).as_ref()
    }
}

impl Package {
    fn seen(&self, target: &GraphTarget, features: Option<&Features>) -> Option<Seen> {
        let (mode, kind, name) = parts(&target.unit);
        let mut hasher = Hasher::default();
        let described = self.target(kind, name)?;
        hasher.field(self.name.as_bytes());
        hasher.field(text_of(self.own.get("version")).as_bytes());
        if mode == "run-" {
            // Everything else affects the script, which is a unit of its own.
            return Some(Seen { mark: hasher.finish().into(), asks: Asks::new() });
        }
        let edition = described.get("edition").or_else(|| self.own.get("edition"));
        hasher.field(text_of(edition).as_bytes());
        hasher.field(description(kind, &described).as_bytes());
        let asked = features.into_iter().flat_map(|features| &features.asked);
        let enabled = self.enabled(asked.map(String::as_str));
        let declared = self.features.keys().map(String::as_str);
        for list in [
            lint_flags(&self.lints).join(" "),
            joined(declared),
            joined(enabled.features.iter().copied()),
        ] {
            hasher.field(list.as_bytes());
        }
        let is_tested = mode == "test-" || matches!(kind, "integration-test" | "example" | "bench");
        let is_used = |dependency: &&Dependency| {
            let is_on =
                !dependency.is_optional() || enabled.dependencies.contains(&*dependency.name);
            is_on
                && match dependency.table {
                    "build-dependencies" => kind == "build-script",
                    "dev-dependencies" => is_tested,
                    _ => kind != "build-script",
                }
        };
        let mut asks = Asks::new();
        let mut crates = BTreeSet::new();
        for dependency in self.dependencies.iter().filter(is_used) {
            let asked = asks.entry(dependency.package().to_owned()).or_default();
            asked.extend(dependency.features());
            asked.extend(enabled.asks.get(&dependency.name).into_iter().flatten().cloned());
            crates.insert(crate_of(dependency));
        }
        for list in crates {
            hasher.field(list.as_bytes());
        }
        for variable in &target.reads {
            hasher.field(self.variable(variable).as_bytes());
        }
        Some(Seen { mark: hasher.finish().into(), asks })
    }

    fn like(&self, unit: &str) -> Vec<(String, String)> {
        let (mode, kind, _) = parts(unit);
        let Some(Kind { dir, .. }) = KINDS.iter().find(|of| of.name == kind) else {
            return Vec::new();
        };
        let found = std::fs::read_dir(self.dir.join(dir)).into_iter().flatten().flatten();
        let names = found.filter_map(|entry| entry.file_name().into_string().ok());
        let names = names.map(|name| name.strip_suffix(".rs").map_or(name.clone(), str::to_owned));
        let names: BTreeSet<_> = names.chain((kind == "bin").then(|| self.name.clone())).collect();
        let target = |name: String| {
            let described = self.target(kind, &name)?;
            let is_always_built = !described.contains_key("required-features");
            let path = described.get("path")?.as_str().filter(|_| is_always_built)?.to_owned();
            Some((format!("{mode}{kind}-{name}"), path))
        };
        names.into_iter().filter_map(target).collect()
    }

    /// Returns the manifest's entry for a target, with its path; `None` if there is no such target.
    fn target(&self, kind: &str, name: &str) -> Option<Table> {
        let is_file = |path: &String| self.dir.join(path).is_file();
        let first = |paths: Vec<String>| paths.into_iter().find(is_file);
        let with_path = |mut table: Table, found: Option<String>| {
            if !table.contains_key("path") {
                table.insert("path".to_owned(), found?.into());
            }
            Some(table)
        };
        let kind = match kind {
            "lib" => {
                let listed = self.table.get("lib").and_then(Value::as_table);
                let table = listed.cloned().unwrap_or_default();
                let own = table.get("name").and_then(Value::as_str).unwrap_or(&self.name);
                let is_it = own.replace('-', "_") == name.replace('-', "_");
                let found = first(vec!["src/lib.rs".to_owned()]);
                return with_path(table, found).filter(|_| is_it);
            }
            "build-script" => {
                let listed = match self.own.get("build") {
                    None | Some(Value::Boolean(true)) => {
                        first(vec!["build.rs".to_owned()]).into_iter().collect()
                    }
                    build => strings(build).collect::<Vec<_>>(),
                };
                let stem = |path: &String| {
                    let stem = Path::new(path).file_stem().and_then(|stem| stem.to_str());
                    stem.is_some_and(|stem| name.strip_prefix("build-script-") == Some(stem))
                };
                return with_path(Table::new(), Some(listed.into_iter().find(stem)?));
            }
            kind => match KINDS.iter().find(|of| of.name == kind) {
                Some(kind) => kind,
                // A target of an unknown kind may exist.
                None => return Some(Table::new()),
            },
        };
        let listed = self.table.get(kind.table).and_then(Value::as_array).into_iter().flatten();
        let is_it = |table: &&Table| table.get("name").and_then(Value::as_str) == Some(name);
        let listed = listed.filter_map(Value::as_table).find(is_it);
        let looks = self.own.get(kind.auto).and_then(Value::as_bool) != Some(false);
        if listed.is_none() && !looks {
            return None;
        }
        let mut paths =
            vec![format!("{}/{name}.rs", kind.dir), format!("{}/{name}/main.rs", kind.dir)];
        if kind.table == "bin" && (name == self.name || listed.is_some()) {
            paths.push("src/main.rs".to_owned());
        }
        with_path(listed.cloned().unwrap_or_default(), first(paths))
    }

    /// Returns the manifest's value for a variable of [`VARIABLES`].
    fn variable(&self, variable: &str) -> String {
        let key = VARIABLES.iter().find(|(name, _)| *name == variable).map_or("", |(_, key)| *key);
        match self.own.get(key) {
            None | Some(Value::Boolean(true)) if key == "readme" => {
                let found = READMES.iter().find(|name| self.dir.join(name).is_file());
                found.copied().unwrap_or_default().to_owned()
            }
            value => strings(value).collect::<Vec<_>>().join(":"),
        }
    }
}

/// Splits the name of a unit: `("test-", "bin", "app")` for `test-bin-app`.
fn parts(unit: &str) -> (&str, &str, &str) {
    let mode = ["test-", "doc-", "run-"].into_iter().find(|mode| unit.starts_with(mode));
    let target = &unit[mode.map_or(0, str::len)..];
    let kinds = ["lib", "bin", "integration-test", "example", "bench", "build-script"];
    let of_kind = |kind: &&'static str| target.strip_prefix(*kind)?.strip_prefix('-');
    let found = kinds.iter().find_map(|kind| Some((*kind, of_kind(kind)?)));
    let (kind, name) = found.unwrap_or(("", target));
    (mode.unwrap_or_default(), kind, name)
}

/// Returns the settings of a target that cargo compares, as text. Leaves out default values.
fn description(kind: &str, table: &Table) -> String {
    let default = |switch: &str| match switch {
        "test" => !matches!(kind, "example" | "bench"),
        "bench" => !matches!(kind, "example" | "integration-test"),
        "doc" => matches!(kind, "lib" | "bin"),
        "doctest" => kind == "lib",
        "harness" => true,
        _ => false,
    };
    let get = |key: &str| table.get(key).or_else(|| table.get(&key.replace('-', "_")));
    let mut said: Table = SWITCHES
        .into_iter()
        .filter_map(|switch| Some((switch, get(switch)?.as_bool()?)))
        .filter(|(switch, value)| *value != default(switch))
        .map(|(switch, value)| (switch.to_owned(), value.into()))
        .collect();
    for key in ["required-features", "crate-type", "doc-scrape-examples", "filename", "path"] {
        said.extend(get(key).map(|value| (key.to_owned(), value.clone())));
    }
    if kind == "lib" {
        let is_named = table.contains_key("name");
        said.insert("is-named".to_owned(), is_named.into());
    }
    text_of(Some(&Value::Table(said)))
}

/// Returns the flags that `[lints]` becomes, in the order of cargo's `lints_to_rustflags`.
fn lint_flags(lints: &Table) -> Vec<String> {
    let mut flags = Vec::new();
    for (tool, lints) in lints.iter().filter(|(tool, _)| *tool != "cargo") {
        for (name, lint) in lints.as_table().into_iter().flatten() {
            let level = lint.as_str().or_else(|| lint.get("level")?.as_str()).unwrap_or_default();
            let priority = lint.get("priority").and_then(Value::as_integer).unwrap_or_default();
            flags.push((priority, std::cmp::Reverse(name), format!("{level}={tool}::{name}")));
        }
    }
    flags.sort();
    let flags = flags.into_iter().map(|(_, _, flag)| flag);
    let checked = lints.get("rust").and_then(|rust| rust.get("unexpected_cfgs")?.get("check-cfg"));
    flags.chain(strings(checked)).collect()
}

/// Returns the settings that tell a dependency from others of its name: all but its version and features.
fn crate_of(dependency: &Dependency) -> String {
    let keys = [
        "path",
        "git",
        "branch",
        "tag",
        "rev",
        "registry",
        "registry-index",
        "public",
        "artifact",
        "lib",
        "target",
    ];
    let spec = &dependency.spec;
    let mut said: Table =
        keys.into_iter().filter_map(|key| Some((key.to_owned(), spec.get(key)?.clone()))).collect();
    said.insert("name".to_owned(), dependency.name.replace('-', "_").into());
    said.insert("package".to_owned(), dependency.package().into());
    said.insert("platform".to_owned(), dependency.platform.clone().into());
    text_of(Some(&Value::Table(said)))
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
