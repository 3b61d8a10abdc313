//! The cargo home that a job uses, and the names of private homes.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::digest::Digest;

/// The cargo home that a job asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CargoHome {
    /// The home that cargo finds by itself.
    #[default]
    Usual,
    /// The home at this path.
    At(PathBuf),
    /// The private home that the store keeps for the runner.
    Private,
}

/// The word for the private home; a directory of that name is written `./private`.
pub const PRIVATE: &str = "private";

impl From<PathBuf> for CargoHome {
    fn from(path: PathBuf) -> Self {
        if path.as_os_str() == OsStr::new(PRIVATE) { Self::Private } else { Self::At(path) }
    }
}

/// The owner of a private home: a runner, distinct from all others of the host.
///
/// The name alone is not unique: two organisations may each have a `runner-1` on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeOwner {
    /// The name of the runner. It comes from outside, so it may be any text.
    pub name: String,
    /// The directory that holds its workspaces.
    pub work_dir: PathBuf,
}

/// The name of a runner without one, as on the command line.
pub const NAMELESS: &str = "local";

/// The name of a private home, a safe directory name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HomeName(String);

impl HomeOwner {
    /// Returns the name of the runner's home.
    ///
    /// It is the name of the runner, in which every byte but `A-Z a-z 0-9 _ -` is `%` and two
    /// hex digits, cut to 48 bytes, then `-` and 16 digits of a digest of name and directory.
    pub fn home_name(&self) -> HomeName {
        const MAX_SHOWN: usize = 48;
        const DIGITS: usize = 16;
        let mut shown = String::new();
        for byte in self.name.bytes().take(MAX_SHOWN) {
            if byte.is_ascii_alphanumeric() || b"_-".contains(&byte) {
                shown.push(char::from(byte));
            } else {
                write!(shown, "%{byte:02X}").expect("a string takes any text");
            }
        }
        shown.truncate(MAX_SHOWN);
        // No path contains a NUL, so no other runner gives the same bytes.
        let work_dir = self.work_dir.as_os_str().as_encoded_bytes();
        let whole = [work_dir, b"\0", self.name.as_bytes()].concat();
        let digest = Digest::of(&whole).to_string();
        HomeName(format!("{shown}-{}", &digest[..DIGITS]))
    }
}

impl HomeName {
    /// Returns it as a path of one component.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn name_of(name: &str, work_dir: &str) -> String {
        HomeOwner { name: name.to_owned(), work_dir: work_dir.into() }.home_name().0
    }

    #[test]
    fn only_the_word_itself_asks_for_the_private_home() {
        for path in ["./private", "private/x", "/private", "Private", "private "] {
            assert_eq!(CargoHome::from(PathBuf::from(path)), CargoHome::At(path.into()));
        }
        assert_eq!(CargoHome::from(PathBuf::from("private")), CargoHome::Private);
    }

    #[test]
    fn a_home_is_called_after_its_runner_whatever_that_calls_itself() {
        let long = "x".repeat(300);
        let of_long = format!("{}-", "x".repeat(48));
        #[rustfmt::skip]
        let cases = [
            ("plain",      "runner-1_a",  "runner-1_a-"),
            ("a path",     "../x/y",      "%2E%2E%2Fx%2Fy-"),
            ("lines",      "a\nb\r",      "a%0Ab%0D-"),
            ("not ASCII",  "läufer",      "l%C3%A4ufer-"),
            ("nothing",    "",            "-"),
            ("a NUL",      "a\0b",        "a%00b-"),
            ("very long",  &long,         &of_long),
        ];
        for (why, name, want) in cases {
            let got = name_of(name, "/srv/_work");
            let digits = got.strip_prefix(want).unwrap_or_default();
            assert_eq!(digits.len(), 16, "{why}: {got}");
            assert!(digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{why}: {got}");
            assert!(!got.contains(['/', '\n', '\0', '.']), "{why}: {got}");
        }
    }

    #[test]
    fn no_two_runners_have_one_home() {
        let long = "x".repeat(300);
        let longer = "x".repeat(301);
        let runners = [
            ("runner", "/a/_work"),
            ("runner", "/b/_work"),
            ("runner", ""),
            ("Runner", "/a/_work"),
            ("runner/", "/a/_work"),
            ("runner%2F", "/a/_work"),
            ("_work", "/a/runner"),
            (&long, "/a/_work"),
            (&longer, "/a/_work"),
        ];
        let names: BTreeSet<_> = runners.map(|(name, work_dir)| name_of(name, work_dir)).into();
        assert_eq!(names.len(), runners.len(), "{names:?}");
        assert_eq!(name_of("runner", "/a/_work"), name_of("runner", "/a/_work"));
    }
}
