//! The meaning of profiles and of cargo's configuration, without comments and layout.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::{Table, Value};

use super::workspace::MANIFEST;
use crate::model::digest::Hasher;
use crate::model::mark::Mark;
use crate::model::unit_graph::ProfileMarks;

/// The maximum of bytes to read: a longer file is no manifest, and a checkout may hold anything.
const MAX_BYTES: u64 = 4 << 20;

/// Cargo's built-in profiles, and the directories of their units.
const BUILT_IN: [(&str, &str); 4] =
    [("dev", "debug"), ("test", "debug"), ("release", "release"), ("bench", "release")];

/// Returns a mark for each profile directory of the workspace at `root`. It changes with the profiles built there, with
/// the profiles that they inherit from, and with cargo's configuration in the checkout.
pub fn of_profiles(root: &Path) -> ProfileMarks {
    let mut tables = [MANIFEST, ".cargo/config.toml", ".cargo/config"]
        .map(|name| read(&root.join(name)).unwrap_or_default());
    let profiles = tables.iter_mut().map(|table| match table.remove("profile") {
        Some(Value::Table(profiles)) => profiles,
        _ => Table::new(),
    });
    let profiles: Vec<_> = profiles.collect();
    let custom = profiles.iter().flat_map(|table| table.keys().map(String::as_str));
    let custom = custom.filter(|name| !BUILT_IN.iter().any(|(of, _)| of == name));
    let lies_in = |name| BUILT_IN.iter().find(|(of, _)| *of == name).map_or(name, |(_, dir)| *dir);
    let mut in_dirs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for name in BUILT_IN.iter().map(|(name, _)| *name).chain(custom) {
        in_dirs.entry(lies_in(name)).or_default().extend(lineage(name, &profiles));
    }
    let mark = |names: BTreeSet<&str>| {
        let mut hasher = Hasher::default();
        for config in &tables[1..] {
            hasher.field(text_of(Some(&Value::Table(config.clone()))).as_bytes());
        }
        for name in names {
            hasher.field(name.as_bytes());
            for table in &profiles {
                hasher.field(text_of(table.get(name)).as_bytes());
            }
        }
        Mark::from(hasher.finish())
    };
    in_dirs.into_iter().map(|(dir, names)| (dir.to_owned(), mark(names))).collect()
}

/// Returns a profile and its ancestors by `inherits`.
fn lineage<'a>(name: &'a str, profiles: &'a [Table]) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    let mut next = Some(name);
    while let Some(name) = next.filter(|name| names.insert(*name)) {
        let said =
            profiles.iter().rev().find_map(|table| table.get(name)?.get("inherits")?.as_str());
        next = said.or(match name {
            "test" => Some("dev"),
            "bench" => Some("release"),
            _ => None,
        });
    }
    names
}

/// Reads a file as a table; `None` if it is missing, too long or not valid TOML.
pub(super) fn read(path: &Path) -> Option<Table> {
    let is_file = std::fs::metadata(path).ok()?.is_file();
    let mut text = String::new();
    let file = is_file.then(|| File::open(path).ok())??;
    file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    toml::from_str(&text).ok()
}

/// Returns a value as JSON, tables sorted by name; the empty string for `None`.
pub(super) fn text_of(value: Option<&Value>) -> String {
    value.and_then(|value| serde_json::to_string(value).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing::write;
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn a_profile_is_a_matter_of_its_directory_and_of_those_that_inherit_from_it() -> TestResult {
        const ROOT: &str = "[package]\n[profile.fast]\ninherits = 'release'\n[profile.faster]\ninherits = 'fast'\n[profile.odd]\ninherits = 'odd'\n";
        let marks =
            |root: &str, config: &str| -> std::result::Result<_, Box<dyn std::error::Error>> {
                let dir = tempfile::tempdir()?;
                write(dir.path(), &[("Cargo.toml", root), (".cargo/config.toml", config)])?;
                Ok(of_profiles(dir.path()))
            };
        let before = marks(ROOT, "")?;
        let all = "debug fast faster odd release";
        #[rustfmt::skip]
        let cases = [
            //  why                               added to the manifest            the configuration                          what differs
            ("nothing",                           "",                              "",                                        ""),
            ("comments",                          "# x\n",                         "# y\n",                                   ""),
            ("a change for debug",                "[profile.dev]\nopt-level = 1\n", "",                                       "debug"),
            ("for tests",                         "[profile.test]\nopt-level = 1\n", "",                                      "debug"),
            ("for a dependency",                  "[profile.dev.package.log]\nopt-level = 1\n", "",                           "debug"),
            ("for what others inherit from",      "[profile.release]\nlto = true\n", "",                                      "fast faster release"),
            ("for a benchmark",                   "[profile.bench]\nlto = true\n", "",                                        "release"),
            ("a new profile",                     "[profile.new]\ninherits = 'dev'\n", "",                                    "new"),
            ("a profile in the configuration",    "",                              "[profile.fast]\nlto = true\n",            "fast faster"),
            ("another parent in that",            "",                              "[profile.faster]\ninherits = 'dev'\n",    "faster"),
            ("flags for all",                     "",                              "[build]\nrustflags = ['-g']\n",           all),
        ];
        for (why, added, config, want) in cases {
            let now = marks(&format!("{ROOT}{added}"), config)?;
            let dirs: BTreeSet<_> = before.keys().chain(now.keys()).collect();
            let other = dirs.into_iter().filter(|dir| before.get(*dir) != now.get(*dir));
            let other: Vec<_> = other.map(String::as_str).collect();
            assert_eq!(other.join(" "), want, "{why}");
        }
        Ok(())
    }
}
