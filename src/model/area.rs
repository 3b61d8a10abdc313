//! The kinds of directory we keep.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

use super::further::Further;
use super::names::{Name, ParseNameError};

/// One kind of directory we keep.
///
/// `Build` and `DependencyBuild` exist only where cargo's `build.build-dir` lies apart from its
/// target directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Area {
    /// `registry/` of `CARGO_HOME`, limited to what the lock files name.
    Registry,
    /// `git/` of `CARGO_HOME`, limited to what the lock files name.
    Git,
    /// The target directory of the repo.
    Target,
    /// The build directory of the repo.
    Build,
    /// The target directory of a dependency.
    DependencyTarget(Name),
    /// The build directory of a dependency.
    DependencyBuild(Name),
    /// Another target directory below a root.
    Further(Further),
}

impl Area {
    /// Returns its name in the store. For a further target, people see another name.
    pub fn dir_name(&self) -> String {
        match self {
            Self::Further(further) => format!("{}-target", further.name()),
            _ => self.to_string(),
        }
    }

    /// Tells whether the area lies in `CARGO_HOME`, which other jobs share.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Registry | Self::Git)
    }

    /// Returns the area of the build directory that goes with a target, if it lies apart.
    pub fn build_area(&self) -> Option<Self> {
        match self {
            Self::Target => Some(Self::Build),
            Self::DependencyTarget(name) => Some(Self::DependencyBuild(name.clone())),
            _ => None,
        }
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry => f.write_str("registry"),
            Self::Git => f.write_str("git"),
            Self::Target => f.write_str("target"),
            Self::Build => f.write_str("build"),
            Self::DependencyTarget(name) => write!(f, "{name}-target"),
            Self::DependencyBuild(name) => write!(f, "{name}-build"),
            Self::Further(further) => further.fmt(f),
        }
    }
}

impl FromStr for Area {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "registry" => return Ok(Self::Registry),
            "git" => return Ok(Self::Git),
            "target" => return Ok(Self::Target),
            "build" => return Ok(Self::Build),
            _ if text.contains('/') => return Ok(Self::Further(Further::shown(text)?)),
            _ => {}
        }
        if let Some(name) = text.strip_suffix("-target") {
            if let Some(further) = Further::of_name(name) {
                return Ok(Self::Further(further));
            }
            return Ok(Self::DependencyTarget(name.parse()?));
        }
        if let Some(name) = text.strip_suffix("-build") {
            return Ok(Self::DependencyBuild(name.parse()?));
        }
        let expected = "an area (registry, git, target, build, <dependency>-target, …)";
        Err(ParseNameError { text: text.to_owned(), expected })
    }
}

impl From<Area> for String {
    fn from(area: Area) -> Self {
        area.dir_name()
    }
}

/// Serializes an area as people see it, for output that no program reads back.
pub(crate) fn as_shown<S: Serializer>(area: &Area, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(area)
}

impl TryFrom<String> for Area {
    type Error = ParseNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A choice of areas that a user can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AreaSelector {
    /// `registry`.
    Registry,
    /// `git`.
    Git,
    /// `target`, and `build` where that is apart.
    Target,
    /// The targets of all dependencies.
    Dependencies,
}

impl AreaSelector {
    /// Every choice, with its word.
    pub const ALL: [(&str, Self); 4] = [
        ("registry", Self::Registry),
        ("git", Self::Git),
        ("target", Self::Target),
        ("dependencies", Self::Dependencies),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_reads_back_as_it_was_shown() {
        for text in ["registry", "git", "target", "build", "blvm-consensus-target", "a-build"] {
            assert_eq!(text.parse::<Area>().map(String::from), Ok(text.to_owned()));
        }
        for text in ["", "cargo", "../x-target", "-target"] {
            assert!(text.parse::<Area>().is_err(), "{text}");
        }
    }
}
