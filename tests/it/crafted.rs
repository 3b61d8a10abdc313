//! Crafted stores that aim at memory: the memory of a command is bounded by that of an honest store, whatever files
//! say.
//!
//! A manifest of 300 KiB whose first line is 3 GiB long ended `list`, gc, save and restore for lack of memory, and one
//! with two million empty directories took 400 MiB. No test noticed, because the hostile manifests in them were small.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::*;

/// How much more memory a command may take than with an honest store, in KiB.
const MORE_KIB: u64 = 64 << 10;

fn saved() -> Result<Host> {
    let host = Host::new()?;
    write(&host.target(), "debug/app", "built")?;
    host.save()?.done()?;
    Ok(host)
}

/// Runs a command, which may fail but not by a signal; returns its peak memory, in KiB.
fn peak_kib(host: &Host, command: &Command) -> Result<u64> {
    let measured = host.path("peak");
    let mut time = Command::new("time");
    time.args(["-f", "%M", "-o"]).arg(&measured);
    time.args(["timeout", "-s", "KILL", "120"]).arg(command.get_program()).args(command.get_args());
    time.env_clear().current_dir(command.get_current_dir().unwrap_or(Path::new("/")));
    time.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = time.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    // `timeout` and a shell report a signal by such a status.
    if output.status.code().is_none_or(|status| status > 4) {
        return Err(format!("{command:?}: {}: {said}", output.status).into());
    }
    let text = fs::read_to_string(&measured)?;
    let number = text.lines().next_back().ok_or("no figure")?;
    Ok(number.parse()?)
}

/// Every command that reads the store.
fn commands(host: &Host) -> Vec<(&'static str, Command)> {
    vec![
        ("list", host.store_command("list", &[])),
        ("verify", host.store_command("verify", &["--threads", "2"])),
        ("dry run", host.store_command("gc", &[&ROOMY[..], &["--dry-run"]].concat())),
        ("restore", host.command("restore", &["--threads", "2"])),
        ("save", host.command("save", &["--threads", "2"])),
        ("gc", host.store_command("gc", &ROOMY)),
    ]
}

/// Fails if, after `craft`, any command takes much more memory than with an honest store.
fn expect_bounded(why: &str, craft: impl FnOnce(&Host) -> Result) -> Result {
    let honest = saved()?;
    let mut usual = Vec::new();
    for (_, command) in commands(&honest) {
        usual.push(peak_kib(&honest, &command)?);
    }
    let host = saved()?;
    craft(&host)?;
    let mut wrong = Vec::new();
    for ((name, command), usual) in commands(&host).into_iter().zip(usual) {
        let peak = peak_kib(&host, &command).map_err(|error| format!("{why}: {name}: {error}"))?;
        if peak > usual + MORE_KIB {
            wrong.push(format!(
                "{why}: {name} took {} MiB, and {} usually",
                peak >> 10,
                usual >> 10
            ));
        }
    }
    assert_eq!(wrong.len(), 0, "{}", wrong.join("\n"));
    Ok(())
}

/// Writes zstd frames by hand, with more text than a test can hold in memory.
struct Frame<'a>(zstd::Encoder<'a, Vec<u8>>);

impl Frame<'_> {
    fn new() -> Result<Self> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1)?;
        encoder.include_checksum(true)?;
        Ok(Self(encoder))
    }

    fn repeat(&mut self, text: &str, count: usize) -> Result {
        let block = text.repeat(4096);
        for _ in 0..count / 4096 {
            self.0.write_all(block.as_bytes())?;
        }
        Ok(self.0.write_all(text.repeat(count % 4096).as_bytes())?)
    }

    fn line(&mut self, value: &Value) -> Result {
        Ok(writeln!(self.0, "{value}")?)
    }

    fn text(&mut self, text: &str) -> Result {
        Ok(self.0.write_all(text.as_bytes())?)
    }

    fn finish(self) -> Result<Vec<u8>> {
        Ok(self.0.finish()?)
    }
}

/// The lines of the only manifest.
fn lines(host: &Host) -> Result<Vec<Value>> {
    let text = zstd::decode_all(&fs::read(&host.manifests()?[0])?[..])?;
    Ok(text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(serde_json::from_slice)
        .collect::<std::result::Result<_, _>>()?)
}

fn replace_manifest(host: &Host, frames: &[Vec<u8>]) -> Result {
    Ok(fs::write(&host.manifests()?[0], frames.concat())?)
}

/// A frame with the header, honest except for the change by `change`.
fn header(host: &Host, change: impl FnOnce(&mut Value)) -> Result<Vec<u8>> {
    let mut first = lines(host)?.swap_remove(0);
    change(&mut first["header"]);
    let mut frame = Frame::new()?;
    frame.line(&first)?;
    frame.finish()
}

#[test]
fn a_first_line_of_gigabytes_is_refused() -> Result {
    expect_bounded("a header of 3 GiB", |host| {
        let mut frame = Frame::new()?;
        frame.text("{\"manifest\":1,\"header\":")?;
        frame.repeat(" ", 3 << 30)?;
        frame.text("}\n")?;
        replace_manifest(host, &[frame.finish()?])
    })
}

#[test]
fn a_header_with_long_lists_is_refused() -> Result {
    type Edit = fn(&mut Value);
    let cases: [(&str, Edit); 4] = [
        ("components", |header| {
            for number in 0..300_000 {
                header["components"][format!("{number}")] = json!("");
            }
        }),
        ("further targets", |header| {
            header["further"] = json!(vec![json!({ "area": "_..f-target" }); 300_000]);
        }),
        ("packs", |header| {
            let digest = "0".repeat(64);
            let pack = json!({ "digest": digest, "stored_bytes": 1, "content_bytes": 1 });
            header["packs"] = json!(vec![pack; 300_000]);
        }),
        ("what nobody knows", |header| header["unknown"] = json!(vec![json!([]); 2_000_000])),
    ];
    for (why, edit) in cases {
        expect_bounded(why, |host| replace_manifest(host, &[header(host, edit)?]))?;
    }
    Ok(())
}

/// A command accepts each of these headers, but not all of them together.
#[test]
fn many_headers_of_much_text_are_refused() -> Result {
    for (count, text) in [(60, (4 << 20) - (4 << 10)), (500, 300 << 10), (2000, 100 << 10)] {
        expect_bounded(&format!("{count} headers of {text} bytes"), |host| {
            let first = header(host, |header| header["provenance"]["x"] = json!("y".repeat(text)))?;
            let mut rest = Frame::new()?;
            for line in &lines(host)?[1..] {
                rest.line(line)?;
            }
            let rest = rest.finish()?;
            let manifest = &host.manifests()?[0];
            for number in 2..count {
                let path = manifest.with_file_name(format!("{number:010}.manifest.zst"));
                fs::write(path, [&first[..], &rest].concat())?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// A sparse file: long, with few blocks on the disk.
#[test]
fn a_hole_at_the_end_of_a_manifest_lets_nothing_in() -> Result {
    expect_bounded("symlinks with targets of 7 MiB", |host| {
        let first = header(host, |header| header["entries"] = json!(17))?;
        let mut rest = Frame::new()?;
        let honest = lines(host)?;
        let (end, entries) = honest[1..].split_last().ok_or("no lines")?;
        for number in 0..16 {
            let link = json!({ "target": "a".repeat(7 << 20), "mtime": [0, 0] });
            rest.line(
                &json!({ "entry": { "path": format!("a{number}"), "is": { "symlink": link } } }),
            )?;
        }
        for line in entries {
            rest.line(line)?;
        }
        let mut end = end.clone();
        end["end"]["lines"] = json!(honest.len() - 1 + 16);
        rest.line(&end)?;
        let hole = 60_u32 << 20;
        let pad = [0x184D_2A50_u32.to_le_bytes(), hole.to_le_bytes()].concat();
        replace_manifest(host, &[first, rest.finish()?, pad])?;
        let file = fs::File::options().write(true).open(&host.manifests()?[0])?;
        Ok(file.set_len(file.metadata()?.len() + u64::from(hole))?)
    })
}

#[test]
fn a_manifest_of_millions_of_lines_is_refused() -> Result {
    let dir = r#"{"dir":{"mode":493,"mtime":[0,0]}}"#;
    let kinds = [
        ("entries", format!("{{\"entry\":{{\"path\":\"a\",\"is\":{dir}}}}}\n")),
        ("units", "{\"unit\":{\"dir\":\"a\",\"last_used\":[0,0],\"unused_saves\":0}}\n".to_owned()),
        (
            "sources",
            format!(
                "{{\"source\":{{\"root\":\".\",\"kind\":\"dir\",\"digest\":\"{}\",\"mtime\":[0,0]}}}}\n",
                "0".repeat(64)
            ),
        ),
    ];
    for (why, line) in kinds {
        expect_bounded(why, |host| {
            let mut rest = Frame::new()?;
            rest.repeat(&line, 2_000_000)?;
            let first = header(host, |header| header["entries"] = json!(2_000_000))?;
            replace_manifest(host, &[first, rest.finish()?])
        })?;
    }
    Ok(())
}

#[test]
fn a_line_with_a_long_list_is_refused() -> Result {
    let content =
        format!("{{\"offset\":0,\"len\":1,\"digest\":\"{}\",\"pack\":0}},", "0".repeat(64));
    let entry = "{\"entry\":{\"path\":\"a\",\"is\":{\"file\":{\"mode\":420,\"mtime\":[0,0],\"size\":1,\"contents\":[";
    let cases = [
        ("contents", entry, content.as_str(), 2_000_000),
        (
            "units of the graph",
            "{\"end\":{\"lines\":1,\"graph\":{\"units\":[",
            "{\"package\":0,\"built\":[0,0]},",
            1_000_000,
        ),
        (
            "packages of the graph",
            "{\"end\":{\"lines\":1,\"graph\":{\"packages\":[",
            "{\"name\":\"\"},",
            1_000_000,
        ),
        (
            "others of the graph",
            "{\"end\":{\"lines\":1,\"graph\":{\"others\":[",
            "\"\",",
            3_000_000,
        ),
    ];
    for (why, begin, element, count) in cases {
        expect_bounded(why, |host| {
            let mut rest = Frame::new()?;
            rest.text(begin)?;
            rest.repeat(element, count)?;
            rest.text("\n")?;
            replace_manifest(host, &[header(host, |_| ())?, rest.finish()?])
        })?;
    }
    Ok(())
}

#[test]
fn a_sketch_with_long_lists_is_refused() -> Result {
    expect_bounded("a sketch", |host| {
        let mut sketch = Frame::new()?;
        sketch.text("{\"packages\":[")?;
        sketch.repeat("{\"name\":\"\"},", 1_000_000)?;
        sketch.text("{\"name\":\"\"}],\"paths\":[],\"variables\":[],\"units\":[]}")?;
        let sketch = sketch.finish()?;
        let mut rest = Frame::new()?;
        for line in &lines(host)?[1..] {
            rest.line(line)?;
        }
        let len = u32::try_from(sketch.len())?.to_le_bytes();
        let skippable = [&0x184D_2A50_u32.to_le_bytes()[..], &len, &sketch].concat();
        replace_manifest(host, &[header(host, |_| ())?, skippable, rest.finish()?])
    })
}

#[test]
fn records_leases_and_small_files_are_read_no_further_than_they_may_go() -> Result {
    type Craft = fn(&Path) -> Result;
    fn inodes(path: &Path) -> Result {
        let mut frame = Frame::new()?;
        // The first line stays as it was.
        let text = zstd::decode_all(&fs::read(path)?[..])?;
        let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        frame.text(&String::from_utf8_lossy(first))?;
        for block in 0..200 {
            frame.text("\n")?;
            frame.repeat(
                &format!("[\"a{block}\",{{\"dev\":1,\"ino\":1,\"ctime\":[0,0]}}]\n"),
                20_000,
            )?;
        }
        Ok(fs::write(path, frame.finish()?)?)
    }
    fn long(path: &Path) -> Result {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        let file = fs::File::create(path)?;
        // Sparse: only holes.
        Ok(file.set_len(3 << 30)?)
    }
    fn long_record(path: &Path) -> Result {
        let mut frame = Frame::new()?;
        frame.text("{\"tree\":1,\"directory\":\"")?;
        frame.repeat("a", 1 << 30)?;
        Ok(fs::write(path, frame.finish()?)?)
    }
    let cases: [(&str, &str, Craft); 10] = [
        ("a tree record of many lines", "trees/*.zst", inodes),
        ("a tree record of one line", "trees/*.zst", long_record),
        ("a hot tree's record", "hot/cccccccccccccccccccccccc.zst", long_record),
        ("an owner", "trees/*.owner", long),
        ("a stamp", "stamps/*/target/*", long),
        ("a lease", "leases/cccccccccccccccccccccccc", long),
        ("a journal", "journal/*", long),
        ("a pack", "packs/*/*", long),
        ("a home", "homes/x-0123456789abcdef.json", long),
        ("a stamp of a mirror", "mirrors/x/y.used", long),
    ];
    for (why, below, craft) in cases {
        expect_bounded(why, |host| craft(&find(&host.root(), below)?))?;
    }
    Ok(())
}

/// Replaces each `*` in a path by the entry found there.
fn find(root: &Path, below: &str) -> Result<std::path::PathBuf> {
    let mut path = root.to_owned();
    for name in below.split('/') {
        let Some((_, suffix)) = name.split_once('*') else {
            path.push(name);
            continue;
        };
        let entries = fs::read_dir(&path)?.filter_map(|entry| Some(entry.ok()?.path()));
        let mut fitting = entries.filter(|entry| entry.to_string_lossy().ends_with(suffix));
        path = fitting.next().ok_or_else(|| format!("{below}: nothing is there"))?;
    }
    Ok(path)
}

#[test]
fn a_pack_that_holds_more_than_one_can_is_refused() -> Result {
    expect_bounded("a pack of 2 GiB", |host| {
        let [pack] = &host.packs()?[..] else { return Err("one pack expected".into()) };
        let mut frame = Frame::new()?;
        frame.repeat("\0", 2 << 30)?;
        Ok(fs::write(pack, frame.finish()?)?)
    })
}

/// An honest, large tree that compresses better than any with digests.
#[test]
fn a_tree_of_very_many_empty_directories_is_saved_and_restored() -> Result {
    let host = Host::new()?;
    write(&host.target(), "debug/app", "built")?;
    // Long names, whose text exceeds the limit for reading without a look at the size on disk.
    let long = "directory".repeat(24);
    for number in 0..35_000 {
        fs::create_dir_all(host.target().join(format!("debug/{}/{long}{number}", number / 1000)))?;
    }
    let tree = list(&host.target())?;
    host.save()?.done()?;
    assert_eq!(host.verify()?, [""; 0]);
    host.lose_target()?;
    assert_eq!(host.restore()?.done()?.areas(), ["target unpack exact"]);
    expect_same(&tree, &host.target(), "restored")
}
