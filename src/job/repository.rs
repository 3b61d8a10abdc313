//! The repository that a checkout belongs to.

use std::path::Path;

use super::{Error, Result};
use crate::cargo::tracked::url_of_origin;
use crate::model::environment::Environment;
use crate::model::scope::Repository;

/// Asks git for the `owner/name` of the remote `origin`. The repository of a checkout without that
/// remote is `local/<name of its directory>`.
pub fn repository_of(repo: &Path, environment: &Environment) -> Result<Repository> {
    let url = url_of_origin(repo, environment);
    if let Some(repository) = url.as_deref().and_then(repository_in_url) {
        return Ok(repository);
    }
    let name = repo.file_name().unwrap_or_default().to_string_lossy();
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = name.chars().map(allowed).collect();
    let text = format!("local/{name}");
    text.parse().map_err(|_| Error::Unnamed(repo.to_owned()))
}

/// Returns the `owner/name` in a URL, in the forms that GitHub and others use; `None` for a local
/// path.
fn repository_in_url(url: &str) -> Option<Repository> {
    let path = match url.split_once("://") {
        Some(("file", _)) => return None,
        Some((_, rest)) => rest.split_once('/')?.1,
        None if url.starts_with(['/', '.']) => return None,
        None => url.split_once(':')?.1,
    };
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let mut parts = path.rsplit('/');
    let name = parts.next()?;
    format!("{}/{name}", parts.next()?).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_names_its_repository() {
        let cases = [
            ("https://github.com/btcdecoded/blvm-node", Some("btcdecoded/blvm-node")),
            ("https://token@github.example/btcdecoded/blvm-node.git", Some("btcdecoded/blvm-node")),
            ("git@github.com:btcdecoded/blvm-node.git", Some("btcdecoded/blvm-node")),
            ("ssh://git@host:22/a/b/", Some("a/b")),
            ("/srv/mirrors/blvm-node.git", None),
            ("../blvm-node", None),
            ("file:///srv/a/b", None),
            ("", None),
        ];
        for (url, want) in cases {
            let got = repository_in_url(url);
            assert_eq!(got.as_ref().map(Repository::as_str), want, "{url}");
        }
    }
}
