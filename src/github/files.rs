//! The files by which a step passes on outputs, state, variables, paths and its summary.
//!
//! Every value stands between random delimiters, so that no part of it becomes another value.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::shown::shown;
use crate::model::environment::Environment;

/// The files of one step. Each is opened only to write to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    environment: Environment,
}

/// An error in passing on a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The runner names no file for it.
    #[error("`{0}` is not set")]
    NotSet(&'static str),

    /// The name is one that a runner would refuse.
    #[error("`{0}` is not the name of an output or variable (A-Z a-z 0-9 _ -)")]
    Name(String),

    /// The directory for PATH has line breaks; each directory needs a line of its own.
    #[error("`{0}` cannot be in PATH (it has line breaks)")]
    Path(String),

    /// The kernel gives no random numbers.
    #[error("cannot draw a delimiter")]
    Random {
        /// The kernel's error.
        source: getrandom::Error,
    },

    /// The filesystem refused to write.
    #[error("cannot append to `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The filesystem's error.
        source: io::Error,
    },
}

type Result<T> = std::result::Result<T, Error>;

impl Files {
    /// Returns the files that the runner names in `environment`.
    pub fn of(environment: &Environment) -> Self {
        let variables =
            environment.iter().filter(|(name, _)| FILES.iter().any(|file| name == file));
        let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { environment: owned.collect() }
    }

    /// Sets outputs of the step. A runner drops those of a post step.
    pub fn output(&self, pairs: &[(&str, &str)]) -> Result<()> {
        self.append(OUTPUT, &heredocs(pairs)?)
    }

    /// Sets the variables that the post step finds as `STATE_<name>`.
    pub fn state(&self, pairs: &[(&str, &str)]) -> Result<()> {
        self.append(STATE, &heredocs(pairs)?)
    }

    /// Sets variables for the steps that follow.
    pub fn env(&self, pairs: &[(&str, &str)]) -> Result<()> {
        self.append(ENV, &heredocs(pairs)?)
    }

    /// Puts a directory first in the PATH of the steps that follow.
    pub fn path(&self, dir: &str) -> Result<()> {
        if dir.is_empty() || dir.contains(['\n', '\r']) {
            return Err(Error::Path(shown(dir)));
        }
        self.append(PATH, &format!("{dir}\n"))
    }

    /// Adds to the summary of the step, up to the limit of a runner.
    pub fn summary(&self, markdown: &str) -> Result<()> {
        let path = self.named(SUMMARY)?;
        let written = path.metadata().map_or(0, |metadata| metadata.len());
        let room = MAX_SUMMARY.saturating_sub(usize::try_from(written).unwrap_or(usize::MAX));
        append(path, &cut(markdown, room))
    }

    fn append(&self, file: &'static str, text: &str) -> Result<()> {
        append(self.named(file)?, text)
    }

    fn named(&self, file: &'static str) -> Result<&Path> {
        self.environment.get(file).map(Path::new).ok_or(Error::NotSet(file))
    }
}

const OUTPUT: &str = "GITHUB_OUTPUT";
const STATE: &str = "GITHUB_STATE";
const ENV: &str = "GITHUB_ENV";
const PATH: &str = "GITHUB_PATH";
const SUMMARY: &str = "GITHUB_STEP_SUMMARY";
const FILES: [&str; 5] = [OUTPUT, STATE, ENV, PATH, SUMMARY];

/// The largest summary that a runner uploads, in bytes (`FileCommandManager.cs` of actions/runner).
/// It refuses a larger summary as a whole.
const MAX_SUMMARY: usize = 1 << 20;

/// Appends all of `text` in one write, so that a kill leaves all of it or none.
fn append(path: &Path, text: &str) -> Result<()> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// Returns an unpredictable word: 32 hex digits.
pub fn random_word() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|source| Error::Random { source })?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

fn heredocs(pairs: &[(&str, &str)]) -> Result<String> {
    let delimiter = format!("runner-cache-{}", random_word()?);
    let mut text = String::new();
    for (name, value) in pairs {
        text.push_str(&heredoc(name, value, &delimiter)?);
    }
    Ok(text)
}

/// Returns a name and its value as runners read them. `value` cannot contain `delimiter`, which is
/// drawn after it.
fn heredoc(name: &str, value: &str, delimiter: &str) -> Result<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !is_name || !name.bytes().all(fits) {
        return Err(Error::Name(shown(name)));
    }
    Ok(format!("{name}<<{delimiter}\n{value}\n{delimiter}\n"))
}

/// Returns the lines of `markdown` that fit in `room` bytes, and a note if some did not.
fn cut(markdown: &str, room: usize) -> String {
    const NOTE: &str = "\n\n*The rest does not fit in a summary.*\n";
    if markdown.len() <= room {
        return markdown.to_owned();
    }
    let Some(room) = room.checked_sub(NOTE.len()) else { return String::new() };
    let fits = &markdown[..markdown.floor_char_boundary(room)];
    let lines = fits.rfind('\n').map_or("", |end| &fits[..end]);
    format!("{lines}{NOTE}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

    /// Reads a file of names and values as `FileCommandManager.cs` does on Linux.
    fn read(text: &str) -> std::result::Result<Vec<(String, String)>, String> {
        let mut rest = text;
        let mut pairs = Vec::new();
        let next_line = |rest: &mut &str| {
            let (line, after) = rest.split_once('\n')?;
            *rest = after;
            Some(line.to_owned())
        };
        while !rest.is_empty() {
            let line = next_line(&mut rest).ok_or("the last line has no end")?;
            if line.is_empty() {
                continue;
            }
            let (equals, heredoc) = (line.find('='), line.find("<<"));
            match (equals, heredoc) {
                (Some(equals), at) if at.is_none_or(|at| equals < at) => {
                    pairs.push((line[..equals].to_owned(), line[equals + 1..].to_owned()));
                }
                (_, Some(at)) => {
                    let delimiter = &line[at + 2..];
                    let mut lines = Vec::new();
                    loop {
                        let line = next_line(&mut rest).ok_or("no delimiter")?;
                        if line == delimiter {
                            break;
                        }
                        lines.push(line);
                    }
                    pairs.push((line[..at].to_owned(), lines.join("\n")));
                }
                _ => return Err(format!("neither `=` nor `<<`: {line}")),
            }
        }
        Ok(pairs)
    }

    proptest! {
        #[test]
        fn a_value_reads_back_as_it_is_and_brings_no_other(
            values in prop::collection::vec("([a=<\r\n ä]|runner-cache-|NAME<<EOF|\nEOF\n){0,20}", 1..4),
        ) {
            let names: Vec<_> = (0..values.len()).map(|n| format!("name-{n}")).collect();
            let pairs: Vec<_> = names.iter().zip(&values).map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let want = names.iter().cloned().zip(values.iter().cloned()).collect();
            prop_assert_eq!(read(&heredocs(&pairs).expect("the names are fine")), Ok(want));
        }

        #[test]
        fn a_cut_summary_fits_and_ends_with_a_whole_line(markdown in "[ä\n]{0,200}", room in 0_usize..300) {
            let cut = cut(&markdown, room);
            prop_assert!(cut.len() <= room);
            let kept = cut.strip_suffix("\n\n*The rest does not fit in a summary.*\n");
            let is_right = match kept {
                Some(kept) => kept.is_empty() || markdown.starts_with(&format!("{kept}\n")),
                None => cut == markdown || cut.is_empty() && room < 42,
            };
            prop_assert!(is_right, "{cut:?} of {markdown:?} in {room}");
        }
    }

    #[test]
    fn delimiters_differ_and_values_cannot_foresee_them() -> Result {
        let texts = [heredocs(&[("a", "")])?, heredocs(&[("a", "")])?];
        let delimiters = texts.each_ref().map(|text| text.lines().last().unwrap_or_default());
        assert_ne!(delimiters[0], delimiters[1]);
        assert!(
            delimiters.iter().all(|it| it.len() == "runner-cache-".len() + 32),
            "{delimiters:?}"
        );
        Ok(())
    }

    #[test]
    fn each_kind_goes_to_its_own_file_after_what_is_there() -> Result {
        let dir = tempfile::tempdir()?;
        let environment = FILES.iter().fold(Environment::default(), |environment, name| {
            environment.with(name, dir.path().join(name))
        });
        let files = Files::of(&environment);
        fs::write(dir.path().join(OUTPUT), "before=1\n")?;
        files.output(&[("cache-key", "a\nb"), ("cache-hit", "true")])?;
        files.output(&[("areas", "")])?;
        files.state(&[("stage", "x")])?;
        files.env(&[("CARGO_HOME", "/h")])?;
        files.path("/bin")?;
        files.summary("# one\n")?;
        files.summary("two\n")?;
        let read = |name: &str| -> Result<BTreeMap<_, _>> {
            Ok(read(&fs::read_to_string(dir.path().join(name))?)?.into_iter().collect())
        };
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let outputs =
            [("before", "1"), ("cache-key", "a\nb"), ("cache-hit", "true"), ("areas", "")];
        assert_eq!(read(OUTPUT)?, map(&outputs));
        assert_eq!(read(STATE)?, map(&[("stage", "x")]));
        assert_eq!(read(ENV)?, map(&[("CARGO_HOME", "/h")]));
        assert_eq!(fs::read_to_string(dir.path().join(PATH))?, "/bin\n");
        assert_eq!(fs::read_to_string(dir.path().join(SUMMARY))?, "# one\ntwo\n");
        Ok(())
    }

    #[test]
    fn a_summary_never_grows_larger_than_a_runner_takes() -> Result {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("summary");
        let files = Files::of(&Environment::default().with(SUMMARY, &path));
        let line = format!("{}\n", "x".repeat(1023));
        files.summary(&line.repeat(1000))?;
        files.summary(&line.repeat(100))?;
        let text = fs::read_to_string(&path)?;
        assert_eq!(text.matches(&line).count(), 1023);
        assert!(text.ends_with("xxx\n\n*The rest does not fit in a summary.*\n"));
        files.summary(&line.repeat(100))?;
        assert!(fs::metadata(&path)?.len() <= MAX_SUMMARY as u64);
        Ok(())
    }

    #[test]
    fn a_value_that_cannot_be_handed_on_is_an_error_and_nothing_is_written() -> Result {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("file");
        let environment = Environment::default().with(OUTPUT, &path).with(PATH, &path);
        let files = Files::of(&environment);
        let told = |result: super::Result<()>| result.map_err(|error| error.to_string());
        for name in ["", "a b", "a=b", "a<<b", "a\nb", "1a", "-a", "ä"] {
            let want = format!(
                "`{}` is not the name of an output or variable (A-Z a-z 0-9 _ -)",
                shown(name)
            );
            assert_eq!(told(files.output(&[("good", ""), (name, "")])), Err(want));
        }
        assert_eq!(
            told(files.path("a\nb")),
            Err("`a\\nb` cannot be in PATH (it has line breaks)".into())
        );
        assert_eq!(told(files.state(&[("a", "b")])), Err("`GITHUB_STATE` is not set".into()));
        assert_eq!(told(files.summary("a")), Err("`GITHUB_STEP_SUMMARY` is not set".into()));
        assert!(!path.exists());
        let missing = dir.path().join("none/file");
        let files = Files::of(&Environment::default().with(ENV, &missing));
        let want = format!("cannot append to `{}`", missing.display());
        assert_eq!(told(files.env(&[("a", "b")])), Err(want));
        Ok(())
    }
}
