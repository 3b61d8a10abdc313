//! Shared by the command line and the Action: the sentences that people read, printing, signals and
//! exit statuses.
//!
//! The verbs return values with a code; only this module turns them into sentences. In JSON a note
//! or warning is an object with its code and its sentence.

pub(crate) mod advice;
pub(crate) mod checkout;
pub(crate) mod clock;
pub(crate) mod disk;
mod error;
mod notes;
pub(crate) mod print;
pub(crate) mod report;
pub(crate) mod signals;
mod status;
mod systems;
pub(crate) mod text;
mod units;
mod warnings;

use std::fmt;
use std::path::Path;

pub(crate) use self::error::{Error, Result};
pub use self::status::Status;

use serde::ser::{SerializeStruct as _, Serializer};

/// Serializes a note or warning as its code and its text.
fn serialize<S: Serializer>(
    code: &'static str,
    text: &impl fmt::Display,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let mut said = serializer.serialize_struct("Said", 2)?;
    said.serialize_field("code", code)?;
    said.serialize_field("text", &text.to_string())?;
    said.end()
}

/// Returns the beginning of a sentence: names a path and says how many others there are.
fn and_others(path: &Path, count: usize) -> String {
    let path = path.display();
    match count {
        0 | 1 => format!("`{path}` is"),
        2 => format!("`{path}` and 1 other are"),
        _ => format!("`{path}` and {} others are", count - 1),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::job;
    use crate::job::note::Note;
    use crate::job::warning::Warning;

    /// Returns the codes that `fn code` in a source file gives to variants.
    fn codes_in(source: &'static str) -> Vec<&'static str> {
        let (_, body) = source.split_once("pub fn code(&self)").expect("it has codes");
        let body = body.split("\n    }").next().unwrap_or_default();
        body.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
    }

    #[test]
    fn the_lists_of_codes_have_those_of_every_variant() {
        assert_eq!(codes_in(include_str!("../job/note.rs")), Note::CODES);
        assert_eq!(codes_in(include_str!("../job/warning.rs")), Warning::CODES);
        let errors: BTreeSet<_> = codes_in(include_str!("../job/error.rs")).into_iter().collect();
        assert_eq!(errors, BTreeSet::from(job::Error::CODES));
    }

    #[test]
    fn each_code_has_a_row_in_the_troubleshooting_page_and_each_row_a_code() {
        let page = include_str!("../../docs/guide/troubleshooting.md");
        let (_, page) = page.split_once("\n## Codes\n").expect("the section");
        let firsts = page.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
        let listed: Vec<_> = firsts.flat_map(|cell| cell.trim_matches('`').split("`, `")).collect();
        let known = Note::CODES.iter().chain(&Warning::CODES).chain(&job::Error::CODES);
        let known: BTreeSet<&str> = known.copied().collect();
        assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), known);
        assert_eq!(listed.len(), known.len(), "a code stands for one thing");
    }
}
