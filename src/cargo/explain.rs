//! Why two keys differ, in lines for people.

use std::collections::{BTreeMap, BTreeSet};

use super::lock_file::Diff;

/// Returns the differences between the components of two keys, a line each; none if the keys are
/// equal.
pub fn changes(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<String> {
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let changed = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    let mut lines: Vec<_> = changed
        .filter_map(|name| {
            line(name, old.get(name).map(String::as_str), new.get(name).map(String::as_str))
        })
        .collect();
    if let Some(line) = lock_line(old, new) {
        lines.insert(0, line);
    }
    lines
}

fn line(name: &str, old: Option<&str>, new: Option<&str>) -> Option<String> {
    let verb = || match (old, new) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    };
    let (kind, of) = name.split_once(':').unwrap_or((name, ""));
    match kind {
        "lock" | "lock-digest" => None,
        "env" => Some(format!("{of}: {} → {}", old.unwrap_or("unset"), new.unwrap_or("unset"))),
        "manifest" => Some(format!("manifest `{of}` {}", verb())),
        "extra" => Some(format!("extra input `{of}` {}", verb())),
        // The file is part of the key only if no compiler answered.
        "toolchain-file" if new.is_none() => {
            Some("rust-toolchain file: no longer part of the key".to_owned())
        }
        "toolchain-file" => Some(format!("rust-toolchain file {}", verb())),
        "rustc" => {
            Some(format!("rustc: {}", rustc(old.unwrap_or_default(), new.unwrap_or_default())))
        }
        _ => Some(format!("{name}: {} → {}", old.unwrap_or("none"), new.unwrap_or("none"))),
    }
}

/// Compares the lock files of two keys. If only one key has a lock file, the line about the basis
/// says so.
fn lock_line(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Option<String> {
    if old.get("lock-digest") == new.get("lock-digest") {
        return None;
    }
    let diff = Diff::between(old.get("lock")?, new.get("lock")?);
    Some(if diff.is_empty() {
        "Cargo.lock: other content for the same packages".to_owned()
    } else {
        format!("Cargo.lock: {diff}")
    })
}

/// Compares what two compilers report about themselves: the release if that differs, else the first
/// line that does.
fn rustc(old: &str, new: &str) -> String {
    let field = |text: &str, name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap_or("unknown").to_owned()
    };
    let differs = |name: &&str| field(old, name) != field(new, name);
    let name = ["release", "host", "commit-hash", "LLVM version"].into_iter().find(differs);
    let name = name.unwrap_or("release");
    let label = if name == "release" { String::new() } else { format!("{name} ") };
    format!("{label}{} → {}", field(old, name), field(new, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "rustc 1.94.0 (a 2026-01-01)\ncommit-hash: a\nhost: x86_64\nrelease: 1.94.0";
    const NEW: &str = "rustc 1.95.0 (b 2026-03-01)\ncommit-hash: b\nhost: x86_64\nrelease: 1.95.0";
    const HOST: &str =
        "rustc 1.94.0 (a 2026-01-01)\ncommit-hash: a\nhost: aarch64\nrelease: 1.94.0";

    #[test]
    fn each_change_is_one_line_that_names_it() {
        type Components<'a> = &'a [(&'a str, &'a str)];
        #[rustfmt::skip]
        let cases: [(&str, Components, Components, &[&str]); 15] = [
            ("nothing",          &[("lock", "a 1"), ("env:CC", "cc")], &[("lock", "a 1"), ("env:CC", "cc")], &[]),
            ("packages",         &[("lock", "a 1"), ("lock-digest", "0")], &[("lock", "a 2"), ("lock-digest", "1")],
                                 &["Cargo.lock: +1 −1 packages (−a 1, +a 2)"]),
            ("lock only",        &[("lock", "a 1"), ("lock-digest", "0")], &[("lock", "a 1"), ("lock-digest", "1")],
                                 &["Cargo.lock: other content for the same packages"]),
            ("flags",            &[("env:RUSTFLAGS", "a")], &[("env:RUSTFLAGS", "b")], &["RUSTFLAGS: a → b"]),
            ("flags set",        &[], &[("env:RUSTFLAGS", "b")], &["RUSTFLAGS: unset → b"]),
            ("release",          &[("rustc", OLD)], &[("rustc", NEW)], &["rustc: 1.94.0 → 1.95.0"]),
            ("host",             &[("rustc", OLD)], &[("rustc", HOST)], &["rustc: host x86_64 → aarch64"]),
            ("LLVM",             &[("rustc", "release: 1\nLLVM version: 20.1")], &[("rustc", "release: 1\nLLVM version: 21.1")],
                                 &["rustc: LLVM version 20.1 → 21.1"]),
            ("the lock first",   &[("env:CC", "a"), ("lock", "a 1"), ("lock-digest", "0")], &[("lock", "b 1"), ("lock-digest", "1")],
                                 &["Cargo.lock: +1 −1 packages (−a 1, +b 1)", "CC: a → unset"]),
            ("no compiler",      &[("rustc", OLD)], &[], &["rustc: 1.94.0 → unknown"]),
            ("toolchain file",   &[], &[("toolchain-file", "1.95")], &["rust-toolchain file added"]),
            ("compiler answers", &[("toolchain-file", "1.95")], &[("rustc", NEW)],
                                 &["rustc: unknown → 1.95.0", "rust-toolchain file: no longer part of the key"]),
            ("manifests",        &[("manifest:a/Cargo.toml", "0"), ("manifest:b/Cargo.toml", "0")], &[("manifest:a/Cargo.toml", "1")],
                                 &["manifest `a/Cargo.toml` changed", "manifest `b/Cargo.toml` removed"]),
            ("extra input",      &[("extra:a:b", "0")], &[("extra:a:b", "1")], &["extra input `a:b` changed"]),
            ("basis",            &[("basis", "tracked Cargo.lock"), ("lock", "a 1"), ("lock-digest", "0")],
                                 &[("basis", "manifests (no Cargo.lock)"), ("manifest:Cargo.toml", "1")],
                                 &["basis: tracked Cargo.lock → manifests (no Cargo.lock)", "manifest `Cargo.toml` added"]),
        ];
        let owned = |components: Components| {
            let owned =
                components.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
            owned.collect()
        };
        for (why, old, new, want) in cases {
            assert_eq!(changes(&owned(old), &owned(new)), want, "{why}");
        }
    }
}
