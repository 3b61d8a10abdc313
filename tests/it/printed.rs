//! All output is plain text: no terminal and no runner obeys anything in a name, a path, a manifest or an argument,
//! whoever wrote it.
//!
//! Runners take each line that begins with `::` for a command, on stdout and stderr, and each line that contains `##[`.
//! The lines of the action were made harmless; those of the command line were not.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::fake_runner::FakeRunner;
use crate::support::{Host, Result, write};

/// A hostile name: line ends, a colour, a character that turns the text around, commands new and old.
const NAME: &str = "a\n::add-mask::b\r::error::c\u{1b}[31md\u{9b}m\u{202e}e##[warning]f\u{85}::g";

/// Fails if `printed` holds a command, or a character that hides or turns the text around it.
fn expect_harmless(why: &str, printed: &[u8]) -> Result {
    let text = std::str::from_utf8(printed)?;
    for line in text.lines() {
        let unseen = |symbol: char| symbol.is_control() || "\u{202e}\u{85}\u{9b}".contains(symbol);
        assert!(!line.contains(unseen), "{why}: {line:?}");
        assert!(!line.trim_start().starts_with("::"), "{why}: {line:?}");
        assert!(!line.contains("##["), "{why}: {line:?}");
    }
    Ok(())
}

/// Runs the program; fails unless its output is harmless. Returns its stdout and stderr.
fn printed(host: &Host, args: &[&str]) -> Result<String> {
    let mut command = host.program(args);
    command.env("RUNNER_CACHE_ROOT", host.root()).current_dir(host.repo());
    let output = command.output()?;
    let why = format!("{args:?}");
    expect_harmless(&why, &output.stdout)?;
    expect_harmless(&why, &output.stderr)?;
    Ok(String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?)
}

/// Changes the first line of the only manifest of a target.
fn change_header(host: &Host, change: impl Fn(&mut Value)) -> Result {
    let manifests = host.manifests()?;
    let path = manifests.iter().find(|path| path.components().any(|it| it.as_os_str() == "target"));
    let path = path.ok_or("no manifest")?;
    let text = String::from_utf8(zstd::decode_all(fs::File::open(path)?)?)?;
    let (first, rest) = text.split_once('\n').ok_or("no lines")?;
    let mut header: Value = serde_json::from_str(first)?;
    change(&mut header["header"]);
    let mut encoder = zstd::Encoder::new(Vec::new(), 0)?;
    encoder.include_checksum(true)?;
    std::io::Write::write_all(&mut encoder, format!("{header}\n{rest}").as_bytes())?;
    Ok(fs::write(path, encoder.finish()?)?)
}

#[test]
fn no_name_in_a_store_is_obeyed() -> Result {
    let host = Host::new()?;
    write(&host.target(), format!("debug/{NAME}"), "built")?;
    write(&host.target(), format!("debug/.fingerprint/{NAME}-0123456789abcdef/lib-x"), "x")?;
    host.command("save", &["--job", NAME]).output()?;
    let shown = printed(&host, &["show", "target", "--files", "--units"])?;
    assert!(shown.contains("debug/a\\n::add-mask::b\\r::error::c\\u{1b}[31md"), "{shown}");
    change_header(&host, |header| {
        for (name, value) in [("directory", json!(NAME)), ("job", json!(NAME))] {
            header[name] = value;
        }
        header["components"][NAME] = json!(NAME);
        header["provenance"][NAME] = json!(NAME);
    })?;
    for args in [
        &["show", "target", "--files", "--units"][..],
        &["show", "target", "--json"],
        &["list"],
        &["list", "--json"],
        &["key", "--explain"],
        &["key", "--explain", "--json"],
        &["gc", "--dry-run", "--generations", "1"],
        &["gc", "--dry-run", "--json"],
        &["verify"],
        &["verify", "--json"],
        &["guard", "--dry-run"],
        &["restore"],
        &["restore", "--json"],
        &["save"],
    ] {
        printed(&host, args)?;
    }
    let shown: Value = serde_json::from_str(&printed(&host, &["show", "target", "--json"])?)?;
    assert_eq!(shown["job"], NAME);
    // Damaged entries are named in messages, too.
    write(&host.root(), format!("packs/{NAME}"), "no pack")?;
    write(&host.root(), format!("series/{NAME}/{NAME}"), "no series")?;
    for command in ["verify", "list", "gc", "restore"] {
        printed(&host, &[command])?;
    }
    Ok(())
}

#[test]
fn no_path_or_argument_is_obeyed() -> Result {
    let host = Host::new()?;
    let missing = format!("/nowhere/{NAME}");
    #[rustfmt::skip]
    let cases: [&[&str]; 15] = [
        &[NAME],
        &["restore", NAME],
        &["restore", &format!("--{NAME}")],
        &["restore", "--lane", NAME],
        &["restore", "--repository", NAME],
        &["restore", "--key", NAME],
        &["restore", "--threads", NAME],
        &["restore", "--repo", &missing],
        &["restore", "--dependency", &format!("dep={missing}")],
        &["restore", "--root", &format!("/dev/null/{NAME}")],
        &["restore", "--always-build", NAME],
        &["save", "--retention", NAME],
        &["show", NAME],
        &["checkout", NAME],
        &["chain", "check", "--file", &missing],
    ];
    for args in cases {
        let said = printed(&host, args)?;
        assert!(said.contains("error: "), "{args:?}: {said}");
    }
    // A variable, and a file of the repo.
    let mut command = host.command("restore", &[]);
    let output = command.env("RUNNER_CACHE_ALWAYS_BUILD", NAME).output()?;
    expect_harmless("a variable", &output.stderr)?;
    for (path, text) in [
        ("Cargo.lock", format!("version = 4\n[[package]]\nname = {NAME:?}\n# {NAME}\n = x")),
        (".cargo/config.toml", format!("[build]\n# {NAME}\ntarget-dir = ::error::x {NAME}")),
        ("rust-toolchain.toml", NAME.to_owned()),
    ] {
        let before = fs::read(host.repo().join(path)).ok();
        write(&host.repo(), path, text)?;
        printed(&host, &["restore"])?;
        printed(&host, &["key", "--explain"])?;
        match before {
            Some(before) => write(&host.repo(), path, before)?,
            None => fs::remove_file(host.repo().join(path))?,
        }
    }
    Ok(())
}

#[test]
fn an_error_of_a_file_is_one_line_that_says_where() -> Result {
    let host = Host::new()?;
    write(&host.repo(), ".cargo/config.toml", "[build]\n\ntarget-dir = = 2\n")?;
    let said = printed(&host, &["restore"])?;
    let path = host.repo().join(".cargo/config.toml");
    assert!(said.contains(&format!("error: cannot parse `{}`\n", path.display())), "{said}");
    assert!(said.contains("  cause: line 3, column 14: "), "{said}");
    Ok(())
}

/// Returns the parts of a summary that would become markup.
fn markup(summary: &str) -> Vec<&str> {
    let marks = ["<img", "](http", "\u{202e}", "\u{1b}", "::add-mask", "www.evil"];
    marks.into_iter().filter(|mark| summary.contains(mark)).collect()
}

#[test]
fn no_name_in_a_step_is_obeyed() -> Result {
    let evil = format!("{NAME}<img src=x>|[a](http:b) www.evil.example");
    let runner = FakeRunner::new()?;
    let mut job = runner.job(&[]);
    job.main()?.ok()?;
    runner.build()?;
    write(&runner.workspace(), format!("target/debug/{}", evil.replace('/', "-")), "built")?;
    for (name, value) in [("GITHUB_WORKFLOW", &evil), ("GITHUB_ACTOR", &evil)] {
        job.set(name, value);
    }
    let mut done = vec![("post", job.post("success")?.ok()?)];

    runner.check_out()?;
    let mut job = runner.job(&[("dependencies", &format!("a={evil}")), ("areas", &evil)]);
    done.push(("wrong inputs", job.main()?));
    let mut job = runner.job(&[("dependencies", &format!("a=/nowhere/{}", evil.replace(',', "")))]);
    job.set("GITHUB_REF", &format!("refs/heads/{evil}"));
    job.set("GITHUB_EVENT_NAME", &evil);
    done.push(("a strange event", job.main()?));
    done.push(("and its post", job.post("failure")?));
    let mut job = runner.job(&[("cache-root", &format!("/dev/null/{evil}"))]);
    done.push(("no store", job.main()?));
    for (why, done) in &done {
        assert_eq!(markup(&done.summary), [""; 0], "{why}: {}", done.summary);
        for line in done.log.lines() {
            let is_ours = [
                "::group::",
                "::endgroup::",
                "::warning title=runner-cache::",
                "::error title=runner-cache::",
            ]
            .iter()
            .any(|start| line.starts_with(start));
            let line = if is_ours { line.trim_start_matches(':') } else { line };
            // A runner looks for `##[` only in lines without a `::` command.
            let line = if is_ours { line.replace("##[", "") } else { line.to_owned() };
            expect_harmless(why, line.as_bytes())?;
        }
    }
    assert!(done.iter().any(|(_, done)| !done.annotations("error").is_empty()));
    Ok(())
}

#[test]
fn a_file_name_of_the_checkout_is_shown_as_it_is() -> Result {
    let host = Host::new()?;
    write(&host.target(), "debug/x", "built")?;
    host.save()?.done()?;
    write(Path::new(&host.repo()), "src/ä b'\"$.rs", "")?;
    printed(&host, &["restore"])?;
    let said = printed(&host, &["restore", "--repo", "/nowhere/ä b'\"$ ⚠️"])?;
    assert!(said.contains("error: `/nowhere/ä b'\"$ ⚠️` is not a directory"), "{said}");
    Ok(())
}
