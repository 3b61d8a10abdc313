//! The system that builds run on: its C library, its release, its C compiler.
//!
//! This module hides where these lie and how each of them writes its version. No function here fails: a part that
//! cannot be found or read is unknown. Files are read up to a limit, and only a valid name or version is taken from
//! them. `docs/decisions/0024-system.md` has the reasons.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Take};
use std::path::Path;

use super::config::Config;
use super::evidence::Evidence;
use super::memory::Memory;
use super::{dirs, program};
use crate::model::environment::Environment;
use crate::model::system::{Part, System};

/// The maximum of bytes to read from a libc: glibc 2.36 has 1.9 MB, musl 1.2.3 0.6 MB.
const MAX_LIBC_BYTES: u64 = 32 * 1024 * 1024;

/// The maximum of bytes to read from an `os-release`.
const MAX_RELEASE_BYTES: u64 = 64 * 1024;

/// Returns the known parts of the system that a build in the directory `repo` runs on.
///
/// Runs the C compiler and the linker, which takes the time of two processes, and reads files for the rest.
pub fn system(repo: &Path, environment: &Environment, memory: &Memory) -> System {
    let root = root(environment);
    System {
        libc: libc(root),
        os: os(root),
        compiler: compiler(repo, environment, memory),
        linker: linker(repo, environment, memory),
    }
}

/// Returns the root directory of the system's files: `/`, or the one that a test of a debug build sets.
fn root(environment: &Environment) -> &Path {
    let given = environment.get("RUNNER_CACHE_SYSTEM_ROOT").filter(|_| cfg!(debug_assertions));
    given.map_or(Path::new("/"), Path::new)
}

/// Returns the C library in the usual places below `root`: glibc, or else musl.
fn libc(root: &Path) -> Option<Part> {
    let arch = std::env::consts::ARCH;
    let multiarch = |suffix: &str| format!("usr/lib/{arch}-linux-{suffix}");
    let dirs = [
        // Debian and its kin, then systems that keep 32-bit libraries in `lib`, then the others.
        multiarch("gnu"),
        multiarch("gnueabihf"),
        "usr/lib64".to_owned(),
        "lib64".to_owned(),
        "usr/lib".to_owned(),
        "lib".to_owned(),
        format!("lib/{arch}-linux-gnu"),
    ];
    let glibc = dirs.iter().find_map(|dir| glibc_version(&root.join(dir).join("libc.so.6")));
    if let Some(version) = glibc {
        return Some(Part::new("glibc", Some(&version)));
    }
    let loader = std::fs::read_dir(root.join("lib"))
        .ok()?
        .flatten()
        .find(|entry| entry.file_name().as_encoded_bytes().starts_with(b"ld-musl-"))?;
    Some(Part::new("musl", musl_version(&loader.path()).as_deref()))
}

/// Returns the version in the banner of a glibc: `GNU C Library (<package>) stable release version 2.36.`, at the end
/// of a line. The versions of its symbols do not suffice: 2.31 has none of its own.
fn glibc_version(path: &Path) -> Option<String> {
    const SAYS: &[u8] = b"release version ";
    /// The maximum length of the banner line; other bytes of the file may come before it in the same "line".
    const MAX_LINE: usize = 512;
    let lines = BufReader::with_capacity(128 * 1024, open(path, MAX_LIBC_BYTES)?).split(b'\n');
    let found = lines.map_while(Result::ok).find_map(|piece| {
        let line = &piece[piece.len().saturating_sub(MAX_LINE)..];
        let from = position(line, b"GNU C Library (")?;
        let at = from + position(&line[from..], SAYS)? + SAYS.len();
        Some(line[at..].to_vec())
    });
    let is_of_version = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    let text: Vec<u8> = found?.into_iter().take_while(is_of_version).collect();
    version(std::str::from_utf8(&text).ok()?.trim_end_matches('.'))
}

/// Returns the version of a musl: the only text in it that is three numbers and nothing else.
fn musl_version(path: &Path) -> Option<String> {
    let bytes = content(path, MAX_LIBC_BYTES)?;
    let words = bytes.split(|byte| *byte == 0).filter_map(|word| std::str::from_utf8(word).ok());
    let is_version = |text: &&str| version(text).is_some() && text.split('.').count() == 3;
    let mut versions = words.filter(is_version);
    let first = versions.next()?;
    versions.all(|other| other == first).then(|| first.to_owned())
}

/// Opens a regular file to read its first `most` bytes. A fifo or a device would keep us waiting.
fn open(path: &Path, most: u64) -> Option<Take<File>> {
    let is_file = std::fs::metadata(path).ok()?.is_file();
    if is_file { Some(File::open(path).ok()?.take(most)) } else { None }
}

fn content(path: &Path, most: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, most)?.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// Returns the name and version of the release (os-release(5)); the first file that exists counts.
fn os(root: &Path) -> Option<Part> {
    let paths = ["etc/os-release", "usr/lib/os-release"].map(|path| root.join(path));
    let text = paths.iter().find_map(|path| content(path, MAX_RELEASE_BYTES))?;
    let text = String::from_utf8_lossy(&text);
    let value = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        let (_, value) = lines.find(|(of, _)| of.trim() == name)?;
        let value = value.trim().trim_matches(['"', '\'']);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_word = (1..=64).contains(&value.len()) && value.bytes().all(fits);
        is_word.then(|| value.to_owned())
    };
    Some(Part::new(&value("ID")?, value("VERSION_ID").as_deref()))
}

/// Returns the C compiler that the `cc` crate runs, and rustc as its linker, unless a variable names another. Variables
/// that name others (`CC_<target>`, `CARGO_TARGET_<target>_LINKER`) are part of the key.
fn compiler(repo: &Path, environment: &Environment, memory: &Memory) -> Option<Part> {
    let named = environment.get("CC").and_then(OsStr::to_str).unwrap_or_default();
    let mut words = named.split_whitespace().skip_while(|word| is_wrapper(word));
    let program = words.next().unwrap_or("cc");
    let args: Vec<_> = words.chain(["--version"]).collect();
    let said = said(program.as_ref(), &args, repo, environment, memory)?;
    compiler_of(&said)
}

/// Returns the output of a program that succeeds.
fn said(
    program: &OsStr,
    args: &[&str],
    repo: &Path,
    environment: &Environment,
    memory: &Memory,
) -> Option<String> {
    let evidence = || Evidence::of_program(program, args, repo, environment);
    let answer = memory.answer(
        evidence,
        |_| false,
        || {
            let answer = program::run(program, args, repo, environment)?;
            let output = answer.filter(|output| output.status.success()).ok_or(());
            Ok(output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()))
        },
    );
    answer.ok()?.ok()
}

/// Tells whether a program is a wrapper of the compiler named after it, by the list of the `cc` crate. We run no
/// wrapper: it may start a server with our environment, which the build would use afterwards.
fn is_wrapper(program: &str) -> bool {
    const KNOWN: [&str; 6] = ["ccache", "distcc", "sccache", "icecc", "cachepot", "buildcache"];
    Path::new(program).file_stem().and_then(OsStr::to_str).is_some_and(|it| KNOWN.contains(&it))
}

/// Recognizes a compiler by its output. A GCC shows by the owner of its copyright, under whatever name it was called.
fn compiler_of(said: &str) -> Option<Part> {
    let first = said.lines().next()?;
    let name = if first.contains("clang") {
        "clang"
    } else if said.contains("Free Software Foundation") {
        "gcc"
    } else {
        return None;
    };
    Some(Part::new(name, version_in(first).as_deref()))
}

/// Returns the linker that a build uses: the program that a variable or cargo's configuration names, else the `ld` that
/// the C compiler calls. It is recorded for people: no build was seen to break by another linker.
fn linker(repo: &Path, environment: &Environment, memory: &Memory) -> Option<Part> {
    let is_linker = |name: &str| name.starts_with("CARGO_TARGET_") && name.ends_with("_LINKER");
    let mut named = environment.iter().filter(|(name, _)| name.to_str().is_some_and(is_linker));
    let configured = || {
        let home = dirs::cargo_home(environment, None, repo).ok();
        Config::read(repo, home.as_deref()).ok()?.linker().map(OsString::from)
    };
    if let Some(program) = named.next().map(|(_, value)| value.to_owned()).or_else(configured) {
        let name = Path::new(&program).file_name()?.to_str()?.to_owned();
        return Some(Part::new(&name, None));
    }
    let said = said("ld".as_ref(), &["--version"], repo, environment, memory)?;
    let first = said.lines().next()?;
    let name = ["mold", "LLD", "gold"].into_iter().find(|name| first.contains(name));
    Some(Part::new(&name.unwrap_or("ld").to_lowercase(), version_in(first).as_deref()))
}

/// Returns the first version in a line that a program prints about itself.
fn version_in(line: &str) -> Option<String> {
    // A version in parentheses is that of a package.
    let mut depth = 0_usize;
    let outside: String = line
        .chars()
        .map(|c| {
            depth = match c {
                '(' => depth + 1,
                ')' => depth.saturating_sub(1),
                _ => depth,
            };
            if depth > 0 { ' ' } else { c }
        })
        .collect();
    let mut words = outside.split(|c: char| c.is_whitespace() || c == '-');
    words.find_map(|word| version(word).filter(|version| version.contains('.')))
}

/// Returns `text` if it consists of numbers with dots between them.
fn version(text: &str) -> Option<String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    (text.len() <= 32 && text.split('.').all(is_number)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::testing::write;
    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    /// Why, the files of a system, and the part that is found in them.
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a str>);

    const BANNER: &str = "\u{1}code\n\0GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\nCopyright";

    #[test]
    fn the_libc_is_the_one_that_says_so_itself() -> TestResult {
        let arch = std::env::consts::ARCH;
        let [debian, musl] =
            [format!("usr/lib/{arch}-linux-gnu/libc.so.6"), format!("lib/ld-musl-{arch}.so.1")];
        let old = "GNU C Library stable\nGNU C Library (GNU libc) stable release version 2.17, by Roland McGrath et al.\n";
        let long = format!("{}{BANNER}", "x".repeat(100_000));
        #[rustfmt::skip]
        let cases: [Case<'_>; 10] = [
            ("Debian",             &[(&debian, BANNER)],                                  Some("glibc 2.36")),
            ("Fedora",             &[("usr/lib64/libc.so.6", BANNER)],                    Some("glibc 2.36")),
            ("32 bits beside it",  &[("lib/libc.so.6", old), ("lib64/libc.so.6", BANNER)], Some("glibc 2.36")),
            ("an old one",         &[("lib64/libc.so.6", old)],                           Some("glibc 2.17")),
            ("far in the file",    &[("lib64/libc.so.6", &long)],                         Some("glibc 2.36")),
            ("Alpine",             &[(&musl, "a\x001.2.5\x00127.0.0.1\x001.2.5\0b")],     Some("musl 1.2.5")),
            ("two versions",       &[(&musl, "\x001.2.5\x003.2.1\0")],                    Some("musl")),
            ("musl beside glibc",  &[(&musl, "\x001.2.5\0"), (&debian, BANNER)],          Some("glibc 2.36")),
            ("musl as libc.so.6",  &[(&musl, "\x001.2.5\0"), ("lib/libc.so.6", "musl")],  Some("musl 1.2.5")),
            ("nothing of a libc",  &[("lib64/libc.so.6", "GNU C Library (x) release version x\n")], None),
        ];
        for (why, files, want) in cases {
            let dir = tempfile::tempdir()?;
            write(dir.path(), files)?;
            assert_eq!(libc(dir.path()).map(|it| it.to_string()).as_deref(), want, "{why}");
        }
        Ok(())
    }

    #[test]
    fn the_release_is_what_os_release_says() -> TestResult {
        let (etc, usr) = ("etc/os-release", "usr/lib/os-release");
        let long = format!("ID={}\n", "x".repeat(65));
        #[rustfmt::skip]
        let cases: [Case<'_>; 8] = [
            ("Debian",             &[(etc, "NAME=\"x\"\nVERSION_ID=\"12\"\nVERSION=\"9\"\nID=debian\n")], Some("debian 12")),
            ("single quotes",      &[(etc, "ID='sles'\nVERSION_ID='15.5'\n")],               Some("sles 15.5")),
            ("without a version",  &[(etc, "ID=arch\nBUILD_ID=rolling\n")],                  Some("arch")),
            ("the other place",    &[(usr, "ID=debian\nVERSION_ID=11\n")],                   Some("debian 11")),
            ("both places",        &[(usr, "ID=debian\n"), (etc, "ID=ubuntu\nVERSION_ID=24.04")], Some("ubuntu 24.04")),
            ("no name",            &[(etc, "VERSION_ID=24.04\n")],                           None),
            ("no word",            &[(etc, "ID=\x1b[31m\n")],                                None),
            ("too long",           &[(etc, &long)],                                          None),
        ];
        for (why, files, want) in cases {
            let dir = tempfile::tempdir()?;
            write(dir.path(), files)?;
            assert_eq!(os(dir.path()).map(|it| it.to_string()).as_deref(), want, "{why}");
        }
        let dir = tempfile::tempdir()?;
        std::fs::create_dir_all(dir.path().join(etc))?;
        assert_eq!(os(dir.path()), None, "a directory");
        Ok(())
    }

    #[test]
    fn a_compiler_is_known_by_what_it_says() {
        let gcc = "\nCopyright (C) 2022 Free Software Foundation, Inc.\n";
        #[rustfmt::skip]
        let cases = [
            (format!("cc (Debian 12.2.0-14+deb12u1) 12.2.0{gcc}"),                              Some("gcc 12.2.0")),
            (format!("gcc (GCC) 13.2.1 20231011 (Red Hat 13.2.1-4){gcc}"),                      Some("gcc 13.2.1")),
            (format!("x86_64-alpine-linux-musl-gcc (Alpine 14.2.0) 14.2.0{gcc}"),               Some("gcc 14.2.0")),
            (format!("gcc-7 (SUSE Linux (x) 7.1) 7.5.0{gcc}"),                                  Some("gcc 7.5.0")),
            ("Debian clang version 16.0.6 (15~deb12u1)\nTarget: x86_64-pc-linux-gnu".to_owned(), Some("clang 16.0.6")),
            ("Ubuntu clang version 18.1.3-1ubuntu1\n".to_owned(),                               Some("clang 18.1.3")),
            ("clang version unknown\n".to_owned(),                                              Some("clang")),
            ("tcc version 0.9.27\n".to_owned(),                                                 None),
            (String::new(),                                                                     None),
        ];
        for (said, want) in cases {
            assert_eq!(compiler_of(&said).map(|it| it.to_string()).as_deref(), want, "{said}");
        }
    }

    #[test]
    fn the_compiler_that_is_asked_is_the_one_of_the_job() -> TestResult {
        let dir = tempfile::tempdir()?;
        for (name, version, wanted) in [
            ("cc", "1.0", "--version"),
            ("mine", "2.0", "--version"),
            ("wide", "3.0", "-m32 --version"),
        ] {
            let path = format!("bin/{name}");
            let script =
                format!("#!/bin/sh\n[ \"$*\" = '{wanted}' ] && echo 'clang version {version}'\n");
            write(dir.path(), &[(path.as_str(), script.as_str())])?;
            let mode = PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(dir.path().join(&path), mode)?;
        }
        let path = Environment::default().with("PATH", dir.path().join("bin"));
        let cases = [
            ("the usual one", path.clone(), Some("clang 1.0")),
            ("CC", path.clone().with("CC", "mine"), Some("clang 2.0")),
            ("CC with arguments", path.clone().with("CC", " wide -m32 "), Some("clang 3.0")),
            ("CC with a wrapper", path.clone().with("CC", "/x/sccache mine"), Some("clang 2.0")),
            ("a wrapper alone", path.clone().with("CC", "ccache"), Some("clang 1.0")),
            ("CC set to nothing", path.clone().with("CC", ""), Some("clang 1.0")),
            ("one that fails", path.clone().with("CC", "wide"), None),
            ("none", path.with("CC", "none"), None),
        ];
        for (why, environment, want) in cases {
            let found =
                compiler(dir.path(), &environment, &Memory::default()).map(|it| it.to_string());
            assert_eq!(found.as_deref(), want, "{why}");
        }
        Ok(())
    }

    #[test]
    fn this_host_says_what_it_is() -> TestResult {
        let dir = tempfile::tempdir()?;
        let environment = Environment::default().with("PATH", "/usr/bin:/bin");
        let found = system(dir.path(), &environment, &Memory::default());
        // A C compiler links these tests, on a system with a C library.
        let libc = found.libc.ok_or("no libc")?;
        assert!(libc.version.is_some(), "{libc}");
        Ok(())
    }
}
