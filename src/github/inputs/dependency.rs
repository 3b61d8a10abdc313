//! A dependency of the repo, as one line of the input `dependencies`.

use std::path::PathBuf;
use std::str::FromStr;

use super::wrong::Refusal;
use crate::model::git_ref::GitRef;
use crate::model::names::Name;
use crate::model::scope::Repository;

/// A repo that the build uses by path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Its name; if it is checked out, the name of its repository.
    pub name: Name,
    /// Its path relative to the workspace; `None` for the path beside the repo, under its name.
    pub path: Option<PathBuf>,
    /// The repository to check out there; `None` if the files are there already.
    pub checkout: Option<RepositoryAtRef>,
}

/// A repository to check out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryAtRef {
    /// The repository.
    pub repository: Repository,
    /// The ref to check out; `None` for its default branch.
    pub git_ref: Option<GitRef>,
}

impl FromStr for Dependency {
    type Err = Refusal;

    /// Reads `name`, `name=path`, `owner/name[@ref]` or `owner/name[@ref]=path`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (what, path) = match text.split_once('=') {
            Some((what, path)) => (what.trim_end(), Some(path.trim_start())),
            None => (text, None),
        };
        if path.is_some_and(str::is_empty) {
            return Err(Refusal::new(text, "a dependency (a path follows `=`)"));
        }
        let path = path.map(PathBuf::from);
        if !what.contains(['/', '@']) {
            return Ok(Self { name: what.parse()?, path, checkout: None });
        }
        let (repository, git_ref) = match what.split_once('@') {
            Some((repository, git_ref)) => (repository, Some(git_ref.parse()?)),
            None => (what, None),
        };
        let repository: Repository = repository.parse()?;
        let (_, name) = repository.as_str().split_once('/').expect("it is `owner/name`");
        Ok(Self {
            name: name.parse()?,
            path,
            checkout: Some(RepositoryAtRef { repository, git_ref }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows `name path repository ref`, with `-` for missing parts.
    fn told(dependency: &Dependency) -> String {
        let path = dependency.path.as_ref().map_or("-".into(), |path| path.to_string_lossy());
        let repository =
            dependency.checkout.as_ref().map_or("-", |wanted| wanted.repository.as_str());
        let git_ref = dependency.checkout.as_ref().and_then(|wanted| wanted.git_ref.as_ref());
        format!("{} {path} {repository} {}", dependency.name, git_ref.map_or("-", GitRef::as_str))
    }

    #[test]
    fn a_dependency_is_there_already_or_says_what_to_check_out() {
        let cases = [
            ("blvm-consensus", "blvm-consensus - - -"),
            ("blvm-consensus=../c", "blvm-consensus ../c - -"),
            ("a = /srv/b=c", "a /srv/b=c - -"),
            ("btcdecoded/blvm-node", "blvm-node - btcdecoded/blvm-node -"),
            ("btcdecoded/blvm-node@main", "blvm-node - btcdecoded/blvm-node main"),
            ("o/n@feature/x@y=deps/n", "n deps/n o/n feature/x@y"),
            ("o/n=deps/n", "n deps/n o/n -"),
        ];
        for (text, want) in cases {
            let got = text.parse().map(|dependency| told(&dependency));
            assert_eq!(got.as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn a_refusal_shows_the_part_that_is_wrong() {
        let cases = [
            ("", "", "a name (1 to 200 of A-Z a-z 0-9 . _ -, not starting with `.`)"),
            ("a b", "a b", "a name (1 to 200 of A-Z a-z 0-9 . _ -, not starting with `.`)"),
            ("a=", "a=", "a dependency (a path follows `=`)"),
            ("a/b/c@x", "a/b/c", "a repository (owner/name)"),
            ("name@main", "name", "a repository (owner/name)"),
            ("o/n@", "", "a branch, a tag, a ref (refs/…) or a commit"),
            ("o/n@--upload-pack=x", "--upload-pack", "a branch, a tag, a ref (refs/…) or a commit"),
            (
                "o/.github@v1",
                ".github",
                "a name (1 to 200 of A-Z a-z 0-9 . _ -, not starting with `.`)",
            ),
        ];
        for (text, part, expected) in cases {
            assert_eq!(text.parse::<Dependency>(), Err(Refusal::new(part, expected)), "{text}");
        }
    }
}
