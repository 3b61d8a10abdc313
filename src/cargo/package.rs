//! The manifest of one package, with what it inherits from its workspace: its dependencies and features.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::meaning::read;
use super::workspace::{self, MANIFEST, without_dots};
use crate::model::unit_graph::Asks;

/// The tables of dependencies: those of all targets, of tests, examples and benchmarks, and of build scripts.
const TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// A package.
#[derive(Debug)]
pub(super) struct Package {
    /// Its canonical directory.
    pub(super) dir: PathBuf,
    pub(super) name: String,
    /// The whole manifest, as written.
    pub(super) table: Table,
    /// The table `package`, with inherited values.
    pub(super) own: Table,
    /// The table `lints`, or that of the workspace.
    pub(super) lints: Table,
    pub(super) dependencies: Vec<Dependency>,
    /// The values that each feature turns on; includes the implicit features of optional dependencies.
    pub(super) features: BTreeMap<String, Vec<String>>,
}

/// An entry of a table of dependencies.
#[derive(Debug)]
pub(super) struct Dependency {
    /// One of [`TABLES`].
    pub(super) table: &'static str,
    /// The platform it applies to, as the manifest names it; empty for all.
    pub(super) platform: String,
    /// The name that the code and the features use.
    pub(super) name: String,
    pub(super) spec: Table,
}

/// The features and dependencies that a set of features turns on.
#[derive(Default)]
pub(super) struct Enabled<'a> {
    pub(super) features: BTreeSet<&'a str>,
    /// Optional dependencies that are on.
    pub(super) dependencies: BTreeSet<&'a str>,
    /// Features asked of dependencies.
    pub(super) asks: Asks,
}

impl Package {
    /// Reads the package in `dir`, a canonical path; `None` if there is no package, or its manifest cannot be read.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        let table = read(&dir.join(MANIFEST))?;
        let own = table.get("package")?.as_table()?;
        let name = own.get("name")?.as_str()?.to_owned();
        let (root, workspace) = workspace_of(dir, &table);
        let shared = |table: &str| workspace.get(table).and_then(Value::as_table);
        let inherit = |(key, value): (&String, &Value)| {
            let value = if is_inherited(value) { shared("package")?.get(key)? } else { value };
            Some((key.clone(), value.clone()))
        };
        let lints = table.get("lints").filter(|lints| !is_inherited(lints));
        let lints = match lints.and_then(Value::as_table) {
            None if table.contains_key("lints") => shared("lints").cloned(),
            lints => lints.cloned(),
        };
        let mut dependencies = Vec::new();
        let platforms = table.get("target").and_then(Value::as_table).into_iter().flatten();
        let platforms = platforms.filter_map(|(name, table)| Some((&**name, table.as_table()?)));
        for (platform, of_platform) in std::iter::once(("", &table)).chain(platforms) {
            for table in TABLES {
                let other = table.replace('-', "_");
                let listed = of_platform.get(table).or_else(|| of_platform.get(&other));
                for (name, spec) in listed.and_then(Value::as_table).into_iter().flatten() {
                    let shared = shared("dependencies").and_then(|shared| shared.get(name));
                    let spec = spec_of(spec, dir, shared, &root);
                    let (platform, name) = (platform.to_owned(), name.clone());
                    dependencies.push(Dependency { table, platform, name, spec });
                }
            }
        }
        let features = features(&table, &dependencies);
        let own = own.iter().filter_map(inherit).collect();
        let lints = lints.unwrap_or_default();
        Some(Self { dir: dir.to_owned(), name, own, lints, dependencies, features, table })
    }

    /// Returns all that is on if the features `asked` are.
    pub(super) fn enabled<'a>(&'a self, asked: impl IntoIterator<Item = &'a str>) -> Enabled<'a> {
        let mut enabled = Enabled::default();
        let mut next: Vec<&str> = asked.into_iter().collect();
        let mut perhaps = Vec::new();
        while let Some(feature) = next.pop() {
            if !enabled.features.insert(feature) {
                continue;
            }
            for value in self.features.get(feature).into_iter().flatten() {
                if let Some(dependency) = value.strip_prefix("dep:") {
                    enabled.dependencies.insert(dependency);
                } else if let Some((dependency, feature)) = value.split_once("?/") {
                    perhaps.push((dependency, feature));
                } else if let Some((dependency, feature)) = value.split_once('/') {
                    enabled.dependencies.insert(dependency);
                    next.extend(self.features.get_key_value(dependency).map(|(name, _)| &**name));
                    perhaps.push((dependency, feature));
                } else {
                    next.push(value);
                }
            }
        }
        for (dependency, feature) in perhaps {
            enabled.asks.entry(dependency.to_owned()).or_default().insert(feature.to_owned());
        }
        enabled
    }
}

impl Dependency {
    /// Returns the name of the package that it refers to.
    pub(super) fn package(&self) -> &str {
        self.spec.get("package").and_then(Value::as_str).unwrap_or(&self.name)
    }

    /// Returns the features that it asks for.
    pub(super) fn features(&self) -> BTreeSet<String> {
        let mut features: BTreeSet<_> = strings(self.spec.get("features")).collect();
        let default = self.spec.get("default-features");
        let default = default.or_else(|| self.spec.get("default_features"));
        if default.and_then(Value::as_bool) != Some(false) {
            features.insert("default".to_owned());
        }
        features
    }

    pub(super) fn is_optional(&self) -> bool {
        self.spec.get("optional").and_then(Value::as_bool) == Some(true)
    }
}

/// Returns the strings of a list, or a single string.
pub(super) fn strings(value: Option<&Value>) -> impl Iterator<Item = String> {
    let strings = match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(values)) => {
            values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    };
    strings.into_iter()
}

/// Returns the root of the workspace of the package in `dir`, and its table `workspace`.
fn workspace_of(dir: &Path, manifest: &Table) -> (PathBuf, Table) {
    let of = |manifest: &Table| manifest.get("workspace").and_then(Value::as_table).cloned();
    let root = workspace::root(dir, None).ok().flatten().unwrap_or_else(|| dir.to_owned());
    let table =
        if root == dir { of(manifest) } else { read(&root.join(MANIFEST)).and_then(|it| of(&it)) };
    (root, table.unwrap_or_default())
}

/// Tells whether a value is inherited from the workspace: `version.workspace = true`.
fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// Returns an entry as a table, merged with the workspace's entry. Its path is relative to the package.
fn spec_of(spec: &Value, dir: &Path, shared: Option<&Value>, root: &Path) -> Table {
    let table = |spec: &Value, base: &Path| {
        let mut table = match spec {
            Value::Table(table) => table.clone(),
            version => Table::from_iter([("version".to_owned(), version.clone())]),
        };
        if let Some(Value::String(path)) = table.get_mut("path") {
            *path = from_to(dir, &without_dots(&base.join(&*path)));
        }
        table
    };
    let own = table(spec, dir);
    let Some(shared) = shared.filter(|_| is_inherited(spec)) else { return own };
    let mut all = table(shared, root);
    let both: Vec<_> = strings(all.get("features")).chain(strings(own.get("features"))).collect();
    all.extend(own.into_iter().filter(|(key, _)| key != "workspace"));
    all.insert("features".to_owned(), both.into());
    all
}

/// Returns the path of `to` relative to the directory `from`.
fn from_to(from: &Path, to: &Path) -> String {
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| std::path::Component::ParentDir);
    up.chain(to.components().skip(common)).collect::<PathBuf>().to_string_lossy().into_owned()
}

/// Returns the features of a package. An optional dependency that no feature names with `dep:` is a feature, too.
fn features(manifest: &Table, dependencies: &[Dependency]) -> BTreeMap<String, Vec<String>> {
    let listed = manifest.get("features").and_then(Value::as_table).into_iter().flatten();
    let mut features: BTreeMap<String, Vec<String>> =
        listed.map(|(name, values)| (name.clone(), strings(Some(values)).collect())).collect();
    let named: BTreeSet<String> = features.values().flatten().cloned().collect();
    for Dependency { name, .. } in dependencies.iter().filter(|it| it.is_optional()) {
        let turned_on = format!("dep:{name}");
        if !named.contains(&turned_on) {
            features.entry(name.clone()).or_insert_with(|| vec![turned_on]);
        }
    }
    features
}
