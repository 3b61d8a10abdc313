//! The dep-info (`*.d`) that rustc writes: which files a unit was compiled from.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Returns the files that the first rule of a dep-info names, in its order.
///
/// They are absolute, or relative to the directory that rustc ran in (the workspace root for a member, else the
/// package's own directory). The first rule is enough: rustc repeats the same files for each of its outputs, and cargo
/// too reads only the first. A text without a rule names no file.
///
/// rustc escapes blanks in these names and nothing else (`escape_dep_filename` in `rustc_interface`): `\` and a blank
/// stand for a blank in the name. Any other `\` stands for itself, and so does a tab. rustc does not escape the name of
/// the output, so we take the first `: ` for its end, as cargo does (`parse_rustc_dep_info`). Unlike cargo we do not
/// split names at tabs and no-break spaces.
pub fn files(dep_info: &[u8]) -> Vec<PathBuf> {
    let mut lines = dep_info.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#"));
    let rule = lines.find_map(|line| {
        let colon = line.windows(2).position(|pair| pair == b": ")?;
        Some(&line[colon + 2..])
    });
    rule.map_or_else(Vec::new, split_at_blanks)
}

/// Returns the variables that the unit read with `env!` and `option_env!`, each with its value as rustc writes it.
/// Includes the variables that cargo sets, and leaves out those that were not set.
pub fn variables(dep_info: &[u8]) -> Vec<(&[u8], &[u8])> {
    let lines = dep_info.split(|byte| *byte == b'\n');
    let variables = lines.filter_map(|line| line.strip_prefix(b"# env-dep:"));
    let pairs = variables.filter_map(|text| {
        let equals = text.iter().position(|byte| *byte == b'=')?;
        Some((&text[..equals], &text[equals + 1..]))
    });
    pairs.collect()
}

fn split_at_blanks(names: &[u8]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut name = Vec::new();
    for byte in names {
        if *byte != b' ' {
            name.push(*byte);
        } else if name.last() == Some(&b'\\') {
            name.pop();
            name.push(b' ');
        } else if !name.is_empty() {
            files.push(std::mem::take(&mut name));
        }
    }
    if !name.is_empty() {
        files.push(name);
    }
    files.into_iter().map(|name| PathBuf::from(OsString::from_vec(name))).collect()
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::fmt::Write as _;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    #[test]
    fn only_an_escaped_blank_belongs_to_a_name() {
        #[rustfmt::skip]
        let cases: [(&str, &[u8], &[&str]); 11] = [
            ("two files",           b"a.d: src/lib.rs src/m.rs\n",           &["src/lib.rs", "src/m.rs"]),
            ("first rule only",     b"a.d: a\n\nb.d: b\n\na:\n",             &["a"]),
            ("blank",               b"a.d: src/a\\ b.rs /x\n",               &["src/a b.rs", "/x"]),
            ("two blanks",          b"a.d: a\\ \\ b\n",                      &["a  b"]),
            ("backslash",           b"a.d: t\\x.txt y\n",                    &["t\\x.txt", "y"]),
            ("backslash and blank", b"a.d: a\\\\ b\n",                       &["a\\ b"]),
            ("colon in a name",     b"a.d: a:\\ b c:d\n",                    &["a: b", "c:d"]),
            ("blank in the output", b"/sp ace/a.d: src/lib.rs\n",            &["src/lib.rs"]),
            ("no-break space",      "a.d: é\u{a0}x".as_bytes(),              &["é\u{a0}x"]),
            ("comment first",       b"# env-dep:A=b: c\na.d: a\n",           &["a"]),
            ("no rule",             b"# env-dep:A\na.rs:\n",                 &[]),
        ];
        for (why, text, want) in cases {
            let want: Vec<_> = want.iter().map(PathBuf::from).collect();
            assert_eq!(files(text), want, "{why}");
        }
        let not_utf8 = [PathBuf::from(OsString::from_vec(b"a\xff.rs".to_vec()))];
        assert_eq!(files(b"a.d: a\xff.rs\n"), not_utf8, "not UTF-8");
    }

    #[test]
    fn variables_are_those_that_had_a_value() {
        let text =
            b"a.d: a.rs\n\n# env-dep:CARGO_MANIFEST_DIR=/w/a=b\n# env-dep:UNSET\n# env-dep:E=\n";
        let want: [(&[u8], &[u8]); 2] = [(b"CARGO_MANIFEST_DIR", b"/w/a=b"), (b"E", b"")];
        assert_eq!(variables(text), want);
        assert_eq!(variables(b"env-dep:X=1\n"), []);
    }

    #[test]
    fn dep_info_of_rustc_names_the_files_that_it_read() -> Result<(), Box<dyn Error>> {
        let dir = tempfile::tempdir()?;
        let root = dir.path().join("sp ace: x");
        let src = root.join("a b");
        std::fs::create_dir_all(&src)?;
        let included =
            ["plain.txt", "bl ank.txt", "b\\s.txt", "ta\tb.txt", "é\u{a0}x.txt", "c: #.txt"];
        let mut text = String::new();
        for (at, name) in included.iter().enumerate() {
            std::fs::write(src.join(name), "")?;
            writeln!(text, "pub const C{at}: &str = include_str!({name:?});")?;
        }
        std::fs::write(src.join("lib.rs"), text)?;

        let dep_info = Path::new("out.d");
        let mut rustc = Command::new("rustc");
        rustc.args(["--crate-type=lib", "--emit=dep-info=out.d", "a b/lib.rs"]).current_dir(&root);
        assert!(rustc.status()?.success());
        let found = files(&std::fs::read(root.join(dep_info))?);
        let mut want = vec![PathBuf::from("a b/lib.rs")];
        want.extend(included.iter().map(|name| Path::new("a b").join(name)));
        assert_eq!(found, want);
        Ok(())
    }
}
