//! `versions.toml`: the tag of each repo in a release.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Spanned, Value};

use super::findings::{Finder, Findings};
use super::names::{GitRef, RepoName, Sha};
use super::repo::Chain;

/// The entry of a repo in a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseEntry {
    /// The tag.
    pub tag: GitRef,
    /// The commit that the tag must point to, if the file names it.
    pub commit: Option<Sha>,
}

#[derive(Debug, Deserialize)]
struct File {
    versions: Spanned<BTreeMap<String, Spanned<Value>>>,
}

/// Reads the entry of every repo of `chain` for a release. An entry has the name of the repository,
/// or of the repo in the chain; other entries are ignored. Docs need no entry.
pub fn read(
    chain: &Chain,
    path: &str,
    text: &str,
) -> Result<BTreeMap<RepoName, ReleaseEntry>, Findings> {
    let mut finder = Finder::new(text);
    let file: File = match toml::from_str(text) {
        Ok(file) => file,
        Err(error) => {
            finder.refuse(&error);
            return Err(finder.into_findings(path));
        }
    };
    let entries = file.versions.get_ref();
    let mut wanted = BTreeMap::new();
    for repo in chain.repos() {
        let names = [repo.repository.as_str(), repo.name.as_str()];
        let Some(entry) = names.iter().find_map(|name| entries.get(*name)) else {
            if repo.is_built() {
                finder.find(file.versions.span(), format!("there is no entry for `{}`", names[0]));
            }
            continue;
        };
        let text = |key: &str| match entry.get_ref().get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(format!("`{key}` of `{}` is not a text", names[0])),
        };
        let read = || {
            let no_tag = || format!("`{}` has no `git_tag`", names[0]);
            let tag: GitRef =
                text("git_tag")?.ok_or_else(no_tag)?.parse().map_err(|error| format!("{error}"))?;
            let commit = text("git_commit")?.map(str::parse).transpose();
            Ok(ReleaseEntry { tag, commit: commit.map_err(|error| format!("{error}"))? })
        };
        match read() {
            Ok(found) => drop(wanted.insert(repo.name.clone(), found)),
            Err::<_, String>(message) => finder.find(entry.span(), message),
        }
    }
    if finder.is_empty() { Ok(wanted) } else { Err(finder.into_findings(path)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

    fn chain() -> Result<Chain> {
        let text = "owner = 'o'\n[repos.spec]\nkind = 'docs'\n\
            [repos.consensus]\nrepository = 'blvm-consensus'\nkind = 'library'\ndepends = ['spec']\n\
            [repos.node]\nrepository = 'blvm-node'\nkind = 'binary'\ndepends = ['consensus']\n";
        Ok(Chain::parse("c", text)?)
    }

    #[test]
    fn the_file_of_the_organisation_is_read_with_all_that_is_in_it() -> Result {
        let commit = "a".repeat(40);
        let text = format!(
            r#"
# Version Coordination Manifest
[versions]

# Libraries (no binaries)
blvm-consensus = {{ version = "0.1.0", git_tag = "v0.1.0", git_commit = "" }}
blvm-node = {{ version = "0.1.0", git_tag = "v0.1.2", git_commit = "{commit}", requires = ["blvm-consensus=0.1.0"], binaries = ["node"] }}
blvm-other = {{ version = "0.1.0", git_tag = "v9" }}

[versions.develop]
version = "0.1.3-dev.1"
based_on_stable = "0.1.2"

[versions.develop.dependencies]
blvm-consensus = "0.1.3-dev.1"

[metadata]
last_updated = "2025-01-XX"

[modules]
x = {{ min_version = "1" }}
"#
        );
        let wanted = read(&chain()?, "versions.toml", &text)?;
        let tags: Vec<_> =
            wanted.iter().map(|(name, it)| format!("{name} {} {:?}", it.tag, it.commit)).collect();
        let commit = commit.parse::<Sha>()?;
        assert_eq!(
            tags,
            ["consensus v0.1.0 None".to_owned(), format!("node v0.1.2 {:?}", Some(commit))]
        );
        Ok(())
    }

    #[test]
    fn a_missing_part_of_a_release_is_named_with_its_place() -> Result {
        let node = "blvm-node = { git_tag = 'v1' }\n";
        #[rustfmt::skip]
        let cases = [
            ("a repo",          format!("[versions]\n{node}"),                                                   "v:1:1: there is no entry for `blvm-consensus`"),
            ("only named by another", "[versions]\nblvm-node = { git_tag = 'v1', requires = ['blvm-consensus=1'] }\n".to_owned(), "v:1:1: there is no entry for `blvm-consensus`"),
            ("a tag",           format!("[versions]\nblvm-consensus = {{ version = '1' }}\n{node}"),              "v:2:18: `blvm-consensus` has no `git_tag`"),
            ("an empty tag",    format!("[versions]\nblvm-consensus = {{ git_tag = '' }}\n{node}"),               "v:2:18: `blvm-consensus` has no `git_tag`"),
            ("a number",        format!("[versions]\nblvm-consensus = {{ git_tag = 1 }}\n{node}"),                "v:2:18: `git_tag` of `blvm-consensus` is not a text"),
            ("an option",       format!("[versions]\nblvm-consensus = {{ git_tag = '-x' }}\n{node}"),             "v:2:18: `-x` is not a branch, a tag or a full ref"),
            ("half a commit",   format!("[versions]\nblvm-consensus = {{ git_tag = 'v1', git_commit = 'abc' }}\n{node}"), "v:2:18: `abc` is not a commit (40 or 64 hex digits, in lower case)"),
            ("no table",        "x = 1\n".to_owned(),                                                            "v:1:1: missing field `versions`"),
            ("no TOML",         "[versions\n".to_owned(),                                                        "v:1:10: unclosed table, expected `]`"),
        ];
        for (why, text, want) in cases {
            let found = read(&chain()?, "v", &text).err().ok_or(why)?;
            assert_eq!(found.lines().next().as_deref(), Some(want), "{why}");
        }
        Ok(())
    }
}
