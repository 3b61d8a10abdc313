//! The choice of hot trees, private homes and mirrors to remove when the disk fills.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::filesystem::{Filesystem, as_text};
use super::pressure::{Pressure, Strain};
use super::quantity::ByteSize;
use super::reason::Reason;
use super::retention::Policy;
use super::timestamp::Timestamp;

/// A kind of directory whose loss costs only time, the cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirKind {
    /// A tree that is ready to be put in place. Without it, the next restore unpacks.
    HotTree,
    /// The private home of a runner. Without it, the next restore fills one from packs.
    Home,
    /// The bare git repository of a dependency. Without it, the next checkout clones.
    Mirror,
}

impl fmt::Display for DirKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HotTree => "hot tree",
            Self::Home => "home",
            Self::Mirror => "mirror",
        })
    }
}

/// The facts about such a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirFacts {
    /// Its kind.
    pub kind: DirKind,
    /// Its path.
    pub path: PathBuf,
    /// Its size on disk in bytes.
    pub bytes: u64,
    /// When it was last used, according to its stamp or record; now if it is in use.
    pub last_used: Timestamp,
}

/// A directory to remove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DroppedDir {
    /// Its kind.
    pub kind: DirKind,
    /// Its path.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// The reason.
    pub reason: Reason,
    /// The bytes that this frees.
    pub frees_bytes: u64,
}

/// Returns the directories to remove if `pressure` asks for more space on the store's `filesystem`
/// or for a smaller store: hot trees first, then homes, and the least recently used of each kind
/// first. `kept_bytes` is the size of packs and manifests.
///
/// They go before any generation: a mirror costs one clone, a generation a build. A directory that
/// was used within the `min_age` of the `policy` stays, unless it is a hot tree. Without pressure
/// all of them stay.
pub fn dropped_dirs(
    dirs: &[DirFacts],
    kept_bytes: u64,
    (pressure, filesystem): (&Pressure, &Filesystem),
    policy: &Policy,
    now: Timestamp,
) -> Vec<DroppedDir> {
    let is_of_bytes = |strain: &Strain| !matches!(strain, Strain::Inodes { .. });
    let strain = pressure.strains(filesystem).into_iter().find(is_of_bytes);
    let disk_bytes = pressure.wanted(filesystem).bytes;
    let size = ByteSize(kept_bytes + dirs.iter().map(|dir| dir.bytes).sum::<u64>());
    let max_size = pressure.max_size.unwrap_or(size);
    let store_bytes = size.0.saturating_sub(max_size.0);

    let mut idle: Vec<_> = dirs.iter().collect();
    let is_idle = |dir: &DirFacts| now.secs_since(dir.last_used) > policy.min_age.as_secs();
    idle.retain(|dir| dir.kind == DirKind::HotTree || is_idle(dir));
    idle.sort_by_key(|dir| (dir.kind, dir.last_used, &dir.path));
    let mut dropped = Vec::new();
    let mut freed_bytes = 0;
    for dir in idle {
        let reason = match strain {
            Some(strain) if freed_bytes < disk_bytes => Reason::Strained(strain),
            _ if freed_bytes < store_bytes => Reason::TooLarge { size, max_size },
            _ => break,
        };
        freed_bytes += dir.bytes;
        dropped.push(DroppedDir {
            kind: dir.kind,
            path: dir.path.clone(),
            reason,
            frees_bytes: dir.bytes,
        });
    }
    dropped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::quantity::Percent;

    const NOW: i64 = 1_000_000;
    const DAY: i64 = 24 * 3600;

    /// The reason, the pressure, the bytes used on the disk, how long each mirror is idle, and the
    /// mirrors that go.
    type Case<'a> = (&'a str, Pressure, u64, &'a [i64], &'a [&'a str]);

    /// Returns mirrors of 10 bytes, each last used so many seconds ago.
    fn mirrors(idle_secs: &[i64]) -> Vec<DirFacts> {
        let mirror = |secs: &i64| DirFacts {
            kind: DirKind::Mirror,
            path: secs.to_string().into(),
            bytes: 10,
            last_used: Timestamp::new(NOW - secs, 0),
        };
        idle_secs.iter().map(mirror).collect()
    }

    /// Returns a disk of 100 bytes of which `used_bytes` are used.
    fn disk(used_bytes: u64) -> Filesystem {
        Filesystem {
            device: 1,
            path: "/".into(),
            total_bytes: 100,
            free_bytes: 100 - used_bytes,
            used_bytes,
            total_inodes: 0,
            free_inodes: 0,
            is_memory: false,
        }
    }

    #[test]
    fn mirrors_go_under_pressure_and_the_least_recently_used_first() {
        let percent = |number| Percent::of(number, 100);
        let calm = Pressure {
            disk_threshold: percent(80),
            low_water: percent(70),
            min_free: Some(ByteSize(0)),
            max_size: None,
        };
        let capped = |bytes| Pressure { max_size: Some(ByteSize(bytes)), ..calm };
        let policy = Policy { min_age: Duration::from_hours(24), ..Policy::default() };
        #[rustfmt::skip]
        let cases: [Case; 9] = [
            //  why                        pressure    used  idle seconds                        goes
            ("no pressure",                calm,         80, &[9 * DAY, 8 * DAY],                &[]),
            ("a full disk",                calm,        100, &[8 * DAY, 9 * DAY, 7 * DAY],       &["777600", "691200", "604800"]),
            ("two of three are enough",    calm,         81, &[8 * DAY, 9 * DAY, 7 * DAY],       &["777600", "691200"]),
            ("all are not enough",         calm,        100, &[8 * DAY, DAY],                    &["691200"]),
            ("used within a day",          calm,        100, &[DAY, 10, 0],                      &[]),
            ("used in the future",         calm,        100, &[-9 * DAY],                        &[]),
            ("a store that is too large",  capped(39),   10, &[8 * DAY, 9 * DAY],                &["777600", "691200"]),
            ("a little too large",         capped(40),   10, &[8 * DAY, 9 * DAY],                &["777600"]),
            ("a store as large as it may", capped(50),   10, &[8 * DAY, 9 * DAY],                &[]),
        ];
        for (why, pressure, used, idle_secs, want) in cases {
            let mirrors = mirrors(idle_secs);
            let now = Timestamp::new(NOW, 0);
            let dropped = dropped_dirs(&mirrors, 30, (&pressure, &disk(used)), &policy, now);
            let paths: Vec<_> =
                dropped.iter().map(|gone| gone.path.to_str().unwrap_or("")).collect();
            assert_eq!(paths, want, "{why}");
        }
    }

    #[test]
    fn hot_trees_go_before_homes_and_homes_before_mirrors_however_lately_they_were_used() {
        let dir = |kind, path: &str, days: i64| DirFacts {
            kind,
            path: path.into(),
            bytes: 10,
            last_used: Timestamp::new(NOW - days * DAY, 0),
        };
        let dirs = [
            dir(DirKind::Mirror, "old mirror", 9),
            dir(DirKind::Home, "home", 2),
            dir(DirKind::Home, "home in use", 0),
            dir(DirKind::Home, "old home", 3),
            dir(DirKind::HotTree, "hot tree", 0),
        ];
        let pressure = Pressure { max_size: Some(ByteSize(10)), ..Pressure::default() };
        let (policy, now) = (Policy::default(), Timestamp::new(NOW, 0));
        let dropped = dropped_dirs(&dirs, 0, (&pressure, &disk(0)), &policy, now);
        let paths: Vec<_> = dropped.iter().filter_map(|gone| gone.path.to_str()).collect();
        assert_eq!(paths, ["hot tree", "old home", "home", "old mirror"]);
    }
}
