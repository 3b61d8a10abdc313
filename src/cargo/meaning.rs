//! The meaning of manifests and of cargo's configuration: comments and layout do not count.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::{Table, Value};

use super::workspace::{self, MANIFEST};
use crate::model::digest::Hasher;
use crate::model::mark::Mark;

/// A longer file is no manifest, and a checkout may hold anything.
const MAX_BYTES: u64 = 4 << 20;

/// The tables of a root manifest that are about the workspace and not its own package.
const OF_WORKSPACE: [&str; 4] = ["workspace", "profile", "patch", "replace"];

/// Returns what the manifest of the package in `dir`, a canonical path, means, with what it inherits from its
/// workspace. `None` if there is none that can be read.
pub fn of_package(dir: &Path) -> Option<Mark> {
    let mut manifest = read(&dir.join(MANIFEST))?;
    for name in OF_WORKSPACE {
        manifest.remove(name);
    }
    let manifest = Value::Table(manifest);
    let mut names = BTreeSet::new();
    inherited("", &manifest, &mut names);
    let mut hasher = Hasher::default();
    hasher.field(text_of(&manifest).as_bytes());
    if !names.is_empty() {
        let root =
            workspace::root(dir, None).ok().flatten().and_then(|root| read(&root.join(MANIFEST)));
        let workspace = root.as_ref().and_then(|root| root.get("workspace")?.as_table());
        for name in names {
            let lints =
                workspace.and_then(|workspace| workspace.get("lints")).filter(|_| name == "lints");
            let tables = ["package", "dependencies"].map(|of| workspace?.get(of)?.get(&name));
            for value in tables.into_iter().chain([lints]) {
                hasher.field(value.map(text_of).unwrap_or_default().as_bytes());
            }
        }
    }
    Some(hasher.finish().into())
}

/// Returns what the workspace at `root` says of how everything in it is built: its profiles, and the
/// configuration of cargo that lies in it.
pub fn of_settings(root: &Path) -> Mark {
    let manifest = read(&root.join(MANIFEST)).unwrap_or_default();
    let mut hasher = Hasher::default();
    hasher.field(manifest.get("profile").map(text_of).unwrap_or_default().as_bytes());
    for name in [".cargo/config.toml", ".cargo/config"] {
        let config = Value::Table(read(&root.join(name)).unwrap_or_default());
        hasher.field(text_of(&config).as_bytes());
    }
    Mark::from(hasher.finish())
}

fn read(path: &Path) -> Option<Table> {
    let is_file = std::fs::metadata(path).ok()?.is_file();
    let mut text = String::new();
    let file = is_file.then(|| File::open(path).ok())??;
    file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    toml::from_str(&text).ok()
}

/// Returns a value as JSON: tables are sorted by name.
fn text_of(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Adds the names of what a manifest takes from the workspace: `version` of `version.workspace = true`.
fn inherited(name: &str, value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Table(table) => {
            if table.get("workspace").and_then(Value::as_bool) == Some(true) {
                names.insert(name.to_owned());
            }
            table.iter().for_each(|(name, value)| inherited(name, value, names));
        }
        Value::Array(values) => values.iter().for_each(|value| inherited(name, value, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::write;
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn a_comment_or_another_order_changes_no_meaning_and_an_inherited_value_does() -> TestResult {
        const MEMBER: &str = "[package]\nname = 'a'\nversion.workspace = true\n";
        const APART: &str = "[package]\nname = 'b'\nversion = '1.0.0'\n";
        const ROOT: &str = "[workspace.package]\nversion = '1.0.0'\n";
        let marks = |member: &str,
                     root: &str|
         -> std::result::Result<_, Box<dyn std::error::Error>> {
            let dir = tempfile::tempdir()?;
            let files = [("Cargo.toml", root), ("a/Cargo.toml", member), ("b/Cargo.toml", APART)];
            write(dir.path(), &files)?;
            let root = dir.path().canonicalize()?;
            let of = |below: &str| of_package(&root.join(below));
            Ok((of("a"), of("b"), of_settings(dir.path())))
        };
        let before = marks(MEMBER, ROOT)?;
        #[rustfmt::skip]
        let cases = [
            //  why                  member                                                        root                                             same: a, b, settings
            ("nothing",              MEMBER.to_owned(),                                            ROOT.to_owned(),                                 [true, true, true]),
            ("a comment",            format!("# x\n{MEMBER}"),                                     format!("{ROOT}# y\n"),                          [true, true, true]),
            ("another order",        "[package]\nversion.workspace = true\nname = 'a'\n".to_owned(), ROOT.to_owned(),                                [true, true, true]),
            ("a feature",            format!("{MEMBER}[features]\nx = []\n"),                      ROOT.to_owned(),                                 [false, true, true]),
            ("an inherited version", MEMBER.to_owned(),                                            ROOT.replace('1', "2"),                          [false, true, true]),
            ("a profile",            MEMBER.to_owned(),                                            format!("{ROOT}[profile.dev]\nopt-level = 1\n"), [true, true, false]),
            ("a comment in that",    MEMBER.to_owned(),                                            format!("{ROOT}[profile]\n"),                    [true, true, false]),
        ];
        for (why, member, root, want) in cases {
            let now = marks(&member, &root)?;
            assert_eq!([now.0 == before.0, now.1 == before.1, now.2 == before.2], want, "{why}");
        }
        Ok(())
    }

    #[test]
    fn the_configuration_of_a_checkout_is_a_setting_and_no_manifest_means_nothing() -> TestResult {
        let dir = tempfile::tempdir()?;
        write(dir.path(), &[("Cargo.toml", "[package]\n")])?;
        let before = of_settings(dir.path());
        write(dir.path(), &[(".cargo/config.toml", "# nothing\n")])?;
        assert_eq!(of_settings(dir.path()), before);
        write(dir.path(), &[(".cargo/config.toml", "[build]\nrustflags = ['-g']\n")])?;
        assert_ne!(of_settings(dir.path()), before);
        assert_eq!(of_package(&dir.path().join("none")), None);
        write(dir.path(), &[("bad/Cargo.toml", "[package")])?;
        assert_eq!(of_package(&dir.path().join("bad")), None);
        Ok(())
    }
}
