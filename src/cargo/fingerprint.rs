//! Cargo's record of a unit: its dependencies, and the state that cargo compares it with.
//!
//! In a fingerprint directory, `lib-sib` holds the hash, `lib-sib.json` the inputs of the hash, and `dep-lib-sib` the
//! files that rustc read. `write_fingerprint` and `EncodedDepInfo` of cargo 1.95 to 1.101 (`compiler/fingerprint`)
//! write them. Anything that does not parse is `None`: another cargo wrote it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde::Deserialize;

use crate::model::rel_path::RelPath;
use crate::model::timestamp::Timestamp;

/// The state that cargo compares a unit with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// The hashes of the units it depends on, as they were when it was built.
    pub deps: Vec<u64>,
    /// The conditions that make it stale.
    pub checks: Vec<Check>,
    /// Its features and target platform, which tell it from the other units of its target.
    pub flavor: Flavor,
}

/// The properties of a unit that stay the same under another version or other flags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Flavor {
    /// The features, as cargo writes them.
    pub features: String,
    /// The hash of the target platform, 0 for the host's.
    pub compile_kind: u64,
}

/// One condition that makes a unit stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// A file that rustc read is newer than this file of the target directory.
    DepInfo(RelPath),
    /// A file that rustc read has another content than this file of the target directory records
    /// (`build.fingerprint = "content"`).
    Content(RelPath),
    /// One of `paths`, relative to the package's directory, is newer than `output` in the target directory; for a
    /// directory, any file in it.
    Changed {
        /// The build script's output.
        output: RelPath,
        /// The paths that the script asked cargo to compare.
        paths: Vec<PathBuf>,
    },
    /// A variable has another value.
    Variable(Variable),
    /// Of a path package: the newest file of the whole package is another file, or newer.
    Package {
        /// The newest file, relative to the package's directory.
        newest: PathBuf,
        /// Its mtime; `None` if it is not written as cargo writes it today.
        mtime: Option<Timestamp>,
    },
    /// A condition that no checkout changes.
    Other,
}

/// A variable and its value; `None` if it was not set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Option<String>,
}

impl Fingerprint {
    /// Reads the JSON of a fingerprint.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let file: File = serde_json::from_slice(json).ok()?;
        let deps = file.deps.into_iter().map(|Dep(_, _, _, hash)| hash).collect();
        let checks = file.local.into_iter().map(Check::of).collect::<Option<_>>()?;
        Some(Self { deps, checks, flavor: file.flavor })
    }
}

/// Reads the hash of a fingerprint: 16 hex digits, the lowest byte first. Cargo empties the file when
/// it begins to build the unit.
pub fn hash(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 16)?;
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u64::from_str_radix(text, 16).ok().map(u64::swap_bytes))?
}

/// The files and variables that rustc read, from the dep-info in a fingerprint directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The files in the package's directory, relative to it. Cargo records none for an immutable package.
    pub own: Vec<PathBuf>,
    /// The files elsewhere, absolute, without those in the target directory: they come and go with it.
    pub others: Vec<PathBuf>,
    /// The variables of `env!` and `option_env!`, without those that cargo or a build script sets.
    pub variables: Vec<Variable>,
}

/// Reads the dep-info in a fingerprint directory.
pub fn inputs(dep_info: &[u8]) -> Option<Inputs> {
    let mut bytes = Bytes(dep_info);
    let mark = bytes.take(6)?;
    if mark != b"\x01\0\0\0\xff\x01" {
        return None;
    }
    let mut inputs = Inputs::default();
    for _ in 0..bytes.number()? {
        let base = bytes.take(1)?;
        let path = PathBuf::from(OsStr::from_bytes(bytes.text()?));
        match base {
            b"\0" => inputs.own.push(path),
            b"\x01" => inputs.others.extend(Some(path).filter(|path| path.is_absolute())),
            _ => return None,
        }
        // If cargo compares contents, a checksum follows: the length of the file, and the digest.
        if bytes.take(1)? != b"\0" {
            bytes.take(8)?;
            bytes.text()?;
        }
    }
    for _ in 0..bytes.number()? {
        let name = String::from_utf8(bytes.text()?.to_vec()).ok()?;
        let value = match bytes.take(1)? {
            b"\0" => None,
            _ => Some(String::from_utf8(bytes.text()?.to_vec()).ok()?),
        };
        inputs.variables.push(Variable { name, value });
    }
    Some(inputs)
}

impl Check {
    /// Returns `None` for a path that cannot lie in the target directory.
    fn of(local: Local) -> Option<Self> {
        Some(match local {
            Local::CheckDepInfo { dep_info, checksum, fingerprint } => {
                let path = parse(&dep_info)?;
                match fingerprint.as_deref() {
                    Some("content") => Self::Content(path),
                    None if checksum => Self::Content(path),
                    None | Some("mtime") => Self::DepInfo(path),
                    Some(_) => return None,
                }
            }
            Local::RerunIfChanged { output, paths } => {
                Self::Changed { output: parse(&output)?, paths }
            }
            Local::RerunIfEnvChanged { var, val } => {
                Self::Variable(Variable { name: var, value: val })
            }
            // `1795266152.889983977s (src/lib.rs)`; for other packages the version or revision.
            Local::Precalculated(text) => {
                let newest = text.strip_suffix(')').and_then(|text| text.split_once("s ("));
                newest.map_or(Self::Other, |(mtime, path)| Self::Package {
                    newest: path.into(),
                    mtime: time(mtime),
                })
            }
        })
    }
}

/// Reads seconds and nine digits of nanoseconds.
fn time(text: &str) -> Option<Timestamp> {
    let (secs, nanos) = text.split_once('.')?;
    (nanos.len() == 9).then_some(())?;
    Some(Timestamp::new(secs.parse().ok()?, nanos.parse().ok()?))
}

fn parse(path: &str) -> Option<RelPath> {
    RelPath::parse(path.as_bytes()).ok()
}

#[derive(Deserialize)]
struct File {
    deps: Vec<Dep>,
    local: Vec<Local>,
    #[serde(flatten)]
    flavor: Flavor,
}

/// The hash of the package, the name, whether it is public, the hash of the fingerprint.
#[derive(Deserialize)]
struct Dep(serde::de::IgnoredAny, serde::de::IgnoredAny, serde::de::IgnoredAny, u64);

#[derive(Deserialize)]
enum Local {
    CheckDepInfo {
        dep_info: String,
        /// Up to cargo 1.98, with `-Zchecksum-freshness`.
        #[serde(default)]
        checksum: bool,
        /// `mtime` or `content`: written by cargo 1.99 and later, which write no `checksum`.
        #[serde(default)]
        fingerprint: Option<String>,
    },
    RerunIfChanged {
        output: String,
        paths: Vec<PathBuf>,
    },
    RerunIfEnvChanged {
        var: String,
        val: Option<String>,
    },
    Precalculated(String),
}

/// Bytes that are taken from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.take(len as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        parse(text).expect("a path below a root")
    }

    fn variable(name: &str, value: Option<&str>) -> Variable {
        Variable { name: name.to_owned(), value: value.map(str::to_owned) }
    }

    #[test]
    fn each_kind_of_check_is_read_and_unknown_kinds_are_not_guessed() {
        let dep_info = "debug/.fingerprint/a-0123456789abcdef/dep-lib-a";
        #[rustfmt::skip]
        let cases = [
            (r#"{"CheckDepInfo":{"dep_info":"@","checksum":false}}"#,               Some(Check::DepInfo(path(dep_info)))),
            (r#"{"CheckDepInfo":{"dep_info":"@","checksum":true}}"#,                Some(Check::Content(path(dep_info)))),
            (r#"{"CheckDepInfo":{"dep_info":"@","fingerprint":"mtime"}}"#,          Some(Check::DepInfo(path(dep_info)))),
            (r#"{"CheckDepInfo":{"dep_info":"@","fingerprint":"content"}}"#,        Some(Check::Content(path(dep_info)))),
            (r#"{"CheckDepInfo":{"dep_info":"@","fingerprint":"stars"}}"#,          None),
            (r#"{"RerunIfChanged":{"output":"@","paths":["in.txt","/etc/x"]}}"#,    Some(Check::Changed { output: path(dep_info), paths: vec!["in.txt".into(), "/etc/x".into()] })),
            (r#"{"RerunIfEnvChanged":{"var":"CC","val":null}}"#,                    Some(Check::Variable(variable("CC", None)))),
            (r#"{"RerunIfEnvChanged":{"var":"CC","val":"cc"}}"#,                    Some(Check::Variable(variable("CC", Some("cc"))))),
            (r#"{"Precalculated":"1795266152.889983977s (a (b)/x.rs)"}"#,           Some(Check::Package { newest: "a (b)/x.rs".into(), mtime: Some(Timestamp::new(1_795_266_152, 889_983_977)) })),
            (r#"{"Precalculated":"1795266152.9s (x.rs)"}"#,                         Some(Check::Package { newest: "x.rs".into(), mtime: None })),
            (r#"{"Precalculated":"1.0.219"}"#,                                      Some(Check::Other)),
            (r#"{"CheckTheMoon":{}}"#,                                              None),
            (r#"{"CheckDepInfo":{"dep_info":"/etc/passwd","checksum":false}}"#,     None),
            (r#"{"CheckDepInfo":{"dep_info":"debug/../x","checksum":false}}"#,      None),
            (r#"{"Precalculated":7}"#,                                              None),
        ];
        for (local, want) in cases {
            let local = local.replace('@', dep_info);
            let json = format!(r#"{{"rustc":1,"deps":[],"local":[{local}],"kind":0}}"#);
            let got = Fingerprint::parse(json.as_bytes()).map(|print| print.checks);
            assert_eq!(got, want.map(|check| vec![check]), "{local}");
        }
    }

    #[test]
    fn the_hash_that_a_dependent_names_is_the_one_in_the_file() {
        let json =
            br#"{"deps":[[14774982557008667206,"sib",false,13265965849542754830]],"local":[]}"#;
        let want = Fingerprint { deps: vec![13_265_965_849_542_754_830], ..Fingerprint::default() };
        assert_eq!(Fingerprint::parse(json), Some(want));
        assert_eq!(hash(b"0e827570a72d1ab8"), Some(13_265_965_849_542_754_830));
        for no_hash in [&b""[..], b"0e827570a72d1ab", b"+e827570a72d1ab8", b"\xff\xff"] {
            assert_eq!(hash(no_hash), None);
        }
        for no_json in [&b""[..], b"{}", br#"{"deps":[[1,2,3]],"local":[]}"#, b"[]"] {
            assert_eq!(Fingerprint::parse(no_json), None);
        }
    }

    #[test]
    fn inputs_are_read_to_the_end_and_a_torn_file_has_none() {
        let whole = b"\x01\0\0\0\xff\x01\x03\0\0\0\
            \x00\x0a\0\0\0src/lib.rs\0\x01\x09\0\0\0debug/out\0\x01\x04\0\0\0/w/x\0\
            \x02\0\0\0\x04\0\0\0BARR\x01\x03\0\0\0baz\x04\0\0\0FOOO\0";
        let want = Inputs {
            own: vec!["src/lib.rs".into()],
            others: vec!["/w/x".into()],
            variables: vec![variable("BARR", Some("baz")), variable("FOOO", None)],
        };
        assert_eq!(inputs(whole), Some(want));
        for len in 0..whole.len() {
            assert_eq!(inputs(&whole[..len]), None, "{len} bytes");
        }
        let with_checksum = b"\x01\0\0\0\xff\x01\x01\0\0\0\x00\x0a\0\0\0src/lib.rs\x01\
            \x07\0\0\0\0\0\0\0\x04\0\0\0a=12\x01\0\0\0\x01\0\0\0F\0";
        let variables = inputs(with_checksum).map(|inputs| inputs.variables);
        assert_eq!(variables, Some(vec![variable("F", None)]));
        for unknown in
            [&b"\x01\0\0\0\xff\x01\xff\xff\xff\xff"[..], b"\x01\0\0\0\xff\x02\0\0\0\0\0\0\0\0"]
        {
            assert_eq!(inputs(unknown), None);
        }
        let other_base =
            whole.iter().enumerate().map(|(at, byte)| if at == 10 { 2 } else { *byte });
        assert_eq!(inputs(&other_base.collect::<Vec<_>>()), None);
    }
}
