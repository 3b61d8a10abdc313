//! Tells our parts of a file from those of its users.
//!
//! A file that we wrote begins with a seal: the digest of all our lines in it. The lines between a
//! line `# yours: <place>` and a line `# end of yours` belong to the users, and stay. If the seal
//! does not match, somebody edited our lines, and the file is left alone.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

const HEADER: &str = include_str!("templates/header.yml");
const SEAL: &str = "# seal: ";
const BEGINS: &str = "# yours: ";
const ENDS: &str = "# end of yours";

/// The action planned for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileAction {
    /// None: the file is up to date.
    Current,
    /// Replace the file by this text.
    Write(String),
    /// Leave the file alone. Once somebody removes it, this text takes its place.
    Refused(Refusal, String),
    /// None: we wrote the file, and nobody needs it any more.
    Leftover,
}

/// Why a file is left alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Somebody else wrote it.
    #[error("it was not written by `chain init`")]
    Foreign,
    /// Somebody edited our lines.
    #[error("it was edited outside of the marked places")]
    Edited,
    /// The new file lacks this marked place, and its lines would be lost.
    #[error("the marked place `{0}` no longer exists, and the lines in it would be lost")]
    Orphan(String),
}

/// Returns `body` as a file of ours, with empty marked places.
pub(super) fn seal(body: &str) -> String {
    let lines = HEADER.lines().chain([SEAL]).chain(body.lines());
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    let digest = digest_of(&text);
    text.replacen(SEAL, &format!("{SEAL}{digest}"), 1)
}

/// Returns the sealed body, or `text` itself if it is not sealed.
pub(super) fn unsealed(text: &str) -> &str {
    let after_seal = text.split_once(&format!("\n{SEAL}"));
    after_seal.and_then(|(_, rest)| rest.split_once('\n')).map_or(text, |(_, body)| body)
}

/// Tells whether we wrote a file.
pub(super) fn is_ours(text: &str) -> bool {
    text.lines().any(|line| line.starts_with(SEAL))
}

/// Returns the action for a file with the text `old`, which should become `new`, a result of
/// [`seal`].
pub(super) fn update(old: Option<&str>, new: &str) -> FileAction {
    let Some(old) = old else { return FileAction::Write(new.to_owned()) };
    let Some(sealed) = old.lines().find_map(|line| line.strip_prefix(SEAL)) else {
        return FileAction::Refused(Refusal::Foreign, new.to_owned());
    };
    let Some(theirs) = places(old) else {
        return FileAction::Refused(Refusal::Edited, new.to_owned());
    };
    let (new, orphan) = put_in(new, theirs);
    if sealed.trim_end() != digest_of(old) {
        FileAction::Refused(Refusal::Edited, new)
    } else if let Some(place) = orphan {
        FileAction::Refused(Refusal::Orphan(place), new)
    } else if old == new {
        FileAction::Current
    } else {
        FileAction::Write(new)
    }
}

/// Returns the digest of our lines: all but the seal and the lines at marked places.
fn digest_of(text: &str) -> String {
    let mut hasher = Sha256::new();
    for (line, owner) in owners(text) {
        if owner == Owner::Us && !line.starts_with(SEAL) {
            hasher.update(line);
            hasher.update("\n");
        }
    }
    hasher.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Returns the lines at each marked place, by its name; `None` if the marks are broken.
fn places(text: &str) -> Option<BTreeMap<String, String>> {
    let mut places = BTreeMap::new();
    let mut open = None;
    for line in text.lines() {
        match (name_of(line), line.trim() == ENDS, &mut open) {
            (Some(name), _, None) => open = Some((name, String::new())),
            (None, true, Some(_)) => {
                let (name, theirs) = open.take()?;
                if places.insert(name.to_owned(), theirs).is_some() {
                    return None;
                }
            }
            (None, false, Some((_, theirs))) => {
                theirs.push_str(line);
                theirs.push('\n');
            }
            (None, false, None) => {}
            (Some(_), _, Some(_)) | (None, true, None) => return None,
        }
    }
    open.is_none().then_some(places)
}

/// Puts the users' lines at the places of `new`; also returns a place with lines that `new` lacks,
/// if any.
fn put_in(new: &str, mut theirs: BTreeMap<String, String>) -> (String, Option<String>) {
    let mut text = String::new();
    for line in new.lines() {
        text.push_str(line);
        text.push('\n');
        let kept = name_of(line).and_then(|name| theirs.remove(name));
        text.push_str(&kept.unwrap_or_default());
    }
    theirs.retain(|_, kept| !kept.trim().is_empty());
    (text, theirs.into_keys().next())
}

/// The owner of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Us,
    Them,
}

/// Returns each line with its owner. The marks are ours.
fn owners(text: &str) -> impl Iterator<Item = (&str, Owner)> {
    text.lines().scan(Owner::Us, |owner, line| {
        if line.trim() == ENDS {
            *owner = Owner::Us;
        }
        let of_line = *owner;
        if name_of(line).is_some() {
            *owner = Owner::Them;
        }
        Some((line, of_line))
    })
}

/// Returns the name of the place that this line opens.
fn name_of(line: &str) -> Option<&str> {
    line.trim().strip_prefix(BEGINS)
}
