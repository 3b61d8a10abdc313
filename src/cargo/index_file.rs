//! The files that cargo keeps of a sparse index: checks that they are whole.
//!
//! `SummariesCache` in cargo's `sources/registry/index/cache.rs` defines them: a version, the version of the index's
//! schema, the time of the fetch, then for each version of the crate its number and a JSON object. Each of these ends
//! with a NUL byte.

use serde::de::IgnoredAny;

/// The version of the format that this module reads.
const KNOWN: u8 = 3;

/// Names the flaw of a file of an index, if any. Passes files in another form than cargo writes today.
pub fn flaw(bytes: &[u8], kind: IndexFile) -> Option<&'static str> {
    match (kind, bytes.first()) {
        (IndexFile::Other, _) => None,
        (_, None) => Some("it is empty"),
        (IndexFile::Config, _) => (!is_json(bytes)).then_some("it is no JSON"),
        (IndexFile::Summaries, Some(0)) => Some("it lost its bytes"),
        (IndexFile::Summaries, Some(&KNOWN)) => {
            (!is_whole(&bytes[1..])).then_some("it is not whole")
        }
        (IndexFile::Summaries, Some(_)) => None,
    }
}

/// The kind of a file in an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexFile {
    /// `config.json`: the addresses of the registry.
    Config,
    /// The registry's record of one crate.
    Summaries,
    /// Any other file, such as those of an index that is a git repository.
    Other,
}

impl IndexFile {
    /// Returns the kind of the file at these components of its path below `index/<registry>/`.
    pub fn of<'a>(mut below: impl Iterator<Item = &'a [u8]>) -> Self {
        match (below.next(), below.next()) {
            (Some(b"config.json"), None) => Self::Config,
            (Some(b".cache"), Some(_)) => Self::Summaries,
            _ => Self::Other,
        }
    }
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// Tells whether the bytes after the first are whole.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(fields) = bytes.get(4..).and_then(|fields| fields.strip_suffix(b"\0")) else {
        return false;
    };
    let mut fields = fields.split(|byte| *byte == 0);
    let is_dated = fields.next().is_some_and(|fetched| !fetched.is_empty());
    while let Some(version) = fields.next() {
        if version.is_empty() || !fields.next().is_some_and(is_json) {
            return false;
        }
    }
    is_dated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_lost_bytes_is_not_whole() {
        use IndexFile::{Config, Other, Summaries};
        const WHOLE: &[u8] = b"\x03\x02\0\0\0etag: x\x001.0.0\0{\"vers\":\"1.0.0\"}\0";
        #[rustfmt::skip]
        let cases: [(&str, &[u8], IndexFile, Option<&str>); 12] = [
            ("whole",            WHOLE,                              Summaries, None),
            ("no version",       b"\x03\x02\0\0\0etag: x\0",         Summaries, None),
            ("empty",            b"",                                Summaries, Some("it is empty")),
            ("zeros",            &[0; 40],                           Summaries, Some("it lost its bytes")),
            ("cut",              &WHOLE[..WHOLE.len() - 1],          Summaries, Some("it is not whole")),
            ("cut at a field",   &WHOLE[..19],                       Summaries, Some("it is not whole")),
            ("zeros at the end", b"\x03\x02\0\0\0etag: x\x001.0.0\0{\"vers\0\0\0\0\0\0", Summaries, Some("it is not whole")),
            ("another form",     b"\x04\x02",                        Summaries, None),
            ("configuration",    b"{\"dl\":\"x\"}",                  Config,    None),
            ("cut",              b"{\"dl\":\"x\"",                   Config,    Some("it is no JSON")),
            ("empty",            b"",                                Config,    Some("it is empty")),
            ("of git",           b"",                                Other,     None),
        ];
        for (why, bytes, kind, want) in cases {
            assert_eq!(flaw(bytes, kind), want, "{why} {kind:?}");
        }
    }

    #[test]
    fn the_kind_of_an_index_file_follows_from_its_place() {
        let cases = [
            ("config.json", IndexFile::Config),
            (".cache/fo/o-/foo", IndexFile::Summaries),
            (".cache", IndexFile::Other),
            (".git/config.json", IndexFile::Other),
            (".last-updated", IndexFile::Other),
        ];
        for (path, want) in cases {
            assert_eq!(IndexFile::of(path.as_bytes().split(|byte| *byte == b'/')), want, "{path}");
        }
    }
}
