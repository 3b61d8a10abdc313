//! Two images, or a host before and after an upgrade, share a store: no restore, by whichever way, brings a build of
//! the newer system to the older one.
//!
//! The systems are directories that a debug build reads in place of `/` (`RUNNER_CACHE_SYSTEM_ROOT`).

use serde_json::{Value, json};

use crate::support::*;

const OLD: System = System { libc: "2.36", os: "debian", version: "12" };
const NEW: System = System { libc: "2.41", os: "debian", version: "13" };

/// A system with a glibc.
#[derive(Clone, Copy)]
struct System {
    libc: &'static str,
    os: &'static str,
    version: &'static str,
}

impl System {
    /// Gives the host this system.
    fn boot(self, host: &mut Host) -> Result {
        let Self { libc, os, version } = self;
        let root = host.path(&format!("systems/{libc}-{os}-{version}"));
        let banner = format!("\0GNU C Library (x) stable release version {libc}.\n");
        write(&root, "usr/lib64/libc.so.6", banner)?;
        write(&root, "etc/os-release", format!("ID={os}\nVERSION_ID=\"{version}\"\n"))?;
        host.set("RUNNER_CACHE_SYSTEM_ROOT", root);
        Ok(())
    }
}

/// Gives the host a system with musl.
fn boot_alpine(host: &mut Host) -> Result {
    let root = host.path("systems/alpine");
    write(&root, "lib/ld-musl-x86_64.so.1", "\x001.2.5\0")?;
    write(&root, "etc/os-release", "ID=alpine\nVERSION_ID=3.21.0\n")?;
    host.set("RUNNER_CACHE_SYSTEM_ROOT", root);
    Ok(())
}

fn build(host: &Host, what: &str) -> Result {
    write(&host.target(), "debug/build/app-0123456789abcdef/build-script-build", what)
}

/// Returns the system that the newest generation of the target records, without the compiler.
fn recorded(host: &Host) -> Result<Value> {
    let shown = Outcome::of(host.store_command("show", &[]).output()?)?.done()?;
    Ok(json!([shown.report["system"]["libc"], shown.report["system"]["os"]]))
}

fn of(libc: &str, version: &str) -> Value {
    json!([{"name": "glibc", "version": libc}, {"name": "debian", "version": version}])
}

const WOULD_NOT_START: &str = "1 generation was built with glibc 2.41; this host has glibc 2.36: its build scripts would not start";

#[test]
fn a_build_of_a_newer_system_is_a_miss_here_and_exact_there() -> Result {
    let backported = System { libc: "2.36", ..NEW };
    let other = System { libc: "2.41", os: "ubuntu", version: "25.04" };
    let of_os = "1 generation was built on debian 13; this is debian 12, which may lack libraries that its programs need";
    let cases = [
        ("unpack", "0", NEW, WOULD_NOT_START),
        ("a hot tree", "2", NEW, WOULD_NOT_START),
        ("the libc is equal", "0", backported, of_os),
        ("another kind of system", "0", other, WOULD_NOT_START),
    ];
    for (why, hot, system, says) in cases {
        let mut host = Host::new()?;
        system.boot(&mut host)?;
        build(&host, "new")?;
        let tree = list(&host.target())?;
        host.save_with(&["--hot-trees", hot])?.done()?;
        if hot == "0" {
            host.lose_target()?;
        }

        OLD.boot(&mut host)?;
        let missed = host.restore()?.done()?;
        assert_eq!(missed.report["hit"], "miss", "{why}: {}", missed.stderr);
        assert_eq!(missed.areas(), [""; 0], "{why}");
        missed.says(&[says]).map_err(|error| format!("{why}: {error}"))?;
        assert!(!host.target().exists(), "{why}");
        // Nor under another key.
        lock(&host.repo(), "app", &["other-1.0.0"])?;
        let missed = host.restore()?.done()?;
        assert_eq!(missed.report["hit"], "miss", "{why}: {}", missed.stderr);
        lock(&host.repo(), "app", &[])?;

        system.boot(&mut host)?;
        let restored = host.restore()?.done()?;
        let way = if hot == "0" { "unpack" } else { "move" };
        assert_eq!(restored.areas(), [format!("target {way} exact")], "{why}: {}", restored.stderr);
        assert!(!restored.stderr.contains("saved on"), "{why}: {}", restored.stderr);
        expect_same(&tree, &host.target(), why)?;
    }
    Ok(())
}

#[test]
fn a_build_of_an_older_system_is_used_and_one_on_top_of_it_is_of_the_newer() -> Result {
    let mut host = Host::new()?;
    OLD.boot(&mut host)?;
    build(&host, "old")?;
    host.save()?.done()?;
    assert_eq!(recorded(&host)?, of("2.36", "12"));

    NEW.boot(&mut host)?;
    host.lose_target()?;
    let restored = host.restore()?.done()?;
    assert_eq!(restored.areas(), ["target unpack exact"]);
    restored.says(&["saved on debian 12 (glibc 2.36); this is debian 13 (glibc 2.41)"])?;
    // Without a build it remains the target of the older system.
    assert_eq!(host.save()?.done()?.mode("target"), "unchanged");
    assert_eq!(recorded(&host)?, of("2.36", "12"));
    write(&host.target(), "debug/more", "built there")?;
    assert_eq!(host.save()?.done()?.mode("target"), "published");
    assert_eq!(recorded(&host)?, of("2.41", "13"));

    OLD.boot(&mut host)?;
    host.lose_target()?;
    let restored = host.restore()?.done()?;
    assert_eq!(restored.areas(), ["target unpack exact"]);
    assert!(!host.target().join("debug/more").exists());
    assert!(!restored.stderr.contains("would not start"), "{}", restored.stderr);
    let explained = host
        .program(&["key", "--explain", "--root"])
        .arg(host.root())
        .arg("--repo")
        .arg(host.repo())
        .output()?;
    let explained = String::from_utf8(explained.stderr)?;
    assert!(explained.contains("  system: debian 12 (glibc 2.36"), "{explained}");
    let moved = "  saved on debian 13 (glibc 2.41); this is debian 12 (glibc 2.36)\n";
    assert!(explained.contains(moved), "{explained}");
    Ok(())
}

#[test]
fn a_tree_that_another_image_left_in_place_is_said_and_recorded_as_what_it_is() -> Result {
    let mut host = Host::new()?;
    NEW.boot(&mut host)?;
    build(&host, "new")?;
    host.save()?.done()?;

    OLD.boot(&mut host)?;
    let missed = host.restore()?.done()?;
    assert_eq!(missed.report["hit"], "miss", "{}", missed.stderr);
    let left = format!("`{}` still holds a tree of such a system", host.target().display());
    missed.says(&[WOULD_NOT_START, left.as_str()])?;
    write(&host.target(), "debug/more", "built here")?;
    host.save()?.done()?;
    assert_eq!(recorded(&host)?, of("2.41", "13"));

    // A target of its own takes its place.
    host.lose_target()?;
    build(&host, "old")?;
    host.forget_inodes()?;
    host.save()?.done()?;
    let tree = list(&host.target())?;
    NEW.boot(&mut host)?;
    host.lose_target()?;
    build(&host, "new")?;
    host.save()?.done()?;
    OLD.boot(&mut host)?;
    assert_eq!(host.restore()?.done()?.report["hit"], "exact");
    expect_same(&tree, &host.target(), "in place of what the newer system left")
}

#[test]
fn musl_and_glibc_never_share_a_target_and_always_a_registry() -> Result {
    let mut host = Host::new()?;
    lock(&host.repo(), "app", &["one-1.0.0"])?;
    install_crate(&host.cargo_home(), "one-1.0.0")?;
    boot_alpine(&mut host)?;
    build(&host, "musl")?;
    host.save()?.done()?;
    host.lose_target()?;
    std::fs::remove_dir_all(host.cargo_home())?;
    OLD.boot(&mut host)?;
    let missed = host.restore()?.done()?;
    assert_eq!(missed.areas(), ["registry unpack exact"], "{}", missed.stderr);
    missed.says(&["1 generation was built with musl 1.2.5; this host has glibc 2.36"])?;
    let shown = Outcome::of(host.store_command("show", &["registry"]).output()?)?.done()?;
    assert_eq!(shown.report.get("system"), None);
    build(&host, "glibc")?;
    host.save()?.done()?;
    host.lose_target()?;
    boot_alpine(&mut host)?;
    host.restore()?.done()?;
    let script = host.target().join("debug/build/app-0123456789abcdef/build-script-build");
    assert_eq!(std::fs::read_to_string(script)?, "musl");
    Ok(())
}

#[test]
fn a_build_of_a_newer_c_compiler_is_not_used_where_the_older_one_links() -> Result {
    use std::os::unix::fs::PermissionsExt;
    let mut host = Host::new()?;
    OLD.boot(&mut host)?;
    host.fake_rustc("1.0.0")?;
    let cc = |version: &str| -> Result {
        let path = host.path("bin/cc");
        write(&host.path("bin"), "cc", format!("#!/bin/sh\necho 'clang version {version}'\n"))?;
        Ok(std::fs::set_permissions(path, PermissionsExt::from_mode(0o755))?)
    };
    cc("18.1.3")?;
    build(&host, "18")?;
    host.save()?.done()?;
    for (version, want) in [("17.0.6", "miss"), ("18.1.0", "exact"), ("19.1.0", "exact")] {
        cc(version)?;
        host.lose_target()?;
        let outcome = host.restore()?.done()?;
        assert_eq!(outcome.report["hit"], want, "{version}: {}", outcome.stderr);
        if want == "miss" {
            outcome.says(&["built with clang 18.1.3; this host has clang 17.0.6"])?;
            build(&host, "18")?;
        }
    }
    Ok(())
}

#[test]
fn a_generation_without_a_system_is_used_as_ever_and_gets_one_by_the_next_save() -> Result {
    let mut host = Host::new()?;
    OLD.boot(&mut host)?;
    build(&host, "once")?;
    host.save()?.done()?;
    for manifest in host.manifests()? {
        rewrite_manifest(&manifest, |lines| {
            if let Some(header) = lines[0]["header"].as_object_mut() {
                header.remove("system");
            }
        })?;
    }
    assert_eq!(recorded(&host)?, json!([null, null]));
    host.lose_target()?;
    let restored = host.restore()?.done()?;
    assert_eq!(restored.areas(), ["target unpack exact"]);
    assert!(!restored.stderr.contains("saved on"), "{}", restored.stderr);
    assert_eq!(host.save()?.done()?.mode("target"), "published");
    assert_eq!(recorded(&host)?, of("2.36", "12"));
    assert_eq!(host.save()?.done()?.mode("target"), "unchanged");
    Ok(())
}
