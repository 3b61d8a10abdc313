//! Messages of rustc: those that speak against the sessions of incremental compilation that it used.
//!
//! Cargo keeps what rustc wrote to stderr in the last compilation of a unit, in `output-<kind>-<target>` of its
//! fingerprint directory (`OutputOptions`): JSON, a line for each message, and as text what rustc did not make JSON of,
//! such as a panic. `docs/decisions/0034-incremental-sessions.md` has a table of damage and of what rustc says.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;

use crate::fs::regular::open;

/// How much of a file of messages is read from its beginning, and how much from its end, in bytes. A panic is at the
/// end, with the queries that led to it and a backtrace of some 20 KB.
const MAX_BYTES: u64 = 1 << 20;

/// Texts in the messages of rustc about a session that it cannot read, that is not whole, or that contradicts the sources.
const OF_DAMAGE: [&str; 7] = [
    "corrupt incremental compilation artifact",
    "could not load dep-graph",
    "could not decode incremental cache",
    "incremental compilation error",
    "unstable fingerprint",
    "incompatible incremental compilation session",
    "outdated file `",
];

/// The beginnings of lines that rustc writes when it crashes.
const OF_A_CRASH: [&str; 4] = [
    "thread 'rustc' ",
    "error: rustc interrupted by ",
    "memory allocation of ",
    "rustc-LLVM ERROR",
];

/// Texts of a linker that misses something else than an object.
const NOT_OF_OBJECTS: [&str; 4] =
    ["cannot find -l", "unable to find library", "No space left on device", "signal: 9"];

/// The end of a compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Rustc succeeded.
    Success,
    /// It did not.
    Failure,
}

/// Reads the messages of a compilation that ended so, and tells whether they speak against the sessions that it used:
/// it complained of them, or crashed, or did not link objects of which the session held some. Rustc does not compare
/// objects with anything.
pub fn blame_sessions(path: &Path, end: End) -> io::Result<bool> {
    let mut file = open(path)?;
    let len = file.metadata()?.len();
    let mut messages = part(&mut file, 0)?;
    if len > messages.len() as u64 {
        let rest = len.saturating_sub(MAX_BYTES).max(MAX_BYTES);
        messages.push(b'\n');
        messages.extend(part(&mut file, rest)?);
    }
    Ok(speak_of_sessions(&messages, end))
}

fn part(file: &mut File, from: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn speak_of_sessions(messages: &[u8], end: End) -> bool {
    let is_of_a_crash =
        |line: &[u8]| OF_A_CRASH.iter().any(|start| line.starts_with(start.as_bytes()));
    messages.split(|byte| *byte == b'\n').any(|line| {
        if let Ok(message) = serde_json::from_slice::<Diagnostic>(line) {
            message.speaks_of_sessions()
        } else {
            // A macro may write such a line while the crate compiles well.
            end == End::Failure && is_of_a_crash(line)
        }
    })
}

/// A message of rustc.
#[derive(Deserialize)]
struct Diagnostic {
    #[serde(default)]
    level: String,
    #[serde(default)]
    message: String,
    /// The message with what the linker said.
    #[serde(default)]
    rendered: Option<String>,
}

impl Diagnostic {
    fn speaks_of_sessions(&self) -> bool {
        const CRASH: &str = "internal compiler error";
        let is_crash = self.level.contains(CRASH) || self.message.starts_with(CRASH);
        let is_of_linker = self.level == "error" && self.message.starts_with("linking with `");
        let rendered = self.rendered.as_deref().unwrap_or_default();
        let is_of_linker = is_of_linker && !NOT_OF_OBJECTS.iter().any(|it| rendered.contains(it));
        is_crash || is_of_linker || OF_DAMAGE.iter().any(|text| self.message.contains(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(level: &str, message: &str) -> String {
        serde_json::json!({"$message_type": "diagnostic", "message": message, "code": null,
            "level": level, "spans": [], "children": [], "rendered": "thread 'rustc' said"})
        .to_string()
    }

    #[test]
    fn a_crash_and_damage_speak_against_sessions_and_a_fault_of_the_code_does_not() {
        let (success, failure) = (&[End::Success][..], &[End::Failure][..]);
        let both = &[End::Success, End::Failure][..];
        let artifact = r#"{"$message_type":"artifact","artifact":"/w/a.rmeta","emit":"metadata"}"#;
        // The messages of rustc 1.95 and 1.100 about damaged files of a session.
        #[rustfmt::skip]
        let cases = [
            ("nothing",           String::new(),                                                        &[][..]),
            ("an artifact",       artifact.to_owned(),                                                  &[]),
            ("a fault",           json("error", "mismatched types"),                                    &[]),
            ("of the code",       json("warning", "function `incremental` is never used"),              &[]),
            ("copied files",      json("warning", "hard linking files in the incremental compilation cache failed. copying files instead"), &[]),
            ("no bytes",          json("warning", "could not load dep-graph from `/t/s/dep-graph.bin`: IO error"), both),
            ("half a graph",      json("warning", "corrupt incremental compilation artifact found at `/t/s`. This file"), both),
            ("no objects",        json("warning", "file-system error deleting outdated file `/t/s/1.o`: No such file"), both),
            ("a flipped bit",     json("error", "internal compiler error: encountered incremental compilation error with adt_destructor(core)"), both),
            ("an ICE",            json("error: internal compiler error", "/rustc-dev/compiler/rustc_query: forcing query"), both),
            ("a panic",           "\nthread 'rustc' (9527) panicked at /rustc-dev/compiler/x.rs:1:2:\nindex out of bounds\n".to_owned(), failure),
            ("a macro's text",    "thread 'main' (9527) panicked at src/lib.rs\n".to_owned(),            &[]),
            ("a signal",          "error: rustc interrupted by SIGSEGV, printing backtrace\n".to_owned(), failure),
            ("memory",            "memory allocation of 1229782938247303441 bytes failed\n".to_owned(), failure),
            ("the linker",        json("error", "linking with `cc` failed: exit status: 1"),            both),
            ("a library",         json("error", "linking with `cc` failed: exit status: 1").replace("thread 'rustc' said", "ld: cannot find -lpq"), &[]),
            ("a full disk",       json("error", "linking with `cc` failed: exit status: 1").replace("thread 'rustc' said", "No space left on device"), &[]),
            ("no linker",         json("error", "linker `cc` not found"),                               &[]),
            ("half a line",       json("error", "mismatched types")[1..].to_owned(),                    &[]),
        ];
        for (why, messages, want) in cases {
            for end in [success, failure].concat() {
                let lines = format!("{artifact}\n{messages}\n{}", json("error", "aborting"));
                let found = speak_of_sessions(lines.as_bytes(), end);
                assert_eq!(found, want.contains(&end), "{why}: {end:?}");
            }
        }
    }

    #[test]
    fn of_a_long_file_both_ends_are_read() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("output-lib-a");
        let panic = "thread 'rustc' (1) panicked at x\n";
        let max = usize::try_from(MAX_BYTES).expect("a MiB");
        for (why, before, after, want) in [
            ("short", 0, 0, true),
            ("at the beginning", 0, 5 * max, true),
            ("at the end", 5 * max, 100, true),
            ("in the middle", 2 * max, 2 * max, false),
            ("in the second half", max + 10, 10, true),
        ] {
            let filler = |len| format!("{}\n", "x".repeat(len));
            std::fs::write(&path, format!("{}{panic}{}", filler(before), filler(after)))?;
            assert_eq!(blame_sessions(&path, End::Failure)?, want, "{why}");
        }
        assert!(blame_sessions(&dir.path().join("none"), End::Failure).is_err());
        Ok(())
    }
}
