//! The payload of the event that started a run: the few facts that decide about trust.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The payload of an event, as far as its server documents it.
///
/// One fact of the wrong type makes the whole payload malformed: nobody guesses at a payload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Payload {
    /// The repository of the workflow.
    pub repository: Option<RepositoryFacts>,
    /// The pull request that the event is about.
    pub pull_request: Option<PullRequest>,
    /// The number of that pull request.
    pub number: Option<u64>,
    /// The group of pull requests that is about to be merged.
    pub merge_group: Option<MergeGroup>,
    /// The ref that was pushed or dispatched.
    #[serde(rename = "ref")]
    pub git_ref: Option<String>,
}

/// The repository of the workflow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct RepositoryFacts {
    /// `owner/name`.
    pub full_name: Option<String>,
    /// The name of its default branch.
    pub default_branch: Option<String>,
}

/// The pull request that an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PullRequest {
    /// Its number.
    pub number: Option<u64>,
    /// The branch that it goes into.
    pub base: Option<Base>,
}

/// The branch that a pull request goes into.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Base {
    /// Its name.
    #[serde(rename = "ref")]
    pub branch: Option<String>,
}

/// A group of pull requests that is about to be merged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct MergeGroup {
    /// The full ref of the branch that it goes into.
    pub base_ref: Option<String>,
    /// The full ref of the merge on trial.
    pub head_ref: Option<String>,
}

/// An error in reading the payload.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The runner names no file.
    #[error("`GITHUB_EVENT_PATH` is not set")]
    NotSet,

    /// The file cannot be read.
    #[error("cannot read event payload `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The filesystem's error.
        source: io::Error,
    },

    /// The file is larger than any payload.
    #[error("event payload `{}` is larger than {MAX_MIB} MiB", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },

    /// The file does not hold the documented payload.
    #[error("event payload `{}` is malformed", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The parser's error, with the place.
        source: serde_json::Error,
    },
}

/// The largest payload that is read, in MiB. GitHub cuts payloads at 25 MB.
const MAX_MIB: u64 = 32;

impl Payload {
    /// Reads the payload from the file that the runner names.
    pub fn read(path: Option<&Path>) -> Result<Self, Error> {
        let path = path.ok_or(Error::NotSet)?;
        serde_json::from_slice(&bytes(Some(path))?)
            .map_err(|source| Error::Malformed { path: path.to_owned(), source })
    }
}

/// Reads the bytes of the file that the runner names, without parsing them.
pub fn bytes(path: Option<&Path>) -> Result<Vec<u8>, Error> {
    let path = path.ok_or(Error::NotSet)?;
    let bytes = read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    bytes.ok_or_else(|| Error::TooLarge { path: path.to_owned() })
}

/// Returns the bytes of a regular file; `None` if it is larger than [`MAX_MIB`].
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take((MAX_MIB << 20) + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= MAX_MIB << 20).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::fs;

    use super::*;

    type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

    #[test]
    fn facts_are_found_among_all_that_a_payload_holds() -> Result {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("event.json");
        let json = r#"{"action":"opened","number":7,"sender":{"login":"x"},
            "repository":{"id":1,"full_name":"a/b","default_branch":"main","license":null},
            "pull_request":{"number":7,"title":"t","base":{"ref":"dev","sha":"1"},"head":{"ref":"x"}},
            "merge_group":null,"ref":"refs/heads/x"}"#;
        fs::write(&path, json)?;
        let want = Payload {
            repository: Some(RepositoryFacts {
                full_name: Some("a/b".to_owned()),
                default_branch: Some("main".to_owned()),
            }),
            pull_request: Some(PullRequest {
                number: Some(7),
                base: Some(Base { branch: Some("dev".to_owned()) }),
            }),
            number: Some(7),
            merge_group: None,
            git_ref: Some("refs/heads/x".to_owned()),
        };
        assert_eq!(Payload::read(Some(&path))?, want);
        Ok(())
    }

    #[test]
    fn a_payload_that_is_not_as_documented_is_malformed() -> Result {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("event.json");
        let deep = format!(r#"{{"a":{}"#, "[".repeat(100_000));
        let wrong = [
            "",
            "null",
            "[1]",
            "{",
            r#"{"number":"7"}"#,
            r#"{"number":-7}"#,
            r#"{"number":7,"number":8}"#,
            r#"{"repository":"a/b"}"#,
            r#"{"pull_request":{"base":"main"}}"#,
            &deep,
        ];
        for json in wrong {
            fs::write(&path, json)?;
            let read = Payload::read(Some(&path));
            assert!(matches!(read, Err(Error::Malformed { .. })), "{json:.40}: {read:?}");
        }
        Ok(())
    }

    #[test]
    fn a_payload_that_cannot_be_read_is_named() -> Result {
        let dir = tempfile::tempdir()?;
        let large = dir.path().join("large");
        fs::File::create(&large)?.set_len((MAX_MIB << 20) + 1)?;
        let missing = dir.path().join("missing");
        let told = |path: Option<&Path>| {
            let error = Payload::read(path).map_err(|error| {
                let cause = error.source().map(|source| format!(": {source}"));
                format!("{error}{}", cause.unwrap_or_default())
            });
            error.err().unwrap_or_default().replace(&dir.path().display().to_string(), "@")
        };
        let cases = [
            (None, "`GITHUB_EVENT_PATH` is not set"),
            (Some(large.as_path()), "event payload `@/large` is larger than 32 MiB"),
            (
                Some(missing.as_path()),
                "cannot read event payload `@/missing`: No such file or directory (os error 2)",
            ),
            (Some(dir.path()), "cannot read event payload `@`: it is not a regular file"),
        ];
        for (path, want) in cases {
            assert_eq!(told(path), want);
        }
        Ok(())
    }
}
