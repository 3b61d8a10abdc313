//! What manifests and cargo's configuration mean: comments and layout do not count.

use std::path::Path;

use toml::{Table, Value};

use super::workspace::MANIFEST;
use crate::model::digest::Hasher;
use crate::model::mark::Mark;

/// Returns what the manifest of the package in `dir` means, with what it inherits from the workspace at
/// `workspace_root`. `None` if there is none that can be read.
pub fn of_package(dir: &Path, workspace_root: &Path) -> Option<Mark> {
    let manifest = read(&dir.join(MANIFEST))?;
    let mut hasher = Hasher::default();
    hasher.field(text_of(&Value::Table(manifest.clone())).as_bytes());
    if inherits(&Value::Table(manifest)) {
        let root = read(&workspace_root.join(MANIFEST)).unwrap_or_default();
        let workspace = root.get("workspace").and_then(Value::as_table);
        for name in ["package", "dependencies", "lints"] {
            let table = workspace.and_then(|workspace| workspace.get(name));
            hasher.field(table.map(text_of).unwrap_or_default().as_bytes());
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
    toml::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

/// Returns a value as JSON: tables are sorted by name.
fn text_of(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Tells whether anything in a manifest says `workspace = true`.
fn inherits(value: &Value) -> bool {
    match value {
        Value::Table(table) => table.iter().any(|(name, value)| {
            name == "workspace" && value.as_bool() == Some(true) || inherits(value)
        }),
        Value::Array(values) => values.iter().any(inherits),
        _ => false,
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
            let of = |below: &str| of_package(&dir.path().join(below), dir.path());
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
        assert_eq!(of_package(&dir.path().join("none"), dir.path()), None);
        write(dir.path(), &[("bad/Cargo.toml", "[package")])?;
        assert_eq!(of_package(&dir.path().join("bad"), dir.path()), None);
        Ok(())
    }
}
