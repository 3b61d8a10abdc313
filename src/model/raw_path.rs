//! Paths that are compared and shown, and never followed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::names::ParseNameError;
use super::rel_path::JsonBytes;

/// A path that is only compared or shown, never followed. In JSON it is a string if it is UTF-8,
/// else hex.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "JsonBytes", try_from = "JsonBytes")]
pub struct RawPath(Vec<u8>);

impl RawPath {
    /// Returns the path with these bytes, unchecked.
    pub fn of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Tells whether it is `dir`, or lies in it.
    pub fn is_within(&self, dir: &Self) -> bool {
        let rest = self.0.strip_prefix(&*dir.0);
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    }
}

impl fmt::Display for RawPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for RawPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}

impl From<RawPath> for JsonBytes {
    fn from(bytes: RawPath) -> Self {
        Self::of(&bytes.0)
    }
}

impl TryFrom<JsonBytes> for RawPath {
    type Error = ParseNameError;

    fn try_from(text: JsonBytes) -> Result<Self, Self::Error> {
        text.into_bytes().map(Self)
    }
}
