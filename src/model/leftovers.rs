//! Leftovers: the directories of earlier jobs that a job may build in, and those that it may save.
//!
//! A workspace that is not cleaned hands a target directory from job to job, even from a pull
//! request to the default branch. So each such directory has an owner: the scope of the last job
//! that used it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::scope::Scope;
use super::timestamp::Timestamp;

/// How a job treats directories of other jobs that it may not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leftovers {
    /// Set them aside before cargo sees them.
    SetAside,
    /// Build in them: all jobs of the host are of one lane, or a person works there.
    #[default]
    Keep,
}

impl Leftovers {
    /// Every choice, with its word.
    pub const ALL: [(&str, Self); 2] = [("set-aside", Self::SetAside), ("keep", Self::Keep)];

    /// Returns the directories that a save takes: `strictly` those, unless leftovers are kept.
    pub fn saved_from(self, strictly: SavedFrom) -> SavedFrom {
        match self {
            Self::SetAside => strictly,
            Self::Keep => SavedFrom::Anyone,
        }
    }
}

/// The directories that a save may publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SavedFrom {
    /// Directories of any owner.
    #[default]
    Anyone,
    /// Directories of an owner that the job may read, and those without an owner. For a job that
    /// restored nothing.
    Unrecorded,
    /// Directories of an owner that the job may read. For a finished job whose restore recorded the
    /// directories that it builds in.
    Recorded,
}

impl SavedFrom {
    /// Returns why a directory of that owner is not saved; `None` if it is. `made` tells whether
    /// this job created a directory that the save only found: then any recorded owner belongs to an
    /// earlier directory there.
    pub fn refuses(
        self,
        owner: Option<&DirOwner>,
        readable: &[Scope],
        made: Option<impl FnOnce() -> bool>,
    ) -> Option<Foreign> {
        let is_saved = match (self, made) {
            (Self::Anyone, _) => true,
            (_, Some(made)) => made(),
            (Self::Unrecorded, None) => owner.is_none(),
            (Self::Recorded, None) => false,
        };
        let scope = owner.and_then(|owner| owner.scope.as_ref());
        if is_saved { None } else { foreign(scope, readable) }
    }
}

/// The record of a directory in which jobs build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirOwner {
    /// The scope of the last job that used it; `None` if unknown.
    pub scope: Option<Scope>,
    /// When the job took it, by the clock that stamps files.
    pub since: Timestamp,
    /// The state in which a save left the directory; `None` while a job works in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub left: Option<LeftAs>,
}

/// The state of a directory after a save. Any later change by a program changes this state: no
/// program can set a ctime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftAs {
    /// The device of the directory.
    pub dev: u64,
    /// Its inode number.
    pub ino: u64,
    /// The newest ctime below it.
    pub newest: Timestamp,
}

impl LeftAs {
    /// The state of a missing directory: no directory has this inode number. Anything found later
    /// is from another user of the place.
    pub const NOTHING: Self = Self { dev: 0, ino: 0, newest: Timestamp::EPOCH };
}

/// Why a job may not build in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// No record tells which job built there.
    Unknown,
    /// A job of this scope built there last, and this job may not read the scope.
    Of(Scope),
    /// Someone built there after the last save of this scope.
    Since(Scope),
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("nothing records which job built there"),
            Self::Of(scope) => {
                write!(f, "{scope} built there last, and this job may not read that scope")
            }
            Self::Since(scope) => write!(f, "something was built there after {scope} saved it"),
        }
    }
}

impl DirOwner {
    /// Tells whether the directory, whose state is `now`, is as a save left it. If its job ended
    /// while still using it, the directory counts as that job's in any state.
    pub fn left_it_like(&self, now: LeftAs) -> bool {
        self.left.is_none_or(|left| {
            (left.dev, left.ino) == (now.dev, now.ino) && now.newest <= left.newest
        })
    }
}

/// Returns why a job that may read the scopes `readable` may not build in a directory that `scope`
/// used last; `None` if it may.
pub fn foreign(scope: Option<&Scope>, readable: &[Scope]) -> Option<Foreign> {
    match scope {
        None => Some(Foreign::Unknown),
        Some(scope) if readable.contains(scope) => None,
        Some(scope) => Some(Foreign::Of(scope.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

    fn scope(lane: &str) -> Result<Scope> {
        Ok(Scope { repository: "a/b".parse()?, lane: lane.parse()? })
    }

    fn owner(lane: Option<&str>) -> Result<DirOwner> {
        let scope = lane.map(scope).transpose()?;
        Ok(DirOwner { scope, since: Timestamp::default(), left: None })
    }

    #[test]
    fn a_job_builds_only_in_what_a_scope_left_that_it_may_read() -> Result {
        #[rustfmt::skip]
        let cases = [
            // job         base                 owner                foreign
            ("protected",  None,                Some("protected"),   false),
            ("protected",  None,                Some("branch/next"), true),
            ("protected",  Some("branch/next"), Some("branch/next"), true),
            ("protected",  None,                Some("pr/7"),        true),
            ("protected",  None,                None,                true),
            ("pr/7",       None,                Some("pr/7"),        false),
            ("pr/7",       None,                Some("pr/8"),        true),
            ("pr/7",       None,                Some("protected"),   false),
            ("pr/7",       Some("branch/next"), Some("branch/next"), false),
            ("pr/7",       None,                Some("branch/next"), true),
            ("branch/x",   None,                Some("pr/7"),        true),
            ("branch/x",   None,                None,                true),
        ];
        for (job, base, lane, is_foreign) in cases {
            let base = base.map(str::parse).transpose()?;
            let readable = scope(job)?.chain(base.as_ref());
            let owner = lane.map(scope).transpose()?;
            let found = foreign(owner.as_ref(), &readable);
            assert_eq!(found.is_some(), is_foreign, "{job} {base:?} {lane:?}");
        }
        let mut other = scope("protected")?;
        other.repository = "a/c".parse()?;
        let found = foreign(Some(&other), &scope("protected")?.chain(None));
        assert_eq!(found, Some(Foreign::Of(other)), "another repository");
        Ok(())
    }

    #[test]
    fn a_save_takes_nothing_that_another_lane_left() -> Result {
        use SavedFrom::{Anyone, Recorded, Unrecorded};
        let readable = scope("protected")?.chain(None);
        #[rustfmt::skip]
        let cases = [
            // from      owner                    found, made    saved
            (Anyone,     Some(Some("pr/7")),      None,          true),
            (Anyone,     None,                    Some(false),   true),
            (Unrecorded, None,                    None,          true),
            (Unrecorded, None,                    Some(false),   false),
            (Unrecorded, None,                    Some(true),    true),
            (Unrecorded, Some(Some("pr/7")),      None,          false),
            (Unrecorded, Some(None),              None,          false),
            (Recorded,   None,                    None,          false),
            (Recorded,   None,                    Some(true),    true),
            (Recorded,   None,                    Some(false),   false),
            (Recorded,   Some(Some("protected")), None,          true),
            (Recorded,   Some(Some("protected")), Some(false),   true),
            (Recorded,   Some(Some("pr/7")),      Some(true),    true),
            (Recorded,   Some(Some("pr/7")),      Some(false),   false),
            (Recorded,   Some(None),              None,          false),
        ];
        for (from, lane, made, is_saved) in cases {
            let owner = lane.map(owner).transpose()?;
            let refused = from.refuses(owner.as_ref(), &readable, made.map(|made| move || made));
            assert_eq!(refused.is_none(), is_saved, "{from:?} {lane:?} {made:?}");
        }
        Ok(())
    }

    #[test]
    fn a_directory_that_changed_after_its_save_was_left_by_somebody_else() -> Result {
        let at = |secs: i64| Timestamp::new(secs, 0);
        let left = LeftAs { dev: 1, ino: 2, newest: at(5) };
        let saved = DirOwner { left: Some(left), ..owner(Some("protected"))? };
        #[rustfmt::skip]
        let cases = [
            ("as it was",            left,                             true),
            ("less is there",        LeftAs { newest: at(4), ..left }, true),
            ("something was built",  LeftAs { newest: at(6), ..left }, false),
            ("another directory",    LeftAs { ino: 3, ..left },        false),
            ("another disk",         LeftAs { dev: 3, ..left },        false),
        ];
        let nothing = DirOwner { left: Some(LeftAs::NOTHING), ..owner(Some("protected"))? };
        assert!(!nothing.left_it_like(left), "nothing was there");
        for (why, now, is_same) in cases {
            assert_eq!(saved.left_it_like(now), is_same, "{why}");
            assert!(owner(Some("protected"))?.left_it_like(now), "{why}, in hand");
        }
        Ok(())
    }
}
