//! The limits on disk use, and the space to free when they are exceeded.

use std::fmt;

use super::filesystem::Filesystem;
use super::quantity::{ByteSize, Percent};

/// The limits on how full a filesystem and how large the store may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// The share of bytes or inodes above which a filesystem is too full.
    pub disk_threshold: Percent,
    /// The share down to which the store frees space on a filesystem that is too full.
    pub low_water: Percent,
    /// The free bytes below which a filesystem is too full as well; `None` means
    /// [`Self::min_free_on`] its size.
    pub min_free: Option<ByteSize>,
    /// The largest total size of the store's packs, manifests, mirrors and homes.
    pub max_size: Option<ByteSize>,
}

impl Default for Pressure {
    fn default() -> Self {
        let percent = |number: u8| Percent::try_from(number).expect("it is 100 at most");
        let (disk_threshold, low_water) = (percent(80), percent(70));
        Self { disk_threshold, low_water, min_free: None, max_size: None }
    }
}

/// The limit that a filesystem exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strain {
    /// Too many bytes are used.
    Disk {
        /// The used share.
        used: Percent,
        /// The allowed share.
        threshold: Percent,
    },
    /// Too few bytes are free.
    Free {
        /// The free bytes.
        free: ByteSize,
        /// The bytes that should be free.
        min_free: ByteSize,
    },
    /// Too many inodes are used.
    Inodes {
        /// The used share.
        used: Percent,
        /// The allowed share.
        threshold: Percent,
    },
}

impl fmt::Display for Strain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk { used, threshold } => write!(f, "disk at {used}, above {threshold}"),
            Self::Free { free, min_free } => write!(f, "{free} free, under {min_free}"),
            Self::Inodes { used, threshold } => write!(f, "inodes at {used}, above {threshold}"),
        }
    }
}

/// An amount of disk space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) bytes: u64,
    pub(super) inodes: u64,
}

impl Pressure {
    /// Returns the limits that `filesystem` exceeds.
    pub fn strains(&self, filesystem: &Filesystem) -> Vec<Strain> {
        let threshold = self.disk_threshold;
        let mut strains = Vec::new();
        let used = filesystem.used();
        if used > threshold {
            strains.push(Strain::Disk { used, threshold });
        }
        let (free, min_free) = (ByteSize(filesystem.free_bytes), self.min_free_on(filesystem));
        // A filesystem that reports no size, such as some overlays, cannot lack free bytes.
        if free < min_free && filesystem.usable_bytes() > 0 {
            strains.push(Strain::Free { free, min_free });
        }
        let used = filesystem.used_inodes();
        if used > threshold {
            strains.push(Strain::Inodes { used, threshold });
        }
        strains
    }

    /// Returns how many bytes should be free: [`Self::min_free`] if set, else 20 GiB, or 10 % of a
    /// smaller filesystem.
    pub fn min_free_on(&self, filesystem: &Filesystem) -> ByteSize {
        let usual = ByteSize((20 << 30).min(filesystem.total_bytes / 10));
        self.min_free.unwrap_or(usual)
    }

    /// Returns how much must be freed for `filesystem` to be at low water; nothing if it is not too
    /// full.
    pub(super) fn wanted(&self, filesystem: &Filesystem) -> Room {
        let low_water = self.low_water.min(self.disk_threshold);
        let above = |used: u64, whole: u64| used.saturating_sub(low_water.share_of(whole));
        let mut wanted = Room::default();
        for strain in self.strains(filesystem) {
            if let Strain::Inodes { .. } = strain {
                let used = filesystem.total_inodes.saturating_sub(filesystem.free_inodes);
                wanted.inodes = above(used, filesystem.total_inodes);
            } else {
                let missing = self.min_free_on(filesystem).0.saturating_sub(filesystem.free_bytes);
                wanted.bytes = missing.max(above(filesystem.used_bytes, filesystem.usable_bytes()));
            }
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn filesystem(total_gib: u64, free_gib: u64, inodes: (u64, u64)) -> Filesystem {
        Filesystem {
            device: 1,
            path: "/".into(),
            total_bytes: total_gib * GIB,
            free_bytes: free_gib * GIB,
            used_bytes: (total_gib - free_gib) * GIB,
            total_inodes: inodes.0,
            free_inodes: inodes.1,
            is_memory: false,
        }
    }

    #[test]
    fn a_filesystem_is_too_full_by_share_by_bytes_or_by_inodes() {
        let usual = Pressure::default();
        let explicit = Pressure { min_free: Some(ByteSize(50 * GIB)), ..usual };
        let upside_down = Pressure { low_water: Percent::of(9, 10), ..usual };
        #[rustfmt::skip]
        let cases = [
            //  why                       pressure     filesystem                       strains                                            wanted GiB, inodes
            ("half full",                 usual,       filesystem(1000, 500, (0, 0)),    vec![],                                            (0, 0)),
            ("at the threshold",          usual,       filesystem(1000, 200, (0, 0)),    vec![],                                            (0, 0)),
            ("just above it",             usual,       filesystem(1000, 199, (0, 0)),    vec!["disk at 81 %, above 80 %"],                  (101, 0)),
            ("full",                      usual,       filesystem(1000, 0, (0, 0)),      vec!["disk at 100 %, above 80 %", "0 B free, under 20 GiB"], (300, 0)),
            ("small and fine",            usual,       filesystem(100, 20, (0, 0)),      vec![],                                            (0, 0)),
            ("small and nearly full",     usual,       filesystem(100, 9, (0, 0)),       vec!["disk at 91 %, above 80 %", "9 GiB free, under 10 GiB"], (21, 0)),
            ("under an explicit minimum", explicit,    filesystem(200, 49, (0, 0)),      vec!["49 GiB free, under 50 GiB"],                 (11, 0)),
            ("minimum above low water",   explicit,    filesystem(100, 45, (0, 0)),      vec!["45 GiB free, under 50 GiB"],                 (5, 0)),
            ("few inodes",                usual,       filesystem(1000, 500, (100, 10)), vec!["inodes at 90 %, above 80 %"],                (0, 20)),
            ("no inodes to count",        usual,       filesystem(1000, 500, (0, 0)),    vec![],                                            (0, 0)),
            ("no size",                   usual,       filesystem(0, 0, (0, 0)),         vec![],                                            (0, 0)),
            ("no size, and a minimum",    explicit,    filesystem(0, 0, (0, 0)),         vec![],                                            (0, 0)),
            ("low water above threshold", upside_down, filesystem(1000, 190, (0, 0)),    vec!["disk at 81 %, above 80 %"],                  (10, 0)),
        ];
        for (why, pressure, filesystem, strains, (gib, inodes)) in cases {
            let got: Vec<_> =
                pressure.strains(&filesystem).iter().map(ToString::to_string).collect();
            assert_eq!(got, strains, "{why}");
            assert_eq!(pressure.wanted(&filesystem), Room { bytes: gib * GIB, inodes }, "{why}");
        }
    }
}
