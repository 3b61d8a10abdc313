//! Objects of a git repository, none of which is believed: each has the SHA-1 that it is named by.

use std::fmt::{self, Write as _};
use std::io::{self, BufRead, Read};
use std::path::Path;

use sha1::{Digest as _, Sha1};

use crate::fs::child::{Program, Talk};
use crate::model::environment::Environment;

/// A larger commit or directory is not read.
const MAX_OBJECT_BYTES: u64 = 64 << 20;

/// What names an object: the SHA-1 of its kind, length and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ObjectId([u8; 20]);

impl ObjectId {
    /// Returns the object that 40 hex digits name.
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

    /// Returns the object that these 20 bytes name.
    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Finds out what object some bytes are.
pub(super) struct Hashing(Sha1);

impl Hashing {
    /// Begins an object of that kind and length.
    pub(super) fn of(kind: &str, len: u64) -> Self {
        let mut text = String::new();
        // Writing to a text cannot fail.
        let _ = write!(text, "{kind} {len}\0");
        Self(Sha1::new_with_prefix(text))
    }

    /// Begins with nothing: what packs end with is such a sum.
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
    /// Opens the repository at `git_dir`, of which nothing is run. `None` where there is no git to ask.
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
        // Whose it is does not matter: nothing in it is believed.
        git.args(["-c", "safe.directory=*"]).arg("--git-dir").arg(git_dir);
        match git.args(["cat-file", "--batch"]).talk() {
            Ok(git) => Ok(Some(Self { git })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the bytes of an object of that kind; nothing if it is not there, or is not what it is named.
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
