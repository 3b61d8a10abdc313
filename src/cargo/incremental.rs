//! Incremental compilation: the sessions that rustc keeps of a crate, by rustc's names.
//!
//! ```text
//! <profile>/incremental/<crate>-<hash>/
//!   s-<time>-<random>-<svh>/      a finalized session: the dep-graph and the objects of one compilation
//!   s-<time>-<random>-working/    a session of a rustc that runs, or that was killed
//!   s-<time>-<random>.lock        the lock of either; a session without one is worth nothing to rustc
//! ```
//!
//! The time counts microseconds since 1970 in base 36. A rustc starts from the newest finalized session of its crate,
//! links its files into a session of its own, and renames that when it has succeeded. It removes older sessions, but
//! spares those of the last ten seconds (`rustc_incremental::persist::fs`, rustc 1.95 to 1.100).
//!
//! The hash is not that of the unit. The lock tells whose session it is: rustc creates it when it starts and never
//! writes to it, so its mtime lies between those of `invoked.timestamp`, which cargo writes before it starts rustc, and
//! of the file with the unit's hash, which cargo writes when rustc has succeeded. All three are of one clock, and a
//! restore puts them back. The time in the name is of another one, which is finer than that of mtimes.

use super::artifacts::compiled_crate;
use super::units::{is_fingerprint, profile_of, spot_of};
use crate::model::rel_path::RelPath;

/// A crate as compiled for one profile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Crate {
    profile: Vec<u8>,
    name: Vec<u8>,
}

impl Crate {
    /// Returns its profile directory, with its slash.
    pub fn profile(&self) -> &[u8] {
        &self.profile
    }

    /// Returns its name.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}

/// Returns the directory of a crate's incremental compilation, and the crate. The path is that directory or lies in it.
pub fn incremental_of(path: &RelPath) -> Option<(RelPath, Crate)> {
    let names: Vec<_> = path.components().collect();
    let at = names.iter().position(|name| *name == b"incremental")?;
    let of = names.get(at + 1)?;
    let dash = of.iter().rposition(|byte| *byte == b'-')?;
    let above: usize = names[..at].iter().map(|name| name.len() + 1).sum();
    let end = above + names[at].len() + 1 + of.len();
    let dir = RelPath::parse(&path.as_bytes()[..end]).ok()?;
    let is_of_a_unit = spot_of(path).is_some();
    let profile = path.as_bytes()[..above].to_owned();
    let of = Crate { profile, name: of[..dash].to_owned() };
    (!is_of_a_unit).then_some((dir, of))
}

/// A session, by the part of its name that its lock has too. The newest one is the greatest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session {
    /// When it began, in microseconds since 1970.
    began: u64,
    /// `s-<time>-<random>`.
    stem: Vec<u8>,
}

/// The kind of an entry of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The directory of a compilation that succeeded.
    Finalized,
    /// The directory of one that runs, or that was killed.
    Working,
    /// The lock.
    Lock,
}

impl Session {
    /// Reads a name in the directory of a crate's incremental compilation; `None` if it is not one of rustc's.
    pub fn parse(name: &[u8]) -> Option<(Self, Part)> {
        let names: Vec<_> = name.split(|byte| *byte == b'-').collect();
        let (time, random, part) = match names[..] {
            [b"s", time, random] => (time, random.strip_suffix(b".lock")?, Part::Lock),
            [b"s", time, random, b"working"] => (time, random, Part::Working),
            [b"s", time, random, svh] if !svh.is_empty() => (time, random, Part::Finalized),
            _ => return None,
        };
        let began = u64::from_str_radix(std::str::from_utf8(time).ok()?, 36).ok()?;
        let len = b"s-".len() + time.len() + b"-".len() + random.len();
        Some((Self { began, stem: name[..len].to_owned() }, part))
    }

    /// Returns the session that a path is of, and the kind of the entry that it is or lies in. `dir` is the directory
    /// of the crate's incremental compilation.
    pub fn of(path: &RelPath, dir: &RelPath) -> Option<(Self, Part)> {
        let below = path.components().nth(dir.components().count())?;
        Self::parse(below)
    }
}

/// A file in the fingerprint directory of a unit that rustc compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// Cargo wrote it before it started rustc: `invoked.timestamp`.
    Invoked,
    /// It holds the unit's hash once rustc has succeeded: `lib-<target>`.
    Hash(Crate),
    /// The messages of the last compilation: `output-lib-<target>`.
    Messages(Crate),
    /// Another one: `lib-<target>.json`, `dep-lib-<target>`.
    Other(Crate),
}

impl Trace {
    /// Returns what a path is; `None` for everything else, for the traces of build scripts that ran, and of
    /// documentation.
    pub fn of(path: &RelPath) -> Option<Self> {
        if !is_fingerprint(path) {
            return None;
        }
        let name = path.file_name();
        if name == b"invoked.timestamp" {
            return Some(Self::Invoked);
        }
        let is_messages = name.starts_with(b"output-");
        let bare = [&b"output-"[..], b"dep-"].iter().find_map(|prefix| name.strip_prefix(*prefix));
        let bare = bare.or_else(|| name.strip_suffix(b".json"));
        let profile = profile_of(path)?.to_owned();
        let of = Crate { profile, name: compiled_crate(bare.unwrap_or(name))? };
        Some(match bare {
            None => Self::Hash(of),
            Some(_) if is_messages => Self::Messages(of),
            Some(_) => Self::Other(of),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::parse(text.as_bytes()).expect("a path below a root")
    }

    fn crate_named(profile: &str, name: &str) -> Crate {
        Crate { profile: profile.into(), name: name.into() }
    }

    #[test]
    fn names_are_rustcs() {
        #[rustfmt::skip]
        let cases = [
            ("s-homhxob2yv-1vcctbk-81xfykoyf3r8e7d4h8mk2m10q", Some((Part::Finalized, "s-homhxob2yv-1vcctbk"))),
            ("s-homhxob2yv-1vcctbk-working",                   Some((Part::Working,   "s-homhxob2yv-1vcctbk"))),
            ("s-homhxob2yv-1vcctbk.lock",                      Some((Part::Lock,      "s-homhxob2yv-1vcctbk"))),
            ("s-homhxob2yv-1vcctbk",                           None),
            ("s-homhxob2yv-1vcctbk-",                          None),
            ("s-homhxob2yv-1vcctbk-81x-y",                     None),
            ("s-homh_ob2yv-1vcctbk-81x",                       None),
            ("s-zzzzzzzzzzzzzzzz-1vcctbk-81x",                 None),
            ("t-homhxob2yv-1vcctbk-81x",                       None),
            ("s",                                              None),
            ("dep-graph.bin",                                  None),
        ];
        for (name, want) in cases {
            let found = Session::parse(name.as_bytes());
            let found =
                found.map(|(session, part)| (part, String::from_utf8_lossy(&session.stem).into()));
            assert_eq!(found, want.map(|(part, stem)| (part, String::from(stem))), "{name}");
        }
    }

    #[test]
    fn the_newest_session_is_the_greatest() {
        let session = |name: &str| Session::parse(name.as_bytes()).map(|(session, _)| session);
        // The number counts, not the text.
        assert!(session("s-10-b-x") > session("s-z-c-x"));
        assert!(session("s-homhxohe7h-1-x") > session("s-homhxohe7g-2-x"));
        let micros = session("s-homhxob2yv-1vcctbk-81x").map(|session| session.began);
        assert_eq!(micros, Some(1_795_988_954_263_495));
    }

    #[test]
    fn incremental_compilation_is_that_of_a_crate() {
        let dir = path("debug/incremental/my_app-1x2wb");
        for below in ["debug/incremental/my_app-1x2wb", "debug/incremental/my_app-1x2wb/s-h/a.o"] {
            let want = Some((dir.clone(), crate_named("debug/", "my_app")));
            assert_eq!(incremental_of(&path(below)), want, "{below}");
        }
        let in_a_unit = "debug/build/x-0123456789abcdef/out/incremental/y-1/z";
        for other in ["debug/incremental", in_a_unit, "debug/incremental/a", "incremental"] {
            assert_eq!(incremental_of(&path(other)), None, "{other}");
        }
        let below = Session::of(&path("debug/incremental/my_app-1x2wb/s-h-1-2/a.o"), &dir);
        assert_eq!(below, Session::parse(b"s-h-1-2"));
        assert_eq!(Session::of(&dir, &dir), None);
    }

    #[test]
    fn a_trace_tells_the_crate_that_rustc_compiled() {
        let old = "debug/.fingerprint/my-app-0123456789abcdef";
        let new = "x86_64-unknown-linux-gnu/fast/build/my-app/0123456789abcdef/fingerprint";
        let app = |dir: &str| {
            let profile = if dir == old { "debug/" } else { "x86_64-unknown-linux-gnu/fast/" };
            crate_named(profile, "my_app")
        };
        for dir in [old, new] {
            #[rustfmt::skip]
            let cases = [
                ("invoked.timestamp",       Some(Trace::Invoked)),
                ("bin-my-app",              Some(Trace::Hash(app(dir)))),
                ("lib-my_app",              Some(Trace::Hash(app(dir)))),
                ("test-lib-my_app",         Some(Trace::Hash(app(dir)))),
                ("lib-my_app.json",         Some(Trace::Other(app(dir)))),
                ("dep-lib-my_app",          Some(Trace::Other(app(dir)))),
                ("output-test-bin-my-app",  Some(Trace::Messages(app(dir)))),
                ("doc-lib-my_app",          None),
                ("output-doc-lib-my_app",   None),
                ("run-build-script-build-script-build", None),
                ("another",                 None),
            ];
            for (name, want) in cases {
                assert_eq!(Trace::of(&path(&format!("{dir}/{name}"))), want, "{dir}/{name}");
            }
        }
        let of_run = "debug/build/my-app/0123456789abcdef/run/invoked.timestamp";
        assert_eq!(Trace::of(&path(of_run)), None);
    }
}
