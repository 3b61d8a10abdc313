//! The system that a tree was built on, and whether the tree works on another.
//!
//! Build outputs work on newer systems, not on older ones: a program starts with a newer libc and
//! not with an older one, and the same holds for what it assumes of a release or a C++ compiler.
//! The reasons and measurements are in `docs/decisions/0024-system.md`.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The parts of a system that matter to programs built on it. An absent part is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// The C library that programs are linked to: `glibc` or `musl`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub libc: Option<Part>,
    /// The operating system: the `ID` and `VERSION_ID` of its `os-release`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub os: Option<Part>,
    /// The C compiler, through which rustc links too: `gcc` or `clang`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub compiler: Option<Part>,
    /// The linker, recorded for people: programs of one linker work with those of any other.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub linker: Option<Part>,
}

/// A part of a system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its version, if known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
}

impl Part {
    /// Returns the part of that name and version.
    pub fn new(name: &str, version: Option<&str>) -> Self {
        Self { name: name.to_owned(), version: version.map(str::to_owned) }
    }

    /// Compares the first `most` numbers of two versions of a part; `None` if the names differ or a
    /// version is unknown.
    fn cmp_version(&self, other: &Self, most: usize) -> Option<Ordering> {
        let numbers = |part: &Self| -> Option<Vec<u64>> {
            let version = part.version.as_ref()?;
            version.split('.').take(most).map(|number| number.parse().ok()).collect()
        };
        (self.name == other.name).then_some(numbers(self)?.cmp(&numbers(other)?))
    }

    /// Returns the newer version of a part; `self` if the names differ.
    fn newer_of(self, other: &Self) -> Self {
        match self.cmp_version(other, usize::MAX) {
            Some(Ordering::Less) => other.clone(),
            None if self.name == other.name && self.version.is_none() => other.clone(),
            _ => self,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.version.iter().try_for_each(|version| write!(f, " {version}"))
    }
}

/// A part of a system whose newer versions make files that older ones cannot use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// The C library.
    Libc,
    /// The operating system.
    Os,
    /// The C compiler.
    Compiler,
}

impl Which {
    /// All parts, the most harmful mismatch first.
    const ALL: [Self; 3] = [Self::Libc, Self::Os, Self::Compiler];

    fn of(self, system: &System) -> Option<&Part> {
        match self {
            Self::Libc => system.libc.as_ref(),
            Self::Os => system.os.as_ref(),
            Self::Compiler => system.compiler.as_ref(),
        }
    }

    /// Returns how many numbers of a version count. Patch releases of a compiler add nothing that
    /// the library of another patch release lacks.
    fn numbers(self) -> usize {
        if self == Self::Compiler { 1 } else { usize::MAX }
    }
}

/// How a tree built on one system fits another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It was built on a system like this one.
    Same,
    /// It was built on another system, and no part of that is newer than here.
    Usable,
    /// Unknown: no known fact keeps it from working.
    Unknown,
    /// It was built with a newer version of this part.
    TooNew(Which),
    /// It was built for another C library.
    OtherLibc,
}

impl Fit {
    /// Tells whether it may be used at all.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Same | Self::Usable | Self::Unknown)
    }
}

/// Returns how a tree built on `saved` fits `here`. `saved` is `None` if an older version saved the
/// tree.
pub fn compare(here: &System, saved: Option<&System>) -> Fit {
    let Some(saved) = saved else { return Fit::Unknown };
    let libcs = here.libc.as_ref().zip(saved.libc.as_ref());
    if libcs.is_some_and(|(here, saved)| here.name != saved.name) {
        return Fit::OtherLibc;
    }
    let is_newer = |which: &Which| {
        let parts = which.of(saved).zip(which.of(here));
        let order = parts.and_then(|(saved, here)| saved.cmp_version(here, which.numbers()));
        order == Some(Ordering::Greater)
    };
    match Which::ALL.into_iter().find(is_newer) {
        Some(which) => Fit::TooNew(which),
        None if libcs.is_none() => Fit::Unknown,
        None if here.without_linker() == saved.without_linker() => Fit::Same,
        None => Fit::Usable,
    }
}

impl System {
    /// Returns the system to record for a tree that was built here on top of a tree of `earlier`:
    /// the newest version of each part, since the tree contains files of both.
    #[must_use]
    pub fn on_top_of(self, earlier: Option<&Self>) -> Self {
        let Some(earlier) = earlier else { return self };
        let newest = |here: Option<Part>, earlier: &Option<Part>| match (here, earlier) {
            (Some(here), Some(earlier)) => Some(here.newer_of(earlier)),
            (here, earlier) => here.or_else(|| earlier.clone()),
        };
        Self {
            libc: newest(self.libc, &earlier.libc),
            os: newest(self.os, &earlier.os),
            compiler: newest(self.compiler, &earlier.compiler),
            linker: newest(self.linker, &earlier.linker),
        }
    }

    /// Returns the parts that generations must share to replace each other: with others, no job of
    /// another system may be able to use the replacement.
    pub fn kind(&self) -> (Option<&Part>, Option<&Part>) {
        (self.libc.as_ref(), self.os.as_ref())
    }

    /// Returns a message that something was saved on `saved` and not on a system like this; `None`
    /// if the difference does not matter to people. Compilers count only if nothing else differs.
    pub fn says_saved_on(&self, saved: &Self) -> Option<String> {
        if self.kind() != saved.kind() {
            return Some(format!("saved on {}; this is {}", saved.base(), self.base()));
        }
        let compilers = saved.compiler.as_ref().zip(self.compiler.as_ref());
        let (theirs, ours) = compilers.filter(|(theirs, ours)| theirs != ours)?;
        Some(format!("saved where the C compiler is {theirs}; here it is {ours}"))
    }

    fn without_linker(&self) -> Self {
        Self { linker: None, ..self.clone() }
    }

    /// Returns the system without its compiler and linker, for people.
    fn base(&self) -> impl fmt::Display {
        Self { compiler: None, linker: None, ..self.clone() }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.os {
            Some(os) => write!(f, "{os}")?,
            None => f.write_str("an unknown system")?,
        }
        let mut parts = [&self.libc, &self.compiler, &self.linker].into_iter().flatten();
        if let Some(first) = parts.next() {
            write!(f, " ({first}")?;
            parts.try_for_each(|part| write!(f, ", {part}"))?;
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// Generations that may not be used on a system, all for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// The part of the system that does not fit.
    pub which: Which,
    /// That part where they were built.
    pub theirs: Part,
    /// That part here, if it is known.
    pub ours: Option<Part>,
    /// How many they are.
    pub count: usize,
}

/// Groups the systems of generations that may not be used `here` by the reason, the worst first.
pub fn passed_over<'a>(
    here: &System,
    saved: impl Iterator<Item = Option<&'a System>>,
) -> Vec<PassedOver> {
    let mut counts: BTreeMap<(Which, &Part), usize> = BTreeMap::new();
    for saved in saved.flatten() {
        let which = match compare(here, Some(saved)) {
            Fit::TooNew(which) => which,
            Fit::OtherLibc => Which::Libc,
            Fit::Same | Fit::Usable | Fit::Unknown => continue,
        };
        if let Some(part) = which.of(saved) {
            *counts.entry((which, part)).or_default() += 1;
        }
    }
    let passed_over = |((which, part), count): ((Which, &Part), usize)| PassedOver {
        which,
        theirs: part.clone(),
        ours: which.of(here).cloned(),
        count,
    };
    counts.into_iter().map(passed_over).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Parses `libc version, os version, compiler version, linker version`; `-` means unknown.
    pub(crate) fn system(text: &str) -> System {
        let part = |text: &str| {
            let (name, version) = text
                .trim()
                .split_once(' ')
                .map_or((text.trim(), None), |both| (both.0, Some(both.1)));
            (name != "-").then(|| Part::new(name, version))
        };
        let mut parts = text.split(',').map(part);
        let mut next = || parts.next().flatten();
        System { libc: next(), os: next(), compiler: next(), linker: next() }
    }

    #[test]
    fn artifacts_move_to_newer_systems_and_never_to_older_ones() {
        use Fit::{OtherLibc, Same, TooNew, Unknown, Usable};
        use Which::{Compiler, Libc, Os};
        #[rustfmt::skip]
        let cases = [
            // saved                                 here                                    fit
            ("glibc 2.36, debian 12, gcc 12.2.0",    "glibc 2.36, debian 12, gcc 12.2.0",    Same),
            ("glibc 2.36, debian 12, gcc 12.2.0, ld 2.44", "glibc 2.36, debian 12, gcc 12.2.0, mold 2.40", Same),
            ("glibc 2.36, debian 12, gcc 12.2.0",    "glibc 2.41, debian 13, gcc 14.2.0",    Usable),
            ("glibc 2.41, debian 13, gcc 14.2.0",    "glibc 2.36, debian 12, gcc 12.2.0",    TooNew(Libc)),
            ("glibc 2.9, a 1",                       "glibc 2.10, a 1",                      Usable),
            ("glibc 2.10, a 1",                      "glibc 2.9, a 1",                       TooNew(Libc)),
            ("musl 1.2.5, alpine 3.21.0",            "glibc 2.41, debian 13",                OtherLibc),
            ("glibc 2.36, debian 12",                "musl 1.2.5, alpine 3.21.0",            OtherLibc),
            ("musl 1.2.5, alpine 3.21.0",            "musl 1.2.4, alpine 3.18.0",            TooNew(Libc)),
            ("musl, alpine 3.21.0",                  "musl 1.2.4, alpine 3.18.0",            TooNew(Os)),
            ("glibc 2.36, debian 13",                "glibc 2.36, debian 11",                TooNew(Os)),
            ("glibc 2.36, debian 11",                "glibc 2.36, debian 13",                Usable),
            ("glibc 2.34, rhel 9.4",                 "glibc 2.34, rhel 9.3",                 TooNew(Os)),
            ("glibc 2.34, centos 9",                 "glibc 2.34, centos 9",                 Same),
            ("glibc 2.39, fedora 40",                "glibc 2.39, ubuntu 24.04",             Usable),
            ("glibc 2.41, debian",                   "glibc 2.41, debian 13",                Usable),
            ("glibc 2.36, debian 12, gcc 13.1.0",    "glibc 2.36, debian 12, gcc 12.2.0",    TooNew(Compiler)),
            ("glibc 2.36, debian 12, gcc 12.3.0",    "glibc 2.36, debian 12, gcc 12.2.0",    Usable),
            ("glibc 2.36, debian 12, clang 16.0.6",  "glibc 2.36, debian 12, gcc 12.2.0",    Usable),
            ("-, debian 13",                         "glibc 2.36, debian 12",                TooNew(Os)),
            ("-, debian 12",                         "glibc 2.36, debian 12",                Unknown),
            ("glibc 2.41, debian 13",                "-, -",                                 Unknown),
            ("-, -",                                 "-, -",                                 Unknown),
            ("glibc 2.x, debian 12",                 "glibc 2.36, debian 12",                Usable),
            ("glibc 99999999999999999999, a",        "glibc 2.36, a",                        Usable),
        ];
        for (saved, here, want) in cases {
            let fit = compare(&system(here), Some(&system(saved)));
            assert_eq!(fit, want, "{saved} on {here}");
            let is_usable = matches!(want, Same | Usable | Unknown);
            assert_eq!(fit.is_usable(), is_usable, "{saved} on {here}");
        }
        assert_eq!(compare(&system("glibc 2.36, debian 12"), None), Unknown);
    }

    #[test]
    fn a_tree_of_two_systems_is_of_the_newest_of_each_part() {
        #[rustfmt::skip]
        let cases = [
            // here                                 restored                                 recorded
            ("glibc 2.41, debian 13, gcc 14.2.0",   "glibc 2.36, debian 12, gcc 12.2.0",     "glibc 2.41, debian 13, gcc 14.2.0"),
            ("glibc 2.36, debian 12, gcc 12.2.0",   "glibc 2.41, debian 13, gcc 14.2.0",     "glibc 2.41, debian 13, gcc 14.2.0"),
            ("glibc 2.36, debian 12, gcc 12.2.0",   "glibc 2.36, debian 11, gcc 12.3.0",     "glibc 2.36, debian 12, gcc 12.3.0"),
            ("-, debian 12, -",                     "glibc 2.41, debian 13, gcc 14.2.0",     "glibc 2.41, debian 13, gcc 14.2.0"),
            ("glibc 2.41, debian, -",               "glibc 2.36, debian 12, -",              "glibc 2.41, debian 12, -"),
            ("glibc 2.39, fedora 40, clang 18.1.0", "glibc 2.39, ubuntu 24.04, gcc 13.2.0",  "glibc 2.39, fedora 40, clang 18.1.0"),
        ];
        for (here, restored, want) in cases {
            let recorded = system(here).on_top_of(Some(&system(restored)));
            assert_eq!(recorded, system(want), "{here} on top of {restored}");
        }
        let here = system("glibc 2.36, debian 12, gcc 12.2.0");
        assert_eq!(here.clone().on_top_of(None), here);
    }

    #[test]
    fn people_are_told_which_systems_and_why() {
        let here = system("glibc 2.36, debian 12, gcc 12.2.0");
        assert_eq!(here.to_string(), "debian 12 (glibc 2.36, gcc 12.2.0)");
        assert_eq!(system("-, -").to_string(), "an unknown system");
        #[rustfmt::skip]
        let cases = [
            ("glibc 2.36, debian 12, gcc 12.2.0",  None),
            ("glibc 2.35, ubuntu 22.04, gcc 11.4", Some("saved on ubuntu 22.04 (glibc 2.35); this is debian 12 (glibc 2.36)")),
            ("glibc 2.36, debian 12, gcc 11.3.0",  Some("saved where the C compiler is gcc 11.3.0; here it is gcc 12.2.0")),
            ("glibc 2.36, debian 12",              None),
        ];
        for (saved, want) in cases {
            assert_eq!(here.says_saved_on(&system(saved)).as_deref(), want, "{saved}");
        }
        let saved = [
            "glibc 2.36, debian 12, gcc 14.2.0",
            "glibc 2.41, debian 13",
            "glibc 2.36, debian 13",
            "musl 1.2.5, alpine 3.21.0",
            "glibc 2.41, ubuntu 25.04",
            "glibc 2.36, debian 12",
        ]
        .map(system);
        let groups = passed_over(&here, saved.iter().map(Some).chain([None]));
        let lines: Vec<_> = groups.iter().map(ToString::to_string).collect();
        let want = [
            "2 generations were built with glibc 2.41; this host has glibc 2.36: their build scripts would not start",
            "1 generation was built with musl 1.2.5; this host has glibc 2.36: its build scripts would not start",
            "1 generation was built on debian 13; this is debian 12, which may lack libraries that its programs need",
            "1 generation was built with gcc 14.2.0; this host has gcc 12.2.0, which may not link its C and C++ code",
        ];
        assert_eq!(lines, want);
    }
}
