//! Checks that the configuration of a git repository is of the kind that cargo writes.
//!
//! A configuration may name programs (`core.fsmonitor`, filters, aliases), which git and the git calls of a build run,
//! and further files, which they read. Cargo writes none of these.

/// The keys that libgit2 and git write into a repository that cargo makes, as `section.key`.
const KNOWN: [&str; 20] = [
    "core.autocrlf",
    "core.bare",
    "core.filemode",
    "core.ignorecase",
    "core.logallrefupdates",
    "core.precomposeunicode",
    "core.protecthfs",
    "core.protectntfs",
    "core.repositoryformatversion",
    "core.symlinks",
    "core.worktree",
    "branch.merge",
    "branch.rebase",
    "branch.remote",
    "remote.fetch",
    "remote.tagopt",
    "remote.url",
    "submodule.active",
    "submodule.update",
    "submodule.url",
];

/// Names the first setting of a configuration that is not cargo's, if any.
pub(super) fn flaw(text: &str) -> Option<String> {
    let mut section = String::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            let Some((name, "")) = rest.split_once(']') else {
                return Some(format!("`{line}` in its configuration was not written by cargo"));
            };
            let name = name.split([' ', '.']).next().unwrap_or_default();
            section = name.to_ascii_lowercase();
            continue;
        }
        let key = line.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
        let key = format!("{section}.{key}");
        // A value that continues on the next line may hide a section.
        if !KNOWN.contains(&key.as_str()) || line.ends_with('\\') {
            return Some(format!("`{key}` in its configuration was not written by cargo"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_cargo_does_not_write_is_named() {
        #[rustfmt::skip]
        let cases = [
            ("a clone",   "[core]\n\tbare = false\n\tautocrlf = false\n[remote \"origin\"]\n\turl = file:///x\n\tfetch = +a:b\n", None),
            ("nothing",   "# none\n",                                       None),
            ("a program", "[core]\n\tfsmonitor = evil\n",                   Some("`core.fsmonitor` in its configuration was not written by cargo")),
            ("cases",     "[CORE]\nhooksPATH=/x\n",                         Some("`core.hookspath` in its configuration was not written by cargo")),
            ("a filter",  "[filter \"x\"]\n\tclean = evil\n",               Some("`filter.clean` in its configuration was not written by cargo")),
            ("a file",    "[include]\n\tpath = /x\n",                       Some("`include.path` in its configuration was not written by cargo")),
            ("one line",  "[core] fsmonitor = evil\n",                      Some("`[core] fsmonitor = evil` in its configuration was not written by cargo")),
            ("no value",  "[core]\nfsmonitor\n",                            Some("`core.fsmonitor` in its configuration was not written by cargo")),
            ("goes on",   "[remote \"o\"]\nurl = a\\\n[core]\n",            Some("`remote.url` in its configuration was not written by cargo")),
            ("no section", "bare = true\n",                                 Some("`.bare` in its configuration was not written by cargo")),
        ];
        for (why, text, want) in cases {
            assert_eq!(flaw(text).as_deref(), want, "{why}");
        }
    }
}
