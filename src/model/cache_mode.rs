//! The access of a workflow's jobs to caches: GitHub's `cache-mode`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The access of a job to the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheMode {
    /// Restore and save, the default.
    #[default]
    Write,
    /// Restore, and save nothing.
    Read,
    /// Save, and restore nothing.
    WriteOnly,
    /// Neither.
    None,
}

/// Every mode, with its word.
const WORDS: [(&str, CacheMode); 4] = [
    ("write", CacheMode::Write),
    ("read", CacheMode::Read),
    ("write-only", CacheMode::WriteOnly),
    ("none", CacheMode::None),
];

impl CacheMode {
    /// Returns the mode of that word; `None` if this version does not know it.
    pub fn parse(word: &str) -> Option<Self> {
        WORDS.into_iter().find(|(known, _)| *known == word).map(|(_, mode)| mode)
    }

    /// Tells whether a job may restore.
    pub fn restores(self) -> bool {
        matches!(self, Self::Write | Self::Read)
    }

    /// Tells whether a job may save.
    pub fn saves(self) -> bool {
        matches!(self, Self::Write | Self::WriteOnly)
    }

    /// Returns the mode that allows what both modes allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self.restores() && other.restores(), self.saves() && other.saves()) {
            (true, true) => Self::Write,
            (true, false) => Self::Read,
            (false, true) => Self::WriteOnly,
            (false, false) => Self::None,
        }
    }

    /// Tells whether the mode allows everything.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::Write
    }
}

impl fmt::Display for CacheMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = WORDS.into_iter().find(|(_, mode)| mode == self);
        f.write_str(word.map_or("none", |(word, _)| word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_says_what_a_job_may_do() {
        #[rustfmt::skip]
        let cases = [
            //word          restores saves
            ("write",       true,    true),
            ("read",        true,    false),
            ("write-only",  false,   true),
            ("none",        false,   false),
        ];
        for (word, restores, saves) in cases {
            let mode = CacheMode::parse(word);
            let allowed = mode.map(|mode| (mode.restores(), mode.saves()));
            assert_eq!(allowed, Some((restores, saves)), "{word}");
            assert_eq!(mode.map(|mode| mode.to_string()).as_deref(), Some(word));
        }
        for word in ["", "Read", " read", "read-write", "write_only", "NONE"] {
            assert_eq!(CacheMode::parse(word), None, "{word:?}");
        }
        assert_eq!(CacheMode::default(), CacheMode::Write);
    }

    #[test]
    fn of_two_modes_only_what_both_allow_is_allowed() {
        for (_, one) in WORDS {
            for (_, other) in WORDS {
                let both = one.and(other);
                assert_eq!(both.restores(), one.restores() && other.restores(), "{one} {other}");
                assert_eq!(both.saves(), one.saves() && other.saves(), "{one} {other}");
            }
        }
    }
}
