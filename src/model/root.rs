//! Roots: the checkouts that a job builds from.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::names::{Name, ParseNameError};

/// A root: the checkout of the repo, or of a dependency.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Root {
    /// The checkout of the repo being built.
    Repo,
    /// The checkout of a dependency.
    Dependency(Name),
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repo => f.write_str("."),
            Self::Dependency(name) => write!(f, "{name}"),
        }
    }
}

impl From<Root> for String {
    fn from(root: Root) -> Self {
        root.to_string()
    }
}

impl TryFrom<String> for Root {
    type Error = ParseNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "." => Ok(Self::Repo),
            name => name.parse().map(Self::Dependency),
        }
    }
}
