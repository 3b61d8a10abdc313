//! Quantities as people write them: percentages, sizes and durations.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::names::ParseNameError;

/// A share of a whole, 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub struct Percent(u8);

impl Percent {
    const EXPECTED: &str = "a percentage (0% to 100%)";

    /// Returns the share of `part` in `whole`, rounded up as df(1) does; 0 if `whole` is 0.
    pub fn of(part: u64, whole: u64) -> Self {
        let share = (u128::from(part) * 100).div_ceil(u128::from(whole.max(1)));
        Self(u8::try_from(share).unwrap_or(100).min(100))
    }

    /// Returns this share of `whole`, rounded down.
    pub fn share_of(self, whole: u64) -> u64 {
        let share = u128::from(whole) * u128::from(self.0) / 100;
        u64::try_from(share).expect("a share is no larger than its whole")
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

impl FromStr for Percent {
    type Err = ParseNameError;

    /// Parses `80%`, `80 %` or `80`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.trim().trim_end_matches('%').trim_end();
        let refuse = || ParseNameError { text: text.to_owned(), expected: Self::EXPECTED };
        let number = whole_number(digits).ok_or_else(refuse)?;
        u8::try_from(number).ok().and_then(|number| number.try_into().ok()).ok_or_else(refuse)
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = ParseNameError;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        let refuse = || ParseNameError { text: number.to_string(), expected: Self::EXPECTED };
        (number <= 100).then_some(Self(number)).ok_or_else(refuse)
    }
}

/// A number of bytes, shown as `20 GiB`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

/// The units of [`ByteSize`] by their first letter, largest first.
const UNITS: [(char, u32); 4] = [('t', 4), ('g', 3), ('m', 2), ('k', 1)];

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (letter, power) in UNITS {
            let unit = 1024_u64.pow(power);
            if self.0 >= unit {
                let letter = letter.to_ascii_uppercase();
                let (whole, tenth) = (self.0 / unit, self.0 % unit * 10 / unit);
                return match tenth {
                    0 => write!(f, "{whole} {letter}iB"),
                    _ => write!(f, "{whole}.{tenth} {letter}iB"),
                };
            }
        }
        write!(f, "{} B", self.0)
    }
}

impl FromStr for ByteSize {
    type Err = ParseNameError;

    /// Parses `20GiB`, `28 GB`, `1.5TiB`, `20G` or plain bytes. As in `du` and `df`, a letter alone
    /// counts in powers of 1024; only `KB`, `MB`, `GB` and `TB` count in powers of 1000.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || {
            let expected =
                "a size (plain bytes, or a number and KiB, MiB, GiB, TiB, KB, MB, GB or TB)";
            ParseNameError { text: text.to_owned(), expected }
        };
        let is_number = |symbol: char| symbol.is_ascii_digit() || symbol == '.';
        let trimmed = text.trim();
        let end = trimmed.find(|symbol| !is_number(symbol)).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(end);
        let unit = bytes_of_unit(unit.trim_start()).ok_or_else(refuse)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let whole = whole_number(whole).ok_or_else(refuse)?.checked_mul(unit).ok_or_else(refuse)?;
        // Nine digits are more than anyone writes, and their power of ten fits.
        if fraction.len() > 9 || (unit == 1 && number.contains('.')) {
            return Err(refuse());
        }
        let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
        let part =
            u128::from(whole_number(fraction).ok_or_else(refuse)?) * u128::from(unit) / scale;
        let part = u64::try_from(part).ok();
        part.and_then(|part| whole.checked_add(part)).map(Self).ok_or_else(refuse)
    }
}

fn bytes_of_unit(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let mut symbols = text.chars();
    let power = match symbols.next() {
        None => 0,
        Some('b') if text == "b" => 0,
        Some(first) => UNITS.iter().find(|(letter, _)| *letter == first)?.1,
    };
    match symbols.as_str() {
        "" | "ib" => Some(1024_u64.pow(power)),
        "b" => Some(1000_u64.pow(power)),
        _ => None,
    }
}

/// Parses a duration: `90s`, `30m`, `12h`, `1d` or `2w`.
pub fn parse_duration(text: &str) -> Result<Duration, ParseNameError> {
    let refuse = || {
        let expected = "a duration (a whole number and s, m, h, d or w: `1d`)";
        ParseNameError { text: text.to_owned(), expected }
    };
    let (digits, secs) = SECS
        .into_iter()
        .find_map(|(letter, secs)| Some((text.trim().strip_suffix(letter)?, secs)))
        .ok_or_else(refuse)?;
    let count = whole_number(digits.trim_end()).ok_or_else(refuse)?;
    count.checked_mul(secs).map(Duration::from_secs).ok_or_else(refuse)
}

/// The seconds of a second, minute, hour, day and week.
const SECS: [(char, u64); 5] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400), ('w', 604_800)];

/// Returns `secs` seconds in the largest meaningful unit: `9 days`, `26 hours`.
pub fn rough_duration(secs: u64) -> String {
    let (count, unit) = match secs {
        0..120 => (secs, "second"),
        120..7200 => (secs / 60, "minute"),
        7200..172_800 => (secs / 3600, "hour"),
        _ => (secs / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Parses a number of digits only: `parse` alone would accept `+5`.
pub(super) fn whole_number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        #[rustfmt::skip]
        let cases = [
            ("0",                    Some(0)),
            ("4096",                 Some(4096)),
            ("12 B",                 Some(12)),
            ("20GiB",                Some(20 << 30)),
            ("20G",                  Some(20 << 30)),
            ("28 GB",                Some(28_000_000_000)),
            ("1.5TiB",               Some(3 << 39)),
            ("0.5 kib",              Some(512)),
            (" 3 MB ",               Some(3_000_000)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999 TiB",         None),
            ("1.5",                  None),
            ("1.0000000000 GiB",     None),
            ("1.",                   None),
            (".5GiB",                None),
            ("1.2.3GiB",             None),
            ("",                     None),
            ("GiB",                  None),
            ("-1",                   None),
            ("+1",                   None),
            ("20 GiBs",              None),
            ("20 bib",               None),
            ("20 PiB",               None),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse().ok(), want.map(ByteSize), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (20 << 30, "20 GiB"),
            (3 << 39, "1.5 TiB"),
            (1 << 20, "1 MiB"),
        ];
        for (bytes, want) in cases {
            assert_eq!(ByteSize(bytes).to_string(), want);
        }
    }

    #[test]
    fn percentages_go_from_0_to_100() {
        let cases = [
            ("80%", Some(80)),
            ("80", Some(80)),
            (" 7 % ", Some(7)),
            ("100%", Some(100)),
            ("101%", None),
            ("-1%", None),
            ("%", None),
            ("8o%", None),
            ("300", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse().ok(), want.map(Percent), "{text:?}");
        }
    }

    #[test]
    fn a_share_is_rounded_up_as_df_does() {
        let cases =
            [(0, 10, 0), (1, 1000, 1), (800, 1000, 80), (801, 1000, 81), (5, 0, 100), (0, 0, 0)];
        for (part, whole, want) in cases {
            assert_eq!(Percent::of(part, whole), Percent(want), "{part} of {whole}");
        }
        assert_eq!(Percent(70).share_of(u64::MAX), 12_912_720_851_596_686_130);
    }

    #[test]
    fn durations_have_a_unit() {
        let cases = [
            ("1d", Some(86_400)),
            ("0s", Some(0)),
            ("12 h", Some(43_200)),
            ("2w", Some(1_209_600)),
            ("90m", Some(5400)),
            ("1", None),
            ("d", None),
            ("1.5d", None),
            ("1y", None),
            ("-1d", None),
            ("99999999999999999999d", None),
            ("9999999999999999999w", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse_duration(text).ok(), want.map(Duration::from_secs), "{text:?}");
        }
        for (secs, want) in [
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (90_000, "25 hours"),
            (800_000, "9 days"),
        ] {
            assert_eq!(rough_duration(secs), want);
        }
    }
}
