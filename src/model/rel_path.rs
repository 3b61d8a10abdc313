//! Relative paths of manifests: hostile until parsed.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::names::ParseNameError;

/// A path below a root: no leading `/`, no empty, `.` or `..` component, no NUL byte.
///
/// A component has at most 255 bytes, the path 4,096. It may contain bytes that are not UTF-8.
/// Paths sort as a tree does: a directory, then everything below it, then its next sibling.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "JsonBytes", try_from = "JsonBytes")]
pub struct RelPath(Box<[u8]>);

impl RelPath {
    /// Parses `bytes` as a path below a root.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseNameError> {
        let harmless = |component: &[u8]| {
            !matches!(component, b"" | b"." | b"..")
                && component.len() <= 255
                && !component.contains(&0)
        };
        if bytes.len() <= 4096 && bytes.split(|byte| *byte == b'/').all(harmless) {
            Ok(Self(bytes.into()))
        } else {
            let text = String::from_utf8_lossy(bytes).into_owned();
            Err(ParseNameError { text, expected: "a path below a root (relative, without `..`)" })
        }
    }

    /// Returns the bytes of the path.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the path as a [`Path`].
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Returns the parent directory; `None` if that is the root itself.
    pub fn parent(&self) -> Option<Self> {
        let slash = self.0.iter().rposition(|byte| *byte == b'/')?;
        Some(Self(self.0[..slash].into()))
    }

    /// Returns the last component.
    pub fn file_name(&self) -> &[u8] {
        let slash = self.0.iter().rposition(|byte| *byte == b'/');
        slash.map_or(&self.0[..], |slash| &self.0[slash + 1..])
    }

    /// Returns the last component as a path of its own.
    #[must_use]
    pub fn name(&self) -> Self {
        Self(self.file_name().into())
    }

    /// Returns this path with one more component, which must itself be a path below a root.
    pub fn join(&self, component: &[u8]) -> Result<Self, ParseNameError> {
        Self::parse(&[&self.0, component].join(&b'/'))
    }

    /// Tells whether this is `dir` or lies below it.
    pub fn is_within(&self, dir: &Self) -> bool {
        self.0.strip_prefix(&*dir.0).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    }

    /// Returns the components, outermost first.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/')
    }
}

impl Ord for RelPath {
    /// Compares the paths as lists of components: a slash sorts before every other byte.
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (&*self.0, &*other.0);
        let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        let rank = |byte: &u8| if *byte == b'/' { 0 } else { u16::from(*byte) + 1 };
        a.get(same).map(rank).cmp(&b.get(same).map(rank))
    }
}

impl PartialOrd for RelPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_path().display())
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_path())
    }
}

/// Bytes in JSON: a string if they are UTF-8, else `{"hex": "…"}`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum JsonBytes {
    Utf8(String),
    Hex { hex: String },
}

impl JsonBytes {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Utf8(text.to_owned()),
            Err(_) => Self::Hex {
                hex: bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")),
            },
        }
    }

    pub(crate) fn into_bytes(self) -> Result<Vec<u8>, ParseNameError> {
        let hex = match self {
            Self::Utf8(text) => return Ok(text.into_bytes()),
            Self::Hex { hex } => hex,
        };
        let byte = |pair: &[u8]| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        };
        let bytes: Option<Vec<u8>> = hex
            .len()
            .is_multiple_of(2)
            .then(|| hex.as_bytes().chunks(2).map(byte).collect())
            .flatten();
        bytes.ok_or(ParseNameError { text: hex, expected: "an even number of hex digits" })
    }
}

impl From<RelPath> for JsonBytes {
    fn from(path: RelPath) -> Self {
        Self::of(&path.0)
    }
}

impl TryFrom<JsonBytes> for RelPath {
    type Error = ParseNameError;

    fn try_from(text: JsonBytes) -> Result<Self, Self::Error> {
        Self::parse(&text.into_bytes()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_leaves_the_root_is_a_path_below_it() {
        let hostile: [&[u8]; 9] =
            [b"", b"/", b"/etc", b"..", b"a/../b", b"a//b", b"./a", b"a/", b"a\0b"];
        for bytes in hostile {
            assert!(RelPath::parse(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_directory_sorts_right_before_what_it_holds() {
        let mut paths = ["a.b", "a/z", "a", "a-", "a/b/c", "a/b"]
            .map(|text| RelPath::parse(text.as_bytes()).expect("a path below a root"));
        paths.sort();
        let texts: Vec<_> = paths.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["a", "a/b", "a/b/c", "a/z", "a-", "a.b"]);
    }

    #[test]
    fn paths_compare_as_the_lists_of_their_components_do() {
        let alphabet = [b'a', b'/', b'.', b'-', 0x01, 0xff];
        let texts = (0..6_usize.pow(4)).filter_map(|number| {
            let digit = |place| alphabet[number / 6_usize.pow(place) % 6];
            let text: Vec<u8> =
                (0..=number % 4).filter_map(|i| u32::try_from(i).ok()).map(digit).collect();
            RelPath::parse(&text).ok()
        });
        let paths: Vec<_> = texts.collect();
        assert!(paths.len() > 100);
        for a in &paths {
            for b in &paths {
                assert_eq!(a.cmp(b), a.components().cmp(b.components()), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_name_that_is_not_utf8_survives_json() -> Result<(), Box<dyn std::error::Error>> {
        for bytes in [&b"debug/app"[..], b"a\xffb/\xfe", "ä".as_bytes()] {
            let path = RelPath::parse(bytes)?;
            let json = serde_json::to_string(&path)?;
            assert_eq!(serde_json::from_str::<RelPath>(&json)?, path, "{json}");
        }
        Ok(())
    }

    #[test]
    fn within_means_below_or_equal_and_not_merely_alike() -> Result<(), ParseNameError> {
        let dir = RelPath::parse(b"a/b")?;
        for (text, want) in [("a/b", true), ("a/b/c", true), ("a/bc", false), ("a", false)] {
            assert_eq!(RelPath::parse(text.as_bytes())?.is_within(&dir), want, "{text}");
        }
        Ok(())
    }
}
