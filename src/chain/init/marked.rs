//! What of a file is ours, and what is of those who use it.
//!
//! A file that we wrote begins with a seal: the digest of all that is ours in it. What stands
//! between a line `# yours: <place>` and a line `# end of yours` is not ours, and stays. If the
//! seal does not fit, somebody edited what is ours, and the file is left alone.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

const HEADER: &str = include_str!("templates/header.yml");
const SEAL: &str = "# seal: ";
const BEGINS: &str = "# yours: ";
const ENDS: &str = "# end of yours";

/// What becomes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it should be.
    Current,
    /// It is to be replaced by this.
    Write(String),
    /// It is left as it is. If it is removed, this comes in its place.
    Refused(Refusal, String),
    /// We wrote it, and it is needed no more.
    Leftover,
}

/// Why a file is left alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Somebody else wrote it.
    #[error("it was not written by `chain init`")]
    Foreign,
    /// It is not as we wrote it.
    #[error("it was edited outside of the marked places")]
    Edited,
    /// What people wrote at a marked place would be lost.
    #[error("the marked place `{0}` is no more, and what stands there would be lost")]
    Orphan(String),
}

/// Returns `body` as a file that we write, with nothing at the marked places.
pub(super) fn seal(body: &str) -> String {
    let lines = HEADER.lines().chain([SEAL]).chain(body.lines());
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    let digest = digest_of(&text);
    text.replacen(SEAL, &format!("{SEAL}{digest}"), 1)
}

/// Returns what was sealed, or `text` itself if that is not sealed.
pub(super) fn unsealed(text: &str) -> &str {
    let after_seal = text.split_once(&format!("\n{SEAL}"));
    after_seal.and_then(|(_, rest)| rest.split_once('\n')).map_or(text, |(_, body)| body)
}

/// Tells whether we wrote a file.
pub(super) fn is_ours(text: &str) -> bool {
    text.lines().any(|line| line.starts_with(SEAL))
}

/// Returns what becomes of a file that is `old`, where [`seal`] wants `new`.
pub(super) fn update(old: Option<&str>, new: &str) -> Outcome {
    let Some(old) = old else { return Outcome::Write(new.to_owned()) };
    let Some(sealed) = old.lines().find_map(|line| line.strip_prefix(SEAL)) else {
        return Outcome::Refused(Refusal::Foreign, new.to_owned());
    };
    let Some(theirs) = places(old) else {
        return Outcome::Refused(Refusal::Edited, new.to_owned());
    };
    let (new, orphan) = put_in(new, theirs);
    if sealed.trim_end() != digest_of(old) {
        Outcome::Refused(Refusal::Edited, new)
    } else if let Some(place) = orphan {
        Outcome::Refused(Refusal::Orphan(place), new)
    } else if old == new {
        Outcome::Current
    } else {
        Outcome::Write(new)
    }
}

/// Returns the digest of what is ours in a file: all but the seal and what is at marked places.
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

/// Returns what stands at each marked place, by its name; nothing if the marks are broken.
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

/// Puts what is theirs at the places of `new`; returns also a place that `new` does not have.
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

/// Whose a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Us,
    Them,
}

/// Returns each line, with whose it is. The marks are ours.
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

/// Returns the name of the place that begins with this line.
fn name_of(line: &str) -> Option<&str> {
    line.trim().strip_prefix(BEGINS)
}
