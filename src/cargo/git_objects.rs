//! Reads objects of a git repository, and checks each against the SHA-1 that names it.

use std::fmt::{self, Write as _};
use std::io::{self, BufRead, Read};
use std::path::Path;

use sha1::{Digest as _, Sha1};

use crate::fs::child::{Program, Talk};
use crate::model::environment::Environment;

/// The largest commit or tree that is read, in bytes.
const MAX_OBJECT_BYTES: u64 = 64 << 20;

/// The name of an object: the SHA-1 of its kind, length and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ObjectId([u8; 20]);

impl ObjectId {
    /// Parses 40 hex digits.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let mut id = [0; 20];
        if text.len() != 40 {
            return None;
        }
        for (byte, digits) in id.iter_mut().zip(text.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(id))
    }

    /// Returns the id with these 20 bytes.
    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Computes an [`ObjectId`] from bytes.
pub(super) struct Hashing(Sha1);

impl Hashing {
    /// Begins an object of this kind and length.
    pub(super) fn of(kind: &str, len: u64) -> Self {
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{kind} {len}\0");
        Self(Sha1::new_with_prefix(text))
    }

    /// Begins a SHA-1 without a header, as at the end of a pack.
    pub(super) fn plain() -> Self {
        Self(Sha1::new())
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> ObjectId {
        ObjectId(self.0.finalize().into())
    }
}

/// Reads objects of one repository.
pub(super) struct Objects {
    git: Talk,
}

impl Objects {
    /// Opens the repository at `git_dir`, and runs no program that it names. `None` if there is no git to run.
    pub(super) fn open(git_dir: &Path, environment: &Environment) -> io::Result<Option<Self>> {
        let mut git = Program::git(environment);
        for (name, value) in [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_OPTIONAL_LOCKS", "0"),
        ] {
            git.env(name, value);
        }
        // The owner of the repository does not matter: every object is checked.
        git.args(["-c", "safe.directory=*"]).arg("--git-dir").arg(git_dir);
        match git.args(["cat-file", "--batch"]).talk() {
            Ok(git) => Ok(Some(Self { git })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the bytes of an object of this kind; `None` if it is missing, too large, or its SHA-1 is another.
    pub(super) fn read(&mut self, kind: &str, id: ObjectId) -> io::Result<Option<Vec<u8>>> {
        self.git.ask(&id.to_string())?;
        let mut line = String::new();
        self.git.answer().read_line(&mut line)?;
        let Some(rest) = line.trim_end().strip_prefix(&format!("{id} {kind} ")) else {
            return Ok(None);
        };
        let Some(len) = rest.parse().ok().filter(|len| *len <= MAX_OBJECT_BYTES) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        // A newline follows.
        self.git.answer().take(len + 1).read_to_end(&mut bytes)?;
        bytes.pop();
        let mut hashing = Hashing::of(kind, len);
        hashing.update(&bytes);
        Ok((hashing.finish() == id).then_some(bytes))
    }
}
