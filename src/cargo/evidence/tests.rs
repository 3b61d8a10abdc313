//! Every input of an answer, changed in turn.

use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::super::testing::write;
use super::*;

type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

/// Any binary will do: no program is started here.
const BINARY: &str = "/bin/true";

const SETTINGS: &str = "version = '12'\ndefault_toolchain = 'stable'\n[overrides]\n";

/// Returns the path of a program of a toolchain.
fn bin_of(toolchain: &str, name: &str) -> String {
    format!("rustup/toolchains/{toolchain}/bin/{name}")
}

/// Returns the real path of a program that the package manager of this machine installed.
fn installed(name: &str) -> io::Result<PathBuf> {
    Path::new("/usr/bin").join(name).canonicalize()
}

/// A host with rustup and a checkout.
struct Host {
    dir: tempfile::TempDir,
    environment: Environment,
}

impl Host {
    fn new() -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let root = dir.path();
        write(
            root,
            &[
                ("rustup/settings.toml", SETTINGS),
                ("rustup/toolchains/stable/lib/librustc_driver-1.so", "driver"),
                ("own/lib/librustc_driver-1.so", "driver"),
                ("rustup/toolchains/stable/lib/rustlib/multirust-channel-manifest.toml", "1.95.0"),
                ("home/config.toml", ""),
                ("work/ws/Cargo.toml", "[workspace]\nmembers = ['app']\n"),
                ("work/ws/app/Cargo.toml", "[package]\nname = 'app'\n"),
                ("work/ws/app/.cargo/config.toml", "include = ['more.toml']\n"),
                ("work/ws/app/.cargo/more.toml", "build.jobs = 1\n"),
            ],
        )?;
        for path in ["bin/rustup", &bin_of("stable", "cargo"), &bin_of("stable", "rustc")] {
            std::fs::create_dir_all(root.join(path).parent().unwrap_or(root))?;
            std::fs::copy(BINARY, root.join(path))?;
        }
        for name in ["cargo", "rustc"] {
            symlink("rustup", root.join("bin").join(name))?;
        }
        std::fs::create_dir(root.join("tools"))?;
        symlink(installed("cc")?, root.join("tools/cc"))?;
        let path = std::env::join_paths([root.join("bin"), root.join("tools")]);
        let environment = Environment::default()
            .with("PATH", path.map_err(io::Error::other)?)
            .with("RUSTUP_HOME", root.join("rustup"))
            .with("CARGO_HOME", root.join("home"))
            .with("HOME", root);
        Ok(Self { dir, environment })
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// Returns the evidence for rustc, for cargo in a workspace, and for the C compiler.
    fn digests(&self) -> [Option<Digests>; 3] {
        let app = self.path("work/ws/app");
        let of = |name: &str| Evidence::of_program(name.as_ref(), &["-x"], &app, &self.environment);
        let later = Timestamp::new(i64::MAX, 0);
        [of("rustc"), of("cargo").with_workspace(&app, &self.environment), of("cc")]
            .map(|evidence| evidence.digests(later))
    }
}

/// A change of a host.
type Change = fn(&mut Host) -> io::Result<()>;

fn edit(host: &Host, path: &str, content: &str) -> io::Result<()> {
    write(host.dir.path(), &[(path, content)])
}

/// Replaces a binary by an equal one, as an update does.
fn renew(host: &Host, path: &str) -> io::Result<()> {
    let path = host.path(path);
    std::fs::copy(BINARY, path.with_extension("new"))?;
    std::fs::rename(path.with_extension("new"), path)
}

/// Replaces a small file by an equal one, as the next checkout does.
fn renew_text(host: &Host, path: &str) -> io::Result<()> {
    let path = host.path(path);
    std::fs::copy(&path, path.with_extension("new"))?;
    std::fs::rename(path.with_extension("new"), path)
}

fn set(host: &mut Host, name: &str, value: &str) {
    host.environment = host.environment.clone().with(name, value);
}

#[test]
fn the_answer_of_a_host_is_known_until_any_of_its_inputs_changes() -> TestResult {
    const CONFIG: &str = "build.target-dir = 'elsewhere'\n";
    #[rustfmt::skip]
    let cases: [(&str, Change, [bool; 3]); 25] = [
        //why                       change                                                                               rustc  cargo  cc
        ("nothing",                 |_| Ok(()),                                                                          [false, false, false]),
        ("temporary files",         |it| { set(it, "TMPDIR", "/elsewhere"); Ok(()) },                                    [false, false, false]),
        ("a secret",                |it| { set(it, "CARGO_REGISTRY_TOKEN", "hunter2"); Ok(()) },                         [false, false, false]),
        ("a source",                |it| edit(it, "work/ws/app/src/lib.rs", "fn f() {}"),                                [false, false, false]),
        ("a variable of cargo's",   |it| { set(it, "CARGO_TARGET_DIR", "/elsewhere"); Ok(()) },                          [true,  true,  true]),
        ("the toolchain variable",  |it| { set(it, "RUSTUP_TOOLCHAIN", "nightly"); Ok(()) },                             [true,  true,  true]),
        ("rustup",                  |it| renew(it, "bin/rustup"),                                                        [true,  true,  false]),
        ("rustup's settings",       |it| edit(it, "rustup/settings.toml", "default_toolchain = 'beta'"),                 [true,  true,  false]),
        ("a toolchain file",        |it| edit(it, "work/ws/app/rust-toolchain.toml", "toolchain.channel = '1.95.0'"),    [true,  true,  false]),
        ("a toolchain file above",  |it| edit(it, "work/rust-toolchain", "nightly"),                                     [true,  true,  false]),
        ("another toolchain",       |it| edit(it, "rustup/toolchains/beta/lib/rustlib/multirust-channel-manifest.toml", ""), [true, true, false]),
        ("an updated toolchain",    |it| edit(it, "rustup/toolchains/stable/lib/rustlib/multirust-channel-manifest.toml", "1.96.0"), [true, true, false]),
        ("the compiler",            |it| renew(it, "rustup/toolchains/stable/bin/rustc"),                                [true,  false, false]),
        ("the compiler's library",  |it| edit(it, "rustup/toolchains/stable/lib/librustc_driver-1.so", "updated"),       [true,  true,  false]),
        ("cargo",                   |it| renew(it, "rustup/toolchains/stable/bin/cargo"),                                [false, true,  false]),
        ("the nearest config",      |it| edit(it, "work/ws/app/.cargo/config.toml", CONFIG),                             [false, true,  false]),
        ("an included config",      |it| edit(it, "work/ws/app/.cargo/more.toml", CONFIG),                               [false, true,  false]),
        ("a config above",          |it| edit(it, "work/.cargo/config", CONFIG),                                         [false, true,  false]),
        ("the home's config",       |it| edit(it, "home/config.toml", CONFIG),                                           [false, true,  false]),
        ("the manifest",            |it| edit(it, "work/ws/app/Cargo.toml", "package.workspace = '../other'"),           [false, true,  false]),
        ("a manifest above",        |it| edit(it, "work/Cargo.toml", "[workspace]"),                                     [false, true,  false]),
        ("the C compiler",          |it| { std::fs::remove_file(it.path("tools/cc"))?;
                                           symlink(installed("ld")?, it.path("tools/cc")) },                             [false, false, true]),
        ("a compiler before it",    |it| symlink(installed("ld")?, it.path("bin/cc")),                                   [false, false, true]),
        ("a linked toolchain",      |it| symlink(it.path("own"), it.path("rustup/toolchains/mine")),                     [true,  true,  false]),
        ("the file of a manifest",  |it| renew_text(it, "work/ws/app/Cargo.toml"),                                       [false, false, false]),
    ];
    for (why, change, want) in cases {
        let mut host = Host::new()?;
        let before = host.digests();
        assert!(before.iter().all(Option::is_some), "{why}: {before:?}");
        change(&mut host)?;
        let after = host.digests();
        let known = |digests: Option<Digests>| digests.map(|digests| digests.known);
        let has_changed = [0, 1, 2].map(|at| known(before[at]) != known(after[at]));
        assert_eq!(has_changed, want, "{why}");
    }
    Ok(())
}

#[test]
fn an_answer_with_an_unknown_input_has_no_evidence() -> TestResult {
    const SCRIPT: &str = "#!/bin/sh\nexec rustc \"$@\"\n";
    #[rustfmt::skip]
    let cases: [(&str, Change, [bool; 3]); 18] = [
        //why                       change                                                                              rustc  cargo  cc
        ("a relative PATH",         |it| { set(it, "PATH", "bin"); Ok(()) },                                            [false, false, false]),
        ("no rustup home",          |it| { set(it, "RUSTUP_HOME", "relative"); Ok(()) },                                [false, false, true]),
        ("a toolchain by path",     |it| { set(it, "RUSTUP_TOOLCHAIN", "/opt/rust"); Ok(()) },                          [false, false, true]),
        ("a file with a path",      |it| edit(it, "work/ws/rust-toolchain.toml", "toolchain.path = 'own'"),             [false, false, true]),
        ("other settings",          |it| { set(it, "RUSTUP_OVERRIDE_UNIX_FALLBACK_SETTINGS", "/x"); Ok(()) },           [false, false, false]),
        ("a script for rustc",      |it| edit(it, "rustup/toolchains/stable/bin/rustc", SCRIPT),                        [false, true,  true]),
        ("a script for cargo",      |it| edit(it, "rustup/toolchains/stable/bin/cargo", SCRIPT),                        [true,  false, true]),
        ("a wrapper of cc",         |it| { std::fs::remove_file(it.path("tools/cc"))?;
                                           symlink(installed("true")?, it.path("tools/cc")) },                          [true,  true,  false]),
        ("a cc of nobody's",        |it| { std::fs::remove_file(it.path("tools/cc"))?;
                                           std::fs::copy(installed("cc")?, it.path("tools/gcc"))?;
                                           symlink("gcc", it.path("tools/cc")) },                                       [true,  true,  false]),
        ("libraries",               |it| { set(it, "LD_LIBRARY_PATH", "/lib"); Ok(()) },                                [false, false, false]),
        ("a launcher",              |it| { std::fs::rename(it.path("bin/rustup"), it.path("bin/mise"))?;
                                           ["rustup", "rustc", "cargo"].iter().try_for_each(|name| {
                                               let _gone = std::fs::remove_file(it.path("bin").join(name));
                                               symlink("mise", it.path("bin").join(name)) }) },                         [false, false, true]),
        ("a copy of rustup",        |it| { std::fs::remove_file(it.path("bin/rustc"))?;
                                           std::fs::copy(BINARY, it.path("bin/rustc")).map(drop) },                     [false, true,  true]),
        ("a rustc for one user",    |it| std::fs::set_permissions(it.path("bin/rustup"), PermissionsExt::from_mode(0o744)), [false, false, true]),
        ("no driver",               |it| std::fs::remove_dir_all(it.path("rustup/toolchains/stable/lib")),               [false, false, true]),
        ("no home",                 |it| { it.environment = it.environment.clone().without("CARGO_HOME").without("HOME"); Ok(()) }, [true, false, true]),
        ("an escaped path",         |it| edit(it, "work/rust-toolchain.toml", r#"toolchain."p\u0061th" = 'x'"#),        [false, false, true]),
        ("a config that is none",   |it| edit(it, "work/.cargo/config.toml", "["),                                      [true,  false, true]),
        ("a manifest that is none", |it| edit(it, "work/ws/app/Cargo.toml", "["),                                       [true,  false, true]),
    ];
    for (why, change, want) in cases {
        let mut host = Host::new()?;
        change(&mut host)?;
        assert_eq!(host.digests().map(|digest| digest.is_some()), want, "{why}");
    }
    Ok(())
}

#[test]
fn evidence_that_changed_a_moment_ago_has_no_state() -> TestResult {
    let host = Host::new()?;
    let app = host.path("work/ws/app");
    let of = |settled| {
        Evidence::of_program("rustc".as_ref(), &[], &app, &host.environment).digests(settled)
    };
    let state = |settled| of(settled).map(|digests| digests.state.is_some());
    assert_eq!(state(Timestamp::new(1, 0)), Some(false));
    assert_eq!(state(Timestamp::new(i64::MAX, 0)), Some(true));
    Ok(())
}

/// A file that is another one for a moment, and then what it was, leaves another state.
#[test]
fn a_change_that_was_undone_leaves_a_trace() -> TestResult {
    #[rustfmt::skip]
    let cases: [(&str, Change, [bool; 3]); 4] = [
        //why                       change                                                          rustc  cargo  cc
        ("nothing",                 |_| Ok(()),                                                     [false, false, false]),
        ("a toolchain file",        |it| { edit(it, "work/ws/app/rust-toolchain", "nightly")?;
                                           std::fs::remove_file(it.path("work/ws/app/rust-toolchain")) }, [true, true, false]),
        ("a configuration",         |it| { edit(it, "work/ws/app/.cargo/config", "")?;
                                           std::fs::remove_file(it.path("work/ws/app/.cargo/config")) },  [false, true, false]),
        ("the text of a manifest",  |it| { let path = "work/ws/app/Cargo.toml";
                                           let text = std::fs::read_to_string(it.path(path))?;
                                           edit(it, path, "[package]\nname = 'another'\n")?;
                                           edit(it, path, &text) },                                 [false, true,  false]),
    ];
    for (why, change, want) in cases {
        let mut host = Host::new()?;
        let before = host.digests();
        // The clock of the kernel may tick every 10 ms.
        std::thread::sleep(std::time::Duration::from_millis(20));
        change(&mut host)?;
        let after = host.digests();
        for at in 0..3 {
            let [before, after] = [before[at].ok_or("none")?, after[at].ok_or("none")?];
            assert_eq!(before.known, after.known, "{why}");
            assert_eq!(before.state != after.state, want[at], "{why}: {at}");
        }
    }
    Ok(())
}

#[test]
fn the_question_is_part_of_the_evidence() -> TestResult {
    let host = Host::new()?;
    let later = Timestamp::new(i64::MAX, 0);
    let of = |name: &str, args: &[&str], dir: &str| {
        let dir = host.path(dir);
        let evidence = Evidence::of_program(name.as_ref(), args, &dir, &host.environment);
        evidence.digests(later).map(|digests| digests.known)
    };
    let first = of("rustc", &["-v"], "work/ws/app");
    assert_ne!(first, of("cargo", &["-v"], "work/ws/app"));
    assert_ne!(first, of("rustc", &["-V"], "work/ws/app"));
    assert_ne!(first, of("rustc", &["-v"], "work/ws"));
    Ok(())
}

#[test]
fn a_compiler_is_known_by_its_real_name() {
    #[rustfmt::skip]
    let cases = [
        ("gcc", true), ("x86_64-linux-gnu-gcc-12", true), ("clang-16", true), ("clang", true), ("ld.lld", true),
        ("x86_64-linux-gnu-ld.bfd", true), ("mold", true), ("gcc-13.2.1", true), ("aarch64-none-linux-gnu-g++", true),
        ("cc", false), ("ccache", false), ("sccache", false), ("distcc", false), ("env", false), ("mygcc", false),
    ];
    for (name, want) in cases {
        assert_eq!(is_compiler(&Path::new("/usr/bin").join(name)), want, "{name}");
    }
}
