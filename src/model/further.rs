//! Further targets: target directories below a root, apart from the one that cargo uses there, such
//! as `fuzz/target`.

use std::fmt::{self, Write as _};

use super::configuration::is_configuration;
use super::names::{Name, ParseNameError};
use super::rel_path::RelPath;
use super::root::Root;

/// A further target, by its root and its path below it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Further {
    root: Root,
    path: RelPath,
}

/// The word for the repo's own root in a directory name of the store.
const REPO: &str = "_";

/// The separator between root and path, and the replacement for `/` in the path.
const SLASH: &str = "..";

impl Further {
    /// Returns the further target at `path` below `root`. Returns `None` if none may be there:
    /// inside a configuration directory of git or cargo, or if its name in the store would be too
    /// long.
    pub fn at(root: Root, path: RelPath) -> Option<Self> {
        let further = Self { root, path };
        let is_safe = !is_configuration(&further.path);
        let is_named = further.name().parse::<Name>().is_ok() && !further.root_is_ambiguous();
        (is_safe && is_named).then_some(further)
    }

    /// Returns its root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Returns its path below the root.
    pub fn path(&self) -> &RelPath {
        &self.path
    }

    fn root_is_ambiguous(&self) -> bool {
        matches!(&self.root, Root::Dependency(name) if name.as_str() == REPO)
    }

    /// Returns it in the form of a [`Name`], `_..fuzz..target`: bytes other than `A-Z a-z 0-9 _ -`
    /// are `.` and two hex digits, and `/` is `..`.
    ///
    /// Programs that do not know further targets read it as the name of a dependency.
    pub(super) fn name(&self) -> String {
        let mut name = String::new();
        match &self.root {
            Root::Repo => name.push_str(REPO),
            Root::Dependency(dependency) => escape(dependency.as_str().as_bytes(), &mut name),
        }
        name.push_str(SLASH);
        escape(self.path.as_bytes(), &mut name);
        name
    }

    /// Parses the form that [`Self::name`] returns.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let (root, path) = name.split_once(SLASH)?;
        let root = String::from_utf8(unescape(root)?).ok()?;
        let root = if root == REPO { Root::Repo } else { Root::Dependency(root.parse().ok()?) };
        let further = Self::at(root, RelPath::parse(&unescape(path)?).ok()?)?;
        (further.name() == name).then_some(further)
    }

    /// Parses the form that people see: `./fuzz/target`.
    pub(super) fn shown(text: &str) -> Result<Self, ParseNameError> {
        let expected = "a further target (./<path>, or <dependency>/<path>)";
        let refuse = || ParseNameError { text: text.to_owned(), expected };
        let (root, path) = text.split_once('/').ok_or_else(refuse)?;
        let path = RelPath::parse(path.trim_end_matches('/').as_bytes())?;
        Self::at(root.to_owned().try_into()?, path).ok_or_else(refuse)
    }
}

impl fmt::Display for Further {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.root, self.path)
    }
}

fn escape(bytes: &[u8], into: &mut String) {
    for byte in bytes {
        match byte {
            b'/' => into.push_str(SLASH),
            b'_' | b'-' => into.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => into.push(char::from(*byte)),
            byte => write!(into, ".{byte:02X}").expect("a string takes any text"),
        }
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('.') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let code = rest.get(at + 1..)?;
        if let Some(after) = code.strip_prefix('.') {
            bytes.push(b'/');
            rest = after;
        } else {
            bytes.push(u8::from_str_radix(code.get(..2)?, 16).ok()?);
            rest = code.get(2..)?;
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::area::Area;

    type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

    #[test]
    fn every_further_target_has_a_directory_name_of_its_own() -> Result {
        #[rustfmt::skip]
        let cases = [
            ("./out2",            "_..out2-target"),
            ("./fuzz/target",     "_..fuzz..target-target"),
            ("./a.b/_c-d",        "_..a.2Eb.._c-d-target"),
            ("./ä b/%",           "_...C3.A4.20b...25-target"),
            ("dep/fuzz/target",   "dep..fuzz..target-target"),
            ("d.e/x",             "d.2Ee..x-target"),
            ("./target",          "_..target-target"),
            ("./a..b/...",        "_..a.2E.2Eb...2E.2E.2E-target"),
        ];
        for (shown, name) in cases {
            let area: Area = shown.parse()?;
            assert!(matches!(area, Area::Further(_)), "{shown}");
            assert_eq!(area.to_string(), shown);
            assert_eq!(area.dir_name(), name);
            assert_eq!(name.parse::<Area>()?, area, "{name}");
            // Programs that do not know further targets read it like this.
            assert!(name.strip_suffix("-target").ok_or("no target")?.parse::<Name>().is_ok());
        }
        let bytes = Further::at(Root::Repo, RelPath::parse(b"\xff")?).ok_or("none")?;
        assert_eq!(Further::of_name(&bytes.name()), Some(bytes));
        Ok(())
    }

    #[test]
    fn no_other_place_is_a_further_target() {
        let long = format!("./{}", "x".repeat(198));
        for text in
            ["./", "/x", "./../x", "./a//b", "./.git/x", "./x/.cargo/y", "_/x", "../x", &long]
        {
            assert!(text.parse::<Area>().is_err(), "{text}");
        }
        // These still name targets of dependencies.
        for name in
            ["a..-target", "a..b.zz-target", "_..a.2e-target", "_..a..-target", "a.b-target"]
        {
            assert!(matches!(name.parse(), Ok(Area::DependencyTarget(_))), "{name}");
        }
    }
}
