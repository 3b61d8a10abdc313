//! Shared by the command line and the Action: the sentences that people read, printing, signals and exit statuses.
//!
//! The verbs return values with a code; only this module turns them into sentences. In JSON a note or warning is an
//! object with both.

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
