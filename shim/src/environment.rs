//! The environment: the contents of `/proc/self/environ`, passed on whole.
//!
//! The runner routinely uses names that no shell accepts (`INPUT_CACHE-ROOT`), so entries are only
//! searched for names and otherwise left alone.

use alloc::vec::Vec;
use core::ffi::CStr;

/// The variables of a process, in their original order.
pub(crate) struct Environment<'a> {
    /// Each `name=value`, as a program gets it.
    entries: Vec<&'a CStr>,
}

impl<'a> Environment<'a> {
    /// Splits the contents of `/proc/self/environ` into entries, each of which ends with a zero.
    ///
    /// Bytes after the last zero are no entry. A process that overwrote its own environment leaves
    /// empty entries.
    pub(crate) fn parse(bytes: &'a [u8]) -> Self {
        let entries = bytes.split_inclusive(|byte| *byte == 0);
        let entries = entries.filter_map(|entry| CStr::from_bytes_with_nul(entry).ok());
        Self { entries: entries.filter(|entry| !entry.is_empty()).collect() }
    }

    /// Returns the value of `name` as a shell's `${name:-}` does: the first if there are several,
    /// and `None` if it is empty.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        let value = self.entries.iter().find_map(|entry| value_of(name, entry))?;
        (!value.is_empty()).then_some(value)
    }

    /// Replaces all entries of `name` by `entry`, which is `name=value`.
    pub(crate) fn set(&mut self, name: &[u8], entry: &'a CStr) {
        self.entries.retain(|known| value_of(name, known).is_none());
        self.entries.push(entry);
    }

    /// Returns all entries.
    pub(crate) fn entries(&self) -> &[&'a CStr] {
        &self.entries
    }
}

/// Returns the value of `entry` if it has that name.
fn value_of<'a>(name: &[u8], entry: &'a CStr) -> Option<&'a [u8]> {
    entry.to_bytes().strip_prefix(name)?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_handed_on_as_it_is() {
        #[rustfmt::skip]
        let cases: [(&str, &[u8], &[&CStr]); 7] = [
            ("nothing",              b"",                         &[]),
            ("two",                  b"A=1\0B=2\0",               &[c"A=1", c"B=2"]),
            ("a hyphen",             b"INPUT_CACHE-ROOT=/c\0",    &[c"INPUT_CACHE-ROOT=/c"]),
            ("no equals sign",       b"A\0=\0==\0",               &[c"A", c"=", c"=="]),
            ("not UTF-8, and lines", b"A=\xff\n\0B=\r\n%\0",      &[c"A=\xff\n", c"B=\r\n%"]),
            ("twice",                b"A=1\0A=2\0",               &[c"A=1", c"A=2"]),
            ("written over",         b"A=1\0\0\0B=2\0\0 rest",    &[c"A=1", c"B=2"]),
        ];
        for (why, bytes, want) in cases {
            assert_eq!(Environment::parse(bytes).entries(), want, "{why}");
        }
    }

    #[test]
    fn a_value_is_found_by_its_whole_name() {
        #[rustfmt::skip]
        let cases = [
            ("there",             "HOME=/root\0",              Some("/root")),
            ("not there",         "PATH=/bin\0",               None),
            ("a longer name",     "HOMES=/a\0",                None),
            ("a shorter name",    "HOM=/a\0",                  None),
            ("no value",          "HOME\0",                    None),
            ("an empty value",    "HOME=\0",                   None),
            ("an equals sign",    "HOME==/a=b\0",              Some("=/a=b")),
            ("first of two",      "A=1\0HOME=/a\0HOME=/b\0",   Some("/a")),
        ];
        for (why, text, want) in cases {
            let environment = Environment::parse(text.as_bytes());
            assert_eq!(environment.get(b"HOME"), want.map(str::as_bytes), "{why}");
        }
    }

    #[test]
    fn an_entry_that_is_set_replaces_all_of_its_name() {
        let mut environment = Environment::parse(b"A=1\0DIR=x\0B=2\0DIR=y\0DIRS=z\0");
        environment.set(b"DIR", c"DIR=/action");
        assert_eq!(environment.entries(), [c"A=1", c"B=2", c"DIRS=z", c"DIR=/action"]);
    }
}
