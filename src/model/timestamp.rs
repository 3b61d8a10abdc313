//! Points in time as filesystems know them.

use serde::{Deserialize, Serialize};

/// A point in time in nanoseconds, before or after 1970; in JSON `[seconds, nanoseconds]`.
///
/// Seconds and nanoseconds are separate fields because filesystems hold times that 64 bits of
/// nanoseconds do not: ext4 reaches the year 2446.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(into = "(i64, u32)", from = "(i64, u32)")]
pub struct Timestamp {
    secs: i64,
    nanos: u32,
}

impl Timestamp {
    const NANOS_PER_SEC: u32 = 1_000_000_000;

    /// The beginning of 1970.
    pub const EPOCH: Self = Self { secs: 0, nanos: 0 };

    /// Returns the time `secs` seconds after 1970 (before, when negative) plus `nanos`
    /// nanoseconds.
    pub fn new(secs: i64, nanos: u32) -> Self {
        let carry = i64::from(nanos / Self::NANOS_PER_SEC);
        Self { secs: secs.saturating_add(carry), nanos: nanos % Self::NANOS_PER_SEC }
    }

    /// Returns the whole seconds since 1970, rounded down.
    pub fn secs(self) -> i64 {
        self.secs
    }

    /// Returns the nanoseconds after [`Self::secs`], 0 to 999,999,999.
    pub fn nanos(self) -> u32 {
        self.nanos
    }

    /// Returns the time one nanosecond later.
    #[must_use]
    pub fn next(self) -> Self {
        Self::new(self.secs, self.nanos + 1)
    }

    /// Returns the seconds from `earlier` to this time; 0 if it is not earlier.
    pub fn secs_since(self, earlier: Self) -> u64 {
        u64::try_from(self.secs.saturating_sub(earlier.secs)).unwrap_or(0)
    }

    /// Returns the year and month in UTC: `2026-11`.
    pub fn year_month(self) -> String {
        self.civil().strftime("%Y-%m").to_string()
    }

    /// Returns the date and time of day in UTC: `2026-11-21 09:30:00`.
    pub fn date_time(self) -> String {
        self.civil().strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    fn civil(self) -> jiff::Zoned {
        let secs =
            self.secs.clamp(jiff::Timestamp::MIN.as_second(), jiff::Timestamp::MAX.as_second());
        let time = jiff::Timestamp::from_second(secs).expect("clamped to what the calendar knows");
        time.to_zoned(jiff::tz::TimeZone::UTC)
    }

    /// Returns the time `secs` seconds and `nanos` nanoseconds earlier.
    #[must_use]
    pub fn minus(self, secs: u32, nanos: u32) -> Self {
        let nanos = nanos % Self::NANOS_PER_SEC;
        let borrow = i64::from(self.nanos < nanos);
        let rest = (self.nanos + Self::NANOS_PER_SEC - nanos) % Self::NANOS_PER_SEC;
        Self { secs: self.secs - i64::from(secs) - borrow, nanos: rest }
    }
}

impl From<(i64, u32)> for Timestamp {
    fn from((secs, nanos): (i64, u32)) -> Self {
        Self::new(secs, nanos)
    }
}

impl From<Timestamp> for (i64, u32) {
    fn from(time: Timestamp) -> Self {
        (time.secs, time.nanos)
    }
}

impl From<std::time::SystemTime> for Timestamp {
    fn from(time: std::time::SystemTime) -> Self {
        match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => Self::new(after.as_secs().cast_signed(), after.subsec_nanos()),
            Err(before) => {
                let before = before.duration();
                let secs = u32::try_from(before.as_secs()).unwrap_or(u32::MAX);
                Self::default().minus(secs, before.subsec_nanos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sort_and_carry_across_the_second() {
        let last = Timestamp::new(5, 999_999_999);
        assert_eq!(last.next(), Timestamp::new(6, 0));
        assert!(last < last.next());
        assert_eq!(Timestamp::new(6, 0).minus(0, 1), last);
        assert_eq!(Timestamp::new(0, 0).minus(1, 0), Timestamp::new(-1, 0));
        assert_eq!(Timestamp::new(9, 0).secs_since(Timestamp::new(12, 0)), 0);
    }
}
